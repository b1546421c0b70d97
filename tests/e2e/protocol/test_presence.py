# SPDX-License-Identifier: MIT
"""Who is online: OnlineUsers, Presence and GetUsers of ragnarok.v2, as in docs/PROTOCOL.md."""
import asyncio
import contextlib
import json

import pytest

from e2e_reference import Person
from helpers import (
    PASSWORD,
    PATIENCE,
    PRESENCE,
    TEXT,
    UPGRADE,
    V2,
    Peer,
    frame,
    join,
    join_as,
    join_original,
    request,
    scenario,
)

LIST_MAX, LIST_AGAIN = 2000, 1800


@pytest.fixture
def server(serve, tls):
    return serve(SSL=tls)


def change(version, since, count, **names):
    return {"msgType": "Presence", "Version": version, "Since": since, "Count": count, **names}


@scenario
async def test_list_first_then_changes(server):
    ana = await Peer.open(server)
    await ana.next()
    assert (await ana.ask("Join", Name="Zoe", Password=PASSWORD))["msgType"] == "Joined"
    one = {"msgType": "OnlineUsers", "Version": 1, "Count": 1, "Users": ["Zoe"]}
    assert await ana.next() == one
    bob = await join(server, "bob")
    assert bob.users == ["Zoe", "bob"]
    assert await ana.next() == change(2, 1, 2, Joined=["bob"])
    await bob.close()
    assert await ana.next() == change(3, 2, 1, Left=["bob"])
    await ana.nothing_more()


@scenario
async def test_list_comes_behind_the_history(serve):
    server = serve(history=5)
    ana = await join(server, "ana")
    for number in range(5):
        await ana.ask("Broadcast", text=f"text {number}")
    bob = await join(server, "bob")
    assert [message["text"] for message in bob.history] == [f"text {number}" for number in range(5)]


@scenario
async def test_who_has_left_sends_nothing_after_it(serve):
    server = serve(exempt_loopback=True)
    ana = await join(server, "ana")
    for number in range(8):  # within the burst, so that each is told by itself
        bob = await join(server, "bob")
        await bob.send("Broadcast", text=f"last words {number}")
        await bob.close()
        await ana.presence("ana", "bob")
        assert (await ana.next())["text"] == f"last words {number}"
        await ana.presence("ana")
        await ana.nothing_more()


@scenario
async def test_the_short_way_gets_lists_in_the_same_room(server):
    """Sorted by code point, in ASCII; the others get changes as they are."""
    old = await join_original(server, "Zoe")
    ana = await join(server, "ana")
    assert await old.next() == {"msgType": "OnlineUsers", "Users": ["Zoe", "ana"]}
    jorg = await join(server, "Jörg")
    frame_text = await old.text()
    assert frame_text == '{"msgType":"OnlineUsers","Users":["J\\u00f6rg","Zoe","ana"]}'
    text = await ana.text()
    assert text == '{"msgType":"Presence","Version":3,"Since":2,"Count":3,"Joined":["Jörg"]}'
    assert jorg.users == ["Jörg", "Zoe", "ana"]
    await old.close()
    await jorg.presence("Jörg", "ana")


@scenario
async def test_takeover_is_in_both(server):
    ana, bob = Person("ana"), await join(server, "bob")
    await join_as(server, ana)
    await bob.presence("ana", "bob")
    new = await join_as(server, ana.again())
    assert new.users == ["ana", "bob"]
    assert await bob.next() == change(3, 2, 2, Joined=["ana"], Left=["ana"])


