# SPDX-License-Identifier: MIT
"""Users of the page, and the server they meet on. Most of the page's ids are used only here."""
import re

import pytest

from browser import Page
from helpers import PASSWORD, PATIENCE, SETTINGS, Raw

# A sanitizer checks the server; the browser is checked in the plain run. The tests of one file
# stay in one process, and so use one browser.
PLAIN_RUN = pytest.mark.plain_run("the browser is no part of it")


# The headless shell has neither.
NEEDS_CAMERA = pytest.mark.whole_browser("a camera")
NEEDS_TABS = pytest.mark.whole_browser("a tab that covers another")


def in_browser(group):
    return [PLAIN_RUN, pytest.mark.xdist_group(group)]


ROOM, TALK = "room", "talk"

MESSAGES = """where => [...document.querySelectorAll(`#${where} .message`)].map(item => ({
    author: item.dataset.author,
    own: item.dataset.own === "true",
    state: item.dataset.state,
    plain: item.dataset.plain === "true",
    text: item.querySelector(".text")?.textContent ?? null,
}))"""
# `window.socket` is the connection, so that a test can inject messages of the server.
SOCKET = """
const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
    constructor(...given) {
        super(...given);
        window.socket = this;
    }
};
"""
GREETED = """name => document.querySelector("#join-title").textContent === name
    && !document.querySelector("#join-button").disabled"""
AT_BOTTOM = """where => {
    const scroller = document.querySelector(`#${where} .scroller`);
    return scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop < 4;
}"""
NAMES = """() => [...document.querySelectorAll("#people-list [data-name]")]
    .map(item => item.dataset.name)"""
GROUPS = """() => [...document.querySelectorAll("#safety-number .group")]
    .map(group => group.textContent.trim()).join("")"""
CUT = "WebSocket connection to .* failed|ERR_CONNECTION_REFUSED|ERR_INTERNET_DISCONNECTED"


class Person(Page):
    """One page on one server; `name` once joined."""

    def __init__(self, browser, server, **options):
        super().__init__(browser, **options)
        self.server, self.name = server, None

    def url(self, path="/", password=None):
        address = f"https://127.0.0.1:{self.server.port}{path}"
        return address + (f"#{password}" if password else "")

    def arrive(self, path="/", password=PASSWORD):
        """Opens the page by a link with the password, and checks the form."""
        self.follow(self.url(path, password))

    def follow(self, link):
        """Opens the page by the given link."""
        self.open(link)
        self.wait(GREETED, SETTINGS["server_name"], what="the form to be ready")

    def join(self, name, path="/", password=PASSWORD, patience=PATIENCE):
        self.arrive(path, password)
        self.fill("#join-name", name)
        self.click("#join-button")
        self.name = name
        self.wait_online(patience)
        return self

    def come_back(self):
        """Loads the page again, which joins again by itself."""
        self.reload()
        self.wait_online()

    def wait_online(self, patience=PATIENCE):
        self.wait_link("online", patience=patience)

    def wait_link(self, *states, patience=PATIENCE):
        """Waits until the page shows one of these connection states."""
        looks = "(...states) => states.includes(document.body.dataset.link)"
        self.wait(looks, *states, what=f"data-link to be {states}", patience=patience)

    def wait_lost(self):
        """Waits until the page has detected the loss, which takes time for a silent connection."""
        self.wait_link("connecting", "waiting", patience=3 * PATIENCE)
        self.wait_visible("#banner")

    def expect_cut(self):
        """Its network or server will fail: the browser then reports that on the console."""
        self.forgive(CUT)

    # Talking

    def type(self, text, where=ROOM):
        """Replaces the text of the composer, without sending it."""
        self.fill(f"#{where}-input", text)

    def say(self, text, where=ROOM):
        self.type(text, where)
        self.press("Enter")

    def messages(self, where=ROOM):
        return self.js(MESSAGES, where)

    def texts(self, where=ROOM):
        return [message["text"] for message in self.messages(where)]

    def sees(self, text, by=None, where=ROOM, state=None):
        """Waits for a message with exactly this text; returns it."""
        wanted = {"text": text, "author": by, "state": state}
        wanted = {field: value for field, value in wanted.items() if value is not None}

        def found():
            for message in self.messages(where):
                if wanted.items() <= message.items():
                    return message
            return None

        return self.wait_for(found, f"{text!r} by {by or 'anybody'} in {where}")

    def at_bottom(self, where=ROOM):
        return self.js(AT_BOTTOM, where)

    def people(self):
        return self.js(NAMES)

    # One to one

    def talk_to(self, name):
        """Opens the conversation with somebody who is here."""
        selector = f"#people-list [data-name='{name}'] button.person"
        self.wait("selector => document.querySelector(selector) !== null", selector)
        if not self.visible(selector):
            self.click("#people-button")
        self.click(selector)
        self.wait("n => document.querySelector('#talk').dataset.with === n", name)
        return self

    def talk_state(self, state):
        """Waits for the conversation to be in this state."""
        looks = "s => document.querySelector('#talk').dataset.state === s"
        self.wait(looks, state, what=f"the conversation to be {state}")

    def whisper(self, text):
        self.say(text, TALK)

    def hears(self, text, by=None, state=None):
        return self.sees(text, by, TALK, state)

    def safety_number(self):
        """Opens the sheet of the safety number and returns its 60 digits."""
        self.click("#talk-state")
        self.wait_visible("#safety-number .group")
        self.wait_visible("#safety-qr path")
        digits = self.wait("() => document.querySelector('#safety-number').dataset.digits")
        assert re.fullmatch(r"\d{60}", digits) and self.js(GROUPS) == digits
        return digits


class House:
    """A server, and the people who come to it, each with a browser of their own."""

    def __init__(self, browser, serve, authority, **changes):
        self.browser, self.serve, self.people, self.raws = browser, serve, [], []
        files = {"SSL_Cert": str(authority.certificate), "SSL_Key": str(authority.key)}
        self.settings = {"SSL": True, "history": 50, **files, **changes}
        self.server = serve(**self.settings)

    def person(self, **options):
        """A user who has not opened the page yet, with an empty browser."""
        self.people.append(Person(self.browser, self.server, **options))
        return self.people[-1]

    def members(self, *names, path="/", **options):
        """People who have joined, in this order."""
        return [self.person(**options).join(name, path) for name in names]

    def stranger(self, name, path="/"):
        """A member with another client, without keys."""
        self.raws.append(Raw(self.server))
        self.raws[-1].join(name, path)
        return self.raws[-1]

    def restart(self):
        """Restarts the server at the same address; it must have ended."""
        self.server = self.serve(**{**self.settings, "server_port": self.server.port})
        for person in self.people:
            person.server = self.server

    def close(self, failed):
        """Everybody leaves, with screenshots if `failed` names a test; returns the faults."""
        faults = []
        for number, person in enumerate(self.people):
            if failed:
                person.picture(f"FAILED-{re.sub(r'[^A-Za-z0-9_-]', '_', failed)}-{number}")
            faults += person.faults()
            person.close()
        for context in {person.context for person in self.people}:
            self.browser.forget(context)
        for raw in self.raws:
            raw.socket.close()
        return faults
