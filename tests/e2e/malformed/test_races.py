# SPDX-License-Identifier: MIT
"""Races: both sides close, a receiver leaves, many request one name.

LOAD_SCALE  how much of each, in (0, 1], for sanitizers; default: 1
"""
import asyncio
import json
import os
import random
import signal
import socket
import struct
from collections import Counter

from helpers import (
    BINARY,
    CLOSE,
    PASSWORD,
    PATIENCE,
    PING,
    PRESENCE,
    TEXT,
    UPGRADE,
    V2,
    Raw,
    UserList,
    frame,
    join,
    request,
    scenario,
    steady,
)

LOAD_SCALE = float(os.environ.get("LOAD_SCALE", "1"))
MANY = {
    "max_clients": 2000,
    "max_clients_per_address": 0,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "login_timeout_seconds": 60,
}
GOODBYE = frame(CLOSE, struct.pack("!H", 1000))


def scaled(count, least=1):
    return max(least, int(count * LOAD_SCALE))


# ---- Both sides close ----------------------------------------------------------------------------


def reset(raw):
    """Disconnects with an RST."""
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.socket.close()


def test_close_frames_cross(serve, tls):
    """RFC 6455 §7.1.5: each side sends its code once, and the connection ends without another answer."""
    server = serve(SSL=tls, **MANY)
    with steady(server) as canaries:
        for number in range(50):
            with Raw(server) as client:
                client.join(f"ana{number}")
                client.send(frame(BINARY, b"x") + GOODBYE)
                assert client.close_code() == 1003
                assert client.ended()
            canaries.check(f"goodbye {number}")


def test_everybody_closes_while_the_server_does(serve, tls):
    """SIGTERM with Close frames and resets at the same moment: the server ends cleanly and in time. The
    checks after a case do not apply."""
    server = serve(SSL=tls, **MANY)
    clients = []
    for number in range(60):
        clients.append(Raw(server))
        clients[-1].join(f"ana{number}")
    for number, client in enumerate(clients):
        if number == len(clients) // 3:
            server.signal(signal.SIGTERM)
        if number % 2:
            reset(client)
        else:
            client.send(GOODBYE)
    for client in clients[::2]:
        assert client.close_code() in (1000, 1001)
        client.socket.close()
    assert server.wait_end() == 0


# ---- Private messages ----------------------------------------------------------------------------


def test_private_messages_to_someone_who_leaves(serve, tls):
    """Each is answered once, in order: it was queued for bob, or bob is leaving, or there is no bob."""
    server, count = serve(SSL=tls, **MANY), scaled(2000, least=200)

    @scenario
    async def talk():
        ana, stop = await join(server, "ana"), asyncio.Event()
        visits = asyncio.create_task(visit(server, stop))
        seen = Counter()
        for number in range(count):
            answer = await ana.ask("PrivateMessage", TgtUser="bob", text=f"no {number}", Ref=number)
            assert answer["Ref"] == number
            seen[answer.get("Code", answer["msgType"])] += 1
        stop.set()
        received = await visits
        assert set(seen) - {"receiver_busy"} == {"Delivered", "unknown_user"}, seen
        assert 0 < received <= seen["Delivered"]
        await ana.nothing_more()

    with steady(server):
        talk()


async def visit(server, stop):
    """Bob joins, reads a little and leaves, properly or not. Returns the number of messages read; each
    time they continue without duplicates."""
    last, received = -1, 0
    while not stop.is_set():
        line = await Line.open(server)
        line.say({"msgType": "Join", "Password": PASSWORD, "Name": "bob"})
        answer = await line.message()
        for _ in range(random.randrange(1, 30) if answer["msgType"] == "Joined" else 0):
            if stop.is_set():
                break
            message = await line.message(0.05)
            if message is None:
                break
            number = int(message["text"].split()[1])
            assert message["SrcUser"] == "ana" and number > last
            last, received = number, received + 1
        line.cut() if random.random() < 0.5 else await line.leave()
    return received


def test_100000_private_messages_between_random_pairs(serve):
    """Each arrives at its receiver, with its sender, once and in order; some are to oneself. None is
    misdelivered."""
    server = serve(**MANY)
    people = [f"m{number}" for number in range(50)]
    each = scaled(100_000, least=5000) // len(people)
    targets = {name: random.choices(people, k=each) for name in people}
    with steady(server):
        write_at_random(server, targets)


