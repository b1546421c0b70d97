#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A crowd of members from separate loopback addresses, in a separate process.

    crowd.py PORT COUNT NAME KIND ADDRESS...

COUNT members called NAME-0, NAME-1... join in turn from each ADDRESS, read everything, and answer
pings. KIND is what they do in addition:

listen        nothing
talk          they send broadcasts of 4 kB as fast as the server takes them
private:NAME  the same with private messages to NAME
flap          one after the other leaves and rejoins, as fast as it can

"begun" is printed when all have joined; at SIGTERM, one line of JSON: how many were
`closed` by the server, bytes `sent` and `received`, and how often one `came` back.
"""
import contextlib
import itertools
import json
import resource
import selectors
import signal
import subprocess
import sys
import time
import types

from helpers import PASSWORD, PING, PONG, TEXT, Cut, Raw, frame

SIZE = 4000  # bytes of a text
JOIN_TRIES = 20


class Crowd:
    """A crowd for as long as the block lasts; afterwards `report` says how it went."""

    def __init__(self, server, count, name, kind, *addresses):
        self.server, self.report = server, None
        self.command = [sys.executable, __file__, str(server.port), str(count), name, kind]
        self.command += addresses

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "begun\n"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.report = json.loads(self.process.communicate()[0])


class Member:
    """One of the crowd. Answers pings, and ignores everything else."""

    def __init__(self, port, name, address, chunk):
        self.server = types.SimpleNamespace(port=port, tls=False)
        self.name, self.address, self.chunk = name, address, chunk
        self.events = selectors.EVENT_READ | (selectors.EVENT_WRITE if chunk else 0)
        self.join()

    def join(self):
        for trial in itertools.count(1):
            self.raw = Raw(self.server, address=self.address)
            try:
                self.raw.join(self.name, password=PASSWORD)
                break
            except (Cut, OSError, AssertionError):  # too many joins, or it is still there
                self.raw.socket.close()
                if trial == JOIN_TRIES:
                    raise
                time.sleep(0.1)  # a lower rate, not a wait
        self.socket = self.raw.socket
        self.socket.setblocking(False)
        self.left, self.skip, self.head = self.chunk or b"", 0, self.raw.buffer
        self.answer_pings(b"")

    def answer_pings(self, data):
        """Looks at the heads of frames only."""
        begin = min(self.skip, len(data))
        self.skip -= begin
        self.head += data[begin:] if begin else data
        while not self.skip and len(self.head) >= 2:
            opcode, length = self.head[0] & 15, self.head[1]
            width = {126: 2, 127: 8}.get(length, 0)
            if len(self.head) < 2 + width:
                return
            if width:
                length = int.from_bytes(self.head[2 : 2 + width], "big")
            if opcode == PING:
                if len(self.head) < 2 + length:
                    return
                self.pong(self.head[2 : 2 + length])
            begin = 2 + width + length
            self.skip = max(0, begin - len(self.head))
            self.head = self.head[begin:]

    def pong(self, payload):
        if self.left == (self.chunk or b""):  # otherwise it is inside a frame, and is read
            with contextlib.suppress(BlockingIOError):
                self.socket.send(frame(PONG, payload))

    def read(self):
        data = self.socket.recv(1 << 17)
        self.answer_pings(data)
        return len(data)

    def write(self):
        sent = self.socket.send(self.left)
        self.left = self.left[sent:] or self.chunk
        return sent


def chunk_of(kind):
    """The bytes that a member of that kind sends repeatedly."""
    name, _, target = kind.partition(":")
    if name == "talk":
        said = {"msgType": "Broadcast", "text": "z" * SIZE}
    elif name == "private":
        said = {"msgType": "PrivateMessage", "TgtUser": target, "text": "z" * SIZE}
    else:
        return None
    return frame(TEXT, json.dumps(said).encode())


def serve_one(selector, member, events, counts):
    """Reads and writes what is possible; a closed member is removed."""
    try:
        if events & selectors.EVENT_READ:
            got = member.read()
            counts["received"] += got
            if not got:
                raise ConnectionResetError
        if events & selectors.EVENT_WRITE:
            counts["sent"] += member.write()
    except BlockingIOError:
        pass
    except OSError:
        counts["closed"] += 1
        selector.unregister(member.socket)
        member.socket.close()


def flap(selector, member, counts):
    """Leaves and rejoins."""
    if member.socket.fileno() >= 0:
        selector.unregister(member.socket)
        member.socket.close()
    member.join()
    counts["came"] += 1
    selector.register(member.socket, member.events, member)


def live(members, kind, counts, ended):
    with selectors.DefaultSelector() as selector:
        for member in members:
            selector.register(member.socket, member.events, member)
        turn = itertools.cycle(members)
        while not ended:
            for key, events in selector.select(0 if kind == "flap" else 0.1):
                serve_one(selector, key.data, events, counts)
            if kind == "flap":
                flap(selector, next(turn), counts)


def main(port, count, name, kind, *addresses):
    ended, counts = [], {"closed": 0, "sent": 0, "received": 0, "came": 0}
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    chunk, whole = chunk_of(kind), itertools.cycle(addresses)
    members = []
    for number in range(int(count)):
        members.append(Member(int(port), f"{name}-{number}", next(whole), chunk))
    print("begun", flush=True)
    live(members, kind, counts, ended)
    print(json.dumps(counts), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
