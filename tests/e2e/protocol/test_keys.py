# SPDX-License-Identifier: MIT
"""Keys of members: the proof of a Join, publishing and requesting keys, and taking over one's own
ghost.

The persons are from e2e_reference.py, which shares no code with the server.
"""
import asyncio
import contextlib
import itertools
import json
import re

import pytest
import websockets

import e2e_reference
from e2e_reference import CARD, P, Person, flip, is_published
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
    origin_of,
    scenario,
    taken_over,
    try_join,
    wait_until,
)

CLAIM = (*CARD, "Proof")
NO_LIMITS = {
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "max_clients_per_address": 0,
}
WRONG_TYPES = {
    "a string": "5",
    "a number": 5,
    "null": None,
    "true or false": True,
    "an array": ["5"],
    "an object": {"5": 5},
}


@pytest.fixture
def server(serve, tls):
    return serve(SSL=tls, **NO_LIMITS)


def digits(number):
    """A number as the 32 bytes of a key, little-endian (RFC 7748 §5, RFC 8032 §5.1.2)."""
    return number.to_bytes(32, "little").hex()


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


def with_proof(member, nonce, **changes):
    """A claim whose proof also covers the changed fields."""
    card = {**member.keys(), **changes}
    return {**card, "Proof": member.prove(nonce, card)}


def wrong_proofs():
    """False claims of a Join. Each function gets ana and the nonce."""
    stranger = Person("ana", origin="https://x")

    def other(ana, room="", name="ana"):
        return Person(name, room, ana.identity, ana.session, origin=ana.origin)

    return {
        "another nonce": lambda ana, nonce: {"Proof": ana.prove(flip(nonce))},
        "another room": lambda ana, nonce: {"Proof": other(ana, "tea").prove(nonce, ana.keys())},
        "another name": lambda ana, nonce: {"Proof": other(ana, "", "bob").prove(nonce, ana.keys())},
        "another identity": lambda ana, nonce: {"Proof": stranger.prove(nonce, ana.keys())},
        "another origin": lambda ana, nonce: {"Proof": ana.prove(nonce, ana.keys(KeyOrigin="https://x"))},
        "another session key": lambda ana, nonce: {
            "Proof": ana.prove(nonce, {**ana.keys(), "SessionKey": stranger.keys()["SessionKey"]})
        },
        "another signature": lambda ana, nonce: {
            "Proof": ana.prove(nonce, {**ana.keys(), "KeySignature": "0" * 128})
        },
        "a flipped bit": lambda ana, nonce: {"Proof": flip(ana.prove(nonce))},
        "another's identity key": lambda ana, _: {"IdentityKey": stranger.keys()["IdentityKey"]},
        "no point of the curve": lambda ana, _: {"IdentityKey": digits(2)},
        "no signature at all": lambda ana, _: {"Proof": "0" * 128},
        "the wrong signature": lambda ana, _: {"Proof": ana.keys()["KeySignature"]},
    }


@pytest.mark.parametrize("what", wrong_proofs())
def test_wrong_proof(server, what):
    """It is refused, and can be corrected on the same connection."""

    @scenario
    async def talk():
        ana = Person("ana", origin=origin_of(server))
        peer = await greeted(server)
        await try_join(peer, ana, Ref="r", **wrong_proofs()[what](ana, peer.nonce))
        assert (await peer.error("bad_proof"))["Ref"] == "r"
        await try_join(peer, ana)
        assert (await peer.message())["msgType"] == "Joined"

    talk()


def wrong_key_signatures():
    """Signatures that others would refuse, each with a valid Proof. Each function gets ana."""

    def signed_by(member, ana, **changes):
        member.session, member.origin, member.expires = ana.session, ana.origin, ana.expires
        return {"KeySignature": member.keys(**changes)["KeySignature"]}

    return {
        "none": lambda ana: {"KeySignature": "0" * 128},
        "a flipped bit": lambda ana: {"KeySignature": flip(ana.keys()["KeySignature"])},
        "another identity": lambda ana: signed_by(Person("ana"), ana),
        "another room": lambda ana: signed_by(Person("ana", "tea", ana.identity), ana),
        "another name": lambda ana: signed_by(Person("Ana", "", ana.identity), ana),
        "another session key": lambda ana: {"SessionKey": Person("x").keys(KeyOrigin="")["SessionKey"]},
        "another end": lambda ana: {"KeyExpires": ana.expires + 1},
        "another encoding": lambda ana: {"KeyEnc": "hpke-v3"},
        "another origin": lambda ana: {
            "KeySignature": ana.keys(KeyOrigin="https://x")["KeySignature"]
        },
    }