@scenario
async def write_at_random(server, targets):
    """Each member writes to its `targets`, and all read their messages."""
    lines = {name: await Line.join(server, name) for name in targets}
    expected = Counter(target for row in targets.values() for target in row)

    async def write(name):
        for number, target in enumerate(targets[name]):
            text = f"{name} {target} {number}"
            lines[name].say({"msgType": "PrivateMessage", "TgtUser": target, "text": text})
            if number % 20 == 0:
                await lines[name].writer.drain()

    async def read(name):
        last = Counter()
        for _ in range(expected[name]):
            message = await lines[name].message()
            assert message["msgType"] == "PrivateMessage", message
            source, target, number = message["text"].split()
            assert (message["SrcUser"], name) == (source, target)
            assert last[source] <= int(number), "in the order sent, and none twice"
            last[source] = int(number) + 1

    await asyncio.gather(*map(write, targets), *map(read, targets))
    lines["m0"].say({"msgType": "Broadcast", "text": "that was all"})
    for line in lines.values():
        assert (await line.message())["text"] == "that was all"
        line.cut()


# ---- One name ------------------------------------------------------------------------------------


def test_100_want_one_name(serve):
    """In every round one gets it; the others are told that it is taken, and nothing else."""
    server = serve(**MANY)
    with steady(server) as canaries:
        for number in range(30 if LOAD_SCALE == 1 else 10):
            compete(server, f"/rooms/{number}", 100)
            canaries.check(f"round {number}")


@scenario
async def compete(server, path, count):
    lines = await asyncio.gather(*[Line.open(server, path) for _ in range(count)])
    for line in lines:  # without waits in between
        line.say({"msgType": "Join", "Password": PASSWORD, "Name": random.choice(["Zoë", "ZOË"])})
    answers = [await line.message() for line in lines]
    came = Counter(answer.get("Code", answer["msgType"]) for answer in answers)
    assert came == {"Joined": 1, "name_taken": count - 1}
    winner = lines[[answer["msgType"] for answer in answers].index("Joined")]
    winner.say({"msgType": "Broadcast", "text": "it is me"})
    assert (await winner.message())["text"] == "it is me"
    assert winner.list.names == [answer["Name"] for answer in answers if answer["msgType"] == "Joined"]
    for line in lines:
        line.cut()


# ---- A line that costs little --------------------------------------------------------------------


class Line:
    """A client on asyncio streams, cheap enough for thousands per process."""

    def __init__(self, reader, writer):
        self.reader, self.writer, self.list = reader, writer, UserList()

    @classmethod
    async def open(cls, server, path="/"):
        """Up to the Hello, which is read."""
        tls = server.tls_context()
        line = cls(*await asyncio.open_connection("127.0.0.1", server.port, ssl=tls))
        line.writer.write(request(path, {**UPGRADE, "Sec-WebSocket-Protocol": V2}))
        head = await asyncio.wait_for(line.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert (await line.message())["msgType"] == "Hello"
        return line

    @classmethod
    async def join(cls, server, name, path="/"):
        line = await cls.open(server, path)
        line.say({"msgType": "Join", "Password": PASSWORD, "Name": name})
        assert (await line.message())["msgType"] == "Joined"
        return line

    def say(self, message):
        self.writer.write(frame(TEXT, json.dumps(message).encode()))

    async def next_frame(self):
        first, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(length)

    async def next_message(self):
        while True:
            opcode, payload = await self.next_frame()
            if opcode == PING:
                continue
            assert opcode == TEXT, (opcode, payload)
            message = json.loads(payload)
            if message.get("msgType") not in PRESENCE:
                return message
            self.list.read(message)

    async def message(self, patience=None):
        """The next message except those of PRESENCE. With `patience`, None if none arrives; then the
        connection can only be closed."""
        try:
            return await asyncio.wait_for(self.next_message(), patience or PATIENCE)
        except asyncio.TimeoutError:
            assert patience, "no message came"
            return None

    async def leave(self):
        """Sends a Close and reads to the end."""
        self.writer.write(GOODBYE)
        while await asyncio.wait_for(self.reader.read(65536), PATIENCE):
            pass
        self.cut()

    def cut(self):
        self.writer.transport.abort()
