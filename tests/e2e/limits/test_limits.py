# SPDX-License-Identifier: MIT
"""Limits on connections, rates and password attempts.

Deadlines are in test_slow_peers.py. After every case `steady` checks that others were not affected.
"""
import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse

import pytest

from e2e_reference import Person
from guesses import guess, guess_as, guess_wrong
from helpers import (
    CLOSE,
    PASSWORD,
    PONG,
    ROOT,
    SCALE,
    TEXT,
    UNPACKED,
    UPGRADE,
    V2,
    Peer,
    Raw,
    frame,
    greeted,
    in_time,
    join,
    request,
    scenario,
    steady,
    try_join,
    wait_until,
)
from page_files import served
from server_control import reload

# ---- Places --------------------------------------------------------------------------------------

NEWCOMERS = 16  # server/registry.h: a quarter of max_clients, but at least this many


def come_in(raw, name):
    """Joins on a socket that is already a WebSocket."""
    raw.send_text(json.dumps({"msgType": "Join", "Password": PASSWORD, "Name": name}))
    assert raw.message()["msgType"] == "Joined"


def test_the_oldest_pending_client_is_evicted(serve, tls):
    """It gets 1013; all others keep their slots, and joined members are not counted."""
    server = serve(SSL=tls, max_clients=40)
    with steady(server), contextlib.ExitStack() as stack:
        newcomers = [stack.enter_context(Raw(server)) for _ in range(NEWCOMERS)]
        for raw in newcomers:
            raw.upgrade()
            assert raw.message()["msgType"] == "Hello"
        late = stack.enter_context(Raw(server))
        late.join("late")
        oldest, *others = newcomers
        assert oldest.close_code() == 1013
        for number, raw in enumerate(others):
            come_in(raw, f"early-{number}")


def test_a_client_evicted_before_its_request_is_cut(serve, tls):
    server = serve(SSL=tls, max_clients=40)
    with steady(server), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Raw(server, tls=False)) for _ in range(NEWCOMERS + 1)]
        assert silent[0].ended()
        assert not any(raw.readable(0) for raw in silent[1:])


def come_and_go(server):
    """Under a new name each time: the previous one may not be free yet."""
    with Raw(server) as good:
        good.join(f"good {time.monotonic_ns()}")


def test_silent_strangers_keep_nobody_out(serve, tls):
    """Five times their share of the slots, and real users join within a second."""
    server = serve(SSL=tls, max_clients=100)
    with steady(server), contextlib.ExitStack() as stack:
        for _ in range(5):
            for _ in range(25):
                stack.enter_context(Raw(server, tls=False))
            assert in_time(lambda: come_and_go(server))


ASKED = {"page": request(served("app.js"), {"Host": "127.0.0.1"}), "refusal": b"NONSENSE\r\n\r\n"}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_strangers_that_read_no_answer_keep_nobody_out(serve, tls, ask):
    """They do not read, or do not hang up: their slots are reclaimed before their deadline."""
    server = serve(SSL=tls, max_clients=100)
    with steady(server), contextlib.ExitStack() as stack:
        for _ in range(3):
            for _ in range(25):
                raw = stack.enter_context(Raw(server, receive_buffer=2048))
                raw.send(ask)
            assert in_time(lambda: come_and_go(server))


def answer(server, address="127.0.0.1"):
    """The status for one more connection from that address."""
    with socket.socket() as client:
        client.bind((address, 0))
        client.connect(("127.0.0.1", server.port))
        client.settimeout(10 * SCALE)
        client.sendall(request("/", UPGRADE))
        return int(client.recv(64).split()[1])


def member_if_free(server):
    """One more member, or None if there is no slot."""
    raw = Raw(server)
    raw.send(request("/", {**UPGRADE, "Sec-WebSocket-Protocol": V2}))
    if raw.head().status == 503:
        raw.socket.close()
        return None
    assert raw.message()["msgType"] == "Hello"
    come_in(raw, f"member {time.monotonic_ns()}")
    return raw


def say_goodbye(raw):
    raw.send(frame(CLOSE, b"\x03\xe8"))
    assert raw.close_code() == 1000
    raw.socket.close()


@pytest.mark.parametrize("leave", [say_goodbye, Raw.reset])
def test_a_freed_place_is_usable_within_a_second(serve, leave):
    """Two slots belong to the canaries."""
    server = serve(max_clients=4)
    members = []

    def leave_and_be_followed():
        leave(members.pop(0))
        members.append(wait_until(lambda: member_if_free(server), "a free place"))

    with steady(server):
        members += [member_if_free(server), member_if_free(server)]
        assert all(members) and not member_if_free(server)
        assert in_time(leave_and_be_followed)
        for member in members:
            member.socket.close()