@pytest.mark.parametrize("what", wrong_key_signatures())
def test_a_key_signature_that_does_not_hold_is_not_published(server, what):
    """Otherwise members would blame the server for a member's fault."""

    @scenario
    async def talk():
        ana = Person("ana", origin=origin_of(server))
        peer = await greeted(server)
        wrong = with_proof(ana, peer.nonce, **wrong_key_signatures()[what](ana))
        await try_join(peer, ana, **wrong)
        await peer.error("bad_proof")
        await try_join(peer, ana)
        assert (await peer.message())["msgType"] == "Joined"
        await peer.send("PublishKeys", **{**ana.keys(), **wrong_key_signatures()[what](ana)})
        await peer.error("bad_proof")
        assert is_published(await peer.ask("GetKeys", TgtUser="ana"), "", "ana")

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
    """A proof captured on one connection is useless on another."""
    ana = Person("ana", origin=origin_of(server))
    first, second = await greeted(server), await greeted(server)
    assert first.nonce != second.nonce
    await try_join(second, ana, **ana.claim(first.nonce))
    await second.error("bad_proof")


@scenario
async def test_all_seven_or_none(server):
    """The error names the first missing one."""
    ana = Person("ana")
    for count in (1, 2, 6):
        for absent in itertools.combinations(CLAIM, count):
            peer = await greeted(server)
            await try_join(peer, ana, **dict.fromkeys(absent))
            assert f'"{absent[0]}" is missing' in (await peer.error("missing_field"))["text"]
            await peer.close()


@pytest.mark.parametrize("field", CLAIM)
def test_a_field_of_another_kind_is_missing(server, field):
    """The error has the expected and the found value."""
    kind = "a number" if field == "KeyExpires" else "a string"

    @scenario
    async def talk():
        ana = Person("ana")
        for found, value in WRONG_TYPES.items():
            if found == kind:
                continue
            peer = await greeted(server)
            ana.origin = peer.origin
            fields = {**ana.claim(peer.nonce), field: value}
            await peer.send("Join", Name="ana", Password=PASSWORD, **fields)
            text = (await peer.error("missing_field"))["text"]
            assert text == f'"{field}" must be {kind}, not {found}'
            await try_join(peer, ana)
            assert (await peer.message())["msgType"] == "Joined"
            if field != "Proof":
                await peer.send("PublishKeys", **{**ana.keys(), field: value})
                assert (await peer.error("missing_field"))["text"] == text
            await peer.nothing_more()
            await peer.close()

    talk()


def not_hexadecimal(right):
    yield from ("", right[1:], right + "0", right + "00", "g" + right[1:], "A" * len(right))
    yield from (" " + right[1:], "0x" + right[2:], right[:-1] + "\0", right[:-1] + "\u00e9")


def bad_identities():
    """Not canonical, or of small order: as they stand in RFC 8032 with either sign bit."""
    order_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    small = (0, 1, P - 1, order_8, P - order_8)
    beyond = (P, P + 1, P + 2, 2**255 - 1)
    return [digits(y + sign) for y in (*small, *beyond) for sign in (0, 2**255)]


def bad_sessions():
    """The top bit set, not canonical, or of low order (RFC 7748 §6.1)."""
    order_8 = (
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
    )
    return [digits(u) for u in (0, 1, P - 1, *order_8, P, P + 1, 2**255 - 1, 2**255 + 9)]


def wrong_forms():
    """Malformed values of each field; everything that can be signed is signed."""
    ana = Person("ana", origin="https://x")
    claim = ana.claim("00" * 32)
    for field in ("IdentityKey", "SessionKey", "KeySignature", "Proof"):
        yield from ((field, value) for value in not_hexadecimal(claim[field]))
    yield from (("IdentityKey", value) for value in bad_identities())
    yield from (("SessionKey", value) for value in bad_sessions())
    yield from (("KeyExpires", value) for value in (0, 2**53, 2**53 + 1, 2**63))
    for value in ("", "h" * 270, 'https://"', "https://\\", "https://\n", "https://\x7f", "\u00e9"):
        yield "KeyOrigin", value
    for value in ("", "h" * 65, "HPKE-v2", "hpke_v2", "hpke-v2,x", "hpke-v2\t", "hpke-v2\0", "\u00e9"):
        yield "KeyEnc", value


