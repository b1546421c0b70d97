# SPDX-License-Identifier: MIT
"""Rooms that several servers share: who is there, what is said, private messages, names, coming back."""
import asyncio
import json

import pytest

from cluster import DURABLE
from e2e_reference import Person
from helpers import (
    greeted,
    held_port,
    join,
    join_as,
    join_original,
    scenario,
    taken_over,
    threads_of,
)


async def broadcasts(peer, count):
    """The next broadcasts, whatever comes in between."""
    heard = []
    while len(heard) < count:
        message = await peer.message()
        if message["msgType"] == "Broadcast":
            heard.append(message)
    return heard


async def say(peer, text, **fields):
    """Says a text, and waits until it comes back."""
    await peer.send("Broadcast", text=text, **fields)
    while True:
        message = await peer.message()
        if message.get("text") == text:
            return message


@pytest.fixture
def pair(cluster):
    """Two nodes."""
    both = cluster()
    return both.node(), both.node()


@scenario
async def test_members_of_all_nodes_are_in_one_room(pair):
    one, two = pair
    ana = await join(one, "Ana")
    bob = await join(two, "Bob")
    assert bob.users == ["Ana", "Bob"]
    await ana.presence("Ana", "Bob")
    assert ana.joined["Epoch"] == bob.joined["Epoch"]
    await ana.send("Broadcast", text="hello")
    heard = [await peer.message() for peer in (ana, bob)]
    assert heard[0] == heard[1]
    assert (heard[0]["SrcUser"], heard[0]["text"], heard[0]["Id"]) == ("Ana", "hello", 1)
    await bob.send("Broadcast", text="and back")
    heard = [await peer.message() for peer in (ana, bob)]
    assert heard[0] == heard[1]
    assert heard[0]["Id"] == 2
    await bob.close()
    await ana.presence("Ana")


@scenario
async def test_all_hear_one_order(pair):
    peers = [await join(pair[i % 2], f"p{i}") for i in range(6)]
    for peer in peers:
        await peer.presence(*(f"p{i}" for i in range(6)))
    for i in range(50):
        await asyncio.gather(*(p.send("Broadcast", text=f"{k} {i}") for k, p in enumerate(peers)))
    heard = await asyncio.gather(*(broadcasts(peer, 300) for peer in peers))
    assert [message["Id"] for message in heard[0]] == list(range(1, 301))
    assert all(each == heard[0] for each in heard)
    for k in range(6):
        texts = [m["text"] for m in heard[0] if m["SrcUser"] == f"p{k}"]
        assert texts == [f"{k} {i}" for i in range(50)]


@scenario
async def test_rooms_are_apart(pair):
    one, two = pair
    ana = await join(one, "Ana", "/rooms/tea")
    bob = await join(two, "Ana")
    cem = await join(two, "Cem", "/rooms/tea")
    await ana.presence("Ana", "Cem")
    await say(bob, "elsewhere")
    await say(cem, "here")
    assert (await ana.message())["text"] == "here"


@scenario
async def test_private_messages_and_their_outcomes(pair):
    one, two = pair
    ana = await join(one, "Ana")
    bob = await join(two, "Bob")
    await ana.presence("Ana", "Bob")
    await ana.send("PrivateMessage", TgtUser="bob", text="psst", Ref=7)
    message = await bob.message()
    assert (message["msgType"], message["SrcUser"], message["text"]) == (
        "PrivateMessage", "Ana", "psst")
    assert message["Ref"] == 7
    delivered = await ana.message()
    assert delivered == {"msgType": "Delivered", "Ref": 7, "TgtUser": "bob"}
    await ana.send("PrivateMessage", TgtUser="Nobody", text="psst", Ref=[8])
    error = await ana.error("unknown_user")
    assert (error["Ref"], error["TgtUser"]) == ([8], "Nobody")
    await ana.send("PrivateMessage", TgtUser="Ana", text="to myself", Ref="x")
    kinds = {(await ana.message())["msgType"] for _ in range(2)}
    assert kinds == {"PrivateMessage", "Delivered"}


@scenario
async def test_broadcasts_and_private_messages_keep_their_order(pair):
    one, two = pair
    ana = await join(one, "Ana")
    bob = await join(two, "Bob")
    for i in range(100):
        await ana.send("Broadcast", text=f"b{i}")
        await ana.send("PrivateMessage", TgtUser="Bob", text=f"p{i}", Ref=i)
    texts = [(await bob.message())["text"] for _ in range(200)]
    assert texts == [f"{kind}{i}" for i in range(100) for kind in "bp"]
    refs = [m["Ref"] for m in [await ana.message() for _ in range(200)] if m["msgType"] == "Delivered"]
    assert refs == list(range(100))


