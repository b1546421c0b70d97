# SPDX-License-Identifier: MIT
"""Fairness: the resources that one member, or one address, can take from the others."""
import asyncio
import json
import time

import pytest

from browser_user import PLAIN_RUN
from crowd import Crowd
from helpers import PASSWORD, SCALE, Peer, Raw, join, scenario, steady
from hostile_clients import LONG, PRESENCE_BURST, PRESENCE_RATE, bytes_out, victims

# ---- Lists of who is online ----------------------------------------------------------------------

async def come_in(server, name, address, **options):
    peer = await Peer.open(server, local_addr=(address, 0), **options)
    await peer.next()
    joined = await peer.ask("Join", Name=name, Password=PASSWORD)
    assert joined["msgType"] == "Joined", joined
    return peer


async def fill(server, count):
    """A room of `count` members with long names, from two addresses."""
    return [
        await come_in(server, f"{LONG}-{number:03}", f"127.0.2.{1 + number % 2}")
        for number in range(count)
    ]


def all_are_told(server):
    """Waits until the joins of a crowd were told to all."""
    with Raw(server, address="127.0.4.1") as ana, Raw(server, address="127.0.4.1") as bob:
        ana.join("ana")
        bob.join("bob")
        while b'"bob"' not in ana.next_frame()[1]:
            pass


def list_of(count):
    """At most so many bytes of names, written as UTF-8."""
    return count * (len(LONG.encode()) + 8)


def test_one_reconnecting_member_costs_a_kilobyte_a_second(serve):
    """To each other member, beyond the burst; and its own lists."""
    server = serve()
    members, times = 100, 40

    @scenario
    async def talk():
        ana, *_ = await fill(server, members)
        while len(ana.users or ()) < members:  # the joins were told
            await ana.next()
        before, begin = bytes_out(server), asyncio.get_running_loop().time()
        for number in range(times):
            await (await come_in(server, f"flapper-{number}", "127.0.3.1")).close()
        elapsed = asyncio.get_running_loop().time() - begin
        sent = bytes_out(server) - before
        others = members * (PRESENCE_RATE * elapsed + PRESENCE_BURST)
        assert sent < others + times * (list_of(members) + 1000), (sent, elapsed)

    with steady(server):
        talk()


def test_a_reconnect_within_the_interval_costs_no_list(serve):
    """Only the changes do."""
    server = serve()

    @scenario
    async def talk():
        members = await fill(server, 100)
        ana, bob = members[0], members[1]
        names = [f"{LONG}-{number:03}" for number in range(100)]
        while ana.users != names:
            await ana.next()
        await bob.close()
        await come_in(server, names[1], "127.0.2.2")
        await come_in(server, "zoe", "127.0.2.2")
        changes = []
        while ana.users != ["zoe", *names]:
            changes.append(await ana.next())
        assert {change["msgType"] for change in changes} == {"Presence"}
        assert changes[-1]["Count"] == 101 and len(changes) <= 3

    with steady(server):
        talk()


def test_a_change_after_a_quiet_time_is_seen_at_once(serve):
    """However many names were told before: the budget has paid for them."""
    server, names = serve(), [f"{LONG}-{number:03}" for number in range(100)]

    @scenario
    async def talk():
        ana, *_ = await fill(server, len(names))

        async def see(users):
            while ana.users != users:
                await ana.next()

        async def change():
            """The time until a join is seen by the others; the member then leaves again."""
            await asyncio.sleep(2)  # seconds of silence: no change costs more
            begin = asyncio.get_running_loop().time()
            zoe = await come_in(server, "zoe", "127.0.2.2")
            await see(["zoe", *names])
            took = asyncio.get_running_loop().time() - begin
            await zoe.close()
            await see(names)
            return took

        await see(names)
        assert min([await change(), await change()]) < 0.5 * SCALE

    with steady(server):
        talk()


@PLAIN_RUN
@pytest.mark.xdist_group("alone")
def test_flapping_members_of_one_address_among_600(serve):
    """All have long names. A kilobyte a second to each, in addition to the burst, and their own lists."""
    server, members, seconds = serve(), 600, 10
    crowd = [f"127.0.{block}.2" for block in range(10, 16)]
    with steady(server), Crowd(server, members, LONG, "listen", *crowd) as listening:
        all_are_told(server)
        with Crowd(server, 8, "flapper", "flap", "127.0.3.1") as flapping:
            before, begin = bytes_out(server), time.monotonic()
            time.sleep(seconds)  # seconds of joining and leaving
            sent, elapsed = bytes_out(server) - before, time.monotonic() - begin
    others = (members + 8) * (PRESENCE_RATE * elapsed + PRESENCE_BURST)
    joins = (flapping.report["came"] + 8) * (list_of(members + 8) + 1000)
    assert sent < others + joins, (sent, elapsed)
    assert flapping.report["came"] > seconds and listening.report["closed"] == 0