def claim_of(ana, nonce, field, value):
    """A claim with a wrong field, signed as far as possible."""
    with contextlib.suppress(ValueError):
        if field in ("SessionKey", "KeyExpires", "KeyOrigin", "KeyEnc"):
            return ana.claim(nonce, **{field: value})
    return {**ana.claim(nonce), field: value}


@pytest.mark.parametrize("field", CLAIM)
def test_a_field_of_the_wrong_form_is_a_bad_proof(server, field):
    """In a Join and in PublishKeys, also if it is signed; the connection goes on."""
    values = [value for name, value in wrong_forms() if name == field]

    @scenario
    async def talk():
        ana, bob = Person("ana"), Person("bob")
        member = await join_as(server, bob)
        for value in values:
            peer = await greeted(server)
            ana.origin = peer.origin
            await try_join(peer, ana, Ref=1, **claim_of(ana, peer.nonce, field, value))
            error = await peer.error("bad_proof")
            assert error["Ref"] == 1 and "64 lower-case hexadecimal digits" in error["text"], value
            await try_join(peer, ana)
            assert (await peer.message())["msgType"] == "Joined"
            await peer.close()
            if field != "Proof":
                card = claim_of(bob, "00" * 32, field, value)
                card.pop("Proof")
                await member.send("PublishKeys", **card)
                await member.error("bad_proof")
        assert await member.ask("GetKeys", TgtUser="bob") == {
            **{"msgType": "UserKeys", "User": "bob"},
            **bob.keys(),
        }

    talk()


@scenario
async def test_an_end_with_fraction_or_exponent_is_a_bad_proof(server):
    ana = Person("ana", origin=origin_of(server))
    for number in ("1798761600000.0", "1798761600000.5", "1e12", "1E3", "-1", "9" * 30):
        peer = await greeted(server)
        join = {"msgType": "Join", "Name": "ana", "Password": PASSWORD, **ana.claim(peer.nonce)}
        await peer.send_text(json.dumps({**join, "KeyExpires": 0.25}).replace("0.25", number))
        await peer.error("bad_proof")
        await try_join(peer, ana)
        assert (await peer.message())["msgType"] == "Joined"
        await peer.close()


@scenario
async def test_an_identity_of_small_order_proves_nothing(server):
    """For such a key one fixed signature is valid for every message."""
    everything = "01" + "00" * 63
    for identity in (digits(1), digits(1 + 2**255), digits(P + 1)):
        peer = await greeted(server)
        signed = {"IdentityKey": identity, "KeySignature": everything, "Proof": everything}
        await try_join(peer, Person("ana"), **signed)
        await peer.error("bad_proof")
        await peer.close()


@scenario
async def test_the_longest_values_are_taken(serve):
    """Also the smallest and greatest expiry: the server does not check the clock."""
    origin = "https://" + "x" * 255 + ":65535"
    server = serve(allowed_origins=[origin])
    bob = await join(server, "bob")
    for expires in (1, 2**53 - 1):
        ana = Person("ana", enc="hpke-v2 " + "x" * 56, expires=expires)
        peer = await greeted(server)
        peer.origin = origin
        await try_join(peer, ana)
        assert (await peer.message())["msgType"] == "Joined"
        assert await bob.ask("GetKeys", TgtUser="ana") == {
            **{"msgType": "UserKeys", "User": "ana"},
            **ana.keys(),
        }
        await peer.close()
        await bob.presence("bob")


@scenario
async def test_password_and_name_come_first(server):
    peer = await greeted(server)
    await try_join(peer, Person("ana"), Password="wrong word", Proof="0" * 128)
    await peer.error("wrong_password")
    await try_join(peer, Person(" ana"), Proof="0" * 128)
    await peer.error("bad_name")


# ---- Origins -------------------------------------------------------------------------------------


