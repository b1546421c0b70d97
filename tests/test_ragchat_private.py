# SPDX-License-Identifier: MIT
"""Private messages with ragchat: what is sealed, shown, refused, verified.

The other side is another ragchat, or a Python client with the cryptography of sealing.py, which
shares nothing with e2e.c.
"""
import re

import pytest

import sealing
from helpers import join, join_as, scenario
from sealing import Person, flip
from terminal import FAST, Listener, run


def test_two_terminals(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "Bob B")
    ana.say('/msg "bob b" just between us 日本')
    ana.wait(r'you to "bob b" \[encrypted\]: just between us 日本')
    bob.wait(r"ana to you \[encrypted\]: just between us 日本")
    bob.say('/msg "ana" and back')
    ana.wait(r'"Bob B" to you \[encrypted\]: and back')
    for screen, name in ((ana, "Bob B"), (bob, "ana")):
        screen.say(f"/verify {name}")
        screen.wait("Type yes")
    numbers = [re.findall(r"(?:\d{5} ){5}\d{5}", screen.text()) for screen in (ana, bob)]
    assert numbers[0] == numbers[1] and len(numbers[0]) == 2
    ana.say("yes")
    ana.wait("Bob B is verified")
    bob.say("later, perhaps")
    bob.wait("ana is not marked")
    ana.wait('"Bob B": later, perhaps')
    ana.type("/msg Bo\t")
    ana.wait_row('> /msg "Bob B"')
    ana.say("more")
    ana.wait(r'you to "Bob B" \[verified\]: more')
    bob.wait(r"ana to you \[encrypted\]: more")


def test_lines_to_one_person(serve, homes):
    """200 lines, sealed, across a change of membership for each; the order stays."""
    server = serve(**FAST)
    ear = Listener(server, "ear", homes("ear"))
    lines = [f"line {i} {'x' * i}" for i in range(200)]
    status, _, err = run(server, "cron", homes("cron"), "--to", "EAR", text="\n".join(lines))
    assert status == 0, err
    messages = ear.wait(200, "PrivateMessage")
    assert [message["text"] for message in messages] == lines
    assert all(message["Encrypted"] and not message["Verified"] for message in messages)
    assert "EncKey" not in messages[0]
    status, _, err = run(server, "cron", homes("cron"), "--to", "nobody", text="x\n")
    assert status == 5 and "not sent to nobody" in err


def test_nothing_is_sent_in_plaintext_unless_it_is_wished(serve, terminal):
    server = serve()
    ana = terminal(server, "ana")

    @scenario
    async def talk():
        bob = await join(server, "bob")
        ana.say("/msg bob secret")
        ana.wait("not sent to bob.*no keys")
        ana.say("/plain bob")
        ana.wait("NOT ENCRYPTED")
        ana.say("/msg bob postcard")
        message = await bob.message()
        assert message["text"] == "postcard" and "Enc" not in message
        ana.wait(r"you to bob \[not encrypted\]: postcard")
        await bob.send("PrivateMessage", TgtUser="ana", text="seen")
        ana.wait(r"bob to you \[not encrypted\]: seen")
        await bob.close()
        ana.wait("bob left")
        bob = await join(server, "bob")
        ana.wait("(?s)bob left.*bob came")
        ana.say("/msg bob again?")
        ana.wait('not sent to bob: "again\\?"')

    talk()


@scenario
async def correspond(server, ana, sender, check):
    """`check` gets the sender's connection and ana's keys."""
    peer = await join_as(server, sender)
    keys = await peer.ask("GetKeys", TgtUser="ana")
    await check(peer, keys)


async def answered(peer, code):
    """The next message is ana's notice."""
    notice = await peer.message()
    while notice["msgType"] == "Delivered":
        notice = await peer.message()
    assert (notice.get("Notice"), notice.get("Code")) == ("unreadable", code), notice
    return notice


def tampered(good, person, keys):
    yield "bad_signature", {**good, "text": flip(good["text"])}
    yield "bad_signature", {**good, "Sig": flip(good["Sig"])}
    yield "bad_signature", {**good, "KeySignature": flip(good["KeySignature"])}
    yield "stale_key", {**good, "ToKey": flip(good["ToKey"])}
    yield "malformed", {**good, "Seq": 0}
    yield "malformed", {**good, "EncKey": "00"}
    yield "malformed", {key: value for key, value in good.items() if key != "Enc"}
    yield "replayed", good


