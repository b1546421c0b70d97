# SPDX-License-Identifier: MIT
"""A few hostile addresses cannot affect other users.

The hostile clients use their own loopback addresses (127.0.x.y) in separate blocks; nobody is exempt
from limits. The other users are 100 ms away.
"""
import asyncio
import contextlib
import re
import socket

import pytest

from e2e_reference import Person
from flood import ASK, Flood
from guesses import guess, guess_as, guess_wrong
from helpers import (
    PASSWORD,
    PATIENCE,
    SCALE,
    Peer,
    descriptors_of,
    request,
    scenario,
    steady,
    wait_until,
)
from hostile_clients import FOUR, come_from_afar
from page_files import page_files

# ---- A client that is far away -------------------------------------------------------------------


@pytest.mark.xdist_group("alone")
@pytest.mark.parametrize("kind", ["silent", "ask"])
def test_four_addresses_keep_nobody_out(serve, tls, kind):
    """2,000 connections a second from four addresses; a distant user joins 20 times of 20."""
    server = serve(SSL=tls)

    @scenario
    async def talk():
        failures = []
        for wave in range(0, 20, 5):
            people = (come_from_afar(server, wave + number) for number in range(5))
            failures += await asyncio.gather(*people, return_exceptions=True)
        assert failures == [None] * 20

    with steady(server):
        before = descriptors_of(server.pid)
        with Flood(server, 2000, kind, *FOUR):
            wait_until(lambda: descriptors_of(server.pid) > before + 100 / SCALE, "a flood")
            talk()


# ---- A class behind one address ------------------------------------------------------------------

CLASS, FILES = 30, ["/", *("/" + name for name in page_files() if not name.endswith(".html"))] * 3
AT_ONCE = 90  # connections in total, also on a slow machine


async def fetch(server, path):
    """The status that a browser gets for a file of the page."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1",
        server.port,
        ssl=server.tls_context(),
        server_hostname="127.0.0.1" if server.tls else None,
        local_addr=("127.0.1.1", 0),
    )
    writer.write(request(path, {"Host": "127.0.0.1", "Connection": "close"}))
    status = int((await reader.read()).split()[1])
    writer.close()
    return status


async def attend(server, number, places):
    """Opens the page within two seconds, as a browser does, and joins."""

    async def get(path):
        async with places:
            return await fetch(server, path)

    await asyncio.sleep(2 * number / CLASS)  # models human pace, not a wait for a condition
    assert await asyncio.gather(*map(get, FILES)) == [200] * len(FILES)
    peer = await Peer.open(server, local_addr=("127.0.1.1", 0))
    await peer.next()
    joined = await peer.ask("Join", Name=f"pupil-{number}", Password=PASSWORD)
    assert joined["msgType"] == "Joined"


def test_a_class_behind_one_address_notices_no_limit(serve, tls):
    """30 people click one link: 390 connections in two seconds, and all are served."""
    server = serve(SSL=tls)

    @scenario
    async def talk():
        places = asyncio.Semaphore(AT_ONCE - CLASS)
        await asyncio.gather(*(attend(server, number, places) for number in range(CLASS)))

    with steady(server):
        talk()


# ---- Guessing the password -----------------------------------------------------------------------

BLOCK = 20  # server/limits/login_throttle.h: wrong passwords of an IPv4 /24 in a minute
CROWD = 60  # more concurrent guesses than the global bucket has tokens for a second


def test_a_block_that_guesses_is_refused_as_one(serve, tls):
    """Four from each of five addresses; then their whole /24 is refused, and no other."""
    server = serve(SSL=tls)

    @scenario
    async def talk():
        for host in range(BLOCK // 4):
            assert await guess(server, PASSWORD, local_addr=("127.0.5.250", 0)) is None
            await guess_wrong(server, 4, local_addr=(f"127.0.5.{10 + host}", 0))
        error = await guess(server, PASSWORD, local_addr=("127.0.5.250", 0))
        assert error["Code"] == "throttled"
        assert await guess(server, PASSWORD, local_addr=("127.0.6.250", 0)) is None

    with steady(server):
        talk()


async def guess_on(server, number):
    """Guesses from a new block each time, until stopped."""
    for block in range(256):
        peer = await Peer.open(server, protocols=(), local_addr=(f"127.{1 + number}.{block}.1", 0))
        await peer.send_text(f"wrong-{number}-{block}")
        await peer.error("wrong_password")
        peer.socket.transport.abort()
        Peer.opened.remove(peer)


@pytest.mark.xdist_group("alone")
def test_many_guessing_addresses_refuse_nobody(serve):
    """Guesses from more blocks than the global bucket has tokens: a newcomer waits a little and joins,
    and a former member does not wait."""
    server = serve()

    @scenario
    async def talk():
        ana = Person("ana")
        assert await guess_as(server, ana) is None
        crowd = [asyncio.create_task(guess_on(server, number)) for number in range(CROWD)]
        while " warn guessing " not in server.log():
            await asyncio.sleep(0.02)
        sources = ((f"127.0.{host}.9", 0) for host in range(5))
        new = (guess(server, PASSWORD, local_addr=source) for source in sources)
        assert await asyncio.gather(*new) == [None] * 5
        assert await guess_as(server, ana.again()) is None
        for task in crowd:
            task.cancel()
        await asyncio.gather(*crowd, return_exceptions=True)

    with steady(server):
        talk()
    assert server.log().count(" warn guessing ") == 1


# ---- What is said of them ------------------------------------------------------------------------

KNOCKERS = 200


def test_a_flood_from_one_address_hears_429(serve):
    """All at the same time; over plain TCP, where refusing needs no thread."""
    server = serve(max_clients_per_address=2)
    with steady(server), contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(KNOCKERS):
            line = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            line.settimeout(PATIENCE)
            crowd.append(line)
        for line in crowd:
            with contextlib.suppress(OSError):
                line.sendall(ASK)
        answers = [line.recv(1000)[:12] for line in crowd]
        assert answers.count(b"HTTP/1.1 429") == KNOCKERS, answers


def test_those_turned_away_are_counted_once_a_second(serve):
    server = serve(max_clients_per_address=2)
    with steady(server), contextlib.ExitStack() as stack:
        for _ in range(KNOCKERS):
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        expected = KNOCKERS - 32  # server/registry.h: slots for refusals
        wait_until(lambda: turned_away(server) == expected, f"{expected} that were counted")
    seconds = re.findall(r"^(\S{19})\S* warn turned_away ", server.log(), re.M)
    assert len(seconds) <= 2 * len(set(seconds))


def turned_away(server):
    return sum(map(int, re.findall(r" warn turned_away count=(\d+) ", server.log())))


def test_a_knocking_stranger_crowds_out_no_wrong_password(serve):
    """fail2ban reads those lines: each of them is there."""
    server = serve(log_addresses=True, max_clients_per_address=20)

    @scenario
    async def talk():
        for host in (2, 3, 4):
            await guess_wrong(server, 4, local_addr=(f"127.0.{host}.9", 0))

    with steady(server), Flood(server, 1000, "silent", "127.0.1.1"):
        wait_until(lambda: turned_away(server) > 0, "a stranger who is turned away")
        talk()
    assert len(re.findall(r" warn wrong_password address=127.0.\d.9 ", server.log())) == 12