@scenario
async def test_a_strange_origin_is_told_and_may_be_left_out(server):
    """The text names it and the remedy for the owner. Without keys the same connection can join."""
    ana, bob = Person("ana"), await join(server, "bob")
    peer = await greeted(server)
    peer.origin = "https://chat.example.org:8443"
    await try_join(peer, ana, Ref="r")
    error = await peer.error("wrong_origin")
    assert error["Ref"] == "r"
    assert peer.origin in error["text"] and "allowed_origins" in error["text"]
    assert (await peer.ask("Join", Name="ana", Password=PASSWORD))["msgType"] == "Joined"
    assert await bob.ask("GetKeys", TgtUser="ana") == {"msgType": "UserKeys", "User": "ana"}


@scenario
async def test_a_strange_origin_is_one_of_three_tries(server):
    ana, peer = Person("ana"), await greeted(server)
    peer.origin = "https://chat.example.org"
    for _ in range(3):
        await try_join(peer, ana)
        await peer.error("wrong_origin")
    assert (await peer.closed())[0] == 1008


@scenario
async def test_origins_that_are_almost_right(server):
    """It is exactly the origin of this handshake."""
    scheme, _, rest = origin_of(server).partition("://")
    port = rest.partition(":")[2]
    other = "http" if server.tls else "https"
    for origin in (
        f"{other}://127.0.0.1:{port}",
        f"{scheme}://127.0.0.1",
        f"{scheme}://127.0.0.1:{int(port) % 65535 + 1}",
        f"{scheme}://127.0.0.1:{port}/",
        f"{scheme}://127.0.0.1:0{port}",
        f"{scheme.upper()}://127.0.0.1:{port}",
        f"{scheme}://localhost:{port}",
        f"{scheme}://127.0.0.2:{port}",
        f"{scheme}://[::1]:{port}",
        f"ws://127.0.0.1:{port}",
        f"127.0.0.1:{port}",
        "null",
        "*",
    ):
        ana, peer = Person("ana"), await greeted(server)
        peer.origin = origin
        await try_join(peer, ana)
        await peer.error("wrong_origin")
        await peer.close()


@scenario
async def test_any_origin_may_connect_but_is_not_the_servers_own(serve, tls):
    server = serve(SSL=tls, allowed_origins=["*"])
    ana, peer = Person("ana"), await greeted(server)
    peer.origin = "https://chat.example.org"
    await try_join(peer, ana)
    await peer.error("wrong_origin")


@scenario
async def test_an_allowed_origin_is_the_servers_own(serve, tls):
    """Behind a proxy or a forwarded port, where Host does not contain it."""
    server = serve(SSL=tls, allowed_origins=["https://Chat.Example.org:443"])
    ana, peer = Person("ana"), await greeted(server)
    peer.origin = "https://chat.example.org"
    await try_join(peer, ana)
    assert (await peer.message())["msgType"] == "Joined"


# ---- Publishing others ---------------------------------------------------------------------------


async def publish(peer, person, **fields):
    """Publishes the person's current card."""
    return await peer.ask("PublishKeys", **{**person.keys(), "Ref": "p", **fields})


@scenario
async def test_publish_keys(server):
    """Only with a Ref it is answered; nobody else is told, and all can request the keys."""
    ana, bob = Person("ana", "tea"), await join(server, "bob", "/rooms/tea")
    peer = await join_as(server, ana)
    await bob.presence("ana", "bob")
    ana.renew()
    ana.enc = "hpke-v2 hpke-v3"
    answer = await publish(peer, ana, Ref={"n": 1})
    assert answer == {"msgType": "KeysPublished", "Ref": {"n": 1}}
    await bob.nothing_more()
    assert await bob.ask("GetKeys", TgtUser="ANA") == {
        **{"msgType": "UserKeys", "User": "ana"},
        **ana.keys(),
    }
    ana.renew()
    await peer.send("PublishKeys", **ana.keys())
    await peer.message()  # bob's mark
    await peer.nothing_more()
    assert (await bob.message())["text"].startswith("mark")
    assert await bob.ask("GetKeys", TgtUser="ana") == {
        **{"msgType": "UserKeys", "User": "ana"},
        **ana.keys(),
    }


