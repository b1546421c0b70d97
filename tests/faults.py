#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Memory and threads that run out on command, a session that notices, and what must hold after it.

`Knobs` turns those of tests/fail_alloc.c, which is preloaded into a server. `play` is a session of
a dozen connections that does a little of everything; whatever fails under it, each question gets an
answer or the end of its connection, and never silence. Canaries in another room must not notice;
calls of theirs fail no less, so what they say is said between the failures.

Run by itself it goes through many failures in one server: tests/faults.py --tls --last 5000
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
    request,
    steady,
)
from sealing import Person

LIBRARY = os.environ.get("FAIL_ALLOC_SO", str(ROOT / "build" / "fail_alloc.so"))
SETTINGS = {
    "history": 5,
    "exempt_loopback": True,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
}


# ---- The knobs -----------------------------------------------------------------------------------


class Knobs:
    """struct control of tests/fail_alloc.c, in a file that the server has mapped, too."""

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
        """Lets the call number `first` from now fail, and each step-th after it."""
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
        """The server's, with the library before it."""
        given = [f"{name}={value}" for name, value in self.environment().items()]
        return ["env", *given, *helpers.COMMAND]


# ---- The session ---------------------------------------------------------------------------------


class Refused(Exception):
    """The server said no, in so many words."""


GIVEN_UP = (Refused, Cut, ConnectionError, OSError)


def heard(raw):
    """The next message; Refused when the server ends the connection with a reason."""
    while True:
        opcode, payload = raw.next_frame()
        if opcode == CLOSE:
            raw.send(frame(CLOSE, payload[:2]))
            raw.socket.close()
            raise Refused(payload[2:].decode())
        if opcode == TEXT:
            return json.loads(payload)


def answer(raw, *kinds):
    """Waits for a message of one of these kinds; an Error is Refused."""
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
    """One performance. `done` counts the scenes that were played to the end, and those cut."""

    ROOM = "/rooms/stage"

    def __init__(self, server):
        self.server, self.stack = server, contextlib.ExitStack()
        self.done = collections.Counter()

    def enter(self, protocol="ragnarok.v2"):
        raw = self.stack.enter_context(Raw(self.server))
        raw.send(request(self.ROOM, {**UPGRADE, "Sec-WebSocket-Protocol": protocol}))
        response = raw.head()
        if response.status != 101:
            raise Refused(str(response.status))
        return raw

    def join(self, name, person=None, **fields):
        raw = self.enter()
        nonce = answer(raw, "Hello")["Nonce"]
        claim = person.claim(nonce) if person else {}
        raw.joined = ask(raw, "Join", "Joined", Name=name, Password=PASSWORD, **claim, **fields)
        return raw

    def scene(self, act, *arguments):
        """Plays a scene as far as it goes. A time-out is no end that it may have."""
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
        ask(ana, "GetQr", "QrCode", text="https://127.0.0.1/")
        with contextlib.suppress(Refused):
            ask(ana, "{", "Nothing")
        with contextlib.suppress(Refused):
            ask(ana, "PrivateMessage", "Delivered", TgtUser="nobody", text="lost", Ref="r2")

    def resumed(self, ana):
        known = {"Epoch": ana.joined["Epoch"], "After": ana.joined["LastId"]}
        raw = self.join("rea", Resume=known)
        answer(raw, "Broadcast")
        raw.send(frame(CLOSE, b"\x03\xe8"))
        raw.read_to_end()

    def run(self):
        fay = Person("fay", room="stage")
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
                self.scene(self.resumed, ana)
            self.scene(self.stranger)
        return self.done


def play(server):
    return Play(server).run()


# ---- Many failures in one server -----------------------------------------------------------------


@contextlib.contextmanager
def fragile(folder, tls, **changes):
    """A server with the knobs, and the canaries in it; at the end it is held to account."""
    knobs = Knobs(folder)
    with contextlib.ExitStack() as stack:
        plain = helpers.COMMAND
        helpers.COMMAND = knobs.command()
        stack.callback(setattr, helpers, "COMMAND", plain)
        server = Server(folder, SSL=tls, **{**SETTINGS, **changes})
    try:
        with steady(server) as canaries:
            play(server)  # so that what is made once is there
            canaries.check()
            yield server, knobs, canaries
    finally:
        server.finish()


def fail_one_by_one(folder, tls, numbers, steps=(0,)):
    """Plays once for each number and step; yields number, step, and whether a call failed."""
    with fragile(folder, tls) as (server, knobs, canaries):
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
            for _, _, failures, done in fail_one_by_one(
                Path(folder), options.tls, batch, options.steps
            ):
                plays, failed, cut = plays + 1, failed + failures, cut + done["cut"]
        print(f"  to {batch[-1]}: {plays} plays, {failed} failures, {cut} scenes cut", flush=True)
    print(f"OK: {plays} plays, {failed} failures, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    sys.exit(main())