def test_loopback_may_be_exempt(serve):
    limit = {"max_clients_per_address": 3}
    server, lenient = serve(**limit), serve(**limit, exempt_loopback=True)
    with steady(server), steady(lenient), contextlib.ExitStack() as stack:
        for number in range(10):
            stack.enter_context(Raw(lenient)).join(f"member-{number}")
        stack.enter_context(Raw(server)).join("member")
        assert answer(server) == 429
        assert answer(server, "127.0.0.2") == 101


# ---- Rooms ---------------------------------------------------------------------------------------


async def enter(server, room, address):
    """Joins a room from that address, and stays. The code of the Error, or None."""
    peer = await Peer.open(server, f"/rooms/{room}", local_addr=(address, 0))
    await peer.next()
    await peer.send("Join", Name=f"{address} in {room}", Password=PASSWORD)
    return (await peer.message()).get("Code")


async def make_rooms(server, count, address):
    """How many of `count` rooms it can create."""
    codes = [await enter(server, f"{number}-of-{address}", address) for number in range(count)]
    assert set(codes) <= {None, "too_many_rooms"}
    return codes.count(None)


def test_one_address_makes_a_quarter_of_the_rooms(serve):
    """Its /24 can create half of them; joining an existing room creates none. Two rooms exist before:
    the main one, and that of the canaries."""
    server = serve(max_rooms=24)

    @scenario
    async def talk():
        assert await make_rooms(server, 8, "127.0.1.1") == 6
        assert await enter(server, "0-of-127.0.1.1", "127.0.1.2") is None
        assert await make_rooms(server, 8, "127.0.1.2") == 6
        assert await make_rooms(server, 1, "127.0.1.3") == 0
        assert await make_rooms(server, 8, "127.0.2.1") == 6
        assert await make_rooms(server, 8, "127.0.3.1") == 4  # now there are 24

    with steady(server):
        talk()


def test_a_room_that_is_gone_counts_for_nobody(serve):
    server = serve(max_rooms=24)

    @scenario
    async def talk():
        for number in range(12):
            peer = await Peer.open(server, f"/rooms/{number}", local_addr=("127.0.1.1", 0))
            await peer.next()
            await peer.send("Join", Name="ana", Password=PASSWORD)
            while (await peer.message()).get("Code") == "too_many_rooms":  # the last member is just leaving
                await peer.send("Join", Name="ana", Password=PASSWORD)
            await peer.close()

    with steady(server):
        talk()


def test_an_exempt_address_may_create_all_rooms(serve):
    for exempt in ({"exempt_loopback": True}, {"max_clients_per_address": 0}):
        server = serve(max_rooms=24, **exempt)

        @scenario
        async def talk():
            assert await make_rooms(server, 30, "127.0.1.1") == 22

        with steady(server):
            talk()


# ---- Too fast ------------------------------------------------------------------------------------


def test_over_the_rate_for_too_long_is_1008(serve, tls):
    """First the server stops reading; after two seconds without a break it closes with a reason."""
    server = serve(SSL=tls, max_messages_per_second=20, too_fast_seconds=2)

    @scenario
    async def talk():
        ana, bob = await join(server, "ana"), await join(server, "bob")
        await ana.presence("ana", "bob")
        begin = time.monotonic()
        for _ in range(200):
            await ana.socket.pong()  # an unsolicited pong counts, and is not answered
        await ana.error("too_fast")
        code, reason = await ana.closed()
        assert code == 1008 and reason.startswith("too fast")  # clients recognize the case by this reason
        assert 2 < time.monotonic() - begin < 3 + 3 * SCALE
        await bob.presence("bob")
        await bob.nothing_more()

    with steady(server):
        talk()
    assert "too fast" in server.log()


def bursts(server, pause):
    """Three bursts, each one second above the rate of 20; true if the sender is still connected."""
    with Raw(server) as ana:
        ana.join(f"ana {time.monotonic_ns()}")  # the previous one may still be leaving
        for _ in range(3):
            ana.send(b"".join(frame(PONG, b"") for _ in range(59)))
            ana.send(frame(TEXT, b'{"msgType":"Broadcast","text":"all that was mine"}'))
            message = ana.message()
            if message.get("Code") == "too_fast":
                return False
            assert message["text"] == "all that was mine"
            time.sleep(pause)
        return True