@scenario
async def test_one_that_read_slowly_is_sent_the_list(serve):
    """It missed changes while its socket was full."""
    server = serve(max_messages_per_second=0, max_bytes_per_second=0, exempt_loopback=True)
    ana, slow = await join(server, "ana"), await join(server, "slow")
    slow.socket.transport.pause_reading()
    for number in range(30):
        await ana.ask("Broadcast", text=f"{number} " + "x" * 20000)
    for _ in range(12):
        guest = await join(server, "guest")
        await ana.presence("ana", "guest", "slow")
        await guest.close()
        await ana.presence("ana", "slow")
    last = await join(server, "last")
    slow.socket.transport.resume_reading()
    kinds = []
    while slow.users != ["ana", "last", "slow"]:
        kinds.append((await slow.next())["msgType"])
    assert slow.list.version == last.list.version
    assert kinds.count("Broadcast") == 30
    assert kinds.count("Presence") + kinds.count("OnlineUsers") < 24, "fewer than changes"


# ---- GetUsers ------------------------------------------------------------------------------------


async def users(peer, **fields):
    answer = await peer.ask("GetUsers", **fields)
    assert answer["msgType"] == "Users", answer
    assert set(answer) - {"Ref"} == {"msgType", "Count", "Users", "More"}, answer
    return answer["Users"], answer["More"]


@scenario
async def test_get_users_by_pages_and_prefix(serve):
    server = serve(exempt_loopback=True)
    names = ["Anatol", "ana", "Bob", "ANASTASIA", "Änne", "Ｆull"]
    for name in names:
        ana = await join(server, name)
    order = ["ana", "ANASTASIA", "Anatol", "Bob", "Ｆull", "Änne"]
    assert await users(ana) == (order, False)
    assert await users(ana, Limit=6) == (order, False)
    assert await users(ana, Limit=5) == (order[:5], True)
    assert await users(ana, Prefix="aN") == (order[:3], False)
    assert await users(ana, Prefix="an", Limit=2) == (order[:2], True)
    assert await users(ana, Prefix="an", After="anastasia", Limit=2) == (["Anatol"], False)
    assert await users(ana, After="Bo") == (order[3:], False)
    assert await users(ana, Prefix="full") == (["Ｆull"], False)
    assert await users(ana, Prefix="A\u0308n") == (["Änne"], False)
    assert await users(ana, Prefix="x", After="") == ([], False)
    paged, more = [], True
    while more:
        page, more = await users(ana, Limit=1, After=paged[-1] if paged else "")
        paged += page
    assert paged == order
    answer = await ana.ask("GetUsers", Limit=1, Ref={"n": [1]})
    assert answer == {"msgType": "Users", "Count": 6, "Users": ["ana"], "More": True, "Ref": {"n": [1]}}


@scenario
async def test_get_users_the_short_way(server):
    old = await join_original(server, "Jörg")
    await old.send("GetUsers")
    text = await old.text()
    assert text == '{"msgType":"Users","Count":1,"Users":["J\\u00f6rg"],"More":false}'


BAD = [
    ("Limit", 0),
    ("Limit", 501),
    ("Limit", -1),
    ("Limit", 1.5),
    ("Limit", "10"),
    ("Limit", None),
    ("Prefix", 7),
    ("Prefix", None),
    ("Prefix", ["a"]),
    ("Prefix", "x" * 129),
    ("Prefix", "ä" * 65),
    ("Prefix", "a\0"),
    ("After", {}),
    ("After", "x" * 129),
    ("After", "\0"),
]


@scenario
async def test_bad_get_users(server):
    """The text names the field."""
    ana = await join(server, "ana")
    for field, value in BAD:
        await ana.send("GetUsers", **{field: value, "Ref": 1})
        error = await ana.error("missing_field")
        assert f'"{field}"' in error["text"] and error["Ref"] == 1, error
    assert await users(ana, Prefix="x" * 128) == ([], False)
    assert await users(ana, Prefix="ana\u200d") == (["ana"], False), "invisible when folded"


@scenario
async def test_get_users_before_joining(server):
    peer = await Peer.open(server)
    await peer.next()
    await peer.send("GetUsers")
    await peer.error("unknown_type")


