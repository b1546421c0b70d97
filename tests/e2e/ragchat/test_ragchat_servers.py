# SPDX-License-Identifier: MIT
"""ragchat against servers that behave as ours never or rarely does.

`Fake` speaks ragnarok.v2 as far as a test's script goes, and records received messages.
"""
import asyncio
import contextlib
import json
import re
import threading
import time

import pytest
import websockets

from helpers import PATIENCE, SCALE, V2, wait_until
from terminal import Terminal, run, start
from thread_server import ThreadServer

OK, USAGE, CONNECT, REFUSED, CERTIFICATE, PARTLY, FILES = range(7)
NONCE = "00" * 32


class Fake(ThreadServer):
    """A server that runs `script` for each connection, with helpers for it."""

    subprotocols = [V2]

    def __init__(self, script):
        self.script, self.heard, self.dialled = script, [], []
        super().__init__()

    async def serve(self, client):
        self.dialled.append(time.monotonic())
        self.client = client
        with contextlib.suppress(websockets.ConnectionClosed):
            await self.script(self)

    async def tell(self, kind, **fields):
        await self.client.send(json.dumps({"msgType": kind, **fields}))

    async def hear(self):
        message = json.loads(await self.client.recv())
        self.heard.append(message)
        return message

    async def answered(self):
        """Waits until all answers of the client so far have been received: the pong comes after
        them."""
        pong = await self.client.ping()
        hearing = asyncio.ensure_future(self.hear_all())
        await asyncio.wait_for(pong, PATIENCE)
        hearing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await hearing

    async def hear_all(self):
        while True:
            await self.hear()

    async def hello(self):
        await self.tell("Hello", PasswordRequired=True, Nonce=NONCE)

    async def let_in(self, users=("ana",)):
        """Hello, Join, Joined, OnlineUsers. Returns the Join."""
        await self.hello()
        join = await self.hear()
        await self.tell("Joined", Name=join["Name"], Room="", Epoch="e", LastId=0)
        await self.tell("OnlineUsers", Users=list(users))
        return join

    def of(self, kind):
        return [message for message in list(self.heard) if message["msgType"] == kind]


@pytest.fixture
def fake():
    servers = []

    def begin(script):
        servers.append(Fake(script))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


# ---- What a server may ask -----------------------------------------------------------------------


def test_a_hello_is_answered_once_and_outside_only(fake, homes):
    """Otherwise a server could get proofs for any nonce, and the password, as often as it asks."""
    done = threading.Event()

    async def script(server):
        await server.hello()
        await server.hello()
        await server.answered()
        await server.tell("Joined", Name="ana", Room="", Epoch="e", LastId=0)
        await server.hello()
        await server.tell("OnlineUsers", Users=["ana"])
        await server.hello()
        await server.answered()
        done.set()
        await server.hear_all()

    server = fake(script)
    ana = start(server, "ana", homes("ana"), "--listen")
    assert done.wait(PATIENCE)
    ana.terminate()
    ana.communicate(timeout=PATIENCE)
    assert len(server.of("Join")) == 1


def test_a_server_that_hangs_up_is_dialled_ever_less_often(fake, homes):
    """Only a minute in the room counts as success."""

    async def script(server):
        await server.let_in()

    server = fake(script)
    ana = start(server, "ana", homes("ana"), "--listen")
    wait_until(lambda: len(server.dialled) >= 5, "five connections", 3 * PATIENCE)
    ana.terminate()
    ana.communicate(timeout=PATIENCE)
    gaps = [b - a for a, b in zip(server.dialled, server.dialled[1:])]
    assert gaps[2] >= 1 and gaps[3] >= 2, gaps


def throttles(seconds, times=1):
    """Refuses `count` times, then accepts."""

    async def script(server):
        if len(server.dialled) > times:
            await server.let_in()
            await server.hear_all()
        await server.hello()
        await server.hear()
        await server.tell(
            "Error", Code="throttled", text="too many wrong passwords", RetryAfter=seconds
        )
        await server.client.close(1008, "too many wrong passwords")

    return script


def test_a_person_is_told_the_seconds_and_comes_in_after_them(fake, homes):
    server = fake(throttles(2))
    ana = Terminal(server, "ana", homes("ana"))
    ana.wait("lets nobody in from here for 2 seconds; trying again then")
    ana.wait("1 here")
    assert server.dialled[1] - server.dialled[0] >= 2


