# SPDX-License-Identifier: MIT
"""Members of one room on several nodes: they talk, listen, and come back on the next node whenever their
line is lost, as docs/PROTOCOL.md tells clients to. `Crowd.check` says whether all of them heard the same."""
import asyncio
import contextlib
import functools
import hashlib
import json

from helpers import CLOSE, PASSWORD, PATIENCE, PING, PONG, TEXT, UPGRADE, V2, frame, request

RETRY = 0.1  # s before another attempt to join; a lower rate, not a wait
WINDOW = 4  # texts of one sender that it has not heard yet


class Lost(Exception):
    """The line is lost, or nobody is let in."""


@functools.lru_cache(maxsize=4096)
def parse(payload):
    """A message, the same object for all who receive these bytes."""
    return json.loads(payload)


def core(message):
    """What all must hear of a broadcast, live or as history."""
    return tuple(message.get(field) for field in ("Id", "SrcUser", "text", "Ref", "Time"))


class Member:
    """One member over all its connections. A sender says its texts in order, WINDOW at a time, and again
    those that it finds missing when it comes back. `heard` maps the epoch to what was heard in it."""

    def __init__(self, crowd, name, home, sends):
        self.crowd, self.name, self.home, self.sends = crowd, name, home, sends
        self.epoch, self.last, self.heard = None, 0, {}
        self.said, self.unheard = 0, []
        self.writer, self.settled, self.code = None, False, None

    # ---- Its line ----

    async def live(self):
        while not self.crowd.done:
            with contextlib.suppress(OSError, EOFError, Lost):
                await self.attend(self.crowd.ports[self.home % len(self.crowd.ports)])
            self.settled = False
            self.home += 1
            await asyncio.sleep(RETRY)

    async def attend(self, port):
        reader, self.writer = await asyncio.open_connection("127.0.0.1", port)
        self.code = None
        try:
            fields = {**UPGRADE, "Host": f"127.0.0.1:{port}", "Sec-WebSocket-Protocol": V2}
            self.writer.write(request("/", fields))
            await reader.readuntil(b"\r\n\r\n")
            buffer = b""
            while data := await reader.read(1 << 17):
                buffer = self.take_frames(buffer + data)
        finally:
            self.writer.transport.abort()
            if self.settled and not self.crowd.done:
                self.crowd.codes.append(self.code)

    def take_frames(self, data):
        at = 0
        while len(data) - at >= 2:
            opcode, length, begin = data[at] & 15, data[at + 1], at + 2
            if length == 126:
                begin += 2
                length = int.from_bytes(data[at + 2 : begin], "big")
            elif length == 127:
                begin += 8
                length = int.from_bytes(data[at + 2 : begin], "big")
            if len(data) < begin + length:
                break
            at = begin + length
            self.take(opcode, data[begin:at])
        return data[at:]

    def take(self, opcode, payload):
        if opcode == PING:
            self.writer.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self.code = int.from_bytes(payload[:2], "big")
            raise Lost
        elif opcode == TEXT:
            message = parse(payload)
            getattr(self, f"take_{message['msgType']}".lower(), self.ignore)(message)

    def send(self, **message):
        self.writer.write(frame(TEXT, json.dumps(message).encode()))

    # ---- Messages ----

    def ignore(self, message):
        pass

    def take_hello(self, _):
        resume = {"Resume": {"Epoch": self.epoch, "After": self.last}} if self.epoch else {}
        self.send(msgType="Join", Name=self.name, Password=PASSWORD, **resume)

    def take_error(self, message):
        assert message["Code"] in ("name_taken", "unavailable"), message
        raise Lost

    def take_joined(self, message):
        if self.epoch:
            self.crowd.returned.append((self.name, self.epoch, message["Epoch"], message["Resumed"]))
        if not message["Resumed"]:
            self.epoch, self.last = message["Epoch"], None
            self.heard[self.epoch] = []
        assert message["Epoch"] == self.epoch, message

    def take_broadcast(self, message):
        self.hear(message)
        self.fill()

    def take_onlineusers(self, _):
        if self.settled:
            return
        self.settled = True
        for number in self.unheard:
            self.say(number)
        self.fill()

    def hear(self, message):
        self.crowd.hear(self.epoch, message)
        if self.last is not None:
            assert message["Id"] == self.last + 1, (self.name, self.last, message)
        self.last = message["Id"]
        self.heard[self.epoch].append(message)
        if self.sends and message["SrcUser"] == self.name:
            number = message["Ref"]
            if number in self.unheard:
                self.unheard.remove(number)

    def say(self, number):
        self.send(msgType="Broadcast", text=f"{self.name} says number {number}", Ref=number)

    def fill(self):
        """Says what it may say."""
        while (self.settled and self.sends and self.said < self.crowd.allowed
               and len(self.unheard) < WINDOW):
            self.unheard.append(self.said)
            self.said += 1
            self.say(self.unheard[-1])

    def hash(self, epoch):
        digest = hashlib.sha256()
        for message in self.heard[epoch]:
            digest.update(repr(core(message)).encode())
        return digest.hexdigest()