def test_messages_with_pauses_are_not_too_fast(serve):
    server = serve(max_messages_per_second=20, too_fast_seconds=2)
    with steady(server):
        assert bursts(server, pause=1.5)
        assert not bursts(server, pause=0)


def test_too_fast_may_be_switched_off(serve):
    server = serve(max_messages_per_second=20, too_fast_seconds=0)
    with steady(server):
        assert bursts(server, pause=0)


def test_pauses_between_long_messages_are_not_too_fast(serve):
    """Each is far larger than a second's refill, and costs the whole burst."""
    rate = {"max_bytes_per_second": 20000, "too_fast_seconds": 2}
    server = serve(max_message_bytes=100000, **rate)
    with steady(server), Raw(server) as ana:
        ana.join("ana")
        for _ in range(3):
            long = {"msgType": "Broadcast", "text": "x" * 85000}
            ana.send_text(json.dumps(long))
            message = ana.message()
            assert message["msgType"] == "Broadcast", message
            time.sleep(3)  # a pause


def test_a_bucket_of_rate_0_is_full(serve):
    """A deficit from before a reload does not count against a member over another rate later."""
    server = serve(max_messages_per_second=20, max_bytes_per_second=4000, too_fast_seconds=2)
    with steady(server), Raw(server) as ana:
        ana.join("ana")
        ana.send(b"".join(frame(PONG, b"x" * 100) for _ in range(38)))
        ana.send_text(json.dumps({"msgType": "Broadcast", "text": "x" * 15000}))  # now it has a deficit
        reload(server, max_bytes_per_second=0)
        for _ in range(2):
            time.sleep(5)  # a pause
            ana.send(b"".join(frame(PONG, b"") for _ in range(50)))
            ana.send_text('{"msgType":"Broadcast","text":"here I am again"}')
            while (message := ana.message()).get("text") != "here I am again":
                assert message["msgType"] != "Error", message


def test_a_longer_message_closes_no_member_from_before(serve):
    """The current settings bound its queue."""
    server = serve(max_message_bytes=256)
    with steady(server), Raw(server) as bob:
        bob.join("bob")
        reload(server, max_message_bytes=65536)
        with Raw(server) as ana:
            ana.join("ana")
            private = {"msgType": "PrivateMessage", "TgtUser": "bob", "text": "x" * 30000}
            for number in range(2):
                ana.send_text(json.dumps({**private, "Ref": number}))
                message = ana.message()
                assert (message["msgType"], message["Ref"]) == ("Delivered", number)


# ---- Wrong passwords -----------------------------------------------------------------------------

FAILURES = 5  # server/limits/login_throttle.h: in a minute
ELSEWHERE = {"local_addr": ("127.0.0.2", 0)}


def test_five_wrong_passwords_and_the_address_is_refused(serve, tls):
    """Even with the right one, in both ways; others can join, and members stay."""
    server = serve(SSL=tls)

    @scenario
    async def talk():
        ana = await join(server, "ana")
        await guess_wrong(server, FAILURES)
        for password in ("not-the-password", PASSWORD):
            peer = await greeted(server)
            await peer.send("Join", Name="bob", Password=password)
            error = await peer.error("throttled")
            seconds = int(re.search(r"in (\d+) seconds", error["text"])[1])
            assert 15 - 5 * SCALE <= seconds <= 15 and error["RetryAfter"] == seconds
            assert (await peer.closed())[0] == 1008
        original = await Peer.open(server, protocols=())
        await original.send_text(PASSWORD)
        await original.error("throttled")
        assert (await original.closed())[0] == 1008
        assert await guess(server, PASSWORD, **ELSEWHERE) is None
        await ana.send("Broadcast", text="nothing happened to me")
        while (await ana.next()).get("text") != "nothing happened to me":
            pass

    with steady(server):
        talk()


def test_right_passwords_are_not_counted_and_clear_nothing(serve):
    server = serve()

    @scenario
    async def talk():
        for _ in range(FAILURES):
            assert await guess(server, PASSWORD) is None
            await guess_wrong(server, 1)
        assert (await guess(server, PASSWORD))["Code"] == "throttled"

    with steady(server):
        talk()


def test_guesses_at_once_are_counted_one_by_one(serve):
    """Of 40 simultaneous attempts only five are checked."""
    server = serve()

    @scenario
    async def talk():
        answers = await asyncio.gather(*(guess(server, f"at-once-{n:02}") for n in range(40)))
        codes = [message["Code"] for message in answers]
        assert sorted(codes) == ["throttled"] * 35 + ["wrong_password"] * FAILURES

    with steady(server):
        talk()


