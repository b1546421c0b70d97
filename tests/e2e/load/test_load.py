# SPDX-License-Identifier: MIT
"""The room under load: bench/load checks every delivery, these tests give it something to do.

LOAD        the load generator; default: ./build/load of this repository
LOAD_SCALE  how much of each load, in (0, 1], for sanitizers and valgrind; default: 1
"""
import asyncio
import http.server
import json
import random
import re
import subprocess
import threading
import time

import pytest
import websockets

from helpers import PASSWORD, PATIENCE, SCALE, Peer, join, scenario, steady, wait_until
from load_generator import COMMAND, TIMEOUT, arguments, load, scaled

UNLIMITED = {
    "max_clients": 4000,  # a quarter of them may be joining at the same time
    "max_clients_per_address": 0,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "handshake_timeout_seconds": int(60 * SCALE),
    "login_timeout_seconds": int(60 * SCALE),
    "ping_interval_seconds": int(60 * SCALE),
}


@pytest.fixture
def server(serve, tls):
    return serve(SSL=tls, **UNLIMITED)


@pytest.fixture
def small(serve, tls):
    """A server with a ring of 256 KiB, so that half of that behind is too slow."""
    return serve(SSL=tls, max_message_bytes=16384, room_buffer_bytes=256 * 1024, **UNLIMITED)


# ---- One order for all ---------------------------------------------------------------------------


def test_32_senders_100_receivers(server):
    """Nothing lost, duplicated or reordered, and the same sequence at each member."""
    members, messages = scaled(100, least=40), scaled(1000, least=20)
    report = load(server, members=members, senders=32, messages=messages, window=8)
    assert report["sent"] == 32 * messages
    assert report["deliveries"] == 32 * messages * members


@pytest.mark.slow
def test_several_threads_fan_out_in_a_large_room(serve):
    """From 2,000 members on: nothing is lost, duplicated or reordered, also while others join and leave; and the
    threads that have helped do not keep the server from ending."""
    server = serve(SSL=False, **UNLIMITED)
    report = load(server, members=2100, senders=5, rate=20, messages=10, churn=20, v2=True)
    assert report["deliveries"] == 5 * 10 * 2100
    server.finish()


def test_fixed_rate(server):
    report = load(server, members=scaled(100, least=5), senders=5, rate=200, seconds=2)
    assert 0 < report["sent"] <= 400


def test_large_texts(serve, tls):
    """Frames with 64-bit lengths (RFC 6455 §5.2), each of them many TLS records. All of them fit into
    half of the ring, so that a member waiting for a processor is not too slow."""
    server = serve(SSL=tls, room_buffer_bytes=16 << 20, **UNLIMITED)
    report = load(server, members=scaled(20, least=4), senders=3, messages=30, size=65400)
    assert report["sent"] == 90


def test_private_pairs(server):
    members, messages = 2 * scaled(50, least=2), scaled(200, least=20)
    report = load(server, members=members, messages=messages, private=True)
    assert report["sent"] == report["deliveries"] == members * messages


def test_talking_for_a_time(server):
    """Windows of three until the time is up; then all that was said arrives."""
    report = load(server, members=10, senders=3, window=3, seconds=1)
    assert report["sent"] > 3 and report["deliveries"] == 10 * report["sent"]


def test_idle(server):
    """Nobody talks; only the server is measured."""
    report = load(server, members=5, idle=1)
    assert report["sent"] == report["deliveries"] == 0
    assert report["rss_kib_after"] > 0 and report["threads"] > 0


def test_visits(server):
    """Connect, upgrade, reset, repeated; the server is unchanged afterwards."""
    with steady(server):
        report = load(server, members=4, visits=True, seconds=1)
    assert report["visits"] > 4 and report["deliveries"] == 0


# ---- Coming and going ----------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["original", "v2"])
def test_1000_join_at_once(server, way):
    """All have joined, all see each other, and a message reaches every one of them."""
    members = scaled(1000, least=50)
    with steady(server):
        report = load(server, members=members, joins_at_once=True, messages=3, v2=way == "v2")
    assert report["deliveries"] == 3 * members


