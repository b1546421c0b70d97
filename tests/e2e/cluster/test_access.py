# SPDX-License-Identifier: MIT
"""What the engine permits to nodes, and an engine that is replaced by its own replica."""
import asyncio
import contextlib
import re

import pytest

from cluster import AddressedEngine, EngineLine, caught_up, hear, metric
from cluster_crowd import Crowd
from helpers import ROOT, held_port, join, scenario, until

PAGE = (ROOT / "docs" / "OPERATING.md").read_text()
RULE = re.search(r"^user ragnarok on >(\S+) (.*)$", PAGE, re.MULTILINE)
USER = {"cluster_user": "ragnarok", "cluster_password": RULE[1]}


def permit(engine, *changes):
    engine.ask("ACL", "SETUSER", "ragnarok", *changes)


def hang_up(engine):
    """Ends all connections of nodes."""
    with contextlib.closing(EngineLine(engine.path)) as line:
        line.ask("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


async def guarded(cluster):
    """Two nodes whose user has the rights that the page gives, a member on each, and the engine."""
    both = cluster(**USER)
    permit(both.engine, "on", f">{RULE[1]}", *RULE[2].split())
    one, two = both.node(), both.node()
    for node in (one, two):
        node.keep_secret(RULE[1])
    return both.engine, one, two, await join(one, "Ana"), await join(two, "Bob")


async def both_hear(ana, bob, text):
    await ana.send("Broadcast", text=text)
    for peer in (ana, bob):
        await hear(peer, text)


async def told(peer, delivery):
    while (await peer.message()).get("Delivery") != delivery:
        pass


async def goes_on(ana, bob, node, text):
    """What was said meanwhile comes, in order, and nobody had to leave."""
    for peer in (ana, bob):
        await hear(peer, text)
    await both_hear(bob, ana, "and on")
    await until(lambda: metric(node, "up") == 1, "the engine")
    assert metric(node, "fenced_total") + metric(node, "rollbacks_total") == 0


@scenario
async def test_the_rights_of_the_page_suffice_and_are_no_more(cluster):
    engine, _, _, ana, bob = await guarded(cluster)
    await both_hear(ana, bob, "enough")
    with contextlib.closing(EngineLine(engine.path)) as line:
        line.ask("AUTH", "ragnarok", RULE[1])
        line.ask("TIME")
        for words in (
            ("GET", "ragnarok:x"), ("KEYS", "*"), ("FLUSHALL",), ("CONFIG", "GET", "*"), ("DEL", "ragnarok:{-}:log"),
            ("ACL", "LIST"), ("CLIENT", "LIST"), ("CLIENT", "KILL", "TYPE", "normal"), ("SHUTDOWN",),
            ("REPLICAOF", "NO", "ONE"), ("EVAL", "return 1", "0"), ("SCRIPT", "FLUSH"),
            ("SUBSCRIBE", "x"), ("MULTI",), ("HGETALL", "others"), ("XRANGE", "others", "-", "+"),
        ):
            with pytest.raises(AssertionError, match="NOPERM"):
                line.ask(*words)


@scenario
async def test_the_right_to_read_is_missed_and_named(cluster):
    engine, one, _, ana, bob = await guarded(cluster)
    await both_hear(ana, bob, "before")
    permit(engine, "-xread")
    hang_up(engine)
    await ana.send("Broadcast", text="meanwhile")
    await told(ana, "waiting")
    await until(lambda: "'xread'" in one.log(), "a line that names it")
    permit(engine, "+xread")
    await goes_on(ana, bob, one, "meanwhile")


@scenario
async def test_a_right_of_the_script_that_is_missing_loses_nothing(cluster):
    engine, one, _, ana, bob = await guarded(cluster)
    await both_hear(ana, bob, "before")
    permit(engine, "-xadd")
    await ana.send("Broadcast", text="meanwhile")
    await told(ana, "waiting")
    await until(lambda: "can't run this command" in one.log(), "a line that names it")
    permit(engine, "+xadd")
    await goes_on(ana, bob, one, "meanwhile")


@scenario
async def test_a_password_that_is_changed_is_missed_and_named(cluster):
    engine, one, _, ana, bob = await guarded(cluster)
    await both_hear(ana, bob, "before")
    permit(engine, "resetpass", ">another")
    hang_up(engine)
    await ana.send("Broadcast", text="meanwhile")
    await told(ana, "waiting")
    await until(lambda: "AUTH" in one.log(), "a line that names it")
    permit(engine, f">{RULE[1]}")
    await goes_on(ana, bob, one, "meanwhile")


# ---- Failover ----


def roles_asked(engine):
    found = re.search(r"cmdstat_role:calls=(\d+)", engine.ask("INFO", "commandstats").decode())
    return int(found[1]) if found else 0


@scenario
async def test_failover_to_a_replica_that_lagged(cluster):
    """A replica of Redis' own loses its line to the master, misses what is said, and is promoted: who heard what
    is missing now is told, and all go on in one new epoch."""
    both = cluster()
    both.engine.finish()
    with held_port() as port, contextlib.ExitStack() as stack:
        master = both.engine = AddressedEngine(both.folder, port, name="master")
        replica = AddressedEngine(both.folder, 0, "--replicaof", "127.0.0.1", str(port), name="replica")
        stack.callback(replica.finish)
        link = both.folder / "engine.sock"
        link.symlink_to(master.path)
        nodes = [await asyncio.to_thread(both.node, cluster_engine=f"unix:{link}") for _ in range(2)]
        async with Crowd([node.port for node in nodes], 3, 9) as crowd:
            crowd.allow(10)
            await crowd.all_heard()
            await until(caught_up(master, replica), "the replica")
            replica.ask("REPLICAOF", "127.0.0.1", "1")  # its line is lost
            crowd.allow(20)
            await crowd.all_heard()
            heard = crowd.most()
            assert heard == 90
            link.unlink()
            link.symlink_to(replica.path)
            await asyncio.to_thread(master.kill)
            await until(lambda: roles_asked(replica) >= 8, "nodes to ask its role")
            assert not crowd.returned
            replica.ask("REPLICAOF", "NO", "ONE")
            await crowd.until(lambda: len(crowd.returned) == 12 and crowd.all_in(), "all to come back")
            crowd.allow(5)
            await crowd.until(lambda: all(not m.unheard for m in crowd.members), "new words")
            await crowd.until(lambda: len({(m.epoch, m.last) for m in crowd.members}) == 1, "all to hear them")
        (old, before), (new, after) = crowd.order.items()
        assert {(was, now, resumed) for _, was, now, resumed in crowd.returned} == {(old, new, False)}
        assert set(crowd.codes) == {1013}
        texts = [after[number]["text"] for number in sorted(after)]
        fresh = [text for text in texts if int(text.split()[-1]) >= 30]
        assert len(set(fresh)) == len(fresh) == 15
        lost = {m["text"] for m in before.values()} - set(texts)
        assert len(lost) == 60, "exactly what the replica had not"
        assert len({m.hash(new) for m in crowd.members}) == 1
        assert sum(metric(node, "rollbacks_total") for node in nodes) >= 1
        for node in nodes:
            await asyncio.to_thread(node.finish)
