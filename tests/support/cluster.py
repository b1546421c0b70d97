# SPDX-License-Identifier: MIT
"""Several servers that share their rooms: an engine (redis-server) of its own, and nodes.

`Engine` runs redis-server on a Unix socket in a temporary folder, with the settings that
docs/OPERATING.md recommends unless a test says otherwise; `conf` is a redis.conf of its own. `Cluster` starts nodes with it.
"""
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request


from helpers import PATIENCE, UNPACKED, Server, held_port, join, wait_until

NODE = {
    "history": 100,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "max_clients_per_address": 0,
    "cluster_lease_seconds": 3,
}
DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


def resp(*words):
    """A command of Redis' protocol."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


class EngineLine:
    """A connection of the test itself to the engine."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def close(self):
        self.file.close()
        self.socket.close()

    def read(self):
        line = self.file.readline()
        assert line.endswith(b"\r\n"), "the engine closed the connection"
        kind, rest = line[:1], line[1:-2]
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return None if rest == b"-1" else [self.read() for _ in range(int(rest))]
        if kind == b"-":
            raise AssertionError(rest.decode())
        return int(rest) if kind == b":" else rest.decode()

    def ask(self, *words):
        self.socket.sendall(resp(*words))
        return self.read()


# On Debian its package would start a service; tools/deps makes it of redis-tools instead.
REDIS_SERVER = shutil.which("redis-server", path=f"{os.environ['PATH']}:{UNPACKED}/bin")


class Engine:
    """redis-server in `folder`. `options` are its own; those of DURABLE are the default."""

    def __init__(self, folder, options=DURABLE, name="engine", conf=None, password=None):
        self.password = password
        self.folder, self.options = folder / name, options
        self.conf = [str(conf)] if conf else []
        self.folder.mkdir()
        self.path = self.folder / "redis.sock"
        self.process = None
        self.start()

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [
                    REDIS_SERVER,
                    *self.conf,
                    *("--port", "0", "--unixsocket", "redis.sock", "--dir", str(self.folder)),
                    *("--save", "", "--maxmemory-policy", "noeviction", *self.options),
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        wait_until(self.answers, "the engine")

    def answers(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with contextlib.suppress(OSError, AssertionError):
            return self.ask("PING") == "PONG"
        return False

    def ask(self, *words):
        with contextlib.closing(EngineLine(self.path)) as line:
            if self.password:
                line.ask("AUTH", self.password)
            return line.ask(*words)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)

    def restart(self):
        self.kill()
        self.start()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def finish(self):
        if self.process.poll() is None:
            self.resume()
            self.kill()


class AddressedEngine(Engine):
    """An engine with a port, for replicas and sentinels."""

    def __init__(self, folder, port, *options, name="engine"):
        fast = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
        super().__init__(folder, (*DURABLE, "--bind", "127.0.0.1", "--port", str(port), *fast, *options), name=name)


def caught_up(master, replica):
    """A condition: the replica has all of the main room that its master has, and hears the next of it."""
    return lambda: (replica.ask("XLEN", "ragnarok:{-}:log") == master.ask("XLEN", "ragnarok:{-}:log")
                    and "master_link_status:up" in replica.ask("INFO", "replication").decode())


class Cluster:
    """An engine and its nodes."""

    def __init__(self, folder, **changes):
        self.folder, self.changes, self.nodes = folder, changes, []
        self.ports = contextlib.ExitStack()
        options, password = changes.pop("engine_options", DURABLE), changes.pop("engine_password", None)
        self.engine = Engine(folder, options, password=password)

    def node(self, **changes):
        folder = self.folder / f"node-{len(self.nodes)}"
        folder.mkdir()
        settings = {"cluster_engine": f"unix:{self.engine.path}", **NODE, **self.changes, **changes}
        settings.setdefault("server_port", self.ports.enter_context(held_port()))
        self.nodes.append(Server(folder, **settings))
        return self.nodes[-1]

    def kill_node(self, node):
        node.expected_status = None
        node.process.kill()
        node.wait_end()

    def finish(self):
        """Ends the nodes as their operators would, then the engine."""
        failures = []
        with self.ports:
            for node in self.nodes:
                try:
                    if node.process.poll() is None:
                        node.signal(signal.SIGCONT)
                    node.finish()
                except Exception as failure:
                    failures.append(failure)
            self.engine.finish()
        if failures:
            raise failures[0]


async def join_when_open(node, name, **fields):
    """Joins a room that may be away for a moment, as clients do: until it is open again."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return await join(node, name, **fields)
        except AssertionError as refused:
            if "unavailable" not in str(refused) or time.monotonic() > deadline:
                raise


async def hear(peer, *texts):
    """Waits until it hears these, in this order, whatever comes in between."""
    for text in texts:
        while (await peer.message()).get("text") != text:
            pass


async def say_and_hear(peer, text):
    await peer.send("Broadcast", text=text)
    await hear(peer, text)


def get(node, path):
    """Status and text of an answer."""
    url = f"http://127.0.0.1:{node.port}{path}"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


def metric(node, name):
    pattern = rf"^ragnarok_engine_{re.escape(name)} (\d+)$"
    return int(re.search(pattern, get(node, "/metrics")[1], re.MULTILINE)[1])