@pytest.mark.parametrize("way", ["original", "v2"])
def test_churn_with_resets(serve, tls, way):
    """Members are not affected by others that join, leave and are cut off all the time."""
    server = serve(SSL=tls, history=50, **UNLIMITED)
    with steady(server):
        report = load(
            server,
            members=scaled(30, least=6),
            senders=4,
            rate=scaled(2000, least=100),
            seconds=4 + int(SCALE),
            churn=scaled(100, least=10),
            v2=way == "v2",
        )
    assert report["came"] > 0 and report["went"] > 0


def test_members_that_come_and_leave_at_once(serve, tls):
    """Again and again, they cost each other member a kilobyte a second, beyond the burst."""
    server = serve(SSL=tls, **UNLIMITED)
    seconds, members = 4, scaled(60, least=10)
    with steady(server):
        report = load(server, members=members, idle=seconds, flap=2, v2=True)
    assert report["flaps"] > 30
    assert report["users_bytes"] < members * (1000 * (seconds + 1) + 4000), report


def test_member_that_stops_reading(small):
    """It is closed, alone, with one line in the log that gives figures; the others lose nothing."""
    members = scaled(100, least=10)
    talk = {"members": members, "senders": 4, "messages": 1000, "size": 4000, "window": 2}
    with steady(small):
        report = load(small, stall=1, **talk)
    assert report["stalled_closed"] == 1
    assert report["deliveries"] == 4 * 1000 * (members - 1)
    wait_until(lambda: " too_slow " in small.log(), "a line in the log")
    lines = [line for line in small.log().splitlines() if " too_slow " in line]
    assert len(lines) == 1, lines
    assert re.search(r"\w=\d{5,}", lines[0]), lines[0]


def test_key_update_storm(serve):
    """RFC 8446 §4.6.3: every KeyUpdate makes the server write while reading."""
    server = serve(SSL=True, **UNLIMITED)
    messages = scaled(1000, least=20)
    with steady(server):
        report = load(server, members=20, senders=16, messages=messages, window=4, key_update=1)
    assert report["key_updates"] > 16 * messages / 2  # none while an earlier message is stuck


# ---- Lost connections ----------------------------------------------------------------------------


class Talkers:
    """Members that talk until stopped; `last_id` is the latest Id that all have received."""

    def __init__(self, peers):
        self.peers, self.last_id, self.talking = peers, 0, True
        self.tasks = [asyncio.create_task(self.talk(peer)) for peer in peers]

    async def talk(self, peer):
        while self.talking:
            await peer.send("Broadcast", text=f"at {time.monotonic_ns()}")
            while (await peer.message())["SrcUser"] != peer.joined["Name"]:
                pass
            self.last_id += 1
            await asyncio.sleep(0.001)

    async def further(self, count):
        """Waits for `count` more broadcasts."""
        goal = self.last_id + count
        while self.last_id < goal:
            done, _ = await asyncio.wait(self.tasks, timeout=0.005)
            for task in done:
                task.result()

    async def stop(self):
        self.talking = False
        await asyncio.gather(*self.tasks)


