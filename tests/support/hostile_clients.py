# SPDX-License-Identifier: MIT
"""Hostile members and strangers, and their victims."""
import asyncio
import contextlib
import os
import re
import socket
import struct
import subprocess
import threading
import time
import urllib.request
from concurrent import futures

from helpers import Raw, join

FOUR = [f"127.0.{block}.1" for block in range(1, 5)]
FAR = 0.05  # seconds that a byte takes, one way
OPENSSL = os.environ.get("OPENSSL", "openssl")
LONG = "\U00020000" * 23  # 92 bytes of a name, so that a small crowd has long lists
PACES = (300_000, 300_000, 500_000, 1_000_000, 6_000_000, 10_000_000)  # bytes a second, of victims


def bytes_out(server):
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics") as answer:
        return int(float(re.search(r"^ragnarok_\w*sent\w* (\S+)", answer.read().decode(), re.M)[1]))


PRESENCE_RATE, PRESENCE_BURST = 1000, 4000  # bytes (a second) to each member, room/presence.c


def flap_burst(members, joins):
    """Bytes about who is online beyond that rate, where so many join a room of so many members with long
    names: the burst, what was still to be told of the room itself, and the list for each join."""
    names = members * (len(LONG.encode()) + 8)
    return members * (PRESENCE_BURST + names) + joins * (names + 1000)


def read_at_pace(raw, pace, end):
    """Reads at this rate until `end`; returns the bytes, None if the connection ended."""
    begin, got = time.monotonic(), 0
    raw.socket.settimeout(0.1)
    while not end.is_set():
        if got > pace * (time.monotonic() - begin):
            time.sleep(0.01)  # this is what makes it slow
            continue
        try:
            data = raw.socket.recv(8192)
        except TimeoutError:
            continue
        if not data:
            return None
        got += len(data)
    return got


@contextlib.contextmanager
def victims(server):
    """Members from other addresses who read at their pace. Then the list has their bytes."""
    end, got = threading.Event(), []
    with contextlib.ExitStack() as stack:
        raws = [
            stack.enter_context(Raw(server, receive_buffer=16384, address=f"127.0.9.{number}"))
            for number in range(1, 1 + len(PACES))
        ]
        for number, raw in enumerate(raws):
            raw.join(f"quiet-{number}")
        pool = stack.enter_context(futures.ThreadPoolExecutor(len(raws)))
        reading = [pool.submit(read_at_pace, raw, pace, end) for raw, pace in zip(raws, PACES)]
        try:
            yield got
        finally:
            end.set()
            got += [read.result() for read in reading]



async def carry(reader, writer):
    """Relays bytes in order, FAR later."""
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            loop.call_later(FAR, writer.write, data)
    loop.call_later(FAR, writer.close)


@contextlib.asynccontextmanager
async def far_away(server, source):
    """The URL of a delayed connection to the server, which sees `source`."""

    async def accept(reader, writer):
        with contextlib.suppress(OSError):
            there = await asyncio.open_connection(
                "127.0.0.1", server.port, local_addr=(source, 0)
            )
            await asyncio.gather(carry(reader, there[1]), carry(there[0], writer))

    relay = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = relay.sockets[0].getsockname()[1]
    yield server.url().replace(f":{server.port}/", f":{port}/")
    relay.close()


async def come_from_afar(server, number):
    """A distant user joins at the first attempt."""
    async with far_away(server, f"127.0.{100 + number}.7") as url:
        peer = await join(server, f"honest-{number}", url=url)
        await peer.close()


def hello_of(group):
    """A ClientHello of openssl whose only key share is of that group."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        command = [OPENSSL, "s_client", "-connect", f"127.0.0.1:{port}", "-groups", group]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
            line, _ = listener.accept()
            with line:
                head = line.recv(5, socket.MSG_WAITALL)
                body = line.recv(struct.unpack("!H", head[3:])[0], socket.MSG_WAITALL)
            client.kill()
    return head + body
