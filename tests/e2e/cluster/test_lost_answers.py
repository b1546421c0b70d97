# SPDX-License-Identifier: MIT
"""Lines to the engine that break in the middle of calls, engines that are killed, and an engine that takes
another's place: everybody hears one order, each message once, or learns that something is missing.

CLUSTER_CUTS, CLUSTER_KILLS   how often lines are cut, and the engine is killed"""
import asyncio
import contextlib
import itertools
import os

from cluster import DURABLE, Engine, join_when_open, metric
from helpers import SCALE, join, scenario
from lossy_line import LossyLine

CUTS, KILLS = int(os.environ.get("CLUSTER_CUTS", "60")), int(os.environ.get("CLUSTER_KILLS", "5"))
SENDERS, MESSAGES = 9, 2 * CUTS if "CLUSTER_CUTS" in os.environ else max(20, int(120 / SCALE))


class Member:
    """A member that says numbered texts, and hears those of all."""

    def __init__(self, peer, name):
        self.peer, self.name, self.heard = peer, name, []

    async def say(self, paused):
        for i in range(MESSAGES):
            await paused.wait()
            await self.peer.send("Broadcast", text=f"{self.name} {i}")
            await asyncio.sleep(0)

    async def hear(self):
        while len(self.heard) < SENDERS * MESSAGES:
            message = await self.peer.message()
            if message["msgType"] == "Broadcast":
                self.heard.append(message)


def check(members):
    first = members[0].heard
    assert [message["Id"] for message in first] == list(range(1, SENDERS * MESSAGES + 1))
    for member in members:
        assert member.heard == first
        own = [m["text"] for m in first if m["SrcUser"] == member.name]
        assert own == [f"{member.name} {i}" for i in range(MESSAGES)]


async def lossy_nodes(cluster, stack, count=3):
    """Nodes, each with a line of its own to the engine."""
    both, lines, nodes = cluster(), [], []
    for i in range(count):
        line = LossyLine(both.folder / f"line-{i}.sock", both.engine.path)
        await line.start()
        stack.callback(line.close)
        lines.append(line)
        nodes.append(await asyncio.to_thread(both.node, cluster_engine=f"unix:{line.path}"))
    return both, nodes, lines


async def trouble(both, lines, members, paused):
    """Cuts and kills, spread over the talk."""
    for i, line in zip(range(CUTS), itertools.cycle(lines)):
        paused.clear()  # so that the talk lasts as long as the trouble
        goal = max(len(member.heard) for member in members) + SENDERS * MESSAGES // (2 * CUTS)
        paused.set()
        await line.cut()
        if i % (CUTS // KILLS) == 1:
            await asyncio.to_thread(both.engine.restart)
        while min(len(m.heard) for m in members) < min(goal, SENDERS * MESSAGES):
            await asyncio.sleep(0.01)


@scenario
async def test_lost_answers_and_killed_engines_lose_and_double_nothing(cluster):
    with contextlib.ExitStack() as stack:
        both, nodes, lines = await lossy_nodes(cluster, stack)
        members = [
            Member(await join(nodes[i % 3], f"m{i}"), f"m{i}") for i in range(SENDERS)]
        paused = asyncio.Event()
        paused.set()
        await asyncio.gather(
            trouble(both, lines, members, paused),
            *(member.say(paused) for member in members),
            *(member.hear() for member in members))
        check(members)
        assert sum(line.lost for line in lines) > 0
        metrics = await asyncio.to_thread(
            lambda: [metric(node, name) for node in nodes for name in ("fenced_total", "rollbacks_total")])
        assert sum(metrics) == 0
        repeats = await asyncio.to_thread(lambda: sum(metric(node, "duplicates_total") for node in nodes))
        print(f"{CUTS} cuts, {repeats} calls done whose answer was lost, {KILLS} kills of the engine: "
              f"{SENDERS * MESSAGES} said, each heard once")
        for node in nodes:
            await asyncio.to_thread(node.finish)


@scenario
async def test_a_replica_that_lagged_takes_over(cluster):
    """It lacks what was said last: all learn that something is missing, and go on together."""
    with contextlib.ExitStack() as stack:
        both, nodes, lines = await lossy_nodes(cluster, stack, 2)
        ana, bob = await join(nodes[0], "Ana"), await join(nodes[1], "Bob")
        await ana.send("Broadcast", text="kept")
        for peer in (ana, bob):
            while (await peer.message())["text"] != "kept":
                pass
        replica = Engine(both.folder, DURABLE, name="replica")
        stack.callback(replica.finish)
        copy_keys(both.engine, replica)
        for i in range(3):
            await bob.send("Broadcast", text=f"lost {i}")
        for peer in (ana, bob):
            for i in range(3):
                assert (await peer.message())["text"] == f"lost {i}"
        for line in lines:
            line.far = replica.path
        await asyncio.to_thread(both.engine.kill)
        closed = [await peer.closed() for peer in (ana, bob)]
        assert [code for code, _ in closed] == [1013, 1013]
        resume = {"Epoch": ana.joined["Epoch"], "After": 4}
        ana = await join_when_open(nodes[1], "Ana", Resume=resume)
        bob = await join_when_open(nodes[0], "Bob", Resume=resume)
        assert not ana.joined["Resumed"] and not bob.joined["Resumed"]
        assert ana.joined["Epoch"] == bob.joined["Epoch"] != resume["Epoch"]
        await ana.send("Broadcast", text="on")
        assert (await bob.message())["text"] == "on"
        for node in nodes:
            await asyncio.to_thread(node.finish)


def copy_keys(source, target):
    """What a replica has at this moment."""
    for key in source.ask("KEYS", "*"):
        target.ask("RESTORE", key, max(source.ask("PTTL", key), 0), source.ask("DUMP", key))