def test_what_was_tampered_with_is_never_shown(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")

    async def check(peer, keys):
        good = bob.seal("ana", keys, 1, "the first")
        await peer.send("PrivateMessage", **good)
        ana.wait(r"bob to you \[encrypted\]: the first")
        for number, (code, message) in enumerate(tampered(good, bob, keys)):
            await peer.send("PrivateMessage", **message, Ref=number)
            assert (await answered(peer, code))["About"] == number
        await peer.send("PrivateMessage", **bob.seal("ana", keys, 5, "the fifth"))
        ana.wait("3 messages of bob did not arrive")
        ana.wait(r"bob to you \[encrypted\]: the fifth")
        await peer.send("PrivateMessage", TgtUser="ana", text="unlocked")
        ana.wait(r"bob to you \[NOT ENCRYPTED, although you know a key\]: unlocked")

    correspond(server, ana, bob, check)
    assert "somebody, perhaps the server, is cheating" in ana.text().replace("\n", " ")
    assert ana.text().count("the first") == 1


@pytest.mark.parametrize("verified", [False, True])
def test_a_changed_key(serve, terminal, verified):
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")
    other = Person("bob")
    number = sealing.safety_number
    compared = ", and you had COMPARED that one" if verified else ""

    async def first(peer, keys):
        await peer.send("PrivateMessage", **bob.seal("ana", keys, 1, "it is me"))
        ana.wait("it is me")
        if verified:
            ana.say("/verify bob")
            ana.wait("Type yes")
            expected = number(keys["IdentityKey"], bob.keys()["IdentityKey"])
            assert expected[:35] in ana.text() and expected[36:] in ana.text()
            ana.say("yes")
            ana.wait("bob is verified")

    async def second(peer, keys):
        await peer.send("PrivateMessage", **other.seal("ana", keys, 1, "me again"))
        await answered(peer, "key_changed")
        ana.wait(rf"bob has another key than before{compared}\. It may")
        assert "me again" not in ana.text()
        ana.say("/msg bob who is it?")
        ana.wait("not sent to bob.*the key has changed")
        ana.say("/accept bob")
        ana.wait(r"bob to you \[encrypted\]: me again")
        ana.say("/msg bob welcome")
        assert other.open(await peer.message()) == "welcome"
        ana.wait(r"you to bob \[encrypted\]: welcome")

    correspond(server, ana, bob, first)
    ana.wait("bob left")
    correspond(server, ana, other, second)


def test_yes_is_about_the_number_that_was_shown(serve, terminal):
    """A server that changes the key while two people compare gets nothing marked."""
    server = serve()
    ana, bob, other = terminal(server, "ana"), Person("bob"), Person("bob")

    async def first(peer, keys):
        await peer.send("PrivateMessage", **bob.seal("ana", keys, 1, "it is me"))
        ana.wait("it is me")
        ana.say("/verify bob")
        ana.wait("Type yes")

    async def second(peer, keys):
        await peer.send("PrivateMessage", **other.seal("ana", keys, 1, "me again"))
        await answered(peer, "key_changed")
        ana.say("yes")
        ana.wait("not marked: .* another key of bob came")
        ana.say("/msg bob secret")
        ana.wait("not sent to bob.*the key has changed")

    correspond(server, ana, bob, first)
    ana.wait("bob left")
    correspond(server, ana, other, second)
    assert "bob is verified" not in ana.text() and "me again" not in ana.text()


def test_keys_that_are_not_signed_right(serve, terminal):
    """The server lets them through, as receivers check them; ana sends nothing for them."""
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")

    @scenario
    async def talk():
        await join_as(server, bob, KeySignature=flip(bob.keys()["KeySignature"]))
        ana.say("/msg bob secret")
        ana.wait("not signed right")

    talk()


def test_a_stale_key_is_asked_for_again(serve, terminal):
    """Once, by itself, with another Ref; never in plaintext."""
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")

    async def check(peer, keys):
        ana.say("/msg bob hello")
        first = await peer.message()
        for code in ("stale_key", "stale_key"):
            notice = {"Notice": "unreadable", "Code": code, "About": first["Ref"]}
            await peer.send("PrivateMessage", TgtUser="ana", text="", **notice)
        second = await peer.message()
        assert second["Ref"] != first["Ref"] and bob.open(second) == "hello"
        notice["About"] = second["Ref"]
        await peer.send("PrivateMessage", TgtUser="ana", text="", **notice)
        ana.wait('bob could not read "hello"')
        await peer.nothing_more()

    correspond(server, ana, bob, check)


def test_a_friend_who_reconnects(serve, terminal, homes):
    """A new session key, the same identity: nothing has to be accepted."""
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")
    for number, session in enumerate((bob, Person("bob", identity=bob.identity)), 1):

        async def check(peer, keys):
            ana.say("/msg bob hello")
            assert session.open(await peer.message()) == "hello"
            await peer.send("PrivateMessage", **session.seal("ana", keys, 1, "hi there"))
            ana.wait("hi there", times=number)

        correspond(server, ana, session, check)
        ana.wait("bob left", times=number)
    assert ana.text().count("hi there") == 2 and "another key" not in ana.text()
