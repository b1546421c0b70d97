# SPDX-License-Identifier: MIT
"""A disk that stalls: senders wait, and nobody is closed; without a history file there is no keeper."""
import asyncio
import concurrent.futures
import contextlib
import json
import re
import signal
import socket
import time

import pytest

from helpers import PATIENCE, PING, PONG, Raw, frame, join, scenario, threads_of, until, wait_until
from history_members import Disk, get, say, start, stored
from server_control import broadcast

KILOBYTE = "y" * 1000
SMALL_RING = {"max_message_bytes": 2048, "room_buffer_bytes": 65536}
BOUNDED = {**SMALL_RING, "room_buffer_bytes": 262144, "max_bytes_per_second": 1000000}


@pytest.fixture
def disk(tmp_path, monkeypatch):
    return Disk(tmp_path, monkeypatch)


class Flood:
    """Messages of a member that sends whatever its socket takes. `begun` of them were sent, the last
    one perhaps in part: `rest` is what is missing of it."""

    def __init__(self, server, raw):
        self.server, self.raw, self.begun, self.rest = server, raw, 0, b""

    def send(self):
        self.raw.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                if not self.rest:
                    self.rest = broadcast(self.server, f"{self.begun} {KILOBYTE}")
                    self.begun += 1
                self.rest = self.rest[self.raw.socket.send(self.rest):]
        self.raw.socket.settimeout(PATIENCE)


def texts(raw, count):
    """The next texts that it gets, in order."""
    heard = []
    while len(heard) < count:
        message = raw.message()
        if message["msgType"] == "Broadcast":
            heard.append(message["text"])
    return heard


def test_senders_wait_for_a_disk_that_stalls(tmp_path, disk):
    server = start(tmp_path, **BOUNDED)  # so little waits in the sockets
    with Raw(server) as ana, Raw(server) as bob, Raw(server) as eve:
        for raw, name, path in (ana, "Ana", "/"), (bob, "Bob", "/"), (eve, "Eve", "/rooms/other"):
            raw.join(name, path)
        ana.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        disk.be(Disk.STALLS)
        begin, flood = time.monotonic(), Flood(server, ana)
        while time.monotonic() < begin + 2:  # the stall
            flood.send()
            bob.send(frame(PING, b"are you there?"))
            while (heard := bob.next_frame())[0] != PONG:
                assert b"Broadcast" not in heard[1], "heard before it was stored"
            eve.send_text(json.dumps({"msgType": "Broadcast", "text": "elsewhere"}))
            assert texts(eve, 1) == ["elsewhere"]
        assert 60 < flood.begun < 5000, "a quarter of the ring, and what the sockets hold"
        expected = [f"{number} {KILOBYTE}" for number in range(flood.begun)]
        with concurrent.futures.ThreadPoolExecutor() as pool:  # a member that does not read is too slow
            heard = [pool.submit(texts, raw, flood.begun) for raw in (ana, bob)]
            disk.be(Disk.WELL)
            ana.send(flood.rest)
            assert [each.result() == expected for each in heard] == [True, True]
        server.finish()
    assert list(stored(server).values()) == expected
    assert server.log().split(" stopping ")[0].count(" left ") == 0, "nobody is closed"


@scenario
async def test_many_senders_at_once_wait_for_their_place(tmp_path, disk):
    """More than the whole ring comes at once, from members that may all say something still."""
    server = start(tmp_path, **SMALL_RING)
    names = [f"m{i}" for i in range(20)]
    members = [await join(server, name) for name in names]
    disk.be(Disk.STALLS)
    for name, member in zip(names, members):
        for i in range(4):
            await member.send("Broadcast", text=f"{name}-{i} {KILOBYTE}")
    broadcasts = r'^ragnarok_messages_total{kind="broadcast"} (\d+)$'
    await until(
        lambda: int(re.search(broadcasts, get(server, "/metrics"), re.MULTILINE)[1]) > 12,
        "a quarter of a ring of messages",
    )
    disk.be(Disk.WELL)
    for member in members:
        heard = [message["text"].split()[0] for message in await member.messages(80)]
        for name in names:
            own = [text for text in heard if text.startswith(f"{name}-")]
            assert own == [f"{name}-{i}" for i in range(4)]
    server.finish()
    assert len(stored(server)) == 80


@scenario
async def test_private_messages_keep_their_place(tmp_path, disk):
    server = start(tmp_path)
    ana, bob = await join(server, "Ana"), await join(server, "Bob")
    await ana.presence("Ana", "Bob")
    disk.be(Disk.STALLS)
    await ana.send("PrivateMessage", TgtUser="Bob", text="before it")
    assert (await bob.message())["text"] == "before it"
    await ana.send("Broadcast", text="to all of you")
    await ana.send("PrivateMessage", TgtUser="Bob", text="after it")
    pong = await ana.socket.ping()
    await asyncio.wait_for(pong, PATIENCE)
    disk.be(Disk.WELL)
    assert [m["text"] for m in await bob.messages(2)] == ["to all of you", "after it"]
    server.finish()


@scenario
async def test_the_end_waits_for_the_disk_and_not_without_end(tmp_path, disk):
    server = start(tmp_path)
    ana = await join(server, "Ana")
    await say(ana, "this is stored")
    disk.be(Disk.STALLS)
    await ana.send("Broadcast", text="this is not")
    pong = await ana.socket.ping()
    await asyncio.wait_for(pong, PATIENCE)  # it was read
    server.signal(signal.SIGTERM)
    await asyncio.to_thread(server.wait_end, 3 * PATIENCE)
    disk.be(Disk.WELL)
    assert "the disk did not answer" in server.log()
    server = start(tmp_path)
    resume = {"Epoch": ana.joined["Epoch"], "After": 1}
    back = (await join(server, "Ana", Resume=resume)).joined
    assert (back["Resumed"], back["LastId"]) == (True, 1), "nobody had heard more"
    server.finish()


@scenario
async def test_the_end_stores_what_a_slow_disk_takes(tmp_path, disk):
    server = start(tmp_path)
    ana = await join(server, "Ana")
    disk.be(Disk.STALLS)
    await ana.send("Broadcast", text="said at the end")
    pong = await ana.socket.ping()
    await asyncio.wait_for(pong, PATIENCE)
    server.signal(signal.SIGTERM)
    await until(lambda: "stopping" in server.log(), "the beginning of the end")
    disk.be(Disk.WELL)
    assert (await ana.message())["text"] == "said at the end"
    assert (await ana.closed())[0] == 1001
    await asyncio.to_thread(server.wait_end, 2 * PATIENCE)
    assert stored(server) == {1: "said at the end"}


@scenario
async def test_without_a_history_file_nothing_is_written(tmp_path):
    def count_threads(server):
        wait_until(lambda: " started " in server.log(), "the last thread")
        return threads_of(server.pid)

    stored_server = start(tmp_path)
    more = count_threads(stored_server)
    stored_server.finish()
    for file in tmp_path.glob("history.db*"):
        file.unlink()
    server = start(tmp_path, history_file="")
    assert count_threads(server) == more - 2
    before = set(tmp_path.iterdir())
    ana = await join(server, "Ana")
    await say(ana, "gone with the wind")
    server.finish()
    assert set(tmp_path.iterdir()) == before