@scenario
async def test_publish_keys_of_another(server):
    """Identity and origin are those of the Join. Each is answered, and the keys stay as they were."""
    ana = Person("ana")
    peer = await join_as(server, ana)
    before = ana.keys()
    stranger = Person("ana", origin=ana.origin)
    for code, card in [
        ("bad_proof", stranger.keys()),
        ("bad_proof", {**before, "IdentityKey": stranger.identity_key}),
        ("bad_proof", Person("bob", "", ana.identity, origin=ana.origin).keys()),
        ("bad_proof", Person("ana", "tea", ana.identity, origin=ana.origin).keys()),
        ("bad_proof", {**before, "KeyOrigin": "https://chat.example.org"}),
        ("wrong_origin", ana.keys(KeyOrigin="https://chat.example.org")),
    ]:
        await peer.send("PublishKeys", **card, Ref=5)
        assert (await peer.error(code))["Ref"] == 5
    for field in CARD:
        await peer.send("PublishKeys", **{key: before[key] for key in CARD if key != field})
        assert (await peer.error("missing_field"))["text"] == f'"{field}" is missing'
    await peer.send("PublishKeys")
    assert (await peer.error("missing_field"))["text"] == '"IdentityKey" is missing'
    assert await peer.ask("GetKeys", TgtUser="ana") == {
        **{"msgType": "UserKeys", "User": "ana"},
        **before,
    }


@scenario
async def test_publish_keys_after_joining_without(server):
    """Without a proved identity; in both ways."""
    ana = Person("ana", origin=origin_of(server))
    for peer in (await join(server, "ana"), await join_original(server, "bob")):
        await peer.send("PublishKeys", **ana.keys())
        await peer.error("bad_proof")
        answer = await peer.ask("GetKeys", TgtUser="ana")
        assert answer == {"msgType": "UserKeys", "User": "ana"}


@scenario
async def test_publish_keys_before_joining(server):
    ana, peer = Person("ana"), await greeted(server)
    ana.origin = peer.origin
    await peer.send("PublishKeys", **ana.keys())
    await peer.error("unknown_type")


@scenario
async def test_every_request_gets_a_whole_card(server):
    """Many request it during replacement: each answer is one card, never older than the previous."""
    ana = Person("ana")
    peer = await join_as(server, ana)
    readers = [await join(server, f"reader {number}") for number in range(4)]
    done = asyncio.Event()

    async def replace():
        for number in range(300):
            ana.expires += 1
            await peer.send("PublishKeys", **ana.keys())
            if number % 50 == 0:
                ana.renew()
        await publish(peer, ana)
        done.set()

    async def read(reader):
        last = 0
        while not done.is_set():
            card = await reader.ask("GetKeys", TgtUser="ana")
            assert is_published(card, "", "ana")
            last = card["KeyExpires"]
        return last

    await asyncio.gather(replace(), *map(read, readers))
    for reader in readers:
        assert (await reader.ask("GetKeys", TgtUser="ana"))["SessionKey"] == ana.session_key


@scenario
async def test_publish_keys_against_takeover(server):
    """The replaced member publishes until its end; others get the newcomer's card."""
    ana, bob = Person("ana"), await join(server, "bob")
    old, before = await join_as(server, ana), ana

    async def publish_on():
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                before.expires += 1
                await old.send("PublishKeys", **before.keys())
                await asyncio.sleep(0)

    for _ in range(20):
        newer = before.again()
        publishing = asyncio.create_task(publish_on())
        new = await join_as(server, newer)
        await taken_over(old)
        await publishing
        answer = await bob.ask("GetKeys", TgtUser="ana")
        assert answer["SessionKey"] == newer.session_key
        old, before = new, newer


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
    assert is_published(answer, "", answer["User"])
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
    """Only the same identity takes over; others learn only that the name is taken."""
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
    """The old connection is closed, the new one continues, and the others are told."""
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
        change = await bob.next()
        assert change["msgType"] == "Presence", change
        assert (change["Joined"], change["Left"], change["Count"]) == (["ana"], ["ana"], 2)


@scenario
async def test_takeover_of_a_client_that_does_not_read(server):
    """A ghost with a dead connection reads nothing, and its slot is free at once all the same."""
    ana, bob = Person("ana"), await join(server, "bob")
    ghost = await join_as(server, ana)
    ghost.socket.transport.pause_reading()
    for number in range(20):
        await bob.ask("Broadcast", text=f"{number} " + "x" * 50000)
    new = await join_as(server, ana.again())
    await bob.send("PrivateMessage", TgtUser="ana", text="are you back")
    assert (await new.message())["text"] == "are you back"


