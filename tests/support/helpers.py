# SPDX-License-Identifier: MIT
"""Shared by the end-to-end tests: a server, and two kinds of client.

`Server` runs the real binary in its own folder on a free port. `Peer` is a client of the chatroom
based on python3-websockets, an independent implementation. `Raw` is a bare socket that can also send
invalid data. Nothing sleeps: every wait is for a condition, and for at most PATIENCE.

RAGNAROK         the command to test; default: ./ragnarok of this repository
TEST_TIME_SCALE  stretches every wait, for sanitizers and slow machines; default: 1
"""
import asyncio
import collections
import contextlib
import functools
import json
import os
import queue
import re
import select
import shlex
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import websockets

ROOT = Path(__file__).resolve().parents[2]
UNPACKED = ROOT / "build" / "unpacked" / "usr"  # by tools/deps
COMMAND = shlex.split(os.environ.get("RAGNAROK", str(ROOT / "ragnarok")))
SCALE = float(os.environ.get("TEST_TIME_SCALE", "1"))
PATIENCE = max(30, 10 * SCALE)  # only what fails takes so long; a client may back off for 12 s
LATE = 5 * SCALE  # the tolerance of time limits for a busy machine

V2 = "ragnarok.v2"
PASSWORD = "open-sesame-4711"
SETTINGS = {
    "SSL": False,
    "SSL_Cert": "self-signed.crt",
    "SSL_Key": "self-signed.pem",
    "server_ip": "127.0.0.1",
    "server_port": 0,
    "server_name": "Ks",
    "server_password": PASSWORD,
}

ADDRESS = re.compile(r"https?://\S+:(\d+)/")
SANITIZER = re.compile(r"Sanitizer: |runtime error: |ERROR SUMMARY: [1-9]")  # and valgrind's
START_PATIENCE = 60 * max(SCALE, 1)  # until a server listens, which valgrind delays
SECRET_MIN = 6  # a shorter one may be in a log line by chance


def strict_loads(text):
    """Parses JSON, and refuses duplicate fields."""

    def unique(pairs):
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), f"a field stands twice in {text}"
        return dict(pairs)

    return json.loads(text, object_pairs_hook=unique)


def wait_until(condition, what, patience=PATIENCE):
    """Polls `condition` until it returns something true, and returns that."""
    deadline = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"waited {patience:.0f} s in vain for {what}"
        time.sleep(0.01)


async def until(condition, what):
    """The same without holding up the members of this test."""
    return await asyncio.to_thread(wait_until, condition, what)


def in_time(action, seconds=SCALE):
    """Whether `action` is done within these seconds in one of three rounds, because the machine may
    be busy with other work."""
    for _ in range(3):
        begin = time.monotonic()
        action()
        if time.monotonic() - begin < seconds:
            return True
    return False