async def resume(server, epoch, after):
    """Reconnects as ana; her ghost may hold the name for a moment."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        peer = await Peer.open(server)
        assert (await peer.next())["msgType"] == "Hello"
        answer = await peer.ask(
            "Join", Password=PASSWORD, Name="ana", Resume={"Epoch": epoch, "After": after}
        )
        if answer["msgType"] == "Joined":
            peer.joined = answer
            return peer
        assert answer["Code"] == "name_taken", answer
        await peer.close()
    raise AssertionError("the name stayed taken")


async def listen(peer, count):
    """The Ids of the next broadcasts; the history must end at LastId."""
    ids = []
    while len(ids) < count:
        message = await peer.message()
        assert message["msgType"] == "Broadcast", message
        ids.append(message["Id"])
        assert message.get("History", False) == (message["Id"] <= peer.joined["LastId"]), message
    return ids


@scenario
async def test_resume_after_a_cut_line(small):
    """No gap and no duplicate between received, missed and new broadcasts."""
    talkers = Talkers([await join(small, name) for name in ("bob", "cleo", "dora", "emil")])
    ana = await join(small, "ana")
    ids = await listen(ana, 20)
    for _ in range(5):
        ana.socket.transport.abort()
        await talkers.further(random.randrange(1, 60))
        ana = await resume(small, ana.joined["Epoch"], ids[-1])
        assert ana.joined["Resumed"] is True, ana.joined
        ids += await listen(ana, ana.joined["LastId"] - ids[-1] + 20)
    await talkers.stop()
    assert ids == list(range(ids[0], ids[0] + len(ids)))


@scenario
async def test_resume_after_more_than_the_ring_holds(small):
    """`Resumed` is true only if every broadcast after `After` is there."""
    ana, bob = await join(small, "ana"), await join(small, "bob")
    first = (await bob.ask("Broadcast", text="the first of many"))["Id"]
    epoch = ana.joined["Epoch"]
    ana.socket.transport.abort()
    for _ in range(80):
        last = (await bob.ask("Broadcast", text="x" * 4000))["Id"]
    ana = await resume(small, epoch, first)
    assert ana.joined["Resumed"] is False
    assert ana.joined["LastId"] == last
    await ana.close()
    await bob.presence("bob")
    ana = await resume(small, epoch, last)
    assert ana.joined["Resumed"] is True


# ---- The checker is checked ----------------------------------------------------------------------

FRAGMENTS = "in fragments"  # no flaw: RFC 6455 §5.4 allows it


class Careless:
    """A server of the two-frame hello that breaks one promise, at its 50th message, for one member:
    the first, after all others have received the correct message."""

    def __init__(self, flaw):
        self.flaw, self.members, self.last_id, self.held = flaw, {}, 0, None

    def tell(self, members, message):
        websockets.broadcast(members, json.dumps(message, separators=(",", ":")))

    def presence(self):
        users = sorted(self.members, reverse=self.flaw == "unsorted" and len(self.members) == 4)
        self.tell(self.members.values(), {"msgType": "OnlineUsers", "Users": users})

    async def __call__(self, socket):
        await socket.recv()
        name = await socket.recv()
        self.members[name] = socket
        self.presence()
        try:
            async for text in socket:
                await self.relay({**json.loads(text), "SrcUser": name})
        finally:
            del self.members[name]
            self.presence()

    async def relay(self, message):
        self.last_id += 1
        flaw = self.flaw if self.last_id == 50 else None
        if message["msgType"] == "PrivateMessage":
            self.hand_over(message | {"Time": 1}, flaw)
            return
        message |= {"Id": self.last_id + (flaw == "gap in Ids"), "Time": 1}
        if flaw == "another sender":
            message["SrcUser"] = "m00002" if message["SrcUser"] != "m00002" else "m00001"
        first, *others = self.members.values()
        wronged = [first, *others] if flaw == "another text for all" else [first]
        self.tell([member for member in others if member not in wronged], message)
        if self.flaw == "another order" and self.last_id >= 50:
            self.tell_in_another_order(first, message)
        elif self.flaw == FRAGMENTS:
            text = json.dumps(message, separators=(",", ":"))
            await first.send([text[:9], text[9:-1], text[-1:]])
        else:
            self.wrong(wronged, message, flaw)

    def wrong(self, members, message, flaw):
        """Delivers it, with the flaw if it is the 50th."""
        if flaw in ("another text", "another text for all"):
            message = message | {"text": message["text"][:-2] + "ab"}
        if flaw == "something added":
            message = message | {"Extra": 1}
        if flaw == "a reserved bit":
            members[0].transport.write(b"\xc1\x02{}")
        if flaw == "a masked frame":
            members[0].transport.write(b"\x81\x82\0\0\0\0{}")
        if flaw == "not UTF-8":
            members[0].transport.write(b"\x81\x02\xc3(")
        if flaw == "cut off":
            members[0].transport.abort()
        if flaw == "somebody absent":
            self.tell(members, {"msgType": "OnlineUsers", "Users": sorted(self.members)[1:]})
        if flaw == "swapped":
            self.held = message
        elif flaw != "lost":
            self.tell(members, message)
        if flaw == "doubled":
            self.tell(members, message)
        if self.held and self.held["SrcUser"] == message["SrcUser"] and not flaw:
            self.tell(members, self.held)
            self.held = None

    def tell_in_another_order(self, first, message):
        """Two successive messages of different senders are swapped, with correct Ids."""
        held, self.held = self.held, None
        if not held:
            self.held = message
        elif held["SrcUser"] == message["SrcUser"]:
            self.tell([first], held)
            self.held = message
        else:
            self.tell([first], message | {"Id": held["Id"]})
            self.tell([first], held | {"Id": message["Id"]})
            self.flaw = None

    def hand_over(self, message, flaw):
        name = message["TgtUser"]
        if flaw == "at another":
            name = next(other for other in self.members if other not in (name, message["SrcUser"]))
        target = self.members[name]
        if flaw == "another text":
            message["text"] = message["text"][:-2] + "ab"
        if flaw != "lost":
            self.tell([target], message)
        if flaw == "doubled":
            self.tell([target], message)


class CarelessList:
    """A room of ragnarok.v2 that tells changes of the user list, with a flaw in that of the last join."""

    def __init__(self, flaw, members):
        self.flaw, self.last, self.members = flaw, members, {}

    async def __call__(self, socket):
        await socket.send('{"msgType":"Hello"}')
        name = json.loads(await socket.recv())["Name"]
        version = len(self.members) + 1
        names = sorted([*self.members, name])
        change = {"Version": version, "Since": version - 1, "Count": version, "Joined": [name]}
        if version == self.last:
            change = self.wrong(change)
        websockets.broadcast(self.members.values(), self.text("Presence", **change))
        await socket.send('{"msgType":"Joined"}')
        await socket.send(self.text("OnlineUsers", Version=version, Count=version, Users=names))
        self.members[name] = socket
        await socket.wait_closed()

    def text(self, kind, **fields):
        return json.dumps({"msgType": kind, **fields}, separators=(",", ":"))

    def wrong(self, change):
        flaws = {
            "missed": {"Since": self.last, "Version": self.last + 1},
            "not told": {"Joined": ["somebody"]},
            "wrong count": {"Count": self.last + 1},
            "left": {"Left": ["m00000"]},
            "unsorted": {"Joined": ["n", *change["Joined"]]},
            "cut": {"Joined": "all"},
            "more": {"More": 1},
        }
        return change | flaws.get(self.flaw, {})


async def careless_list_run(flaw):
    room = CarelessList(flaw, 5)
    serving = websockets.serve(
        room, "127.0.0.1", 0, compression=None, subprotocols=["ragnarok.v2"], close_timeout=0
    )
    async with serving as server:
        port = server.sockets[0].getsockname()[1]
        options = {"members": 5, "idle": 1, "v2": True, "timeout": int(3 * SCALE)}
        return await run_at(port, options)


async def careless_run(flaw, options):
    async with websockets.serve(Careless(flaw), "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        return await run_at(port, {"timeout": int(30 * SCALE), **options})


async def run_at(port, options):
    """Runs the generator; returns its exit status, report and error text."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments(port, False, options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, error = await process.communicate()
    return process.returncode, json.loads(out), error.decode()


