# SPDX-License-Identifier: MIT
"""A room of thousands, of which the page knows only the number: names on demand, and by their beginning."""
import subprocess

import pytest

from browser_user import in_browser
from helpers import PASSWORD, PATIENCE
from load_generator import COMMAND, arguments

pytestmark = in_browser("counted")

PHONE = (360, 640)
WIDE = (1280, 800)
# The room seems to have thousands of members: lists become numbers, and GetUsers is answered here.
LARGE = """
const Socket = window.WebSocket;
window.members = ["ana", "bo"];
for (let n = 0; n < 5000; n++) window.members.push(`user-${String(n).padStart(4, "0")}`);
window.asked = [];
window.isMute = false;
window.refusal = "";
window.WebSocket = class extends Socket {
    constructor(...given) {
        super(...given);
        window.socket = this;
        this.version = 0;
    }
    get onmessage() {
        return this.heard;
    }
    set onmessage(heard) {
        this.heard = heard;
        super.onmessage = heard && (({data}) => {
            const message = JSON.parse(data);
            const isPresence = ["OnlineUsers", "Presence"].includes(message.msgType);
            const counted = {msgType: "OnlineUsers", Version: ++this.version, Count: window.members.length};
            heard({data: isPresence ? JSON.stringify(counted) : data});
        });
    }
    send(text) {
        const {msgType, Prefix = "", After = "", Limit, Ref} = JSON.parse(text);
        if (msgType !== "GetUsers") return super.send(text);
        window.asked.push(JSON.parse(text));
        const found = window.members.filter((name) => name.startsWith(Prefix.toLowerCase()) && name > After);
        const users = {msgType: "Users", Count: window.members.length, Users: found.slice(0, Limit), More: found.length > Limit, Ref};
        const refused = {msgType: "Error", Code: window.refusal, text: "no", Ref};
        window.answer = () => this.heard({data: JSON.stringify(window.refusal ? refused : users)});
        if (!window.isMute) setTimeout(window.answer);
    }
    presence(more) {
        const Since = this.version++;
        this.heard({data: JSON.stringify({msgType: "Presence", Since, Version: this.version, Count: window.members.length, ...more})});
    }
};
"""
ROWS = "() => document.querySelectorAll('#people-list li').length"
ASKED = "() => window.asked.length"
TO_END = "() => { const list = document.querySelector('#people'); list.scrollTop = list.scrollHeight; }"


@pytest.fixture
def large(house):
    """ana in a room of 5002."""

    def come(**options):
        ana = house.person(**options)
        ana.before_load(LARGE)
        return ana.join("ana")

    return come


def rows(ana, count):
    ana.wait(f"count => ({ROWS})() === count", count, what=f"{count} rows")


def test_number_is_shown_and_names_come_while_one_scrolls(large):
    ana = large(size=WIDE)
    ana.wait_text("#online-count", "5,002 here")
    rows(ana, 100)
    assert ana.people()[:3] == ["ana", "bo", "user-0000"]
    assert ana.text("#people-list [data-self] .name") == "ana"
    assert ana.text("#people-note") == "100 names shown." and ana.text("#people-more") == "More names"
    assert ana.js(ASKED) == 1, "no more than what is in view is asked for"
    ana.picture("counted-wide")
    ana.js(TO_END)
    rows(ana, 200)
    ana.js("() => window.socket.presence({Count: 5003})")
    ana.wait_text("#online-count", "5,003 here")
    assert ana.js(ASKED) == 2 and ana.js(ROWS) == 200, "a change asks nothing"


def test_keyboard_reaches_all_of_it(large):
    """Tab stops at the field, at one row, and at the end, which loads more: the focus goes to the first of them."""
    ana = large(size=WIDE)
    rows(ana, 100)
    ana.js("() => document.querySelector('#people-filter').focus()")
    at = "() => document.activeElement.closest('[data-name]')?.dataset.name"
    ana.press("Tab")
    assert ana.js(at) == "bo"
    ana.press("Tab")
    ana.wait("name => document.activeElement.closest('[data-name]')?.dataset.name === name", "user-0098")
    assert ana.js(ROWS) == 200
    ana.press("Enter")
    ana.wait("() => document.querySelector('#talk').dataset.with === 'user-0098'")
    assert ana.js("() => document.querySelector('#talk-list [data-name]').dataset.here") == "unknown"


def test_beginning_of_a_name_is_looked_for_by_the_server(large):
    ana = large(size=WIDE)
    rows(ana, 100)
    field = "() => document.querySelector('#people-filter').placeholder"
    assert ana.js(field) == "Start of a name"
    ana.fill("#people-filter", "User-01")
    rows(ana, 100)
    ana.wait("() => document.querySelector('#people-list [data-name]').dataset.name === 'user-0100'")
    assert ana.js("() => window.asked.at(-1).Prefix") == "User-01"
    assert not ana.visible("#people-more")
    ana.fill("#people-filter", "user-4999")
    rows(ana, 1)
    ana.wait_text("#people-note", "1 name shown.")
    ana.fill("#people-filter", "nobody")
    ana.wait_text("#people-note", "Nobody's name begins like this.")
    ana.picture("counted-nobody")
    ana.fill("#people-filter", "")
    rows(ana, 100)