@contextlib.contextmanager
def held_port():
    """A port of 127.0.0.1 that the kernel gives to nobody who binds port 0, also during a restart of its
    server: only an explicit bind gets it (with SO_REUSEADDR, as servers use it)."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def scenario(test):
    """Makes a test of a coroutine; remaining connections are cut at its end."""

    async def whole(*arguments, **fixtures):
        try:
            await asyncio.wait_for(test(*arguments, **fixtures), 12 * PATIENCE)
        finally:
            for peer in Peer.opened:
                peer.socket.transport.abort()
            Peer.opened.clear()

    @functools.wraps(test)
    def run(*arguments, **fixtures):
        asyncio.run(whole(*arguments, **fixtures))

    return run


# ---- The server ----------------------------------------------------------------------------------


class Server:
    """The binary, running in `folder` with the settings above, modified by `changes`.

    `preexec_fn` and `pass_fds` are Popen's; `mode` is that of the file."""

    def __init__(self, folder, arguments=(), preexec_fn=None, pass_fds=(), mode=0o600, **changes):
        settings = {**SETTINGS, **changes}
        settings = {key: value for key, value in settings.items() if value is not None}
        self.folder, self.tls = folder, settings["SSL"]
        self.config = folder / "config.json"
        self.certificate = folder / settings["SSL_Cert"]
        self.key = folder / settings["SSL_Key"]
        self.root = self.certificate.parent / "ragnarok-ca.crt"  # that people install
        self.config.write_text(json.dumps(settings, indent=4))
        self.config.chmod(mode)
        self.secrets = {settings["server_password"]}
        self.expected_status = 0
        if os.geteuid() != 0:  # otherwise only root could read its /proc
            arguments = [*arguments, "--allow-core"]
        with open(folder / "stdout", "wb") as out, open(folder / "stderr", "wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, "-c", str(self.config), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                preexec_fn=preexec_fn,
                pass_fds=pass_fds,
            )
        self.pid = self.process.pid
        try:
            self.port = int(self.wait_printed(ADDRESS, START_PATIENCE).group(1))
        except AssertionError:
            self.process.kill()
            raise

    def printed(self):
        return (self.folder / "stdout").read_text(errors="replace")

    def log(self):
        return (self.folder / "stderr").read_text(errors="replace")

    def wait_printed(self, pattern, patience=PATIENCE):
        """Waits until `pattern` is on standard output and returns the match."""

        def look():
            match = re.search(pattern, self.printed())
            assert match or self.process.poll() is None, f"the server ended: {self.log()}"
            return match

        return wait_until(look, f"{pattern!r} on standard output: {self.printed()}", patience)

    def url(self, path="/", host="127.0.0.1"):
        return f"{'wss' if self.tls else 'ws'}://{host}:{self.port}{path}"

    def tls_context(self):
        """A TLS context that trusts only this server's CA, or the certificate that it was given; None
        if plain."""
        if not self.tls:
            return None
        trusted = self.root if self.root.exists() else self.certificate
        return ssl.create_default_context(cafile=trusted)

    def keep_secret(self, text):
        self.secrets.add(text)

    def signal(self, number):
        self.process.send_signal(number)

    def wait_end(self, patience=PATIENCE):
        """Waits until the process has ended and returns its exit status."""
        return self.process.wait(patience)

    def finish(self):
        """Ends the server as its operator would, and checks its general guarantees."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        try:
            status = self.wait_end(2 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        said = self.printed() + self.log()
        assert not SANITIZER.search(said), said
        if self.expected_status is not None:
            assert status == self.expected_status, said
        for secret in self.secrets:
            assert len(secret) < SECRET_MIN or secret not in said, f"{secret!r} was logged"


def run(*arguments, folder, patience=PATIENCE):
    """Runs the binary to its end; returns exit status, standard output and standard error."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=patience,
        check=False,
    )
    assert not SANITIZER.search(done.stderr), done.stderr
    return done


# ---- A client of the chatroom --------------------------------------------------------------------


PRESENCE = ("OnlineUsers", "Presence")  # these may come between any two others


class UserList:
    """Who is online, as a client knows it from OnlineUsers and Presence. `names` is sorted by code
    point; None: not known, because the room is too large for a list."""

    def __init__(self):
        self.names, self.version, self.count = None, None, None

    def read(self, message):
        """Takes in one of both, and checks it."""
        version = message.get("Version")
        names = message.get("Users")
        if message["msgType"] == "Presence":
            assert message["Since"] <= self.version, (message, self.version)
            if version <= self.version:
                return
            names = self.changed(message)
        self.version, self.names = version, None if names is None else sorted(names)
        self.count = message.get("Count", len(names or ()))
        assert names is None or len(names) == self.count, (message, names)

    def changed(self, message):
        if self.names is None or not {"Joined", "Left"} & message.keys():
            return None
        stay = set(self.names) - set(message.get("Left", ()))
        return stay | set(message.get("Joined", ()))