@scenario
async def test_a_name_is_unique_in_all_nodes(pair):
    one, two = pair
    ana = await join(one, "Ana")
    other = await greeted(two)
    await other.send("Join", Name="ANA", Password="open-sesame-4711")
    await other.error("name_taken")
    await ana.close()
    bob = await join(two, "Bob")
    await bob.presence("Bob")
    assert (await join(two, "ANA")).users == ["ANA", "Bob"]


@scenario
async def test_many_claim_one_name(pair):
    peers = [await greeted(pair[i % 2]) for i in range(20)]
    for peer in peers:
        peer.server.keep_secret("x")
    await asyncio.gather(*(
        peer.send("Join", Name="Ana", Password="open-sesame-4711") for peer in peers))
    answers = [(await peer.message()) for peer in peers]
    assert [a["msgType"] for a in answers].count("Joined") == 1
    assert [a.get("Code") for a in answers].count("name_taken") == 19


@scenario
async def test_a_key_takes_its_name_over(pair):
    one, two = pair
    person = Person("Ana")
    first = await join_as(one, person)
    bob = await join(one, "Bob")
    second = await join_as(two, person)
    await taken_over(first)
    assert second.users == ["Ana", "Bob"]
    await second.send("PrivateMessage", TgtUser="Bob", text="it is me", Ref=1)
    assert (await bob.message())["text"] == "it is me"
    third = await join_as(two, person)
    await taken_over(second)
    await say(third, "still here")
    assert (await bob.message())["text"] == "still here"
    assert bob.users == ["Ana", "Bob"]


@scenario
async def test_keys_are_known_everywhere(pair):
    one, two = pair
    person = Person("Ana")
    ana = await join_as(one, person)
    bob = await join(two, "Bob")
    answer = await bob.ask("GetKeys", TgtUser="ana")
    assert answer["msgType"] == "UserKeys" and answer["IdentityKey"] == person.keys()["IdentityKey"]
    before = answer["SessionKey"]
    person.renew()
    published = await ana.ask("PublishKeys", Ref=5, **person.keys())
    assert published == {"msgType": "KeysPublished", "Ref": 5}
    while (answer := await bob.ask("GetKeys", TgtUser="Ana"))["SessionKey"] == before:
        pass  # the other node reads it a moment later
    assert answer["SessionKey"] == person.keys()["SessionKey"]
    assert (await ana.ask("GetKeys", TgtUser="Ana"))["SessionKey"] == answer["SessionKey"]
    await ana.close()
    await bob.presence("Bob")


@scenario
async def test_keys_that_are_published_one_after_the_other(pair):
    one, two = pair
    person = Person("Ana")
    ana = await join_as(one, person)
    bob = await join(two, "Bob")
    for i in range(5):
        person.renew()
        await ana.send("PublishKeys", Ref=i, **person.keys())
    assert [(await ana.message()).get("Ref") for _ in range(5)] == list(range(5))
    while (await bob.ask("GetKeys", TgtUser="Ana"))["SessionKey"] != person.keys()["SessionKey"]:
        pass
    await ana.close()
    await bob.presence("Bob")


@scenario
async def test_the_engine_may_be_reached_over_tcp(cluster):
    with held_port() as port:
        options = (*DURABLE, "--bind", "127.0.0.1", "--port", str(port), "--requirepass", "engine-password")
        both = cluster(cluster_engine=f"tcp:127.0.0.1:{port}", cluster_password="engine-password",
                       engine_options=options, engine_password="engine-password")
        one, two = both.node(), both.node()
        ana = await join(one, "Ana")
        bob = await join(two, "Bob")
        await say(ana, "over TCP")
        assert (await bob.message())["text"] == "over TCP"
        await asyncio.to_thread(both.engine.restart)
        await say(bob, "again")
        assert (await ana.message())["text"] == "again"
        for node in (one, two):
            node.keep_secret("engine-password")


