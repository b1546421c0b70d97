# SPDX-License-Identifier: MIT
"""Keys of members: proofs, taking over one's own ghost, and messages that the server cannot read.

The people here are those of sealing.py, which shares no code with the server.
"""
import asyncio
import contextlib
import itertools
import json
import os
import re

import pytest
import websockets

import sealing
from helpers import (
    CLOSE,
    PASSWORD,
    PATIENCE,
    ROOT,
    TEXT,
    Peer,
    Raw,
    descriptors_of,
    greeted,
    join,
    join_as,
    join_original,
    scenario,
    taken_over,
    try_join,
    wait_until,
)
from sealing import Person

KEYS = ("IdentityKey", "SessionKey", "KeySignature")
NO_LIMITS = {
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "max_clients_per_address": 0,
}


@pytest.fixture
def server(serve, tls):
    return serve(SSL=tls, **NO_LIMITS)


def flip(digits):
    return f"{int(digits[0], 16) ^ 1:x}{digits[1:]}"


# ---- Proofs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("room", ["", "tea", "caf\u00e9"])
def test_join_with_proof(server, room):
    @scenario
    async def talk():
        ana = Person("ana", room)
        peer = await join_as(server, ana)
        answer = await peer.ask("GetKeys", TgtUser="ana", Ref=[1.50])
        assert answer == {"msgType": "UserKeys", "User": "ana", "Ref": [1.5], **ana.keys()}

    talk()


def wrong_proofs():
    """What a Join may claim, and not be able to prove. Each is given ana, and the nonce."""
    stranger = Person("ana")
    return {
        "another nonce": lambda ana, nonce: {"Proof": ana.prove(flip(nonce))},
        "another room": lambda ana, nonce: {
            "Proof": Person("ana", "tea", ana.identity).prove(nonce)
        },
        "another name": lambda ana, nonce: {"Proof": Person("bob", "", ana.identity).prove(nonce)},
        "another identity": lambda ana, nonce: {"Proof": stranger.prove(nonce)},
        "a flipped bit": lambda ana, nonce: {"Proof": flip(ana.prove(nonce))},
        "another's identity key": lambda ana, _: {"IdentityKey": stranger.keys()["IdentityKey"]},
        "no point of the curve": lambda ana, _: {"IdentityKey": "f" * 64},
        "no signature at all": lambda ana, _: {"Proof": "0" * 128},
        "the wrong signature": lambda ana, _: {"Proof": ana.keys()["KeySignature"]},
    }


@pytest.mark.parametrize("what", wrong_proofs())
def test_wrong_proof(server, what):
    """It is refused, and may be put right on the same connection."""

    @scenario
    async def talk():
        ana = Person("ana")
        peer = await greeted(server)
        await try_join(peer, ana, Ref="r", **wrong_proofs()[what](ana, peer.nonce))
        assert (await peer.error("bad_proof"))["Ref"] == "r"
        await try_join(peer, ana)
        assert (await peer.message())["msgType"] == "Joined"

    talk()


@scenario
async def test_third_wrong_proof_ends_it(server):
    ana = Person("ana")
    peer = await greeted(server)
    for _ in range(3):
        await try_join(peer, ana, Proof="0" * 128)
        await peer.error("bad_proof")
    assert (await peer.closed())[0] == 1008


@scenario
async def test_a_proof_is_of_one_connection(server):
    """What was overheard on one connection is of no use on another."""
    ana = Person("ana")
    first, second = await greeted(server), await greeted(server)
    assert first.nonce != second.nonce
    await try_join(second, ana, Proof=ana.prove(first.nonce))
    await second.error("bad_proof")


@scenario
async def test_all_four_or_none(server):
    """Whatever is missing, or no string, is named."""
    ana = Person("ana")
    fields = [*KEYS, "Proof"]
    for count in range(1, 4):
        for absent in itertools.combinations(fields, count):
            peer = await greeted(server)
            await try_join(peer, ana, **dict.fromkeys(absent))
            assert f'"{absent[0]}" is missing' in (await peer.error("missing_field"))["text"]
            await peer.close()
    for field in fields:
        peer = await greeted(server)
        await try_join(peer, ana, **{field: 5})
        text = (await peer.error("missing_field"))["text"]
        assert text == f'"{field}" must be a string, not a number'
        await peer.close()