class Peer:
    """One connection through websockets. `users` are the names of `list`, as far as it was read."""

    opened = []

    def __init__(self, server, connection):
        self.server, self.socket = server, connection
        self.list = UserList()
        self.joined, self.history = None, []
        Peer.opened.append(self)

    @property
    def users(self):
        return self.list.names

    @classmethod
    async def open(cls, server, path="/", protocols=(V2,), url=None, **options):
        connection = await websockets.connect(
            url or server.url(path),
            ssl=server.tls_context(),
            subprotocols=list(protocols) or None,
            compression=None,
            ping_interval=None,
            max_size=None,
            max_queue=None,
            open_timeout=PATIENCE,
            close_timeout=PATIENCE,
            **options,
        )
        return cls(server, connection)

    async def send_text(self, text):
        """Sends a frame as given."""
        await self.socket.send(text)

    async def send(self, msg_type, **fields):
        """Sends a message; its text must not appear in the log."""
        for name in ("text", "Password"):
            if isinstance(fields.get(name), str):
                self.server.keep_secret(fields[name])
        await self.send_text(json.dumps({"msgType": msg_type, **fields}, ensure_ascii=False))

    async def text(self):
        """The next frame, as received."""
        return await asyncio.wait_for(self.socket.recv(), PATIENCE)

    async def next(self):
        """The next message of any type."""
        message = strict_loads(await self.text())
        if message.get("msgType") in PRESENCE:
            self.list.read(message)
        return message

    async def message(self):
        """The next message except those of PRESENCE."""
        while True:
            message = await self.next()
            if message.get("msgType") not in PRESENCE:
                return message

    async def messages(self, count):
        return [await self.message() for _ in range(count)]

    async def ask(self, msg_type, **fields):
        """Sends a message and returns the next one that comes."""
        await self.send(msg_type, **fields)
        return await self.message()

    async def error(self, code):
        """The next message, which must be an Error with that code."""
        message = await self.message()
        assert (message["msgType"], message.get("Code")) == ("Error", code), message
        assert message["text"], "an Error says something to people"
        return message

    async def presence(self, *names):
        """Waits until exactly these are the users, sorted by code point."""
        while self.users != sorted(names):
            message = await self.next()
            assert message["msgType"] in PRESENCE, message

    async def nothing_more(self):
        """Checks that nothing else was queued: its own broadcast is the next message."""
        mark = f"mark {time.monotonic_ns()}"
        message = await self.ask("Broadcast", text=mark)
        assert message.get("text") == mark, message

    async def closed(self):
        """Reads until the server closes. Returns code and reason; 1006 means there was no code."""
        try:
            while True:
                await self.text()
        except websockets.ConnectionClosed:
            return self.socket.close_code, self.socket.close_reason

    async def close(self):
        await self.socket.close()


async def join(server, name, path="/", url=None, **fields):
    """A member that joined by way 2, and has read everything up to its first OnlineUsers."""
    peer = await Peer.open(server, path, url=url)
    assert (await peer.next())["msgType"] == "Hello"
    peer.joined = await peer.ask("Join", Name=name, **{"Password": PASSWORD, **fields})
    assert peer.joined["msgType"] == "Joined", peer.joined
    while (message := await peer.next())["msgType"] != "OnlineUsers":
        peer.history.append(message)
    return peer


async def join_original(server, name, path="/", password=PASSWORD):
    """A member that joined by way 1, both frames at once, and has read its first OnlineUsers."""
    peer = await Peer.open(server, path, protocols=())
    await peer.send_text(password)
    await peer.send_text(name)
    assert await peer.next() == {"ServerName": "Ks"}
    assert (await peer.next())["msgType"] == "OnlineUsers"
    return peer


def origin_of(server, host="127.0.0.1"):
    """The origin that a client signs when it dials the server at that host."""
    return f"{'https' if server.tls else 'http'}://{host}:{server.port}"


async def greeted(server, path="/", **options):
    """A client that has read its Hello; `nonce` is from the Hello."""
    peer = await Peer.open(server, path, **options)
    peer.nonce, peer.origin = (await peer.next())["Nonce"], origin_of(server)
    return peer


async def try_join(peer, person, **fields):
    """Sends a Join with the person's keys, some of them changed or (None) left out."""
    person.origin = peer.origin
    join = {"Name": person.name, "Password": PASSWORD, **person.claim(peer.nonce), **fields}
    await peer.send("Join", **{name: value for name, value in join.items() if value is not None})


async def join_as(server, person, **fields):
    """A member that joined with keys, and has read everything up to its first OnlineUsers."""
    peer = await greeted(server, f"/rooms/{person.room}" if person.room else "/")
    await try_join(peer, person, **fields)
    peer.joined = await peer.message()
    assert peer.joined["msgType"] == "Joined", peer.joined
    while (message := await peer.next())["msgType"] != "OnlineUsers":
        peer.history.append(message)
    return peer


async def taken_over(peer):
    code, reason = await peer.closed()
    assert (code, reason) == (4001, "taken over by a newer connection")


# ---- A bare socket -------------------------------------------------------------------------------

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
CONTINUATION = 0x0