# The other tests show the generator under a sanitizer, too.
ONLY_THE_GENERATOR = pytest.mark.plain_run("the server has no part in it")
BROADCASTS = {"members": 5, "senders": 3, "window": 2, "messages": 40}
PAIRS = {"members": 6, "private": True, "messages": 40}


@ONLY_THE_GENERATOR
@pytest.mark.parametrize(
    "flaw, said",
    [
        ("lost", "1 lost"),
        ("doubled", "1 doubled"),
        ("swapped", "1 swapped"),
        ("gap in Ids", "not consecutive"),
        ("another order", "saw another order"),
        ("another text", "got what nobody sent"),
        ("another text for all", "got what nobody sent"),
        ("something added", "got what nobody sent"),
        ("another sender", "got what nobody sent"),
        ("unsorted", "is not sorted"),
        ("somebody absent", "a member is missing"),
        ("a reserved bit", "a reserved bit is set"),
        ("a masked frame", "masked frame from a server"),
        ("not UTF-8", "not UTF-8"),
        ("cut off", "was closed|a member is missing"),
    ],
)
def test_load_notices(flaw, said):
    status, report, error = asyncio.run(careless_run(flaw, BROADCASTS))
    assert status == 1 and error.startswith("load: ") and re.search(said, error), error
    assert report["errors"] > 0
    if flaw in ("lost", "doubled", "swapped"):
        assert report[flaw] == 1, report