def test_an_exempt_address_may_guess(serve):
    server = serve(exempt_loopback=True)

    @scenario
    async def talk():
        await guess_wrong(server, 3 * FAILURES)
        assert await guess(server, PASSWORD) is None

    with steady(server):
        talk()


@pytest.mark.parametrize("forwarded", [None, "unknown"])
def test_a_proxy_that_names_nobody_may_not_guess(serve, forwarded):
    """The proxy counts as itself, and the log warns its operator, once a minute."""
    server = serve(trusted_proxies=["127.0.0.1"])
    fields = {"extra_headers": {"X-Forwarded-For": forwarded} if forwarded else {}}

    @scenario
    async def talk():
        await guess_wrong(server, FAILURES, **fields)
        assert (await guess(server, PASSWORD, **fields))["Code"] == "throttled"

    with steady(server):
        talk()
    assert server.log().count(" proxy_names_nobody address=127.0.0.1 ") == 1


def test_a_password_is_wrong_whatever_its_length(serve):
    """The server compares digests, so the length does not matter."""
    server = serve(exempt_loopback=True)

    @scenario
    async def talk():
        for wrong in ("", PASSWORD[:-1], PASSWORD + "x", PASSWORD[:-1] + "x", "x" * 2000):
            assert (await guess(server, wrong))["Code"] == "wrong_password"
        assert await guess(server, PASSWORD) is None

    with steady(server):
        talk()


def test_a_guesser_does_not_lock_out_the_members_of_its_address(serve, tls):
    """A former member returns at once with its key; a newcomer waits."""
    server = serve(SSL=tls)
    ana, again = Person("ana"), 3

    @scenario
    async def talk():
        assert await guess_as(server, ana) is None
        await guess_wrong(server, FAILURES)
        for number in range(FAILURES):
            assert (await guess(server, f"more-guesses-{number}"))["Code"] == "throttled"
        for _ in range(again):
            assert await guess_as(server, ana.again()) is None
        for newcomer in (Person("ana"), Person("bob"), Person("ana", "tea", ana.identity)):
            error = await guess_as(server, newcomer)
            assert error["Code"] == "throttled" and 1 <= error["RetryAfter"] <= 15
        assert (await guess(server, PASSWORD))["Code"] == "throttled"
        assert await guess(server, PASSWORD, **ELSEWHERE) is None

    with steady(server):
        talk()


def test_a_key_that_is_only_claimed_is_no_members(serve):
    """Without a proof, or with one for another nonce, room or origin, the address counts."""
    server = serve(allowed_origins=["https://chat.example.org"])
    ana = Person("ana")

    async def claims(**wrong):
        peer = await greeted(server)
        fields = wrong or {}
        await try_join(peer, ana, **fields)
        return (await peer.message()).get("Code")

    @scenario
    async def talk():
        assert await guess_as(server, ana) is None
        await guess_wrong(server, FAILURES)
        other = Person("ana", "tea", ana.identity, ana.session, origin=ana.origin)
        for wrong in (
            {"Proof": "0" * 128},
            {"Proof": ana.prove("00" * 32)},
            {"KeyOrigin": "https://chat.example.org"},
            {"Proof": None},
            {"SessionKey": Person("x").session_key},
            other.keys(),
            {"Name": "Ana"},
            {"Name": " ana"},
            {"Name": 5},
        ):
            assert await claims(**wrong) == "throttled", wrong
        peer = await greeted(server)
        peer.origin = "https://strange.example"
        await try_join(peer, ana)
        await peer.error("throttled")
        assert await guess_as(server, ana) is None

    with steady(server):
        talk()


def test_a_member_who_guesses_is_throttled_alone(serve):
    """A key is limited like an address, wherever it comes from; the address is not charged."""
    server = serve()
    ana, bob = Person("ana"), Person("bob")

    @scenario
    async def talk():
        for person in (ana, bob):
            assert await guess_as(server, person) is None
        for number in range(FAILURES):
            error = await guess_as(server, ana, f"not-the-password-{number}")
            assert error["Code"] == "wrong_password"
        for options in ({}, ELSEWHERE):
            error = await guess_as(server, ana.again(), **options)
            assert error["Code"] == "throttled" and 1 <= error["RetryAfter"] <= 15
            assert "from you:" in error["text"]
        assert await guess_as(server, bob) is None
        assert await guess(server, PASSWORD) is None

    with steady(server):
        talk()