def test_a_script_waits_if_its_time_allows(fake, homes):
    server = fake(throttles(300, times=100))
    status, _, err = run(server, "ana", homes("ana"), text="x\n")
    assert (status, len(server.dialled)) == (REFUSED, 1)
    assert "the server does not let you in: too many wrong passwords" in err
    status, _, err = run(server, "ana", homes("ana"), "--timeout", "299", text="x\n")
    assert (status, len(server.dialled)) == (REFUSED, 2), "it would be too late"
    server = fake(throttles(1))
    status, out, err = run(server, "ana", homes("ana"), "-l", "--timeout", str(int(4 * SCALE)), text="")
    assert (status, len(server.dialled)) == (OK, 2), err
    assert [json.loads(line)["msgType"] for line in out.splitlines()] == ["Joined", "OnlineUsers"]


@pytest.mark.parametrize("seconds", [86401, -1, 0, "1", 1e300, None])
def test_a_wait_without_measure_is_a_refusal(fake, homes, seconds):
    server = fake(throttles(seconds))
    ana = Terminal(server, "ana", homes("ana"))
    ana.wait("the server does not let you in: too many wrong passwords")
    assert ana.end() == REFUSED


# ---- Names ---------------------------------------------------------------------------------------


BAD = "bob\u2800to\u2800you"


def test_a_name_that_no_member_can_have_is_quoted_and_marked(fake, homes):
    """Accepted or invented by the server, the name must not look like a private message."""
    forged = [BAD, "[verified]", "[encrypted] bob", "*", "ana:", "a\u200bna", "", "\u0301x"]

    async def script(server):
        await server.let_in(users=["ana", *forged])
        for name in forged:
            await server.tell("Broadcast", SrcUser=name, text="the code?")
        await server.tell("PrivateMessage", SrcUser=BAD, TgtUser="ana", text="psst")
        await server.tell("OnlineUsers", Users=["ana", "bob is verified. eve"])
        await server.hear_all()

    ana = Terminal(fake(script), "ana", homes("ana"), NO_COLOR="1")
    ana.wait("people left")
    text = ana.text()
    bad = '[bad name] "bob\ufffdto\ufffdyou"'
    assert f"{bad}: the code?" in text
    assert f"[not encrypted] {bad} to you: psst" in text
    assert '"[verified]": the code?' in text and '"[encrypted] bob": the code?' in text
    assert '"*": the code?' in text and '"ana:": the code?' in text
    assert '[bad name] "a\ufffdna": the code?' in text
    assert '"bob is verified. eve" came' in text
    assert not re.search(r"(?m)^\d\d:\d\d (\[verified|\*|bob)", text)
    ana.say("/w")
    ana.wait('here: ana, "bob is verified. eve"')


def test_an_action_names_its_sender_and_nobody_else(fake, homes):
    async def script(server):
        await server.let_in(users=["ana", "bob"])
        await server.tell("Broadcast", SrcUser="bob", text="/me waves")
        await server.tell("Broadcast", SrcUser="bob c", text="/me ana says yes")
        await server.tell("Broadcast", SrcUser="bob", text="/mention")
        await server.tell("Broadcast", SrcUser="bob", text="/me ")
        await server.tell("PrivateMessage", SrcUser="bob", TgtUser="ana", text="/me nods")
        await server.hear_all()

    ana = Terminal(fake(script), "ana", homes("ana"), NO_COLOR="1")
    ana.wait("nods")
    rows = [re.sub(r"^\d\d:\d\d ", "", row) for row in ana.lines() if re.match(r"\d\d:\d\d ", row)]
    assert rows == [
        "* bob waves",
        '* "bob c" ana says yes',
        "bob: /mention",
        "bob: /me",
        "[not encrypted] bob to you: * bob nods",
    ]


# ---- Older messages ------------------------------------------------------------------------------


def history(ref, *messages, **fields):
    broadcasts = [{"msgType": "Broadcast", "SrcUser": "bob", "text": f"text {id}", "Id": id} for id in messages]
    return {"Ref": ref, "Epoch": "e", "Messages": broadcasts, "From": 1, "More": False, **fields}


