# SPDX-License-Identifier: MIT
"""Rooms that several servers share, when the engine or a server fails: nothing that came back to its
sender is lost or heard twice, and nobody is left with a hole in what they heard."""
import asyncio
import json
import signal
import time

from cluster import DURABLE, Engine, get, join_when_open, metric
from e2e_reference import Person
from helpers import PASSWORD, SETTINGS, Raw, greeted, join, join_as, run, scenario, until

LEASE = 3


async def heard(peer, *texts):
    """Waits until it has heard these next, in this order; returns the messages."""
    messages = []
    while len(messages) < len(texts):
        message = await peer.message()
        if message["msgType"] == "Broadcast":
            messages.append(message)
    assert [message["text"] for message in messages] == list(texts)
    return messages


async def state_of(peer):
    """The next State."""
    while (message := await peer.message())["msgType"] != "State":
        pass
    return message["Delivery"]


async def pair(cluster, **changes):
    both = cluster(**changes)
    one, two = both.node(), both.node()
    ana, bob = await join(one, "Ana"), await join(two, "Bob")
    await ana.presence("Ana", "Bob")
    return both, one, two, ana, bob


# ---- The engine ----


@scenario
async def test_an_engine_that_is_killed_loses_nothing(cluster):
    both, one, two, ana, bob = await pair(cluster)
    said = []
    for round_number in range(5):
        for i in range(20):
            said.append(f"{round_number} {i}")
            await (ana if i % 2 else bob).send("Broadcast", text=said[-1])
            if i == 10:
                await asyncio.to_thread(both.engine.restart)
        messages = [[], []]
        for k, peer in enumerate((ana, bob)):
            while len(messages[k]) < 20:
                message = await peer.message()
                if message["msgType"] == "Broadcast":
                    messages[k].append(message)
        assert messages[0] == messages[1]
        assert sorted(m["text"] for m in messages[0]) == sorted(said[-20:])
    assert messages[0][-1]["Id"] == 100
    assert metric(one, "fenced_total") + metric(one, "rollbacks_total") == 0


@scenario
async def test_an_engine_that_is_away_is_told_and_nothing_is_lost(cluster):
    both, one, two, ana, bob = await pair(cluster)
    both.engine.pause()
    await ana.send("Broadcast", text="while it was away")
    assert [await state_of(peer) for peer in (ana, bob)] == ["waiting", "waiting"]
    assert metric(one, "up") == 0
    for node in (one, two):
        await until(lambda node=node: get(node, "/healthz")[0] == 503, "/healthz")
        assert "engine" in get(node, "/healthz")[1]
    cem = await greeted(two)
    await cem.send("Join", Name="Cem", Password=PASSWORD)
    await cem.error("unavailable")
    both.engine.resume()
    both.engine.restart()  # after more than a lease, and nobody may be thrown out
    for peer in (ana, bob):
        kinds = []
        while len(kinds) < 2:
            message = await peer.message()
            kinds.append(message.get("Delivery") or message.get("text"))
        assert sorted(kinds) == ["ok", "while it was away"]
    await until(lambda: get(one, "/healthz") == (200, "ok\n"), "/healthz")
    await cem.send("Join", Name="Cem", Password=PASSWORD)
    assert (await cem.message())["msgType"] == "Joined"
    await bob.send("Broadcast", text="on")
    await heard(ana, "on")
    assert "Cem" in ana.users and "Bob" in ana.users


@scenario
async def test_a_full_queue_holds_senders_back(cluster):
    both, one, two, ana, bob = await pair(cluster, cluster_queue_bytes=65536)
    both.engine.kill()
    texts = [f"{i} " + "x" * 2000 for i in range(400)]
    sending = asyncio.create_task(send_all(ana, texts))
    await until(lambda: metric(one, "queue_bytes") > 60000, "a full queue")
    assert metric(one, "queue_bytes") < 65536 + 10000
    both.engine.start()
    await heard(bob, *texts)
    await heard(ana, *texts)
    await sending
    await until(lambda: metric(one, "queue_bytes") == 0, "an empty queue")


async def send_all(peer, texts):
    for text in texts:
        await peer.send("Broadcast", text=text)


@scenario
async def test_an_engine_that_is_full_is_away(cluster):
    both, one, two, ana, bob = await pair(cluster)
    both.engine.ask("CONFIG", "SET", "maxmemory", "1")
    await ana.send("Broadcast", text="no place")
    assert await state_of(ana) == "waiting"
    both.engine.ask("CONFIG", "SET", "maxmemory", "0")
    await heard(bob, "no place")
    assert metric(one, "fenced_total") + metric(one, "rollbacks_total") == 0