@pytest.mark.parametrize("field", [*KEYS, "Proof"])
def test_not_hexadecimal(server, field):
    """Lower-case digits, and as many as it takes."""

    @scenario
    async def talk():
        ana = Person("ana")
        right = ana.claim("00" * 32)[field]
        for wrong in ("", right[1:], right + "0", right + "00", "g" + right[1:], "A" * len(right)):
            peer = await greeted(server)
            await try_join(peer, ana, **{field: wrong})
            assert "lower-case hexadecimal" in (await peer.error("bad_proof"))["text"]
            await peer.close()

    talk()


@scenario
async def test_the_password_comes_first(server):
    peer = await greeted(server)
    await try_join(peer, Person("ana"), Password="wrong word", Proof="0" * 128)
    await peer.error("wrong_password")


@scenario
async def test_the_server_leaves_key_signatures_to_their_readers(server):
    ana = Person("ana")
    peer = await join_as(server, ana, KeySignature="0" * 128)
    assert (await peer.ask("GetKeys", TgtUser="ana"))["KeySignature"] == "0" * 128


# ---- Asking for keys -----------------------------------------------------------------------------


@scenario
async def test_keys_of_others(server):
    ana = Person("\u00c4nne")
    await join_as(server, ana)
    await join(server, "bob")
    cleo = await join_original(server, "cleo")
    await cleo.send("GetKeys", TgtUser="\u00e4NNE")
    answer = await cleo.message()
    assert answer == {"msgType": "UserKeys", "User": "\u00c4nne", **ana.keys()}
    assert sealing.is_published(answer, "", answer["User"])
    assert await cleo.ask("GetKeys", TgtUser="BOB") == {"msgType": "UserKeys", "User": "bob"}
    await cleo.send("GetKeys", TgtUser="dan", Ref=7)
    assert (await cleo.error("unknown_user"))["Ref"] == 7


@scenario
async def test_keys_are_gone_with_their_member(server):
    peer, bob = await join_as(server, Person("ana")), await join(server, "bob")
    await peer.close()
    await bob.presence("bob")
    await bob.send("GetKeys", TgtUser="ana")
    await bob.error("unknown_user")
    await join(server, "ana")
    assert await bob.ask("GetKeys", TgtUser="ana") == {"msgType": "UserKeys", "User": "ana"}


# ---- Taking over ---------------------------------------------------------------------------------


@scenario
async def test_name_taken(server):
    """Only the same identity takes over; nobody else learns more than that the name is taken."""
    first = await join_as(server, Person("ana"))
    await join(server, "bob")
    for person in (Person("ana"), Person("ANA"), Person("bob")):
        peer = await greeted(server)
        await try_join(peer, person)
        await peer.error("name_taken")
    plain = await greeted(server)
    await plain.send("Join", Name="ana", Password=PASSWORD)
    await plain.error("name_taken")
    hello = await Peer.open(server, protocols=())
    await hello.send_text(PASSWORD)
    await hello.send_text("ana")
    await hello.error("name_taken")
    await first.nothing_more()


@scenario
async def test_same_identity_under_two_names(server):
    ana = Person("ana")
    first = await join_as(server, ana)
    second = await join_as(server, Person("anna", "", ana.identity))
    await first.presence("ana", "anna")
    await second.nothing_more()


@scenario
async def test_same_identity_in_two_rooms(server):
    ana = Person("ana")
    first = await join_as(server, ana)
    second = await join_as(server, Person("ana", "tea", ana.identity))
    await first.nothing_more()
    await second.nothing_more()


