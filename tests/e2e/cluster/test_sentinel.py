# SPDX-License-Identifier: MIT
"""Sentinels say where the engine is: nodes follow a failover, ask another sentinel when one is silent, wrong or out of
date, and say in the log what keeps them from the engine."""
import asyncio
import contextlib
import re
import subprocess

from cluster import REDIS_SERVER, AddressedEngine, caught_up, get, metric, resp, say_and_hear
from cluster_crowd import Crowd
from helpers import PATIENCE, held_port, join, scenario, until

NAME = "rooms"
CONF = """
bind 127.0.0.1
sentinel monitor {name} 127.0.0.1 {engine} 1
sentinel down-after-milliseconds {name} 500
sentinel failover-timeout {name} 3000
"""


@contextlib.contextmanager
def sentinel(folder, port, engine, *listens):
    """Redis Sentinel; `listens` are other lines of its file than a plain port. It writes to its file."""
    conf = folder / f"sentinel-{port}.conf"
    conf.write_text("\n".join(listens or [f"port {port}"]) + CONF.format(name=NAME, engine=engine))
    with open(folder / f"sentinel-{port}.log", "wb") as log:
        process = subprocess.Popen(
            [REDIS_SERVER, str(conf), "--sentinel"], cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(PATIENCE)


@contextlib.contextmanager
def watched(both):
    """Replaces the cluster's engine by one that a sentinel watches; returns the sentinel's port."""
    both.engine.finish()
    with held_port() as port, held_port() as watch:
        both.engine = AddressedEngine(both.folder, port, name="master")
        with sentinel(both.folder, watch, port):
            yield watch


def address(*ports, name=NAME):
    return f"sentinel:{name}@" + ",".join(f"127.0.0.1:{port}" for port in ports)


@contextlib.asynccontextmanager
async def liar(answer):
    """A sentinel that answers every question so; the number of questions is in `asked`."""
    asked = []

    async def serve(reader, writer):
        with contextlib.suppress(ConnectionError):
            while await reader.read(1000):
                asked.append(answer)
                writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], asked


@scenario
async def test_nodes_follow_a_failover_and_lose_nothing(cluster):
    both = cluster()
    both.engine.finish()
    with contextlib.ExitStack() as stack:
        first, second, watch, dead = (stack.enter_context(held_port()) for _ in range(4))
        master = both.engine = AddressedEngine(both.folder, first, name="master")
        replica = AddressedEngine(both.folder, second, "--replicaof", "127.0.0.1", str(first), name="replica")
        stack.callback(replica.finish)
        stack.enter_context(sentinel(both.folder, watch, first))
        nodes = [await asyncio.to_thread(both.node, cluster_engine=address(dead, watch)) for _ in range(2)]
        async with Crowd([node.port for node in nodes], 3, 9) as crowd:
            crowd.allow(10)
            await crowd.all_heard()
            await until(caught_up(master, replica), "the replica")
            await asyncio.to_thread(master.kill)
            crowd.allow(20)  # waits until there is an engine again
            await crowd.all_heard()
            assert crowd.most() == 90
            assert not crowd.returned, "the replica had everything"
            await asyncio.to_thread(master.start)  # becomes a replica of the other
            await until(lambda: master.ask("ROLE")[0] == b"slave", "the old master to be told")
            crowd.allow(10)
            await crowd.all_heard()
            assert crowd.most() == 120 and not crowd.returned
        assert len(crowd.order) == 1
        assert replica.ask("ROLE")[0] == b"master"
        for node in nodes:
            assert metric(node, "rollbacks_total") == 0
            await asyncio.to_thread(node.finish)


@scenario
async def test_sentinels_that_do_not_know_or_lie_are_passed_over(cluster):
    both = cluster()
    answers = [
        b"*-1\r\n",
        resp("127.0.0.1"),
        resp("engine.example.org", 6379),
        resp("127.0.0.1", 0),
        resp("127.0.0.1", "6379x"),
        resp("1" * 300, 6379),
        b"-NOAUTH Authentication required.\r\n",
        b":1\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ]
    with watched(both) as watch:
        for answer in answers:
            async with liar(answer) as (wrong, asked):
                node = await asyncio.to_thread(both.node, cluster_engine=address(wrong, watch))
                await say_and_hear(await join(node, "Ana"), "here")
                assert asked
                await asyncio.to_thread(node.finish)


@scenario
async def test_one_that_is_out_of_date_is_not_asked_again_at_once(cluster):
    """It names an engine that is gone."""
    both = cluster()
    with watched(both) as watch, held_port() as gone:
        async with liar(resp("127.0.0.1", gone)) as (wrong, asked):
            node = await asyncio.to_thread(both.node, cluster_engine=address(wrong, watch))
            await until(lambda: metric(node, "up") == 1, "the engine")
            await join(node, "Ana")
            assert asked


@scenario
async def test_without_an_answer_the_log_says_who_said_what(cluster):
    both = cluster()
    with watched(both) as watch, held_port() as dead:
        node = await asyncio.to_thread(both.node, cluster_engine=address(dead, watch, name="other"))
        await until(lambda: get(node, "/healthz")[0] == 503, "/healthz")
        reason = rf'no sentinel says where .*other.* is; 127\.0\.0\.1:{watch}: it does not know an engine of this name'
        await until(lambda: re.search(reason, node.log()), "the log")