@scenario
async def test_an_engine_that_lost_something_makes_a_new_epoch(cluster):
    both, one, two, ana, bob = await pair(cluster)
    for i in range(5):
        await ana.send("Broadcast", text=f"{i}")
    await heard(bob, "0", "1", "2", "3", "4")
    await heard(ana, "0", "1", "2", "3", "4")
    epoch, last = ana.joined["Epoch"], 5
    log = "ragnarok:{-}:log"
    for place, _ in both.engine.ask("XREVRANGE", log, "+", "-", "COUNT", 2):
        both.engine.ask("XDEL", log, place)
    assert [(await peer.closed())[0] for peer in (ana, bob)] == [1013, 1013]
    resume = {"Epoch": epoch, "After": last}
    ana = await join_when_open(two, "Ana", Resume=resume)
    bob = await join_when_open(one, "Bob", Resume=resume)
    assert ana.joined["Epoch"] == bob.joined["Epoch"] != epoch
    assert not ana.joined["Resumed"] and not bob.joined["Resumed"]
    await ana.send("Broadcast", text="again")
    assert (await heard(bob, "again"))[0]["Id"] == 6
    await heard(ana, "again")


@scenario
async def test_an_engine_that_lost_everything(cluster):
    both, one, two, ana, bob = await pair(cluster, engine_options=("--appendonly", "no"))
    await ana.send("Broadcast", text="x")
    await heard(bob, "x")
    both.engine.restart()
    assert [(await peer.closed())[0] for peer in (ana, bob)] == [1013, 1013]
    ana = await join_when_open(one, "Ana", Resume={"Epoch": ana.joined["Epoch"], "After": 1})
    assert not ana.joined["Resumed"]
    bob = await join(two, "Bob")
    await bob.send("Broadcast", text="anew")
    await heard(ana, "anew")


# ---- Servers ----


@scenario
async def test_a_server_that_is_killed_leaves_within_its_lease(cluster):
    both, one, two, ana, bob = await pair(cluster)
    person = Person("Cem")
    cem = await join_as(one, person)
    await bob.presence("Ana", "Bob", "Cem")
    begin = time.monotonic()
    both.kill_node(one)
    again = await join_as(two, person, Resume={"Epoch": cem.joined["Epoch"], "After": 0})
    assert again.joined["Resumed"], "with a key at once"
    other = await greeted(two)
    await other.send("Join", Name="Ana", Password=PASSWORD)
    await other.error("name_taken")
    while "Ana" in bob.users:
        await bob.next()
    assert time.monotonic() - begin < 2 * (LEASE + LEASE / 3) + 2
    await other.send("Join", Name="Ana", Password=PASSWORD)
    assert (await other.message())["msgType"] == "Joined"


@scenario
async def test_a_private_message_to_a_server_that_died(cluster):
    both, one, two, ana, bob = await pair(cluster)
    two.signal(signal.SIGSTOP)
    await ana.send("PrivateMessage", TgtUser="Bob", text="are you there?", Ref=1)
    both.kill_node(two)
    assert (await ana.error("unknown_user"))["Ref"] == 1
    await ana.presence("Ana")


@scenario
async def test_a_server_that_stopped_is_fenced(cluster):
    both, one, two, ana, bob = await pair(cluster)
    one.signal(signal.SIGSTOP)
    await bob.presence("Bob")
    await bob.send("Broadcast", text="alone")
    await heard(bob, "alone")
    one.signal(signal.SIGCONT)
    code, reason = await ana.closed()
    assert code == 1013, reason
    ana = await join_when_open(one, "Ana", Resume={"Epoch": ana.joined["Epoch"], "After": 0})
    assert ana.joined["Resumed"] and [m["text"] for m in ana.history] == ["alone"]
    await bob.presence("Ana", "Bob")
    await until(lambda: metric(one, "fenced_total") >= 1, "a fenced seat")


@scenario
async def test_a_rolling_restart_loses_nothing(cluster):
    both = cluster()
    nodes = [both.node(), both.node()]
    ana = await join(nodes[1], "Ana")
    bob = await join(nodes[0], "Bob")
    texts, number = [], 0
    for turn in range(2):
        stays, goes = (ana, bob) if turn == 0 else (bob, ana)
        for _ in range(10):
            texts.append(f"{number}")
            number += 1
            await stays.send("Broadcast", text=texts[-1])
        last = (await heard(goes, *texts[-10:]))[-1]["Id"]
        await heard(stays, *texts[-10:])
        nodes[turn].signal(signal.SIGTERM)
        code, _ = await goes.closed()
        assert code == 1001
        nodes[turn].wait_end()
        await stays.send("Broadcast", text=f"while {turn}")
        await heard(stays, f"while {turn}")
        texts.append(f"while {turn}")
        fresh = both.node()
        name = goes.joined["Name"]
        back = await join(fresh, name, Resume={"Epoch": goes.joined["Epoch"], "After": last})
        assert back.joined["Resumed"]
        assert [m["text"] for m in back.history] == [f"while {turn}"]
        if turn == 0:
            bob = back
            nodes[0] = fresh