@scenario
async def test_takeover(server):
    """The old connection is closed, the new one goes on where it was, and the others are told."""
    ana, bob = Person("ana"), await join(server, "bob")
    old = await join_as(server, ana)
    await bob.presence("ana", "bob")
    await bob.ask("Broadcast", text="seen by both")
    seen = (await old.message())["Id"]
    await bob.ask("Broadcast", text="missed by the ghost")
    newer = Person("Ana", "", ana.identity)
    resume = {"Epoch": old.joined["Epoch"], "After": seen}
    new = await join_as(server, newer, Resume=resume)
    await taken_over(old)
    assert new.joined["Resumed"] and new.joined["Name"] == "Ana"
    assert [message["text"] for message in new.history] == ["missed by the ghost"]
    assert new.users == ["Ana", "bob"]
    await bob.presence("Ana", "bob")
    assert await bob.ask("GetKeys", TgtUser="ana") == {
        **{"msgType": "UserKeys", "User": "Ana"},
        **newer.keys(),
    }
    await bob.send("PrivateMessage", TgtUser="ana", text="to the new one")
    assert (await new.message())["text"] == "to the new one"
    await bob.nothing_more()
    assert (await new.message())["text"].startswith("mark")
    wait_until(lambda: 'why="taken over by a newer connection"' in server.log(), "the log")


@scenario
async def test_takeover_is_published_again(server):
    """Though the names are the same: there is a new session key."""
    ana, bob = Person("ana"), await join(server, "bob")
    await join_as(server, ana)
    await bob.presence("ana", "bob")
    for _ in range(3):
        await join_as(server, ana.again())
        assert await bob.next() == {"msgType": "OnlineUsers", "Users": ["ana", "bob"]}


@scenario
async def test_takeover_of_a_client_that_does_not_read(server):
    """A ghost whose line is dead takes nothing, and its place is free at once all the same."""
    ana, bob = Person("ana"), await join(server, "bob")
    ghost = await join_as(server, ana)
    ghost.socket.transport.pause_reading()
    for number in range(20):
        await bob.ask("Broadcast", text=f"{number} " + "x" * 50000)
    new = await join_as(server, ana.again())
    await bob.send("PrivateMessage", TgtUser="ana", text="are you back")
    assert (await new.message())["text"] == "are you back"


def join_and_read_no_more(server, person):
    """A bare socket that came in with keys."""
    raw = Raw(server, receive_buffer=4096)
    raw.upgrade()
    claim = person.claim(raw.message()["Nonce"])
    raw.send_text(
        json.dumps({"msgType": "Join", "Name": person.name, "Password": PASSWORD, **claim})
    )
    assert raw.message()["msgType"] == "Joined"
    return raw


@scenario
async def test_a_ghost_that_reads_again(serve, tls):
    """It finds the room as it was, up to some message, and then that it was taken over: what was
    said since, and has overwritten the room's buffer, is none of its business."""
    server = serve(SSL=tls, room_buffer_bytes=1 << 20, **NO_LIMITS)
    ana, bob = Person("ana"), await join(server, "bob")
    with join_and_read_no_more(server, ana) as ghost:
        for _ in range(8):
            await bob.ask("Broadcast", text="x" * 60000)
        new = await join_as(server, ana.again())
        await new.close()
        for _ in range(20):
            await bob.ask("Broadcast", text="y" * 60000)
        opcode, payload = ghost.next_frame()
        heard = []
        while opcode == TEXT:
            heard.append(json.loads(payload))
            opcode, payload = ghost.next_frame()
        assert opcode == CLOSE and int.from_bytes(payload[:2], "big") == 4001
    told = [message for message in heard if message["msgType"] == "Broadcast"]
    assert [message["Id"] for message in told] == list(range(1, len(told) + 1))
    assert len(told) < 8 and {message["text"] for message in told} == {"x" * 60000}


@scenario
async def test_a_ghost_that_never_reads_again_is_gone_in_time(serve, tls):
    """It does not keep a place until somebody notices that it is silent."""
    server = serve(SSL=tls, ping_interval_seconds=3600, **NO_LIMITS)
    ana, bob = Person("ana"), await join(server, "bob")
    with join_and_read_no_more(server, ana):
        for _ in range(10):
            await bob.ask("Broadcast", text="x" * 60000)
        before = descriptors_of(server.pid)
        await join_as(server, ana.again())
        wait_until(lambda: descriptors_of(server.pid) == before, "the ghost to be gone")