def test_refusal_is_told_and_asked_again_by_hand(large):
    ana = large(size=WIDE)
    rows(ana, 100)
    ana.js("() => { window.refusal = 'busy'; }")
    ana.js(TO_END)
    ana.wait_text("#people-more", "Try again")
    assert "Too many connections" in ana.text("#people-note")
    asked = ana.js(ASKED)
    ana.js("() => { window.refusal = ''; window.socket.presence({}); }")
    ana.js("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert ana.js(ASKED) == asked
    ana.click("#people-more")
    rows(ana, 200)


def test_phone_asks_when_the_list_is_opened(large):
    ana = large()
    ana.resize(*PHONE, phone=True)
    ana.come_back()
    ana.wait_text("#online-count", "5,002 here")
    assert ana.js(ASKED) == 0, "the list is not in view"
    ana.tap("#people-button")
    rows(ana, 100)
    ana.wait("() => document.activeElement.closest('[data-name]')?.dataset.name === 'bo'")
    ana.picture("counted-phone")
    ana.js(TO_END)
    rows(ana, 200)
    ana.tap("#people-filter")
    ana.fill("#people-filter", "user-00")
    ana.wait("() => window.asked.at(-1).Prefix === 'user-00'")
    ana.wait_text("#people-note", "100 names shown.")
    ana.tap("#people-list [data-name=user-0003] button")
    ana.wait("() => document.querySelector('#talk').dataset.with === 'user-0003'")


def test_tab_completes_by_asking(large):
    ana = large(size=WIDE)
    ana.type("hello @user-499")
    ana.press("Tab")
    ana.wait("() => document.querySelector('#room-input').value === 'hello @user-4990 '")
    ana.press("Tab")
    assert ana.value("#room-input") == "hello @user-4991 "
    for _ in range(8):
        ana.press("Tab")
    ana.press("Tab")
    assert ana.value("#room-input") == "hello @user-499", "then what was typed, and Tab goes on"
    ana.press("Tab")
    assert ana.focused("#room-send")
    ana.type("hello @zz")
    ana.press("Tab")
    ana.wait("() => document.activeElement.id === 'room-send'", what="the focus to move on")
    assert ana.value("#room-input") == "hello @zz"


def test_late_answer_to_tab_changes_nothing_that_was_typed_since(large):
    ana = large(size=WIDE)
    rows(ana, 100)
    ana.js("() => { window.isMute = true; }")
    ana.type("@user-4")
    ana.press("Tab")
    ana.wait("() => window.asked.at(-1).Prefix === 'user-4'")
    assert ana.focused("#room-input")
    ana.insert("9")
    ana.js("() => window.answer()")
    ana.settle()
    assert ana.value("#room-input") == "@user-49" and ana.focused("#room-input")
    ana.press("Tab")
    ana.wait("() => window.asked.at(-1).Prefix === 'user-49'")
    ana.press("Tab")
    assert not ana.focused("#room-input"), "nobody is trapped while an answer is late"
    ana.js("() => window.answer()")
    ana.settle()
    assert ana.value("#room-input") == "@user-49"


def test_private_word_tells_who_is_not_there(large, house):
    """Nobody is called gone before the server says so."""
    ana = large(size=WIDE)
    (bo,) = house.members("bo")
    ana.say("/msg @bo psst")
    ana.talk_state("encrypted")
    bo.talk_to("ana")
    bo.hears("psst", by="ana")
    ana.say("/msg user-0001 anybody?")
    ana.wait("() => document.querySelector('#talk').dataset.with === 'user-0001'")
    ana.hears("anybody?", state="failed")
    ana.wait_text("#talk-notice", "user-0001 is not here now.")
    ana.picture("counted-gone")
    ana.say("/msg ana me")
    assert ana.text("#room-hint") == "Nobody else here is called ana."


def test_room_that_shrinks_is_listed_again(large):
    ana = large(size=WIDE)
    rows(ana, 100)
    ana.js("""() => window.socket.heard({data: JSON.stringify(
        {msgType: "OnlineUsers", Version: 1000, Count: 2, Users: ["ana", "bo"]})})""")
    ana.wait_text("#online-count", "2 online")
    assert ana.people() == ["ana", "bo"]
    for part in ("#people-more", "#people-note", "#people-filter"):
        assert not ana.visible(part)
    ana.js("() => { window.socket.version = 1000; window.socket.presence({}); }")
    ana.wait_text("#online-count", "5,002 here")
    rows(ana, 100)


def test_with_a_server_of_two_thousand(open_house):
    """Its real order of names, its versions, and the way back to a list."""
    house = open_house(max_clients=3000, max_clients_per_address=0)
    ana, bo = house.members("ana", "bo", size=WIDE)
    options = {"password": PASSWORD, "members": 2001, "idle": 600}
    with subprocess.Popen([*COMMAND, *arguments(house.server.port, True, options)]) as crowd:
        try:
            ana.wait_text("#online-count", "2,003 here", patience=6 * PATIENCE)
            rows(ana, 100)
            ana.js(TO_END)
            rows(ana, 200)
            shown = ana.people()
            assert shown[:2] == ["ana", "bo"] and shown == sorted(set(shown))
            ana.fill("#people-filter", shown[-1].upper())
            rows(ana, 1)
            ana.say("/msg bo psst")
            ana.talk_state("encrypted")
            bo.talk_to("ana")
            bo.hears("psst", by="ana")
            bo.whisper("yes")
            ana.hears("yes", by="bo")
            ana.picture("counted-server")
        finally:
            crowd.terminate()
    for person in (ana, bo):
        person.wait_text("#online-count", "2 online", patience=6 * PATIENCE)
    assert not ana.visible("#people-more") and "bo" in bo.people()