# ---- Receivers ----


@scenario
async def test_a_receiver_that_does_not_read_is_busy_not_closed(cluster):
    both, one, two, ana, bob = await pair(cluster, max_message_bytes=16384)
    bob.socket.transport.pause_reading()
    sent, outcomes = 0, []
    while "receiver_busy" not in outcomes:
        assert sent < 5000
        await ana.send("PrivateMessage", TgtUser="Bob", text="x" * 16000, Ref=sent)
        sent += 1
        while True:
            message = await ana.message()
            if "Ref" in message and message["msgType"] != "PrivateMessage":
                outcomes.append(message.get("Code", message["msgType"]))
                break
    assert set(outcomes) == {"Delivered", "receiver_busy"}
    bob.socket.transport.resume_reading()
    got = [(await bob.message())["Ref"] for _ in range(outcomes.count("Delivered"))]
    assert got == list(range(len(got)))
    await ana.send("PrivateMessage", TgtUser="Bob", text="now?", Ref="now")
    assert (await bob.message())["text"] == "now?"


# ---- Settings ----


def start_with(cluster, **changes):
    """How a start ends."""
    both = cluster()
    Raw(both.node()).join("Ana")  # so the room is open
    folder = both.folder / "other"
    folder.mkdir()
    settings = {**SETTINGS, "cluster_engine": f"unix:{both.engine.path}", **changes}
    (folder / "config.json").write_text(json.dumps(settings, indent=1))
    done = run("-c", str(folder / "config.json"), folder=folder)
    assert done.returncode == 1 and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_other_settings_are_refused_at_the_start(cluster):
    assert "max_message_bytes: the other nodes have 65536, this node has 4096" in start_with(
        cluster, max_message_bytes=4096)


def test_another_password_is_refused_at_the_start(cluster):
    said = start_with(cluster, server_password="another-password")
    assert "server_password" in said and "another-password" not in said


def test_another_secret_is_refused_at_the_start(cluster):
    said = start_with(cluster, cluster_secret="0123456789abcdef0123456789abcdef")
    assert "cluster_secret: the other nodes have none" in said


def test_a_wrong_engine_password_is_refused_at_the_start(cluster):
    said = start_with(cluster, cluster_password="wrong")
    assert "cluster_engine: AUTH" in said and "wrong\"" not in said


@scenario
async def test_a_start_without_the_engine_waits_for_it(cluster):
    both = cluster()
    both.engine.kill()
    node = both.node()
    cem = await greeted(node)
    await cem.send("Join", Name="Cem", Password=PASSWORD)
    await cem.error("unavailable")
    both.engine.start()

    assert (await join_when_open(node, "Cem")).users == ["Cem"]


@scenario
async def test_a_replica_is_no_engine(cluster):
    both = cluster()
    replica = Engine(both.folder, (*DURABLE, "--replicaof", "127.0.0.1", "1"), name="replica")
    try:
        node = both.node(cluster_engine=f"unix:{replica.path}")
        cem = await greeted(node)
        await cem.send("Join", Name="Cem", Password=PASSWORD)
        await cem.error("unavailable")
        assert "expected a master" in node.log()
    finally:
        replica.finish()


@scenario
async def test_messages_to_a_server_that_stopped_block_nobody(cluster):
    """Their outcomes are awaited up to a bound; then the receiver is busy, and broadcasts go on."""
    both, one, two, ana, bob = await pair(cluster, cluster_queue_bytes=65536, cluster_lease_seconds=30)
    eve = await join(one, "Eve")
    two.signal(signal.SIGSTOP)
    sent, ref = 0, "r" * 1000
    while sent < 40:
        await eve.send("PrivateMessage", TgtUser="Bob", text="x", Ref=ref)
        sent += 1
    assert (await eve.error("receiver_busy"))["Ref"] == ref
    await ana.send("Broadcast", text="on")
    assert (await heard(ana, "on"))[0]["Id"] == 1
    two.signal(signal.SIGCONT)
    got = 0
    while got < 20:
        message = await bob.message()
        got += message["msgType"] == "PrivateMessage"