@scenario
async def test_a_member_comes_back_on_another_node(pair):
    one, two = pair
    ana = await join(one, "Ana")
    bob = await join(two, "Bob")
    first = await say(bob, "one")
    assert (await ana.message())["text"] == "one"
    await ana.close()
    await bob.presence("Bob")
    for text in ("two", "three"):
        await say(bob, text)
    resume = {"Epoch": ana.joined["Epoch"], "After": first["Id"]}
    ana = await join(two, "Ana", Resume=resume)
    assert ana.joined["Resumed"]
    assert [(m["Id"], m["text"]) for m in ana.history] == [(2, "two"), (3, "three")]


@scenario
async def test_a_late_node_sees_the_past(cluster):
    both = cluster()
    ana = await join(both.node(), "Ana")
    for i in range(30):
        await say(ana, f"{i}")
    bob = await join(both.node(), "Bob")
    assert [m["text"] for m in bob.history] == [f"{i}" for i in range(30)]
    assert bob.joined["LastId"] == 30 and bob.joined["Epoch"] == ana.joined["Epoch"]
    assert bob.users == ["Ana", "Bob"]
    assert (await say(bob, "on"))["Id"] == 31


@scenario
async def test_clients_of_the_original(pair):
    one, two = pair
    old = await join_original(one, "Old")
    ana = await join(two, "Änne")
    await old.presence("Old", "Änne")
    await say(ana, "grüß dich")
    raw = await old.text()
    assert raw.isascii() and json.loads(raw)["text"] == "grüß dich"
    await old.send_text('{"msgType":"PrivateMessage","TgtUser":"Änne","text":"hi"}')
    assert (await ana.message())["text"] == "hi"


@pytest.mark.parametrize("fields", [
    {"deep": json.loads("[" * 31 + "]" * 31)},
    {**{f"x{n}": n for n in range(62)}, "wide": {f"y{n}": n for n in range(256)}},
    {"Ref": json.loads("[" * 31 + "]" * 31)},
], ids=["deep", "wide", "ref"])
@scenario
async def test_what_is_as_deep_and_wide_as_is_allowed(cluster, fields):
    """Said, in private, and for a node that comes late."""
    nodes = cluster()
    ana, bob = await join(nodes.node(), "Ana"), await join(nodes.node(), "Bob")
    said = await say(ana, "largest", **fields)
    assert {key: said[key] for key in fields} == fields
    assert (await broadcasts(bob, 1)) == [said]
    await ana.send("PrivateMessage", TgtUser="Bob", text="psst", **fields)
    heard = await bob.message()
    assert {key: heard[key] for key in fields} == fields
    if "Ref" in fields:
        assert (await ana.message()) == {"msgType": "Delivered", "TgtUser": "Bob", **fields}
    late = await join(nodes.node(), "Cem")
    assert late.history == [{**said, "History": True}]


@scenario
async def test_a_room_survives_its_members(pair):
    one, two = pair
    ana = await join(one, "Ana", "/rooms/tea")
    await say(ana, "remember")
    epoch = ana.joined["Epoch"]
    await ana.close()
    bob = await join(two, "Bob", "/rooms/tea")
    while "Ana" in bob.users:
        await bob.next()
    assert bob.joined["Epoch"] == epoch
    assert [m["text"] for m in bob.history] == ["remember"]


@scenario
async def test_what_is_sealed_is_not_in_the_engine(cluster):
    both = cluster(cluster_secret="0123456789abcdef0123456789abcdef")
    one, two = both.node(), both.node()
    ana = await join_as(one, Person("Ana"))
    bob = await join(two, "Bob")
    await say(ana, "words of ours")
    assert (await bob.message())["text"] == "words of ours"
    await ana.send("PrivateMessage", TgtUser="Bob", text="other words", Ref=1)
    assert (await bob.message())["text"] == "other words"
    everything = b"".join(f.read_bytes() for f in both.engine.folder.rglob("*.aof"))
    assert b"words" not in everything and len(everything) > 500
    late = await join(both.node(), "Cem")
    assert [m["text"] for m in late.history] == ["words of ours"]


@pytest.mark.plain_run("ThreadSanitizer has a thread of its own")
def test_without_an_engine_there_are_no_threads_for_it(serve):
    assert threads_of(serve().pid) == 2, "the main thread and the acceptor"


@scenario
async def test_a_server_that_ends_frees_its_names(pair):
    one, two = pair
    ana = await join(one, "Ana")
    bob = await join(two, "Bob")
    await say(ana, "bye")
    one.signal(15)
    assert (await ana.closed())[0] == 1001
    one.wait_end()
    assert (await bob.message())["text"] == "bye"
    await bob.presence("Bob")
    assert (await join(two, "Ana")).history[-1]["text"] == "bye"