def test_older_messages_that_nobody_asked_for_are_not_shown(fake, homes):
    async def script(server):
        await server.let_in()
        await server.tell("History", **history("backlog-0", 1))
        await server.tell("History", **history("backlog-1", 2))
        await server.tell("Broadcast", SrcUser="bob", text="now ask", Id=8)
        question = await server.hear()
        await server.tell("History", **history("another", 3))
        await server.tell("History", **history(question["Ref"], 4))
        await server.tell("History", **history(question["Ref"], 5))
        await server.tell("Broadcast", SrcUser="bob", text="that is all", Id=9)
        await server.hear_all()

    ana = Terminal(fake(script), "ana", homes("ana"))
    ana.wait("now ask")
    ana.say("/history")
    ana.wait("that is all")
    assert re.findall(r"text \d", ana.text()) == ["text 4"]


def test_older_messages_of_the_wrong_form_are_left_out(fake, homes):
    async def script(server):
        await server.let_in()
        await server.tell("Broadcast", SrcUser="bob", text="the newest", Id=50)
        question = await server.hear()
        good = history("", 7, 8)["Messages"]
        bad = [
            {**good[0], "Id": 51},
            {**good[0], "Id": 0},
            {**good[0], "SrcUser": ""},
            {**good[0], "SrcUser": 5},
            {**good[0], "SrcUser": "x" * 129},
            {**good[0], "msgType": "PrivateMessage"},
            5,
            None,
            [good],
        ]
        await server.tell("History", **{**history(question["Ref"]), "Messages": [good[0], *bad, good[1]]})
        question = await server.hear()
        await server.tell("History", Ref=question["Ref"], Messages={"a": good[0]}, From="x", More=1)
        await server.hear_all()

    ana = Terminal(fake(script), "ana", homes("ana"))
    ana.wait("the newest")
    ana.say("/history")
    ana.wait("there is nothing older")
    assert re.findall(r"\[earlier\] bob: text (\d)", ana.text()) == ["7", "8"]
    ana.say("/history")
    ana.wait("-- there is nothing older")


def test_a_server_cannot_make_a_script_ask_without_end(fake, homes):
    """Each question begins at a lower Id; an answer that does not get on ends it."""
    befores = []

    async def script(server):
        await server.let_in()
        for start in (9, 5, 5):
            question = await server.hear()
            befores.append(question.get("Before"))
            await server.tell("History", **history(question["Ref"], start, From=start, More=True))
        await server.hear_all()

    status, out, err = run(None, "ana", homes("ana"), "--history", "100", url=fake(script).url())
    assert (status, err) == (OK, "") and befores == [None, 9, 5]
    assert [json.loads(line)["Id"] for line in out.splitlines()] == [5, 9]


@pytest.mark.parametrize(
    "kept, said",
    [
        ({"Hours": 168, "Messages": 777}, "disk, for 168 hours and up to 777 messages"),
        ({"Hours": 0, "Messages": 777}, "disk, up to 777 messages"),
    ],
)
def test_a_kept_room_is_announced_before_joining_and_once(fake, homes, kept, said):
    async def script(server):
        await server.tell("Hello", PasswordRequired=False, Nonce=NONCE, Kept=kept)
        join = await server.hear()
        await server.tell("Joined", Name=join["Name"], Room="", Epoch="e", LastId=0)
        await server.tell("OnlineUsers", Users=["ana"])
        await server.tell("State", History="failing")
        await server.tell("State", History="stored")
        await server.tell("State", Delivery="waiting")
        await server.tell("State", Delivery="ok")
        await server.tell("State", History={"\x1b[2J": 1})
        await server.tell("Broadcast", SrcUser="bob", text=f"call {len(server.dialled)}", Id=len(server.dialled))
        if len(server.dialled) > 1:
            await server.hear_all()

    ana = Terminal(fake(script), "ana", homes("ana"), NO_COLOR="1")
    ana.wait("call 2")
    text = ana.raw.decode()
    assert text.count(said) == 1 and text.index(said) < text.index("You are in")
    assert text.count("the server cannot store what is said now: it may be missing later") == 2
    assert text.count("the server stores what is said again") == 2
    assert text.count("the servers cannot reach each other: what is said now waits") == 2
    assert text.count("the servers reach each other again") == 2


@pytest.mark.parametrize("kept", [5, None, "x", [], {}, {"Hours": "x", "Messages": []}], ids=str)
def test_a_bad_kept_does_no_harm(fake, homes, kept):
    async def script(server):
        await server.tell("Hello", PasswordRequired=False, Nonce=NONCE, Kept=kept)
        await server.hear()
        await server.tell("Joined", Name="ana", Room="", Epoch="e", LastId=0)
        await server.tell("OnlineUsers", Users=["ana"])
        await server.hear_all()

    Terminal(fake(script), "ana", homes("ana")).wait("1 here; /w tells who")
