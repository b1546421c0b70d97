#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Makes allocations and threads of a server fail, during a session that uses every feature.

`Knobs` controls tests/tools/fail_alloc.c, which is preloaded into a server. `play` is a session of
a dozen connections. Whatever fails, each question gets an answer or the end of its connection, never
silence. Canaries in another room must not notice. Their calls can fail, too, so they talk between
the failures.

As a program it runs through many failures in one server:
    tests/support/fault_injection.py --tls --last 5000
FAIL_ALLOC_SO  the library; default: build/fail_alloc.so of this repository
"""
import argparse
import collections
import contextlib
import json
import mmap
import os
import struct
import sys
import tempfile
import time
from pathlib import Path

import helpers
from e2e_reference import Person
from helpers import (
    CLOSE,
    PASSWORD,
    ROOT,
    TEXT,
    UPGRADE,
    Cut,
    Raw,
    Server,
    frame,
    origin_of,
    request,
    steady,
)

LIBRARY = os.environ.get("FAIL_ALLOC_SO", str(ROOT / "build" / "fail_alloc.so"))
SETTINGS = {
    "history": 5,
    "exempt_loopback": True,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
}


# ---- The knobs -----------------------------------------------------------------------------------


class Knobs:
    """struct control of tests/tools/fail_alloc.c, in a file that the server maps, too."""

    NAMES = ("counted", "first", "step", "failed", "threads_max")

    def __init__(self, folder):
        self.path = folder / "knobs"
        self.path.write_bytes(bytes(8 * len(self.NAMES)))
        with open(self.path, "r+b") as file:
            self.map = mmap.mmap(file.fileno(), 0)

    def __getitem__(self, name):
        return struct.unpack_from("=Q", self.map, 8 * self.NAMES.index(name))[0]

    def __setitem__(self, name, value):
        struct.pack_into("=Q", self.map, 8 * self.NAMES.index(name), value)

    @contextlib.contextmanager
    def failing(self, first, step=0):
        """Makes call number `first` from now fail, and each step-th call after it."""
        self["first"], self["failed"] = 0, 0
        self["step"], self["counted"] = step, 0
        self["first"] = first
        try:
            yield
        finally:
            self["first"] = 0

    def environment(self):
        options = [os.environ.get("ASAN_OPTIONS", ""), "verify_asan_link_order=0"]
        return {
            "LD_PRELOAD": LIBRARY,
            "FAIL_ALLOC": str(self.path),
            "ASAN_OPTIONS": ":".join(filter(None, options)),
        }

    def command(self):
        """The environment of the server, with the library preloaded."""
        given = [f"{name}={value}" for name, value in self.environment().items()]
        return ["env", *given, *helpers.COMMAND]


# ---- The session ---------------------------------------------------------------------------------


class Refused(Exception):
    """The server refused, and said why."""


GIVEN_UP = (Refused, Cut, ConnectionError, OSError)


def heard(raw):
    """Returns the next message. Raises Refused if the server closes with a reason."""
    while True:
        opcode, payload = raw.next_frame()
        if opcode == CLOSE:
            raw.send(frame(CLOSE, payload[:2]))
            raw.socket.close()
            raise Refused(payload[2:].decode())
        if opcode == TEXT:
            return json.loads(payload)


def answer(raw, *kinds):
    """Waits for a message of one of these kinds. Raises Refused for an Error."""
    while True:
        message = heard(raw)
        kind = message.get("msgType", "ServerName")
        if kind in kinds:
            return message
        if kind == "Error":
            raise Refused(message["Code"])


def ask(raw, kind, reply, **fields):
    raw.send_text(json.dumps({"msgType": kind, **fields}))
    return answer(raw, reply)


class Play:
    """One session. `done` counts the scenes that were played to the end, and those cut."""

    ROOM = "/rooms/stage"

    def __init__(self, server):
        self.server, self.stack = server, contextlib.ExitStack()
        self.done = collections.Counter()

    def enter(self, protocol="ragnarok.v2"):
        raw = self.stack.enter_context(Raw(self.server))
        host = f"127.0.0.1:{self.server.port}"
        fields = {**UPGRADE, "Host": host, "Sec-WebSocket-Protocol": protocol}
        raw.send(request(self.ROOM, fields))
        response = raw.head()
        if response.status != 101:
            raise Refused(str(response.status))
        return raw

    def join(self, name, person=None, **fields):
        raw = self.enter()
        nonce = answer(raw, "Hello")["Nonce"]
        claim = person.claim(nonce) if person else {}
        raw.joined = ask(raw, "Join", "Joined", Name=name, Password=PASSWORD, **claim, **fields)
        if person:
            ask(raw, "PublishKeys", "KeysPublished", **person.keys(), Ref="p")
        return raw

    def scene(self, act, *arguments):
        """Plays a scene as far as possible. A time-out is a failure of the test."""
        try:
            result = act(*arguments)
        except TimeoutError as silence:
            raise AssertionError(f"{act.__name__}: neither an answer nor an end") from silence
        except GIVEN_UP:
            self.done["cut"] += 1
            return None
        self.done["played"] += 1
        return result

    # The scenes

    def page(self, path):
        raw = self.stack.enter_context(Raw(self.server))
        if not raw.exchange(request(path, {"Host": "127.0.0.1"})).body:
            raise Refused("an empty answer")

    def original(self):
        raw = self.enter(protocol="none")
        raw.send_text(PASSWORD)
        raw.send_text("orla")
        answer(raw, "ServerName")
        ask(raw, "Broadcast", "Broadcast", text="by the old way")
        raw.send(frame(CLOSE, b"\x03\xe8"))
        raw.read_to_end()

    def stranger(self):
        raw = self.enter()
        answer(raw, "Hello")
        with contextlib.suppress(Refused):
            ask(raw, "Join", "Joined", Name="sly", Password="not this one")
        ask(raw, "Join", "Joined", Name="sly", Password=PASSWORD)
        raw.socket.close()

    def keys(self, ana, other):
        ask(ana, "GetKeys", "UserKeys", TgtUser=other)
        ask(ana, "PrivateMessage", "Delivered", TgtUser=other, text="between us two", Ref="r1")

    def talk(self, ana):
        ask(ana, "Broadcast", "Broadcast", text="hear me")
        ask(ana, "Broadcast", "Broadcast", text="x" * 60000)
        with contextlib.suppress(Refused):
            ask(ana, "{", "Nothing")
        with contextlib.suppress(Refused):
            ask(ana, "PrivateMessage", "Delivered", TgtUser="nobody", text="lost", Ref="r2")

    def past(self, ana):
        ask(ana, "GetHistory", "History", Count=3)
        ask(ana, "Search", "History", text="hear me")

    def resumed(self, ana):
        known = {"Epoch": ana.joined["Epoch"], "After": ana.joined["LastId"]}
        raw = self.join("rea", Resume=known)
        answer(raw, "Broadcast")
        raw.send(frame(CLOSE, b"\x03\xe8"))
        raw.read_to_end()

    def run(self):
        fay = Person("fay", room="stage", origin=origin_of(self.server))
        with self.stack:
            self.scene(self.page, "/")
            self.scene(self.page, "/trust")
            self.scene(self.page, "/nothing")
            ana = self.scene(self.join, "ana")
            self.scene(self.join, "fay", fay)
            self.scene(self.original)
            if ana:
                self.scene(self.keys, ana, "fay")
            self.scene(self.join, "fay", fay.again())
            if ana:
                self.scene(self.talk, ana)
                self.scene(self.past, ana)
                self.scene(self.resumed, ana)
            self.scene(self.stranger)
        return self.done


def play(server):
    return Play(server).run()


# ---- Many failures in one server -----------------------------------------------------------------


@contextlib.contextmanager
def fragile(folder, tls, **changes):
    """A server with knobs and canaries; at the end its general guarantees are checked."""
    knobs = Knobs(folder)
    with contextlib.ExitStack() as stack:
        plain = helpers.COMMAND
        helpers.COMMAND = knobs.command()
        stack.callback(setattr, helpers, "COMMAND", plain)
        server = Server(folder, SSL=tls, **{**SETTINGS, **changes})
    try:
        with steady(server) as canaries:
            play(server)  # for allocations that are made only once
            canaries.check()
            yield server, knobs, canaries
    finally:
        server.finish()


def fail_one_by_one(folder, tls, numbers, steps=(0,), **changes):
    """Plays once for each number and step. Yields number, step, and whether a call failed."""
    with fragile(folder, tls, **changes) as (server, knobs, canaries):
        for number in numbers:
            for step in steps:
                try:
                    with knobs.failing(number, step):
                        done = play(server)
                    canaries.check()
                except Exception as failure:
                    said = server.log()[-3000:]
                    raise AssertionError(
                        f"call {number}, step {step}: {failure}\n{said}"
                    ) from failure
                yield number, step, knobs["failed"], done


def main():
    parser = argparse.ArgumentParser(description="Lets the n-th allocation fail, for many n.")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--history", action="store_true", help="with a history file")
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--last", type=int, default=5000)
    parser.add_argument("--by", type=int, default=1)
    parser.add_argument("--batch", type=int, default=250, help="plays in one server")
    parser.add_argument("--steps", type=int, nargs="*", default=[0])
    options = parser.parse_args()
    numbers = list(range(options.first, options.last + 1, options.by))
    plays = failed = cut = 0
    begin = time.monotonic()
    for start in range(0, len(numbers), options.batch):
        with tempfile.TemporaryDirectory() as folder:
            batch = numbers[start : start + options.batch]
            kept = {"history_file": f"{folder}/history.db", "history_rooms": ["stage"]}
            for _, _, failures, done in fail_one_by_one(
                Path(folder), options.tls, batch, options.steps, **(kept if options.history else {})
            ):
                plays, failed, cut = plays + 1, failed + failures, cut + done["cut"]
        print(f"  to {batch[-1]}: {plays} plays, {failed} failures, {cut} scenes cut", flush=True)
    print(f"OK: {plays} plays, {failed} failures, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