@scenario
async def test_a_hundred_takeovers_in_a_row(server):
    """While somebody talks: each newcomer goes on behind what the one before has read."""
    ana, bob = Person("ana"), await join(server, "bob")
    peer, seen = await join_as(server, ana), [0]
    for number in range(100):
        resume = {"Epoch": peer.joined["Epoch"], "After": seen[-1]}
        newer, *_ = await asyncio.gather(
            join_as(server, ana.again(), Resume=resume),
            *(bob.send("Broadcast", text=f"{number} of a hundred") for _ in range(3)),
        )
        assert newer.joined["Resumed"]
        seen += [message["Id"] for message in newer.history]
        while seen[-1] < 3 * number + 3 * (number % 2):  # all, or all but those of this round
            seen.append((await newer.message())["Id"])
        await taken_over(peer)
        peer = newer
    assert seen == list(range(301))


@scenario
async def test_twenty_takeovers_at_once(server):
    """One of them is left, and the room is whole. The others may be closed before their first list."""
    ana, bob = Person("ana"), await join(server, "bob")

    async def come():
        try:
            return await join_as(server, ana.again())
        except websockets.ConnectionClosed as closed:
            assert closed.code == 4001

    peers = [peer for peer in await asyncio.gather(*(come() for _ in range(20))) if peer]
    endings = [asyncio.create_task(peer.closed()) for peer in peers]
    codes = [code for code, _ in await settled(endings, len(peers) - 1)]
    (left,) = (task for task in endings if not task.done())
    assert codes == [4001] * (len(peers) - 1)
    await end(left)
    await bob.send("PrivateMessage", TgtUser="ana", text="who is left", Ref=1)
    assert (await bob.message())["msgType"] == "Delivered"
    survivor = peers[endings.index(left)]
    assert (await survivor.message())["text"] == "who is left"
    await bob.presence("ana", "bob")
    await survivor.close()
    await bob.presence("bob")


