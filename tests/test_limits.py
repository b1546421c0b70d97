# SPDX-License-Identifier: MIT
"""How many may come, how fast they may talk, and how often they may guess the password.

Limits of time are in test_slow.py. After every case `steady` looks whether the others noticed.
"""
import asyncio
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import time
import urllib.parse

import pytest

from helpers import (
    CLOSE,
    PASSWORD,
    PONG,
    ROOT,
    SCALE,
    TEXT,
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
    wait_until,
)

# ---- Places --------------------------------------------------------------------------------------

NEWCOMERS = 16  # register.h: a quarter of max_clients, but at least so many


def come_in(raw, name):
    """Joins with a socket that has become a WebSocket already."""
    raw.send_text(json.dumps({"msgType": "Join", "Password": PASSWORD, "Name": name}))
    assert raw.message()["msgType"] == "Joined"


def test_the_oldest_that_has_not_joined_gives_way(serve, tls):
    """It is told 1013; all the others keep their places, and those who joined are not counted."""
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


def test_who_gives_way_before_its_request_is_cut(serve, tls):
    server = serve(SSL=tls, max_clients=40)
    with steady(server), contextlib.ExitStack() as stack:
        silent = [stack.enter_context(Raw(server, tls=False)) for _ in range(NEWCOMERS + 1)]
        assert silent[0].ended()
        assert not any(raw.readable(0) for raw in silent[1:])


def come_and_go(server):
    """Under a name of one's own: that of the one before may not be free yet."""
    with Raw(server) as good:
        good.join(f"good {time.monotonic_ns()}")


def test_strangers_who_say_nothing_keep_nobody_out(serve, tls):
    """Five times their share of the places, and those who mean it come in within a second."""
    server = serve(SSL=tls, max_clients=100)
    with steady(server), contextlib.ExitStack() as stack:
        for _ in range(5):
            for _ in range(25):
                stack.enter_context(Raw(server, tls=False))
            assert in_time(lambda: come_and_go(server))


ASKED = {"page": request("/app.js", {"Host": "127.0.0.1"}), "refusal": b"NONSENSE\r\n\r\n"}


@pytest.mark.parametrize("ask", ASKED.values(), ids=ASKED)
def test_strangers_who_take_no_answer_keep_nobody_out(serve, tls, ask):
    """They read nothing, or do not hang up after it: their places are needed before their time is up."""
    server = serve(SSL=tls, max_clients=100)
    with steady(server), contextlib.ExitStack() as stack:
        for _ in range(3):
            for _ in range(25):
                raw = stack.enter_context(Raw(server, receive_buffer=2048))
                raw.send(ask)
            assert in_time(lambda: come_and_go(server))


def answer(server, address="127.0.0.1"):
    """The status that one more is answered with who comes from that address."""
    with socket.socket() as client:
        client.bind((address, 0))
        client.connect(("127.0.0.1", server.port))
        client.settimeout(10 * SCALE)
        client.sendall(request("/", UPGRADE))
        return int(client.recv(64).split()[1])


def member_if_free(server):
    """One more who joins, or None if there is no place."""
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
    """Two places are the canaries'."""
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


# ---- Too fast ------------------------------------------------------------------------------------


def test_over_the_rate_for_too_long_is_1008(serve, tls):
    """At first it is not read; after two seconds without a break it is told why, and ended."""
    server = serve(SSL=tls, max_messages_per_second=20, too_fast_seconds=2)

    @scenario
    async def talk():
        ana, bob = await join(server, "ana"), await join(server, "bob")
        await ana.presence("ana", "bob")
        begin = time.monotonic()
        for _ in range(200):
            await ana.socket.pong()  # nobody asked for it; it counts, and is not answered
        await ana.error("too_fast")
        assert (await ana.closed())[0] == 1008
        assert 2 < time.monotonic() - begin < 3 + 3 * SCALE
        await bob.presence("bob")
        await bob.nothing_more()

    with steady(server):
        talk()
    assert "too fast" in server.log()


def bursts(server, pause):
    """Three bursts, each a second over the rate of 20; true if the sender is still connected."""
    with Raw(server) as ana:
        ana.join(f"ana {time.monotonic_ns()}")  # the one before may not have quite gone
        for _ in range(3):
            ana.send(b"".join(frame(PONG, b"") for _ in range(59)))
            ana.send(frame(TEXT, b'{"msgType":"Broadcast","text":"all that was mine"}'))
            message = ana.message()
            if message.get("Code") == "too_fast":
                return False
            assert message["text"] == "all that was mine"
            time.sleep(pause)
        return True


def test_who_pauses_in_between_is_not_too_fast(serve):
    server = serve(max_messages_per_second=20, too_fast_seconds=2)
    with steady(server):
        assert bursts(server, pause=1.5)
        assert not bursts(server, pause=0)


def test_too_fast_may_be_switched_off(serve):
    server = serve(max_messages_per_second=20, too_fast_seconds=0)
    with steady(server):
        assert bursts(server, pause=0)


# ---- Wrong passwords -----------------------------------------------------------------------------

FAILURES = 5  # guard.h: in a minute
ELSEWHERE = {"local_addr": ("127.0.0.2", 0)}


async def guess(server, password, **options):
    """One try on a connection of its own; the Error, or None who came in."""
    peer = await Peer.open(server, **options)
    await peer.next()
    await peer.send("Join", Name=f"guess {time.monotonic_ns()}", Password=password)
    message = await peer.message()
    if message["msgType"] == "Joined":
        await peer.close()
        return None
    return message


async def guess_wrong(server, times, **options):
    for number in range(times):
        message = await guess(server, f"not-the-password-{number}", **options)
        assert message["Code"] == "wrong_password", message


def test_five_wrong_passwords_and_the_address_is_refused(serve, tls):
    """Also with the right one, in both ways in; others come in, and who is in stays."""
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
            assert 15 - 5 * SCALE <= seconds <= 15
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
    """Of 40 at the same time five are looked at, and no more."""
    server = serve()

    @scenario
    async def talk():
        answers = await asyncio.gather(*(guess(server, f"at-once-{n:02}") for n in range(40)))
        codes = [message["Code"] for message in answers]
        assert sorted(codes) == ["throttled"] * 35 + ["wrong_password"] * FAILURES

    with steady(server):
        talk()


def test_who_is_exempt_may_guess(serve):
    server = serve(exempt_loopback=True)

    @scenario
    async def talk():
        await guess_wrong(server, 3 * FAILURES)
        assert await guess(server, PASSWORD) is None

    with steady(server):
        talk()


FILTER = ROOT / "contrib" / "fail2ban" / "filter.d" / "ragnarok.conf"
UNPACKED = ROOT / "build" / "fail2ban" / "usr"  # by tools/deps
FAIL2BAN = shutil.which("fail2ban-regex", path=f"{UNPACKED}/bin:{os.environ['PATH']}")
PRETENCE = "warn wrong_password address=192.0.2.66 client=7"


def banned(log):
    """The addresses that the filter finds in a log, in order."""
    done = subprocess.run(
        [FAIL2BAN, "--out", "ip", str(log), str(FILTER)],
        env={**os.environ, "PYTHONPATH": f"{UNPACKED}/lib/python3/dist-packages"},
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(not FAIL2BAN, reason="needs fail2ban")
def test_fail2ban_finds_who_guesses_and_nobody_else(serve, tmp_path):
    """Neither a name nor a room makes a line that it takes for a wrong password of another."""
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