UPGRADE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def frame(opcode, payload, fin=True, masked=True, reserved=0):
    """A client's frame (RFC 6455 §5.2), or one that breaks the rules."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    second = 0x80 if masked else 0
    if len(payload) < 126:
        head = struct.pack("!BB", first, second | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, second | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, second | 127, len(payload))
    if not masked:
        return head + payload
    mask = b"\x37\xfa\x21\x3d"
    stretched = (mask * (len(payload) // 4 + 1))[: len(payload)]
    xored = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return head + mask + xored.to_bytes(len(payload), "big")


def request(target="/", fields=None, method="GET", version="HTTP/1.1"):
    """A request head; a field that is None is left out."""
    lines = [f"{method} {target} {version}"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items() if value is not None]
    return "\r\n".join([*lines, "", ""]).encode()


class Response:
    """A response: `status`, `fields` by lower-case name, and `body` where it was read."""

    def __init__(self, head):
        first, *lines = head.decode("latin-1").split("\r\n")
        version, status, _ = first.split(" ", 2)
        assert version == "HTTP/1.1", first
        self.status = int(status)
        self.fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            self.fields[name.lower()] = value.strip()
        self.body = b""


class Cut(Exception):
    """The connection ended inside a frame or response."""


class Raw:
    """A socket, plain or TLS like the server; optional `receive_buffer` bytes and source `address`."""

    def __init__(self, server, receive_buffer=None, tls=None, address="127.0.0.1"):
        self.server, self.buffer = server, b""
        self.socket = socket.socket()
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        if address != "127.0.0.1":
            self.socket.bind((address, 0))
        self.socket.connect(("127.0.0.1", server.port))
        if server.tls if tls is None else tls:
            context = server.tls_context()
            self.socket = context.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def receive(self):
        """The next bytes of the socket, b"" at its end of any kind."""
        try:
            return self.socket.recv(65536)
        except (ConnectionError, ssl.SSLEOFError):
            return b""

    def receive_more(self):
        data = self.receive()
        if not data:
            raise Cut(f"after {len(self.buffer)} bytes: {self.buffer[:200]!r}")
        self.buffer += data

    def read(self, count):
        while len(self.buffer) < count:
            self.receive_more()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def readable(self, patience):
        """Whether anything arrives within that time."""
        if self.buffer or (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()):
            return True
        poll = select.poll()
        poll.register(self.socket, select.POLLIN)
        return bool(poll.poll(1000 * patience))

    def reset(self):
        """Ends the connection with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def read_to_end(self):
        while data := self.receive():
            self.buffer += data
        data, self.buffer = self.buffer, b""
        return data

    def ended(self):
        """Waits for the end of the connection; True if there was nothing before it."""
        return self.read_to_end() == b""

    # HTTP

    def head(self):
        while b"\r\n\r\n" not in self.buffer:
            self.receive_more()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return Response(head)

    def exchange(self, data):
        """Sends a request and returns the response with its body, up to the end of the connection; if
        it is kept, says that no other request follows."""
        self.send(data)
        response = self.head()
        if response.fields["connection"] == "keep-alive":
            socket.socket.shutdown(self.socket, socket.SHUT_WR)  # TLS stays, to read the rest
        response.body = self.read_to_end()
        return response

    def answer(self, data, bodiless=False):
        """Sends a request, perhaps an empty one, and returns the next response with its body."""
        self.send(data)
        response = self.head()
        length = 0 if bodiless else int(response.fields.get("content-length", 0))
        response.body = self.read(length)
        return response

    def upgrade(self, target="/", protocol=V2, **fields):
        """Makes a WebSocket of it; returns the response."""
        host = f"127.0.0.1:{self.server.port}"
        fields = {**UPGRADE, "Host": host, "Sec-WebSocket-Protocol": protocol, **fields}
        self.send(request(target, fields))
        response = self.head()
        assert response.status == 101, response.status
        return response

    # WebSocket

    def send_text(self, text):
        self.send(frame(TEXT, text.encode()))

    def next_frame(self):
        """Opcode and payload of the next frame, which must be final and not masked (RFC 6455 §5.1)."""
        first, second = self.read(2)
        assert first & 0xF0 == 0x80 and second < 0x80, (first, second)
        length = second
        if second == 126:
            (length,) = struct.unpack("!H", self.read(2))
        elif second == 127:
            (length,) = struct.unpack("!Q", self.read(8))
        return first & 0x0F, self.read(length)

    def message(self):
        """The next message except those of PRESENCE; ignores pings without an answer."""
        while True:
            opcode, payload = self.next_frame()
            if opcode in (PING, PONG):
                continue
            assert opcode == TEXT, (opcode, payload)
            message = strict_loads(payload.decode())
            if message.get("msgType") not in PRESENCE:
                return message

    def close_code(self):
        """Reads up to the server's Close frame and returns its code; None if it was cut off."""
        try:
            while True:
                opcode, payload = self.next_frame()
                if opcode == CLOSE:
                    return struct.unpack("!H", payload[:2])[0] if payload else 1005
        except Cut:
            return None

    def join(self, name, path="/", password=PASSWORD):
        """Joins by way 2."""
        self.upgrade(path)
        assert self.message()["msgType"] == "Hello"
        self.send_text(json.dumps({"msgType": "Join", "Password": password, "Name": name}))
        joined = self.message()
        assert joined["msgType"] == "Joined", joined
        return joined