@ONLY_THE_GENERATOR
@pytest.mark.parametrize(
    "flaw, said",
    [
        ("lost", "time is up"),
        ("doubled", "1 doubled"),
        ("another text", "stray message"),
        ("at another", "stray message"),
    ],
)
def test_load_notices_between_pairs(flaw, said):
    options = PAIRS | ({"timeout": int(5 * SCALE)} if flaw == "lost" else {})
    status, report, error = asyncio.run(careless_run(flaw, options))
    assert status == 1 and said in error, error
    assert report["errors"] > 0
    if flaw in ("lost", "doubled"):
        assert report[flaw] == 1, report


@ONLY_THE_GENERATOR
@pytest.mark.parametrize(
    "flaw, said",
    [
        ("missed", "missed a change"),
        ("not told", "time is up"),
        ("wrong count", "time is up"),
        ("left", "time is up"),
        ("unsorted", "is not sorted"),
        ("cut", "is not as it should be"),
        ("more", "is not as it should be"),
        (None, ""),
    ],
)
def test_load_notices_in_changes_of_the_list(flaw, said):
    status, _, error = asyncio.run(careless_list_run(flaw))
    assert (status == 0) == (flaw is None) and said in error, error


@ONLY_THE_GENERATOR
@pytest.mark.parametrize("flaw", [None, FRAGMENTS])
def test_load_finds_nothing_where_nothing_is(flaw):
    status, report, error = asyncio.run(careless_run(flaw, BROADCASTS))
    assert (status, error, report["deliveries"]) == (0, "", 600)


@ONLY_THE_GENERATOR
def test_load_finds_nothing_between_pairs():
    status, report, error = asyncio.run(careless_run(None, PAIRS))
    assert (status, error, report["deliveries"]) == (0, "", 240)


@ONLY_THE_GENERATOR
@pytest.mark.parametrize("options", [{"messages": 1}, {"visits": True, "seconds": 1}])
def test_load_is_not_let_in(options):
    """Against another HTTP server."""

    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        status, _, error = asyncio.run(run_at(server.server_port, options))
        server.shutdown()
    assert status == 1 and "was not let in: HTTP/1.0 404" in error, error


def test_load_with_a_wrong_password(serve):
    server = serve(**UNLIMITED)
    status, _, error = asyncio.run(run_at(server.port, {"password": "no", "timeout": TIMEOUT}))
    assert status == 1 and re.search("m0000. (got|was closed)", error), error


def command(*words):
    return subprocess.run(
        [*COMMAND, *words], capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_load_speaks_to_people(serve):
    server = serve(**UNLIMITED)
    done = command("--port", str(server.port), "--password", PASSWORD, "--pid", str(server.pid))
    assert done.returncode == 0, done.stderr
    assert "100 sent, 1000 delivered" in done.stdout and "of CPU per delivery" in done.stdout


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "--port must be given"),
        (["--port", "0"], "--port takes a number from 1 to 65535, not '0'"),
        (["--port", "1x"], "not '1x'"),
        (["--port", "1", "--senders", "11"], "more senders"),
        (["--port", "1", "--private", "--idle", "1"], "only one of"),
        (["--port", "1", "--private", "--members", "3"], "even number"),
        (["--port", "1", "--visits"], "--visits takes --seconds"),
        (["--port", "1", "--key-update", "1"], "--key-update needs --tls"),
        (["--port", "1", "--v2", "--password", '"'], "--password"),
        (["--port", "1", "--members", "99999", "--senders", "99999"], "too many members"),
        (["--port", "1", "5"], "no argument without --"),
        (["--nonsense"], "nonsense"),
    ],
)
def test_load_usage(words, said):
    done = command(*words)
    assert done.returncode == 2 and said in done.stderr, done.stderr
    assert done.stdout == ""


def test_load_help():
    done = command("--help")
    assert done.returncode == 0 and "--window" in done.stdout and "--visits" in done.stdout
