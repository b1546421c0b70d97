# SPDX-License-Identifier: MIT
"""Messages that others provoke never get our clients closed for their rate, and messages that a
user sends too fast are not lost with the connection.

The server's rates are low here, so that a client that answers everything is closed within moments.
"""
import asyncio
import contextlib
import re

from browser_user import in_browser
from helpers import PATIENCE, join, scenario
from terminal import Listener, Terminal

RATE = 16  # messages a second: more than a client sends on its own, less than three members can provoke
LOW = {"max_messages_per_second": RATE, "too_fast_seconds": 2}
SECONDS = 7  # without a pace the client is closed after 3.5
NOTICE = re.compile('"Notice":"unreadable"')


async def provoke(server, victim):
    """Three members each send unreadable messages at nearly their full rate. The client answers, but
    no faster than its pace."""

    async def flood(number):
        peer = await join(server, f"mallory-{number}")
        loop, count = asyncio.get_running_loop(), 0
        begin, every = loop.time(), 1 / (RATE - 2)
        while count * every < SECONDS:
            await peer.send("PrivateMessage", TgtUser=victim, Enc="?", Ref=count, text="")
            count += 1
            await asyncio.sleep(begin + count * every - loop.time())
        notices = 0
        with contextlib.suppress(asyncio.TimeoutError):
            while True:  # everything received so far is ready
                notices += bool(NOTICE.search(await asyncio.wait_for(peer.socket.recv(), 0.5)))
        return notices

    begin = asyncio.get_running_loop().time()
    notices = sum(await asyncio.gather(*(flood(number) for number in range(3))))
    elapsed = asyncio.get_running_loop().time() - begin
    assert 10 < notices <= 10 * (elapsed + 1), (notices, elapsed)


def test_malformed_messages_do_not_get_an_idle_ragchat_thrown_out(serve, homes):
    server = serve(**LOW)
    ear = Listener(server, "bob", homes("bob"))

    @scenario
    async def talk():
        await provoke(server, "bob")

    talk()
    status, err = ear.end()
    assert status == 0 and "too fast" not in err, err
    assert len(ear.of("PrivateMessage")) > 2 * SECONDS * (RATE - 3)
    assert "too fast" not in server.log()


TIGHT = {"max_messages_per_second": 5, "too_fast_seconds": 1}
# More than the rate and burst allow in 3.6 seconds: the connection is closed after one, even on a
# slow machine. The rest is less than the rate and burst allow within a second.
TEXTS = [f"text {number}" for number in range(28)]
SAY_AT_ONCE = """texts => {
    const input = document.querySelector("#room-input");
    for (const text of texts) {
        input.value = text;
        input.dispatchEvent(new Event("input"));
        input.form.requestSubmit();
    }
}"""


def test_a_terminal_client_that_was_too_fast_comes_back_and_loses_nothing(serve, homes):
    server = serve(**TIGHT)
    ear = Listener(server, "bob", homes("bob"))
    ana = Terminal(server, "ana", homes("ana"))
    ana.wait("2 here")
    for text in TEXTS:
        ana.say(text)
    ana.wait(r"this client sent too fast; trying again in 10 seconds; what did not arrive is kept")
    ear.wait(len(TEXTS))
    ana.wait("connected again")
    assert ear.texts() == TEXTS
    ana.type("\x04")
    assert ana.end() == 0


class TestPage:
    pytestmark = in_browser("network")

    def test_malformed_messages_do_not_get_an_idle_page_thrown_out(self, open_house):
        house = open_house(**LOW)
        (bob,) = house.members("bob")

        @scenario
        async def talk():
            await provoke(house.server, "bob")

        talk()
        assert bob.js("() => document.body.dataset.link") == "online"
        assert "too fast" not in house.server.log()

    def test_a_page_that_was_too_fast_comes_back_and_loses_nothing(self, open_house):
        house = open_house(**TIGHT)
        ana, bob = house.members("ana", "bob")
        ana.js(SAY_AT_ONCE, TEXTS)
        ana.wait_link("waiting")
        words = ana.wait("() => document.querySelector('#banner-text').textContent")
        assert re.search(r"sent too fast\. What did not arrive is kept\. Coming back in \d+ s", words)
        ana.wait_link("online", patience=3 * PATIENCE)
        for text in TEXTS:
            bob.sees(text, by="ana")
        assert bob.texts() == TEXTS
