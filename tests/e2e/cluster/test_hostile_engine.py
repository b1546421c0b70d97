# SPDX-License-Identifier: MIT
"""An engine whose owner writes what they want: a server does not crash, and a member hears no nonsense; and
more rooms than one reader takes."""
import asyncio
import json

import pytest

from cluster import join_when_open, say_and_hear
from helpers import join, scenario, steady, wait_until

LOG, ROOM = "ragnarok:{-}:log", "ragnarok:{-}:room"
SEAT = "0123456789abcdef" * 2
CARD = json.dumps({"Name": "Eve"})


def entries(own, last_id):
    """Fields behind k, s, q and n, by kind."""
    body = '{"msgType":"Broadcast","SrcUser":"Eve","TgtUser":"","text":"x"'
    return {
        "a broadcast that is no JSON": ("b", 1, "i", last_id + 1, "d", "nonsense"),
        "a broadcast that is two objects": ("b", 1, "i", last_id + 1, "d", body + '},{"a":1'),
        "a broadcast with an Id": ("b", 1, "i", last_id + 1, "d", body + ',"Id":7'),
        "a broadcast of another type": ("b", 1, "i", last_id + 1, "d", body.replace("Broadcast", "Joined")),
        "a broadcast with a later Id": ("b", 1, "i", last_id + 7, "d", body),
        "a broadcast that is not UTF-8": ("b", 1, "i", last_id + 1, "d", b"\xff" + body.encode()),
        "a card that is no JSON": ("j", 1, "f", "eve", "y", "-", "o", "", "d", "nonsense"),
        "a card without a name": ("j", 1, "f", "eve", "y", "-", "o", "", "d", "{}"),
        "a card of another name": ("j", 1, "f", "evil", "y", "-", "o", "", "d", CARD),
        "a card of another identity": ("j", 1, "f", "eve", "y", "ab" * 32, "o", "", "d", CARD),
        "a name with control characters": (
            "j", 1, "f", "e\x1bve", "y", "-", "o", "", "d", json.dumps({"Name": "e\x1bve"})),
        "a leave of a member who is here": ("l", 1, "f", "ana", "t", "1"),
        "a leave of nobody": ("l", 1, "f", "nobody", "t", "1"),
        "a private message that is no JSON": ("p", 1, "f", "ana", "t", own, "d", "nonsense"),
        "a private message to nobody": ("p", 1, "f", "nobody", "t", own, "d", "nonsense"),
        "a refusal of nothing": ("r", 1, "d", "name_taken"),
        "an answer to nothing": ("a", 1, "t", own, "i", 1, "d", "delivered"),
        "an unknown kind": ("z", 1, "d", "x"),
        "fields that are missing": ("b", 1),
        "the end of this server's seat": ("x", 0, "d", own),
        "the end of another seat": ("x", 0, "d", SEAT),
        "another epoch": ("e", 0, "d", SEAT),
    }


NAMES = list(entries("", 0))


@pytest.mark.parametrize("name", NAMES)
@scenario
async def test_what_an_engine_invents_does_no_harm(cluster, name):
    both = cluster()
    node = both.node()
    ana = await join(node, "Ana")
    await ana.send("Broadcast", text="first")
    assert (await ana.message())["text"] == "first"
    seats = both.engine.ask("HGETALL", "ragnarok:{-}:seats")
    own, number = seats[0].decode(), int(both.engine.ask("HGET", ROOM, "n"))
    kind, seq, *fields = entries(own, 1)[name]
    seat = own if kind == "l" else SEAT
    both.engine.ask("HINCRBY", ROOM, "n", 1)
    both.engine.ask("XADD", LOG, "*", "k", kind, "s", seat, "q", seq + 100 * (seq > 0), "n", number + 1, *fields)
    await ana.send("Broadcast", text="second")
    heard = []
    try:
        while "second" not in heard:
            message = await ana.message()
            assert message["msgType"] in ("Broadcast", "Error"), message
            heard.append(message.get("text"))
        assert set(heard) <= {"second", "x"}
    except Exception as closed:  # 1013: the room was given up
        assert getattr(closed, "code", None) == 1013 or "1013" in str(closed), closed
    again = await asyncio.to_thread(wait_until, lambda: node.process.poll() is None, "the server")
    assert again
    bob = await join_when_open(node, "Bob")
    await say_and_hear(bob, "third")


@scenario
async def test_more_rooms_than_one_reader_takes(cluster):
    both = cluster(exempt_loopback=True, max_rooms=200)
    one, two = both.node(), both.node()
    rooms = [f"/rooms/r{i}" for i in range(70)]
    left = await asyncio.gather(*(join(one, "Ana", room) for room in rooms))
    right = await asyncio.gather(*(join(two, "Bob", room) for room in rooms))
    for i, (ana, bob) in enumerate(zip(left, right)):
        assert bob.users == ["Ana", "Bob"]
        await ana.send("Broadcast", text=f"in {i}")
    for i, bob in enumerate(right):
        assert (await bob.message())["text"] == f"in {i}"
    with steady(two):
        for ana in left:
            await ana.close()
        for bob in right:
            await bob.presence("Bob")
            await bob.close()