def join_and_read_no_more(server, person):
    """A bare socket that joined with keys."""
    raw = Raw(server, receive_buffer=4096)
    raw.upgrade()
    person.origin = origin_of(server)
    claim = person.claim(raw.message()["Nonce"])
    raw.send_text(
        json.dumps({"msgType": "Join", "Name": person.name, "Password": PASSWORD, **claim})
    )
    assert raw.message()["msgType"] == "Joined"
    return raw


@scenario
async def test_a_replaced_member_that_reads_again(serve, tls):
    """It reads the room up to some message, and then that it was taken over. Later messages, which
    have overwritten the room's buffer, do not concern it."""
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
async def test_a_replaced_member_that_never_reads_again_is_closed_in_time(serve, tls):
    """It does not keep a slot until its silence is noticed."""
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
    """During a conversation: each newcomer continues where the previous one stopped reading."""
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
    """One of them is left, and the room is intact. The others may be closed before their first list."""
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
    """Waits until `count` are done; returns their results."""
    left = set(tasks)
    while len(tasks) - len(left) < count:
        done, left = await asyncio.wait(left, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        assert done, f"waited in vain, {len(left)} are left"
    return [task.result() for task in tasks if task.done()]


async def write_to(peer, name, counts):
    """Sends a few private messages; counts the outcomes."""
    for number in range(5):
        await peer.send("PrivateMessage", TgtUser=name, text=f"private {number}", Ref=number)
        answer = await peer.message()
        counts[answer.get("Code", answer["msgType"])] += 1
        assert answer["Ref"] == number


@scenario
async def test_private_messages_reach_the_member_that_takes_over(server):
    """There is no moment without a member of that name."""
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
    """The ghost leaves at the moment of its replacement. While it is being closed, it is busy."""
    ana, bob = Person("ana"), await join(server, "bob")
    counts = dict.fromkeys(("Delivered", "unknown_user", "receiver_busy"), 0)
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
    """The room is not released in between."""
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
    """The server adds SrcUser and Time; everything else arrives as sent."""
    people = [Person("ana", "tea"), Person("Ben \u674e", "tea")]
    peers = [await join_as(server, person) for person in people]
    for seq in (1, 2, 3):
        for one, other in ((0, 1), (1, 0)):
            text = f"a secret, {seq} \U0001f375" * 50
            keys = await peers[one].ask("GetKeys", TgtUser=people[other].name)
            assert is_published(keys, "tea", people[other].name)
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
    """A receiver's notice about an unreadable message is an ordinary message to the server."""
    ana, bob = await join(server, "ana"), await join(server, "bob")
    notice = {"text": "", "Notice": "unreadable", "Code": "stale_key", "About": "r1"}
    await bob.send("PrivateMessage", TgtUser="ana", **notice)
    message = await ana.message()
    assert {name: message[name] for name in notice} == notice


def test_vector_is_up_to_date():
    """tests/vectors/private-message.json is the output of e2e_reference.py."""
    path = ROOT / "tests" / "vectors" / "private-message.json"
    assert json.loads(path.read_text()) == e2e_reference.vector()


# ---- What the server does not know ---------------------------------------------------------------


def memory(pid):
    """Every readable page of a process, region by region."""
    regions = re.findall(
        r"^([0-9a-f]+)-([0-9a-f]+) r\S+ .*$", open(f"/proc/{pid}/maps").read(), re.MULTILINE
    )
    with open(f"/proc/{pid}/mem", "rb") as file:
        for first, last in ((int(a, 16), int(b, 16)) for a, b in regions):
            with contextlib.suppress(OSError, ValueError):  # [vvar] cannot be read
                file.seek(first)
                yield file.read(last - first)


def knows(server, text):
    """Whether a text is in the server's memory, plain or in hexadecimal."""
    wanted = (text.encode(), text.encode().hex().encode())
    return any(form in region for region in memory(server.pid) for form in wanted)


@pytest.mark.plain_run("a sanitizer maps terabytes")
def test_a_private_text_is_not_in_the_servers_memory(server):
    """The text of a broadcast is there: the search works."""
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
