#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How long one broadcast takes to reach the sockets of a large room, with one core and with all of them.

Three servers run at the same time, each with a room of its own: BEFORE on all cores, AFTER on all, and AFTER on one.
A load generator for each joins the members and is then stopped (SIGSTOP), so that it takes no processor time: the
sockets hold what the members do not read. Then each server in turn gets a broadcast, in an order that rotates from
round to round. The figure is the server's own: `ragnarok_delivery_seconds` of /metrics, from the arrival of a broadcast
until it was offered to all sockets. Each broadcast waits until the machine was idle for QUIET seconds before it, so
that other work does not take one of the cores; --busy does not wait. No round is left out afterwards. Prints medians,
least values, and the medians of the ratios within the rounds.

usage: fan_out.py BEFORE [AFTER] [--members 10000] [--rounds 41] [--plain] [--busy]
"""
import argparse
import base64
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
import run

PATIENCE = 300  # s until all have joined
QUIET, IDLE = 0.2, 0.9  # s before each broadcast, and the part of them in which all cores had nothing to do
SETTLE = 2      # s in which the last joins are told, before the members are stopped


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            sys.exit(f"fan_out: waited in vain for {what}")
        time.sleep(0.01)
    return value


def cpu_times():
    """Ticks of all cores since the start: idle ones, and all."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def is_quiet():
    idle, total = cpu_times()
    time.sleep(QUIET)
    idle_after, total_after = cpu_times()
    return idle_after - idle >= IDLE * (total_after - total)


class Machine(run.Machine):
    """Servers that are not pinned, and do not close members who are stopped and answer no ping."""

    def pin(self, cpu):
        return lambda: None

    def configure(self, tls, ring):
        path = super().configure(tls, ring)
        path.write_text(json.dumps(json.loads(path.read_text()) | {"ping_interval_seconds": 3600}))
        return path


class Room:
    """A server, its members, who are stopped, and one who talks."""

    def __init__(self, name, machine, program, tls, cpus):
        self.name, self.tls, self.members, self.count = name, tls, None, 0
        os.sched_setaffinity(0, cpus)
        self.server = run.Server(machine, run.Contestant("ragnarok", [program], []), tls)
        self.talker = None

    def context(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context

    def metrics(self):
        where = ("127.0.0.1", self.server.port)
        link = (http.client.HTTPSConnection(*where, context=self.context()) if self.tls
                else http.client.HTTPConnection(*where))
        with contextlib.closing(link):
            link.request("GET", "/metrics")
            text = link.getresponse().read().decode()
        return {key: float(re.search(rf"^ragnarok_{key} (\S+)$", text, re.M).group(1))
                for key in ("clients", "delivery_seconds_sum", "delivery_seconds_count")}

    def fill(self, count):
        self.count = count
        command = [run.ROOT / "build" / "load", "--port", self.server.port, "--members", count, "--idle", 600, "--v2",
                   "--timeout", 900, *["--tls"] * self.tls]
        self.members = subprocess.Popen([str(word) for word in command])
        wait_until(lambda: self.metrics()["clients"] == count or self.members.poll() is not None, "the members")

    def join(self):
        link = socket.create_connection(("127.0.0.1", self.server.port))
        self.talker = self.context().wrap_socket(link) if self.tls else link
        key = base64.b64encode(os.urandom(16)).decode()
        self.talker.sendall(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{self.server.port}\r\nUpgrade: websocket\r\n"
                            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
                            "Sec-WebSocket-Protocol: ragnarok.v2\r\n\r\n".encode())
        wait_until(lambda: b"Hello" in self.talker.recv(65536), "Hello")
        self.send('{"msgType":"Join","Password":"","Name":"talker"}')
        wait_until(lambda: b"Joined" in self.talker.recv(65536), "Joined")

    def send(self, text):
        head = bytes([0x81, 0x80 | len(text)]) if len(text) < 126 else b"\x81\xfe" + len(text).to_bytes(2, "big")
        self.talker.sendall(head + bytes(4) + text.encode())  # masked with zeros

    def broadcast(self):
        """Returns the milliseconds until it was offered to all sockets."""
        before = self.metrics()
        self.send('{"msgType":"Broadcast","text":"' + 100 * "x" + '"}')

        def after():
            now = self.metrics()
            return now if now["delivery_seconds_count"] > before["delivery_seconds_count"] else None

        time.sleep(0.25)  # asking for the figure takes the server's time, too
        now = wait_until(after, "the broadcast")
        if now["clients"] != self.count + 1 or now["delivery_seconds_count"] != before["delivery_seconds_count"] + 1:
            sys.exit(f"fan_out: {self.name}: expected one round for {self.count + 1} members, got {now}")
        return 1000 * (now["delivery_seconds_sum"] - before["delivery_seconds_sum"])

    def close(self):
        if self.members:
            self.members.kill()
            self.members.wait()
        self.server.process.kill()
        self.server.process.wait()


def measure(rooms, options):
    for room in rooms:
        room.fill(options.members)
    for room in rooms:
        room.join()
    time.sleep(SETTLE)
    for room in rooms:
        room.members.send_signal(signal.SIGSTOP)
    rows = []
    for number in range(options.rounds):
        turns = rooms[number % len(rooms):] + rooms[:number % len(rooms)]
        row = {}
        for room in turns:
            if not options.busy:
                wait_until(is_quiet, "a quiet moment of the machine")
            row[room.name] = room.broadcast()
        rows.append(row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=run.ROOT / "ragnarok")
    parser.add_argument("--members", type=int, default=10000)
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--busy", action="store_true")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("fan_out: stopped"))  # and stop the servers too
    cpus = os.sched_getaffinity(0)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, contextlib.ExitStack() as stack:
        machine = Machine(Path(folder))
        run.Server(machine, run.Contestant("ragnarok", [options.after.resolve()], []), True).stop()  # a certificate
        rooms = []
        for name, program, used in (("before", options.before, cpus), ("after", options.after, cpus),
                                    ("after, one core", options.after, {min(cpus)})):
            rooms.append(Room(name, machine, program.resolve(), not options.plain, used))
            stack.callback(rooms[-1].close)
        os.sched_setaffinity(0, cpus)
        rows = measure(rooms, options)
    print(f"{options.members} members, {'plain' if options.plain else 'TLS'}, {len(cpus)} cores, {len(rows)} rounds, "
          f"load {os.getloadavg()[0]:.1f}")
    for room in rooms:
        times = [row[room.name] for row in rows]
        ratio = statistics.median(row["after"] / row[room.name] for row in rows)
        print(f"{room.name:16} median {statistics.median(times):7.2f} ms, least {min(times):7.2f} ms; "
              f"after : it {ratio:.2f}, of the least {min(row['after'] for row in rows) / min(times):.2f}")


if __name__ == "__main__":
    main()
