#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A flood of connections from separate loopback addresses.

    flood.py PORT RATE KIND ADDRESS...

KIND is what each connection sends: `silent` nothing, `ask` only a complete WebSocket request, or the
bytes to send in hexadecimal, such as a recorded ClientHello. Nothing is read. It opens
RATE connections a second, in turn from each ADDRESS, until it is killed.

`Flood` runs it as a process, so that it does not share a lock with a test's own clients.
"""
import collections
import contextlib
import resource
import socket
import struct
import subprocess
import sys
import time

OPEN_MAX = 3000  # connections that are kept open; the oldest is reset
ASK = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
IP_BIND_ADDRESS_NO_PORT = 24  # ip(7)
RST_AT_CLOSE = struct.pack("ii", 1, 0)


class Flood:
    """A flood from these addresses for the duration of the block. Then `count` is the number, to a hundred."""

    def __init__(self, server, rate, kind, *addresses):
        self.command = [sys.executable, __file__, str(server.port), str(rate), kind, *addresses]

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.count = int(["0", *self.process.communicate()[0].split()][-1])


def begin(address, port, words):
    """Opens a connection and sends this, without waiting."""
    client = socket.socket()
    client.setblocking(False)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST_AT_CLOSE)
    client.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    with contextlib.suppress(OSError):
        client.bind((address, 0))
        client.connect_ex(("127.0.0.1", port))
        client.send(words)
    return client


def flood(port, rate, words, addresses):
    kept, number, start = collections.deque(), 0, time.monotonic()
    while True:
        if number > (time.monotonic() - start) * rate:
            time.sleep(0.001)
            continue
        kept.append(begin(addresses[number % len(addresses)], port, words))
        number += 1
        if len(kept) > OPEN_MAX:
            kept.popleft().close()
        if number % 100 == 0:
            print(number, flush=True)


def main(port, rate, kind, *addresses):
    words = {"silent": b"", "ask": ASK}
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    print("begun", flush=True)
    flood(int(port), int(rate), words[kind] if kind in words else bytes.fromhex(kind), addresses)


if __name__ == "__main__":
    main(*sys.argv[1:])