# ---- What holds after every case -----------------------------------------------------------------

THREADS_KEPT = 8  # base/thread_pool.h: the maximum of idle threads
LOG_LINES_A_SECOND = 20  # base/log.h: of one event, at most
SETTLED = 10 * SCALE  # until a case is cleaned up: twice the server's timeout of an end


class Canary:
    """A member with its own thread: it answers pings, records what it receives, and sends the given
    messages until the end."""

    def __init__(self, server, name):
        self.raw, self.heard = Raw(server), queue.SimpleQueue()
        self.raw.join(name, "/rooms/canaries")
        self.ear, self.teller = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.thread = threading.Thread(target=self.live, daemon=True)
        self.thread.start()

    def live(self):
        poll = select.poll()
        for each in (self.raw.socket, self.ear):
            poll.register(each, select.POLLIN)
        with contextlib.suppress(Cut, OSError):  # it falls silent, which the checks detect
            while True:
                while self.raw.readable(0):
                    self.hear(*self.raw.next_frame())
                if self.ear.fileno() in dict(poll.poll()):
                    if not (text := self.ear.recv(4096).decode()):
                        return
                    self.raw.send_text(text)

    def hear(self, opcode, payload):
        if opcode == PING:
            self.raw.send(frame(PONG, payload))
        elif opcode == TEXT and (message := json.loads(payload)).get("msgType") not in PRESENCE:
            self.heard.put(message.get("text"))

    def say(self, text):
        self.teller.send(json.dumps({"msgType": "Broadcast", "text": text}).encode())

    def stop(self):
        self.teller.close()
        self.thread.join()
        self.ear.close()
        self.raw.socket.close()


def threads_of(pid):
    return int(re.search(r"Threads:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])


def descriptors_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


class Canaries:
    """Two members who talk to each other and must not be affected, and the baseline of the server's
    descriptors and threads with them."""

    def __init__(self, server):
        self.server, self.words = server, 0
        self.pair = [Canary(server, name) for name in ("canary-1", "canary-2")]
        self.threads, self.descriptors = threads_of(server.pid), descriptors_of(server.pid)
        self.begin, self.lines = time.monotonic(), server.log().count("\n")

    def talk(self):
        """A message each way; both receive it, and nothing else."""
        for speaker in self.pair:
            self.words += 1
            text = f"word {self.words} of the canaries"
            speaker.say(text)
            for canary in self.pair:
                heard = canary.heard.get(timeout=PATIENCE)
                assert heard == text, heard

    def exchange(self, when="meanwhile"):
        """Within a second."""
        try:
            assert in_time(self.talk), f"{when}: a word took longer than a second"
        except queue.Empty:
            raise AssertionError(f"{when}: a word was not heard at all") from None

    def settle(self, what, count_of, most, case):
        """Waits until the resources of the case have been released."""
        wait_until(
            lambda: count_of(self.server.pid) <= most,
            f"{most} {what} or fewer after {case}",
            SETTLED,
        )

    def check(self, case="the case", kept=0):
        """Checks what must hold after every case; `kept` of its connections are still open."""
        assert self.server.process.poll() is None, f"{case} was its end: {self.server.log()}"
        self.exchange(f"after {case}")
        self.settle("descriptors", descriptors_of, self.descriptors + kept, case)
        self.settle("threads", threads_of, self.threads + kept + THREADS_KEPT, case)
        seconds = int(time.monotonic() - self.begin) + 2  # that were begun
        events = (line.split(" ", 3)[2:3] for line in self.server.log().splitlines()[self.lines :])
        for (event,), lines in collections.Counter(map(tuple, events)).items():
            too_many = f"{case}: {lines} lines of {event} in {seconds} s"
            assert lines <= LOG_LINES_A_SECOND * seconds, too_many

    def close(self):
        for canary in self.pair:
            canary.stop()


@contextlib.contextmanager
def steady(server):
    """Around a case: checks at the end what must hold after every case. Around a table of cases: call
    `check` of the yielded canaries after each row."""
    canaries = Canaries(server)
    try:
        yield canaries
        canaries.check()
    finally:
        canaries.close()