def test_joins_of_one_address_wait_and_those_of_others_do_not(serve):
    """Four classes at once, then two a second; a join that would wait for five seconds gets 1013."""
    server = serve()

    async def hurry(number):
        """The code that the server closes with at once, or None if it does not."""
        peer = await Peer.open(server, local_addr=("127.0.3.1", 0))
        try:
            await peer.next()
            await peer.ask("Join", Name=f"hasty-{number}", Password=PASSWORD)
            await peer.close()
        except Exception:  # websockets has an exception for each kind of close
            return peer.socket.close_code
        return None

    @scenario
    async def talk():
        codes = []
        while 1013 not in codes and len(codes) < 400:
            codes += await asyncio.gather(*(hurry(len(codes) + n) for n in range(20)))
        assert codes.index(1013) >= 120 and set(codes) == {None, 1013}
        await come_in(server, "patient", "127.0.9.1")

    with steady(server):
        talk()


# ---- Rates of one address ------------------------------------------------------------------------

SECONDS = 8
BLOCKS = [f"127.0.{block}.1" for block in range(3, 7)]


@pytest.mark.xdist_group("alone")
@pytest.mark.parametrize("addresses", [BLOCKS[:1], BLOCKS], ids=["one", "four"])
def test_members_at_full_rate_close_no_member_of_another_address(serve, addresses):
    """99 members of one address, or 25 of each of four, send at full rate; the others read at 0.3 MB/s
    or more and get everything, at the room's rate. No sender is closed either: they are delayed."""
    server = serve(too_fast_seconds=0)
    with steady(server), victims(server) as got:
        with Crowd(server, 99, "loud", "talk", *addresses) as crowd:
            time.sleep(SECONDS)  # seconds of sending
    assert None not in got and " too_slow " not in server.log(), (got, server.log())
    assert crowd.report["closed"] == 0
    assert min(got) > 200_000 * SECONDS / (1 + SCALE), got


def test_a_member_below_its_share_is_not_delayed_by_others(serve):
    """75 members of three addresses send at full rate; a member elsewhere is echoed at once."""
    server = serve(too_fast_seconds=0)

    @scenario
    async def talk():
        bob = await come_in(server, "bob", "127.0.9.1")
        times = []
        for number in range(20):
            begin = asyncio.get_running_loop().time()
            await bob.send("Broadcast", text=f"word {number}")
            while (await bob.message()).get("text") != f"word {number}":
                pass
            times.append(asyncio.get_running_loop().time() - begin)
        assert sorted(times)[10] < 0.3 * SCALE, times

    with steady(server), Crowd(server, 75, "loud", "talk", *BLOCKS[:3]):
        talk()


def test_what_waits_for_its_share_is_heard_in_order(serve):
    """Members of three addresses send four times the room's burst."""
    server, count = serve(too_fast_seconds=0), 100

    @scenario
    async def talk():
        loud = [await come_in(server, f"loud-{block}", f"127.0.{block}.1") for block in (3, 4, 5)]
        bob = await come_in(server, "bob", "127.0.9.1")

        async def say_all(peer):
            for number in range(count):
                await peer.send("Broadcast", text="x" * 4000, Number=number)

        saying = [asyncio.create_task(say_all(peer)) for peer in loud]
        heard = [await bob.message() for _ in range(3 * count)]
        for block in (3, 4, 5):
            numbers = [m["Number"] for m in heard if m["SrcUser"] == f"loud-{block}"]
            assert numbers == list(range(count))
        await asyncio.gather(*saying)

    with steady(server):
        talk()


def test_a_class_that_talks_behind_one_address_notices_no_limit(serve):
    """30 people send three messages each at the same moment, one of them of 1,000 letters: all are
    delivered within a second."""
    server = serve()

    @scenario
    async def talk():
        pupils = [await come_in(server, f"pupil-{number}", "127.0.3.1") for number in range(30)]
        outside = await join(server, "teacher")

        async def write(pupil):
            for text in ("hi", "x" * 1000, "bye"):
                await pupil.send("Broadcast", text=text)

        async def burst():
            begin = asyncio.get_running_loop().time()
            await asyncio.gather(*map(write, pupils))
            assert all(m["msgType"] == "Broadcast" for m in await outside.messages(90))
            return asyncio.get_running_loop().time() - begin

        assert min([await burst(), await burst(), await burst()]) < SCALE

    with steady(server):
        talk()


# ---- Private messages ----------------------------------------------------------------------------


def test_a_private_flood_is_its_senders_matter(serve):
    """A member that does not read stays; each message to it is answered, and when it reads again it
    gets the delivered ones in order."""
    server, text, count = serve(max_messages_per_second=0, max_bytes_per_second=0), "y" * 30000, 400
    with steady(server), Raw(server, receive_buffer=4096) as bob, Raw(server) as ana:
        bob.join("bob")
        ana.join("ana")
        delivered = []
        for number in range(count):
            private = {"msgType": "PrivateMessage", "TgtUser": "bob", "Ref": number, "text": text}
            ana.send_text(json.dumps(private))
            answer = ana.message()
            assert answer["Ref"] == number
            if answer["msgType"] == "Delivered":
                delivered.append(number)
            else:
                assert (answer["Code"], answer["TgtUser"]) == ("receiver_busy", "bob")
        assert 0 < len(delivered) < count
        heard = []
        while len(heard) < len(delivered):
            message = bob.message()
            if message["msgType"] == "PrivateMessage":
                heard.append(message["Ref"])
        assert heard == delivered
