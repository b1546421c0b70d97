# SPDX-License-Identifier: MIT
"""Three nodes on which a crowd talks while the engine or nodes fail: all members hear one order, each text
once, and nobody's return has a gap. `make cluster-faults` runs this with larger numbers.

CLUSTER_SENDERS, CLUSTER_RECEIVERS   members
CLUSTER_MESSAGES   of each sender, in each test or between two failures
CLUSTER_KILLS      how often the engine is killed
CLUSTER_STOP       seconds for which the engine is stopped"""
import asyncio
import os
import signal

import pytest

from cluster import metric
from cluster_crowd import Crowd
from helpers import SCALE, scenario, wait_until


def count(name, usual):
    return int(os.environ.get(f"CLUSTER_{name}", max(1, int(usual / SCALE))))


SENDERS, RECEIVERS, MESSAGES = count("SENDERS", 6), count("RECEIVERS", 24), count("MESSAGES", 40)
KILLS, STOP = count("KILLS", 4), float(os.environ.get("CLUSTER_STOP", "1"))
LEASE, MEBIBYTE = 3, 1 << 20


async def crowded(cluster, nodes=3, **changes):
    both = cluster(max_clients=2000, room_buffer_bytes=8 * MEBIBYTE, **changes)
    started = [await asyncio.to_thread(both.node) for _ in range(nodes)]
    return both, Crowd([node.port for node in started], SENDERS, RECEIVERS)


def total(both, name):
    return sum(metric(node, name) for node in both.nodes if node.process.poll() is None)


def nothing_lost_its_seat(both):
    assert total(both, "fenced_total") + total(both, "rollbacks_total") == 0


@scenario
async def test_one_hash_of_what_all_hear(cluster):
    both, crowd = await crowded(cluster)
    async with crowd:
        crowd.allow(MESSAGES)
        await crowd.all_heard()
    digest = crowd.check()
    assert not crowd.returned
    print(f"{SENDERS} senders, {RECEIVERS} receivers, {len(crowd.members) * SENDERS * MESSAGES} heard, all {digest}")


@scenario
async def test_killed_engines_under_load(cluster):
    both, crowd = await crowded(cluster)
    async with crowd:
        for _ in range(KILLS):
            await crowd.under_way(MESSAGES // 2 + 1)
            await asyncio.to_thread(both.engine.restart)
            await crowd.all_heard()
        await asyncio.to_thread(nothing_lost_its_seat, both)
        crowd.check()
        assert not crowd.returned
    print(f"{KILLS} kills of the engine, {SENDERS * crowd.allowed} said, none lost or doubled")


@scenario
async def test_a_stopped_engine_under_load(cluster):
    both, crowd = await crowded(cluster)
    async with crowd:
        await crowd.under_way(MESSAGES)
        both.engine.pause()
        end = asyncio.get_running_loop().time() + STOP
        await crowd.until(lambda: asyncio.get_running_loop().time() > end, "the end of the stop")
        both.engine.resume()
        await crowd.all_heard()
        await asyncio.to_thread(nothing_lost_its_seat, both)
        crowd.check()
        assert not crowd.returned


@scenario
async def test_a_full_engine_under_load(cluster):
    both, crowd = await crowded(cluster)
    async with crowd:
        await crowd.under_way(MESSAGES)
        await asyncio.to_thread(both.engine.ask, "CONFIG", "SET", "maxmemory", "1")
        await asyncio.to_thread(wait_until, lambda: total(both, "up") == 0, "all nodes to notice")
        crowd.allow(MESSAGES)
        await asyncio.to_thread(both.engine.ask, "CONFIG", "SET", "maxmemory", "0")
        await crowd.all_heard()
        await asyncio.to_thread(nothing_lost_its_seat, both)
        crowd.check()
        assert not crowd.returned


@scenario
async def test_a_killed_node_under_load(cluster):
    both, crowd = await crowded(cluster)
    async with crowd:
        for number in range(2):
            await crowd.under_way(MESSAGES)
            await asyncio.to_thread(both.kill_node, both.nodes[number])
            fresh = await asyncio.to_thread(both.node)
            crowd.ports[number] = fresh.port
            await crowd.all_heard()
        crowd.check()
        assert len(crowd.returned) >= 2 * (SENDERS + RECEIVERS) // 3
        assert set(crowd.codes) == {None}


@scenario
async def test_a_node_that_stopped_for_two_leases_under_load(cluster):
    both, crowd = await crowded(cluster)
    async with crowd:
        await crowd.under_way(MESSAGES)
        node = both.nodes[0]
        there = len(crowd.members_at(0))
        node.signal(signal.SIGSTOP)
        end = asyncio.get_running_loop().time() + 2 * LEASE
        await crowd.until(lambda: asyncio.get_running_loop().time() > end, "two leases")
        node.signal(signal.SIGCONT)
        await crowd.until(lambda: len(crowd.returned) == there, "all of that node to return")
        await crowd.all_heard()
        assert await asyncio.to_thread(metric, node, "fenced_total") >= 1
        crowd.check()
        assert crowd.codes == [1013] * there


@scenario
async def test_a_rolling_restart_under_load(cluster):
    both, crowd = await crowded(cluster)
    async with crowd:
        for number in range(3):
            await crowd.under_way(MESSAGES)
            node = both.nodes[number]
            node.signal(signal.SIGTERM)
            fresh = await asyncio.to_thread(both.node)
            crowd.ports[number] = fresh.port
            assert await asyncio.to_thread(node.wait_end) == 0
            await crowd.all_heard()
        await asyncio.to_thread(nothing_lost_its_seat, both)
        crowd.check()
        assert set(crowd.codes) == {1001}
        assert len(crowd.returned) >= SENDERS + RECEIVERS
    print(f"3 restarts, {len(crowd.returned)} returns, all resumed; {SENDERS * crowd.allowed} said, each once")


# ---- The check itself ----


def broadcast(number, name="s0", ref=None, text=None):
    ref = number - 1 if ref is None else ref
    return {"Id": number, "SrcUser": name, "Ref": ref, "Time": 0, "text": text or f"{name} {ref}"}


def fed(*heard):
    """A crowd of one sender and listeners that heard these."""
    crowd = Crowd([], 1, len(heard) - 1)
    crowd.allowed = 3
    for member, messages in zip(crowd.members, heard):
        member.take_joined({"Resumed": False, "Epoch": "e"})
        for message in messages:
            member.hear(message)
    return crowd


RIGHT = [broadcast(1), broadcast(2), broadcast(3)]


def test_the_check_passes_what_is_right():
    crowd = fed(RIGHT, RIGHT)
    crowd.check()


@pytest.mark.parametrize("wrong", [
    pytest.param(RIGHT[:2], id="the last is lost"),
    pytest.param([RIGHT[0], RIGHT[2]], id="one is lost"),
    pytest.param([RIGHT[0], RIGHT[0], *RIGHT[1:]], id="one is doubled"),
    pytest.param([RIGHT[0], broadcast(2, ref=2), broadcast(3, ref=1)], id="two are swapped"),
    pytest.param([*RIGHT[:2], broadcast(3, text="else")], id="one differs"),
    pytest.param([*RIGHT, broadcast(4, ref=2)], id="one was said twice"),
    pytest.param(RIGHT[1:], id="the first is lost"),
])
def test_the_check_notices(wrong):
    with pytest.raises(AssertionError):
        fed(RIGHT, wrong).check()


def test_the_check_notices_who_was_not_resumed():
    crowd = fed(RIGHT)
    crowd.returned.append(("s0", "e", "e", False))
    with pytest.raises(AssertionError):
        crowd.check()