def test_a_new_password_makes_everybody_new(serve):
    """Otherwise those who knew the old one could guess the new one faster than an address can."""
    server = serve()
    people = [Person(f"member {number}") for number in range(3)]

    @scenario
    async def talk():
        for person in people:
            assert await guess_as(server, person) is None
        settings = json.loads(server.config.read_text())
        server.keep_secret("a new password")
        server.config.write_text(json.dumps({**settings, "server_password": "a new password"}))
        server.signal(signal.SIGHUP)
        wait_until(lambda: " reloaded" in server.log(), "the new password")
        codes = []
        for number in range(6):
            codes.append((await guess_as(server, people[number % 3], f"guess-{number}"))["Code"])
        assert codes == ["wrong_password"] * FAILURES + ["throttled"]
        assert (await guess_as(server, people[0], "a new password"))["Code"] == "throttled"
        assert await guess_as(server, people[0], "a new password", **ELSEWHERE) is None
        assert await guess_as(server, people[0], "a new password") is None

    with steady(server):
        talk()


def test_a_public_server_makes_nobody_known(serve):
    """There was no password to know before."""
    server = serve(server_password="")
    ana = Person("ana")

    @scenario
    async def talk():
        assert await guess_as(server, ana) is None
        settings = json.loads(server.config.read_text())
        server.config.write_text(json.dumps({**settings, "server_password": PASSWORD}))
        server.signal(signal.SIGHUP)
        wait_until(lambda: " reloaded" in server.log(), "the new password")
        await guess_wrong(server, FAILURES)
        assert (await guess_as(server, ana))["Code"] == "throttled"

    with steady(server):
        talk()


FILTER = ROOT / "contrib" / "fail2ban" / "filter.d" / "ragnarok.conf"
FAIL2BAN = shutil.which("fail2ban-regex", path=f"{UNPACKED}/bin:{os.environ['PATH']}")
PRETENCE = "warn wrong_password address=192.0.2.66 client=7"


def banned(log):
    """The addresses that the filter matches in a log, in order."""
    done = subprocess.run(
        [FAIL2BAN, "--out", "ip", str(log), str(FILTER)],
        env={**os.environ, "PYTHONPATH": f"{UNPACKED}/lib/python3/dist-packages"},
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.plain_run("the log is the same under a sanitizer, and fail2ban takes long")
@pytest.mark.skipif(not FAIL2BAN, reason="needs fail2ban")
def test_fail2ban_finds_only_addresses_that_guess(serve, tmp_path):
    """No name or room makes a line that the filter takes for another's wrong password."""
    server = serve(log_addresses=True)

    @scenario
    async def talk():
        await guess_wrong(server, 2, **ELSEWHERE)
        room = urllib.parse.quote(PRETENCE[:32])
        await (await join(server, f"x\\ {PRETENCE}"[:32], f"/rooms/{room}")).close()
        await guess(server, PRETENCE, local_addr=("127.0.0.4", 0))

    with steady(server):
        talk()
    found = ["127.0.0.2", "127.0.0.2", "127.0.0.4"]
    assert banned(server.folder / "stderr") == found
    journal = tmp_path / "journal"
    lines = server.log().splitlines() + [f"2026-01-31T12:00:00.000Z info left why={PRETENCE}"]
    journal.write_text("".join(f"{line[:24]} host ragnarok[42]: {line}\n" for line in lines))
    assert banned(journal) == found
    journal.write_text("".join(f"{line[:24]} host ragnarok[42]: {line[25:]}\n" for line in lines))
    assert banned(journal) == found


def test_only_the_service_can_have_an_address_banned():
    """A match has no alternatives that others can forge: any user can name a program ragnarok."""
    matches = re.findall(r"^journalmatch *= *(.*)$", FILTER.read_text(), re.MULTILINE)
    assert matches == ["_SYSTEMD_UNIT=ragnarok.service"]


def test_addresses_are_logged_only_if_the_owner_wants_it(serve):
    for wanted, address in ((False, "-"), (True, "127.0.0.2")):
        server = serve(log_addresses=wanted)

        @scenario
        async def talk():
            await guess_wrong(server, 1, **ELSEWHERE)

        with steady(server):
            talk()
        assert re.search(rf" warn wrong_password address={address} client=\d+$", server.log(), re.M)
        assert wanted == ("127.0.0.2" in server.log())