@scenario
async def test_get_users_is_paced(serve):
    """Its answers count for the bytes of older messages: above those, the client is not read."""
    server = serve(exempt_loopback=True, max_bytes_per_second=4096, max_messages_per_second=0)
    names = [f"{number:02}" + "\U0001f989" * 30 for number in range(40)]
    for name in names:
        ana = await join(server, name)
    loop, asked = asyncio.get_running_loop(), 30
    page = len(json.dumps(names, ensure_ascii=False).encode())
    begin = loop.time()
    for _ in range(asked):
        assert await users(ana) == (names, False)
    rate = 4 * 4096
    assert loop.time() - begin > (asked - 1) * page / rate - 4 - 1, "four seconds' worth at once"


# ---- Two thousand members ------------------------------------------------------------------------


class Extra(asyncio.Protocol):
    """A member that reads what comes, and keeps the last `tail` bytes of it."""

    def __init__(self, name):
        self.join = json.dumps({"msgType": "Join", "Name": name, "Password": PASSWORD})
        self.inside = asyncio.get_running_loop().create_future()
        self.tail = b""

    def connection_made(self, transport):
        self.transport = transport
        head = request("/", {**UPGRADE, "Sec-WebSocket-Protocol": V2})
        transport.write(head + frame(TEXT, self.join.encode()))

    def data_received(self, data):
        self.tail = (self.tail + data)[-200:]
        if b'"OnlineUsers"' in self.tail + data and not self.inside.done():
            self.inside.set_result(True)

    def connection_lost(self, _):
        if not self.inside.done():
            self.inside.set_exception(ConnectionError("closed before it was in"))


async def enter(server, numbers):
    """Members called m0000 and so on, some at a time."""
    loop, extras = asyncio.get_running_loop(), []
    for at in range(0, len(numbers), 50):
        group = [
            loop.create_connection(lambda n=number: Extra(f"m{n:04}"), "127.0.0.1", server.port)
            for number in numbers[at : at + 50]
        ]
        extras += [extra for _, extra in await asyncio.gather(*group)]
        await asyncio.wait_for(asyncio.gather(*(extra.inside for extra in extras)), PATIENCE)
    return extras


async def until(peer, done):
    """Reads messages about who is online until `done`. Returns their types."""
    kinds = []
    while not done(peer.list):
        message = await peer.next()
        assert message["msgType"] in PRESENCE, message
        kinds.append(message["msgType"])
    return kinds


@pytest.mark.slow
@pytest.mark.no_tsan("the crowd is too slow there")
@scenario
async def test_above_two_thousand_members_a_room_is_counted(serve):
    server = serve(
        exempt_loopback=True, max_clients=2500, max_clients_per_address=0, ping_interval_seconds=600
    )
    ana = await join(server, "ana")
    extras = await enter(server, range(LIST_MAX - 1))
    kinds = await until(ana, lambda users: users.count == LIST_MAX)
    assert "OnlineUsers" not in kinds and len(ana.users) == LIST_MAX
    late = await join(server, "late")
    assert (late.users, late.list.count) == (None, LIST_MAX + 1)
    assert await until(ana, lambda users: users.count == LIST_MAX + 1) == ["Presence"]
    assert ana.users is None
    page, more = await users(ana, Prefix="m00", Limit=500)
    assert (page, more) == ([f"m{number:04}" for number in range(100)], False)
    assert (await users(ana, After="m1998"))[0] == []

    for extra in extras[LIST_AGAIN - 1 :]:
        extra.transport.abort()
    kinds = await until(ana, lambda users: users.count == LIST_AGAIN + 1)
    assert set(kinds) == {"Presence"} and ana.users is None, "one too many for a list"
    await late.close()
    assert await until(ana, lambda users: users.count == LIST_AGAIN) == ["OnlineUsers"]
    assert ana.users == ["ana", *(f"m{number:04}" for number in range(LIST_AGAIN - 1))]
    extras[0].transport.abort()
    assert await until(ana, lambda users: users.count == LIST_AGAIN - 1) == ["Presence"]
    assert "m0000" not in ana.users
    for extra in extras:
        with contextlib.suppress(OSError):
            extra.transport.abort()