async def end(task):
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def settled(tasks, count):
    """Waits until so many are done; returns what they gave."""
    left = set(tasks)
    while len(tasks) - len(left) < count:
        done, left = await asyncio.wait(left, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert done, f"waited in vain, {len(left)} are left"
    return [task.result() for task in tasks if task.done()]


async def write_to(peer, name, counts):
    """A few private messages; counts what came of them."""
    for number in range(5):
        await peer.send("PrivateMessage", TgtUser=name, text=f"private {number}", Ref=number)
        answer = await peer.message()
        counts[answer.get("Code", answer["msgType"])] += 1
        assert answer["Ref"] == number


@scenario
async def test_private_messages_find_whoever_takes_over(server):
    """There is no moment at which nobody bears the name."""
    ana = Person("ana")
    peer = await join_as(server, ana)
    writers = [await join(server, f"writer {number}") for number in range(3)]
    counts = dict.fromkeys(("Delivered", "unknown_user"), 0)
    for _ in range(30):
        letters = (write_to(writer, "ana", counts) for writer in writers)
        newer, *_ = await asyncio.gather(join_as(server, ana.again()), *letters)
        await taken_over(peer)
        peer = newer
    assert counts == {"Delivered": 30 * 3 * 5, "unknown_user": 0}


async def leave(peer, abruptly):
    if abruptly:
        peer.socket.transport.abort()
    else:
        await peer.close()


@scenario
async def test_takeover_against_leaving(server):
    """The ghost goes by itself at the moment at which it is replaced."""
    ana, bob = Person("ana"), await join(server, "bob")
    counts = dict.fromkeys(("Delivered", "unknown_user"), 0)
    peer = await join_as(server, ana)
    for number in range(40):
        peer, *_ = await asyncio.gather(
            join_as(server, ana.again()), leave(peer, number % 2), write_to(bob, "ana", counts)
        )
    assert counts["Delivered"] > 0 and sum(counts.values()) == 40 * 5
    await peer.close()
    while bob.users != ["bob"]:
        await bob.next()


@scenario
async def test_a_room_of_one_is_taken_over(server):
    """The room does not go in between."""
    ana = Person("ana", "tea")
    old = await join_as(server, ana)
    await old.ask("Broadcast", text="before")
    for _ in range(5):
        new = await join_as(server, ana.again(), Resume={"Epoch": old.joined["Epoch"], "After": 0})
        assert new.joined["Resumed"] and len(new.history) == 1
        await taken_over(old)
        old = new


# ---- Private messages ----------------------------------------------------------------------------


@scenario
async def test_sealed_messages_there_and_back(server):
    """What the server adds is SrcUser and Time; everything else arrives as it was sent."""
    people = [Person("ana", "tea"), Person("Ben \u674e", "tea")]
    peers = [await join_as(server, person) for person in people]
    for seq in (1, 2, 3):
        for one, other in ((0, 1), (1, 0)):
            text = f"a secret, {seq} \U0001f375" * 50
            keys = await peers[one].ask("GetKeys", TgtUser=people[other].name)
            assert sealing.is_published(keys, "tea", people[other].name)
            sealed = people[one].seal(people[other].name, keys, seq, text)
            answer = await peers[one].ask("PrivateMessage", **sealed, Ref=f"r{seq}")
            assert answer["msgType"] == "Delivered"
            message = await peers[other].message()
            assert people[other].open(message) == text
            assert isinstance(message.pop("Time"), int)
            sealed.pop("TgtUser")
            assert message == {
                **{"msgType": "PrivateMessage", "SrcUser": people[one].name, "Ref": f"r{seq}"},
                **sealed,
            }


@scenario
async def test_a_notice_travels(server):
    """A receiver tells the sender that a message was of no use; to the server it is a message."""
    ana, bob = await join(server, "ana"), await join(server, "bob")
    notice = {"text": "", "Notice": "unreadable", "Code": "stale_key", "About": "r1"}
    await bob.send("PrivateMessage", TgtUser="ana", **notice)
    message = await ana.message()
    assert {name: message[name] for name in notice} == notice


def test_vector_is_up_to_date():
    """tests/vectors/private-message.json is what sealing.py prints."""
    path = ROOT / "tests" / "vectors" / "private-message.json"
    assert json.loads(path.read_text()) == sealing.vector()


# ---- What the server does not know ---------------------------------------------------------------


def memory(pid):
    """Every page of a process that can be read, region by region."""
    regions = re.findall(
        r"^([0-9a-f]+)-([0-9a-f]+) r\S+ .*$", open(f"/proc/{pid}/maps").read(), re.MULTILINE
    )
    with open(f"/proc/{pid}/mem", "rb") as file:
        for first, last in ((int(a, 16), int(b, 16)) for a, b in regions):
            with contextlib.suppress(OSError, ValueError):  # [vvar] cannot be read
                file.seek(first)
                yield file.read(last - first)


def knows(server, text):
    """Whether a text stands in the server's memory, as it is or in hexadecimal."""
    wanted = (text.encode(), text.encode().hex().encode())
    return any(form in region for region in memory(server.pid) for form in wanted)


@pytest.mark.skipif(bool(os.environ.get("SAN")), reason="a sanitizer maps terabytes")
def test_a_private_text_is_not_in_the_servers_memory(server):
    """That of a broadcast is: the search finds what is there."""
    private, said = "canary-in-the-coal-mine-5150", "parrot-on-the-shoulder-2112"
    server.keep_secret(private)

    @scenario
    async def talk():
        people = [Person("ana"), Person("bob")]
        ana, bob = [await join_as(server, person) for person in people]
        keys = await ana.ask("GetKeys", TgtUser="bob")
        for seq in range(1, 6):
            await ana.send("PrivateMessage", **people[0].seal("bob", keys, seq, private))
            assert people[1].open(await bob.message()) == private
        await ana.ask("Broadcast", text=said)
        assert knows(server, said)
        assert not knows(server, private)

    talk()
    assert private not in server.log() + server.printed()
