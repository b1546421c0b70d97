# SPDX-License-Identifier: MIT
"""Plays every example of docs/PROTOCOL.md against the server.

An example is a fenced block called `chat`, with settings of the server behind that. Its lines:

    NAME opens PATH [as SUBPROTOCOL]
    NAME > what it sends
    NAME < what it receives next
    NAME closes
    NAME is closed with CODE

A line that begins with blanks goes on where the one before it ended. `<time>` stands for a number,
any other `<word>` for a string; what the latest one stood for is put in where a client sends it.
"""
import asyncio
import json
import re

import pytest
import websockets

from helpers import ROOT, Peer, scenario, strict_loads

PAGE = (ROOT / "docs" / "PROTOCOL.md").read_text()
BLOCK = re.compile(r"^```chat(?P<settings>.*)\n(?P<lines>[^`]+)^```$", re.MULTILINE)
LINE = re.compile(r"(?P<who>\w+) (?P<what>opens|>|<|closes|is closed with) ?(?P<rest>.*)")
SAMPLE = json.loads((ROOT / "config.json").read_text())


def examples():
    """Each example with the number of its line in the page."""
    for match in BLOCK.finditer(PAGE):
        number = PAGE.count("\n", 0, match.start()) + 1
        yield pytest.param(match["settings"], match["lines"], id=f"line-{number}")


def unfold(lines):
    """The lines of an example, with those put together that go on."""
    return re.sub(r"\n +", " ", lines).splitlines()


def settings_of(text):
    pairs = (pair.split("=") for pair in text.split())
    return {key: json.loads(value) for key, value in pairs}


class Stage:
    """The clients of one example, and what its placeholders stood for."""

    def __init__(self, server):
        self.server, self.peers, self.seen = server, {}, {}

    async def opens(self, who, rest):
        path, _, protocol = rest.partition(" as ")
        protocols = (protocol,) if protocol else ()
        self.peers[who] = await Peer.open(self.server, path, protocols=protocols)

    async def sends(self, who, rest):
        for word, value in self.seen.items():
            rest = rest.replace(f"<{word}>", value)
        await self.peers[who].send_text(rest)

    async def receives(self, who, rest):
        expected = json.loads(re.sub(r":(<\w+>)", r':"\1"', rest))
        got = await self.peers[who].text()
        assert self.alike(expected, strict_loads(got)), f"{who} received {got}, not {rest}"

    async def closes(self, who, _):
        await self.peers.pop(who).close()

    async def is_closed(self, who, rest):
        with pytest.raises(websockets.ConnectionClosed):
            pytest.fail(f"{who} also received {await self.peers[who].text()}")
        peer = self.peers.pop(who)
        assert peer.socket.close_code == int(rest) and peer.socket.close_reason

    async def ends(self):
        """What an example shows is all there is."""
        for who, peer in self.peers.items():
            await (await peer.socket.ping())
            with pytest.raises(asyncio.TimeoutError):
                more = await asyncio.wait_for(peer.socket.recv(), 0.01)
                pytest.fail(f"{who} also received {more}")

    def alike(self, expected, got):
        """Whether `got` is what was expected, and notes what a placeholder stood for."""
        if isinstance(expected, dict) and isinstance(got, dict):
            return expected.keys() == got.keys() and all(
                self.alike(value, got[name]) for name, value in expected.items()
            )
        if isinstance(expected, str) and (match := re.fullmatch(r"<(\w+)>", expected)):
            self.seen[match[1]] = str(got)
            return isinstance(got, int if match[1] == "time" else str)
        return expected == got

    ACTIONS = {
        "opens": opens,
        ">": sends,
        "<": receives,
        "closes": closes,
        "is closed with": is_closed,
    }

    async def play(self, line):
        match = LINE.fullmatch(line)
        assert match, f"not a line of an example: {line}"
        await self.ACTIONS[match["what"]](self, match["who"], match["rest"])


@pytest.mark.parametrize("settings, lines", examples())
def test_example(serve, settings, lines):
    changes = {key: SAMPLE[key] for key in ("server_name", "server_password")}
    server = serve(**changes, **settings_of(settings))

    @scenario
    async def talk():
        stage = Stage(server)
        for line in unfold(lines):
            await stage.play(line)
        await stage.ends()

    talk()


def test_page_has_examples():
    assert len(list(examples())) == PAGE.count("```chat") > 8


def test_every_error_code_that_a_test_provokes_is_in_the_page():
    """And the other way round: what the page promises is provoked by some test."""
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))
    names = ("test_protocol.py", "test_dialogue.py", "test_keys.py", "test_limits.py")
    sources = (ROOT / "tests" / name for name in names)
    provoked = set(re.findall(r'error\("(\w+)"\)', "".join(path.read_text() for path in sources)))
    assert documented - {"room_full", "shutting_down"} == provoked, "those two take bad luck"
