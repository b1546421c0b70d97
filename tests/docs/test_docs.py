# SPDX-License-Identifier: MIT
"""Plays every example of docs/PROTOCOL.md against the server.

An example is a fenced block called `chat`, with settings of the server behind that. Its lines:

    NAME opens PATH [as SUBPROTOCOL]
    NAME > what it sends
    NAME < what it receives next
    NAME closes
    NAME is closed with CODE

A line that begins with blanks continues the previous one. `<time>` stands for a number,
any other `<word>` for a string; what the latest one stood for is put in where a client sends it.
`<origin>` is that of the server; `<signature>` and `<proof>` are made of the other fields with the keys
that the vectors have, too.
"""
import asyncio
import json
import re
import subprocess

import pytest
import websockets
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from e2e_reference import Person
from helpers import COMMAND, ROOT, Peer, origin_of, scenario, strict_loads
from terminal import RAGCHAT

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
        self.server, self.peers, self.seen = server, {}, {"origin": origin_of(server)}

    async def opens(self, who, rest):
        path, _, protocol = rest.partition(" as ")
        protocols = (protocol,) if protocol else ()
        self.peers[who] = await Peer.open(self.server, path, protocols=protocols)

    def sign(self, who, text):
        """Makes a card's signature, and the proof of a Join to the main room."""
        fields = json.loads(text)
        identity = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        session = X25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
        changes = {name: fields[name] for name in ("KeyExpires", "KeyOrigin", "KeyEnc")}
        card = Person(who, "", identity, session).keys(**changes)
        assert {name: fields[name] for name in card if name != "KeySignature"} == {
            name: value for name, value in card.items() if name != "KeySignature"
        }
        self.seen["signature"] = card["KeySignature"]
        if "Proof" in fields:
            person = Person(who, "", identity, session)
            self.seen["proof"] = person.prove(self.seen["nonce"], card)

    async def sends(self, who, rest):
        rest = rest.replace("<origin>", self.seen["origin"])
        if "<signature>" in rest:
            self.sign(who, rest)
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
        """An example is complete: nothing else is received."""
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
        if isinstance(expected, list) and isinstance(got, list):
            return len(expected) == len(got) and all(map(self.alike, expected, got))
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
    server = serve(server_password=SAMPLE["server_password"], **settings_of(settings))

    @scenario
    async def talk():
        stage = Stage(server)
        for line in unfold(lines):
            await stage.play(line)
        await stage.ends()

    talk()


def test_error_codes_are_those_of_the_page():
    names = re.findall(r'= "([a-z_]+)"', (ROOT / "lib" / "protocol.c").read_text())
    documented = re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)
    assert sorted(names) == sorted(documented)


def test_one_version():
    """Both programs and all package versions agree with lib/version.h."""
    header = (ROOT / "lib" / "version.h").read_text()
    version = re.search(r'^#define RAGNAROK_VERSION "([\d.]+)"$', header, re.MULTILINE)[1]
    for command, name in ((COMMAND, "ragnarok"), (RAGCHAT, "ragchat")):
        done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[0] == f"{name} {version}"
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## ([\d.]+)", changes, re.MULTILINE)[1] == version
    debian = (ROOT / "contrib" / "debian" / "changelog").read_text()
    assert debian.startswith(f"ragnarok ({version}) ")


def test_page_has_examples():
    assert len(list(examples())) == PAGE.count("```chat") > 8


def test_every_error_code_that_a_test_provokes_is_in_the_page():
    """And the reverse: some test provokes every documented code."""
    documented = set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE))
    names = ("test_protocol", "test_original_protocol", "test_keys", "test_limits", "guesses", "test_pages", "test_stored_pages")
    sources = (path for path in (ROOT / "tests").rglob("*.py") if path.stem in names)
    provoked = set(re.findall(r'error\("(\w+)"\)', "".join(path.read_text() for path in sources)))
    assert documented - {"room_full", "shutting_down"} == provoked, "those two take bad luck"
