# SPDX-License-Identifier: MIT
"""Members that talk in a stored room and come back whenever their server dies, and what must be true of
all that they have heard."""
import asyncio
import contextlib
import json
import re
import sqlite3
import struct
import urllib.request

import websockets

from helpers import PASSWORD, PATIENCE, ROOT, Peer, Server, strict_loads

HISTORY = {
    "history": 100,
    "history_file": "history.db",
    "history_messages": 1000000,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "max_clients_per_address": 0,
}


def start(folder, **changes):
    return Server(folder, **{**HISTORY, **changes})


def stored(server, room=""):
    """Texts in the history file by Id; checks the file's integrity."""
    with contextlib.closing(sqlite3.connect(server.folder / "history.db")) as base:
        assert base.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        rows = base.execute(
            "SELECT id, body FROM message JOIN room ON message.room=room.key WHERE room.name=?",
            (room,),
        ).fetchall()
    texts = {}
    for number, body in rows:
        message = strict_loads(body)
        assert message["Id"] == number
        texts[number] = message["text"]
    return texts


class Disk:
    """The disk of servers that start from now on (tests/tools/slow_disk.c)."""

    WELL, STALLS = 0, 1

    def __init__(self, folder, monkeypatch):
        self.path = folder / "disk"
        self.path.write_bytes(struct.pack("=q", self.WELL))
        monkeypatch.setenv("LD_PRELOAD", str(ROOT / "build" / "slow_disk.so"))
        monkeypatch.setenv("DISK", str(self.path))
        monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")

    def be(self, state):
        """WELL, STALLS, or the errno with which it fails."""
        with open(self.path, "r+b") as file:  # in place: it is mapped
            file.write(struct.pack("=q", state))


def get(server, path):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=PATIENCE) as answer:
        return answer.read().decode()


def metric(server, name):
    pattern = rf"^ragnarok_history_{re.escape(name)} (\d+)$"
    return int(re.search(pattern, get(server, "/metrics"), re.MULTILINE)[1])


async def say(peer, *texts):
    """Says texts and waits until they come back; returns the messages, whatever comes in between."""
    for text in texts:
        await peer.send("Broadcast", text=text)
    said = []
    while len(said) < len(texts):
        message = await peer.message()
        if message["msgType"] == "Broadcast" and message["SrcUser"] == peer.joined["Name"]:
            said.append(message)
    assert [message["text"] for message in said] == list(texts)
    return said


async def state_of(peer):
    """The next State that the member is told."""
    while (message := await peer.message())["msgType"] != "State":
        assert message["msgType"] == "Broadcast", message
    return message["History"]


class Crowd:
    """Members of one room. `heard` has the texts by Id, of all members."""

    def __init__(self, folder, port, count):
        self.folder, self.port, self.heard = folder, port, {}
        self.joins = 0
        self.ended = False
        self.server, self.count, self.members = None, count, []

    async def start(self):
        """Starts the server; the members come with the first one."""
        self.server = await asyncio.to_thread(start, self.folder, server_port=self.port)
        names = [] if self.members else [f"m{i}" for i in range(self.count)]
        self.members += [asyncio.create_task(self.live(name)) for name in names]

    async def live(self, name):
        """One member's life, over all its connections."""
        state = {"name": name, "said": 0, "epoch": None, "last": 0}
        while not self.ended:
            with contextlib.suppress(OSError, websockets.WebSocketException, asyncio.TimeoutError):
                peer = await Peer.open(self.server, url=f"ws://127.0.0.1:{self.port}/")
                await self.attend(peer, state)
            await asyncio.sleep(0.01)  # the server is away

    async def attend(self, peer, state):
        """Joins, talks and listens until the line is lost. One text of its own is under way."""
        await peer.next()
        resume = {}
        if state["epoch"]:
            resume = {"Resume": {"Epoch": state["epoch"], "After": state["last"]}}
        joined = await peer.ask("Join", Name=state["name"], Password=PASSWORD, **resume)
        assert joined["msgType"] == "Joined", joined
        if state["epoch"]:
            assert joined["Resumed"], (joined, state)
            assert joined["Epoch"] == state["epoch"]
        else:
            state["epoch"], state["last"] = joined["Epoch"], joined["LastId"]
        self.joins += 1
        before = 0 if resume else joined["LastId"]
        await self.say(peer, state)
        while not self.ended:
            message = json.loads(await peer.socket.recv())
            if message["msgType"] == "Broadcast" and message["Id"] > before:
                self.hear(message, state)
                if message["text"] == state["text"]:
                    await self.say(peer, state)

    async def say(self, peer, state):
        state["said"] += 1
        state["text"] = f"{state['name']} says its words number {state['said']}"
        await peer.send_text(json.dumps({"msgType": "Broadcast", "text": state["text"]}))

    def hear(self, message, state):
        number, text = message["Id"], message["text"]
        assert number == state["last"] + 1, f"{state['name']}: {number} after {state['last']}"
        assert self.heard.setdefault(number, text) == text, f"two texts have the Id {number}"
        state["last"] = number

    def check(self):
        """What was heard is stored, once; raises what a member found."""
        for member in self.members:
            if member.done():
                member.result()
        assert len(set(self.heard.values())) == len(self.heard), "a text was heard with two Ids"

    async def wait(self, condition):
        async def wait():
            while not condition():
                self.check()
                await asyncio.sleep(0.001)

        await asyncio.wait_for(wait(), 6 * PATIENCE)

    async def more(self, count):
        """Waits until so many more messages were heard."""
        target = len(self.heard) + count
        await self.wait(lambda: len(self.heard) >= target)

    async def all_in(self, times):
        """Waits until each member has come in so often."""
        await self.wait(lambda: self.joins >= times * self.count)

    async def end(self):
        self.ended = True
        for member in self.members:
            member.cancel()
        await asyncio.gather(*self.members, return_exceptions=True)