class Crowd:
    """`senders` and `receivers` members, shared out over `ports`, which may change meanwhile.

    codes     with what code each line of a member ended, None without one
    returned  name, old and new epoch, Resumed of each coming back"""

    def __init__(self, ports, senders, receivers):
        self.ports, self.senders = list(ports), senders
        self.allowed, self.done, self.order = 0, False, {}
        self.codes, self.returned, self.tasks = [], [], []
        self.members = [Member(self, f"s{i}", i, True) for i in range(senders)]
        self.members += [Member(self, f"r{i}", i, False) for i in range(receivers)]

    def hear(self, epoch, message):
        """Compares with what others heard at this place."""
        first = self.order.setdefault(epoch, {}).setdefault(message["Id"], message)
        assert first is message or core(first) == core(message), (first, message)

    async def __aenter__(self):
        self.tasks = [asyncio.create_task(member.live()) for member in self.members]
        await self.until(self.all_in, "all members")
        return self

    async def __aexit__(self, *_):
        self.done = True
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def all_in(self):
        return all(member.settled for member in self.members)

    async def until(self, condition, what, patience=4 * PATIENCE):
        deadline = asyncio.get_running_loop().time() + patience
        while not condition():
            for task in self.tasks:
                if task.done():
                    task.result()  # raises what a member found
            assert asyncio.get_running_loop().time() < deadline, f"waited in vain for {what}: {self.state()}"
            await asyncio.sleep(0.01)

    def members_at(self, node):
        """Those that are on this node, as long as none has come back."""
        return [member for member in self.members if member.home % len(self.ports) == node]

    def state(self):
        away = [member.name for member in self.members if not member.settled]
        behind = sorted({member.last or 0 for member in self.members})
        return f"allowed {self.allowed}, away {away[:9]}, last {behind[:9]}, codes {self.codes[-9:]}"

    def allow(self, more):
        """Lets each sender say so many more."""
        self.allowed += more
        for member in self.members:
            member.fill()

    async def under_way(self, more):
        """Lets them talk, and returns in the middle of it."""
        heard = self.most()
        self.allow(more)
        await self.until(lambda: self.most() >= heard + self.senders * more // 3, "talk")

    def most(self):
        return max(sum(map(len, member.heard.values())) for member in self.members)

    async def all_heard(self):
        """Until every member is there, and everybody's words have come back and reached all."""
        def quiet():
            talkers = [member for member in self.members if member.sends]
            return (self.all_in() and all(m.said == self.allowed and not m.unheard for m in talkers)
                    and len({(m.epoch, m.last) for m in self.members}) == 1)
        await self.until(quiet, "all words")

    def check(self):
        """One epoch, consecutive Ids, each text once, each sender in order, one hash. Returns the hash."""
        (epoch, order), = self.order.items()
        total = self.senders * self.allowed
        assert sorted(order) == list(range(1, total + 1)), (len(order), total)
        texts = [order[number]["text"] for number in sorted(order)]
        assert len(set(texts)) == total, "a text was heard twice"
        for member in self.members[: self.senders]:
            own = [order[number]["Ref"] for number in sorted(order) if order[number]["SrcUser"] == member.name]
            assert own == list(range(self.allowed)), (member.name, own)
        hashes = {member.hash(epoch) for member in self.members}
        assert len(hashes) == 1, "members heard different things"
        assert all(resumed for *_, resumed in self.returned), self.returned
        return hashes.pop()
