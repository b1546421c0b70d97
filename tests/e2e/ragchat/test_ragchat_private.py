# SPDX-License-Identifier: MIT
"""Private messages with ragchat: sealing, display, refusals, confirmations, verification.

The other side is another ragchat, or a Python client with the cryptography of e2e_reference.py, which
shares nothing with ragchat's. test_ragchat_cheats.py has the servers that cheat.
"""
import contextlib
import re

import pytest

import e2e_reference
from e2e_reference import Person, flip
from helpers import PATIENCE, join, join_as, scenario, wait_until
from terminal import FAST, OK, PARTLY, Listener, run, said

CONFIRM = 10  # seconds for a text to be confirmed


def last_digits(screen, name):
    """The last five digits of the safety number that /verify shows."""
    screen.say(f"/verify {name}")
    screen.wait("type its last 5 digits")
    return re.findall(r"(?:\d{5} ){5}\d{5}", screen.text())[-1][-5:]


# ---- Two of them ---------------------------------------------------------------------------------


def test_two_terminals(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "Bob B")
    ana.say('/msg "bob b" just between us 日本')
    ana.wait(said("encrypted", 'you to "bob b"', "just between us 日本"))
    bob.wait(said("encrypted", "ana to you", "just between us 日本"))
    bob.say('/msg "ana" and back')
    ana.wait(said("encrypted", '"Bob B" to you', "and back"))
    digits = last_digits(ana, "Bob B")
    assert digits == last_digits(bob, "ana")
    ana.say(digits)
    ana.wait('"?Bob B"? is verified')
    bob.say("later, perhaps")
    bob.wait("ana is not marked")
    bob.say("to the room")
    ana.wait('"Bob B": to the room')
    assert "later, perhaps" not in ana.text()
    ana.type("/msg Bo\t")
    ana.wait_row('> /msg "Bob B"')
    ana.say("more")
    ana.wait(said("verified", 'you to "Bob B"', "more"))
    bob.wait(said("encrypted", "ana to you", "more"))
    assert "confirmed" not in ana.text() + bob.text()


def test_lines_to_one_person(serve, homes):
    """200 lines, sealed, across changes of session keys; the order stays."""
    server = serve(**FAST)
    ear = Listener(server, "ear", homes("ear"))
    lines = [f"line {i} {'x' * i}" for i in range(200)]
    status, _, err = run(server, "cron", homes("cron"), "--to", "EAR", text="\n".join(lines))
    assert (status, err) == (OK, "")
    messages = ear.wait(200, "PrivateMessage")
    assert [message["text"] for message in messages] == lines
    assert all(message["Encrypted"] and not message["Verified"] for message in messages)
    assert not {"EncKey", "KeyExpires", "KeyOrigin", "KeyEnc"} & messages[0].keys()
    assert not ear.of("Missing")
    status, _, err = run(server, "cron", homes("cron"), "--to", "nobody", text="x\n")
    assert status == PARTLY and "not sent to nobody" in err


def test_once_confirms_before_it_ends(serve, homes):
    server = serve()
    ear = Listener(server, "ear", homes("ear"), "--once")
    assert run(server, "cron", homes("cron"), "--to", "ear", text="x\n")[0] == OK
    assert ear.process.wait(10) == OK


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
        ana.wait(said("not encrypted", "you to bob", "postcard"))
        await bob.send("PrivateMessage", TgtUser="ana", text="seen")
        ana.wait(said("not encrypted", "bob to you", "seen"))
        await bob.close()
        ana.wait("bob left")
        bob = await join(server, "bob")
        ana.wait("(?s)bob left.*bob came")
        ana.say("/msg bob again?")
        ana.wait('not sent to bob: "again\\?"')

    talk()


# ---- A Python client on the other side -----------------------------------------------------------


class Correspondent:
    """A member that joined as a Person, and ana's keys. It confirms messages unless it is `silent`."""

    def __init__(self, peer, person, keys):
        self.peer, self.person, self.keys, self.silent = peer, person, keys, False

    async def read(self):
        """The next sealed text, as received, and its content."""
        while True:
            message = await self.peer.message()
            if message["msgType"] == "PrivateMessage" and message.get("Seq") == 0:
                with contextlib.suppress(e2e_reference.Refused):  # for whoever had the name before
                    self.person.read(message)
            elif message["msgType"] == "PrivateMessage":
                break
        inside, _ = self.person.read(message)
        if not self.silent:
            receipt = self.person.receipt(message["SrcUser"], message)
            await self.peer.send("PrivateMessage", **receipt)
        return message, inside

    async def text(self):
        return (await self.read())[1].text

    async def write(self, text, **fields):
        message = self.person.write("ana", self.keys, text)
        await self.peer.send("PrivateMessage", **{**message, **fields})

    async def confirmed(self):
        """Waits until ana has confirmed all that was written."""
        while self.person.sent[self.keys["IdentityKey"]].waiting():
            message = await self.peer.message()
            if message["msgType"] == "PrivateMessage":
                self.person.read(message)

    async def notice(self, code):
        """The next message is ana's notice."""
        while "Notice" not in (message := await self.peer.message()):
            assert message["msgType"] == "Delivered" or message.get("Seq") == 0, message
        assert (message["Notice"], message["Code"]) == ("unreadable", code), message
        return message


@scenario
async def correspond(server, ana, person, check):
    """`check` gets a Correspondent of ana's."""
    peer = await join_as(server, person)
    await check(Correspondent(peer, person, await peer.ask("GetKeys", TgtUser="ana")))


def test_what_is_written_is_confirmed(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")

    async def check(talk):
        await talk.write("one")
        await talk.write("two")
        await talk.confirmed()
        ana.say("/msg bob three")
        assert await talk.text() == "three"
        await talk.write("four")
        ana.say("/msg bob five")  # carries the confirmation, or a receipt does
        await talk.confirmed()

    correspond(server, ana, bob, check)


def tampered(good):
    yield "bad_signature", {**good, "text": flip(good["text"])}
    yield "bad_signature", {**good, "Sig": flip(good["Sig"])}
    yield "bad_signature", {**good, "KeySignature": flip(good["KeySignature"])}
    yield "bad_signature", {**good, "Seq": 3}
    yield "stale_key", {**good, "ToKey": Person("x").session_key}
    yield "malformed", {**good, "Seq": -1}
    yield "malformed", {**good, "EncKey": "00"}
    yield "malformed", {**good, "IdentityKey": "01" + "00" * 31}
    yield "malformed", {key: value for key, value in good.items() if key != "Enc"}
    yield "replayed", good


def test_what_was_tampered_with_is_never_shown(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")

    async def check(talk):
        good = bob.seal("ana", talk.keys, 1, "the first")
        await talk.peer.send("PrivateMessage", **good)
        ana.wait(said("encrypted", "bob to you", "the first"))
        for number, (code, message) in enumerate(tampered(good)):
            await talk.peer.send("PrivateMessage", **message, Ref=number)
            assert (await talk.notice(code))["About"] == number
        await talk.peer.send("PrivateMessage", **bob.seal("ana", talk.keys, 5, "the fifth"))
        ana.wait("3 messages of bob did not arrive")
        ana.wait(said("encrypted", "bob to you", "the fifth"))
        await talk.peer.send("PrivateMessage", TgtUser="ana", text="unlocked")
        ana.wait(said("NOT ENCRYPTED, although you know a key", "bob to you", "unlocked"))

    correspond(server, ana, bob, check)
    assert "somebody, perhaps the server, is cheating" in ana.text().replace("\n", " ")
    assert ana.text().count("the first") == 1


def test_keys_that_have_ended(serve, terminal):
    server = serve()
    ana = terminal(server, "ana")
    bob = Person("bob", expires=e2e_reference.wall() - 1000)

    async def check(talk):
        await talk.peer.send("PrivateMessage", **bob.seal("ana", talk.keys, 1, "late"), Ref=1)
        await talk.notice("expired")
        ana.wait("a message of bob cannot be read: its keys are not valid at this time: the clock")
        ana.say("/msg bob hello")
        ana.wait("not sent to bob.*the clock of this machine")

    correspond(server, ana, bob, check)


def test_a_session_key_is_renewed_after_50_messages(serve, terminal):
    """The former one still opens what was sealed to it in time."""
    server = serve(**FAST)
    ana, bob = terminal(server, "ana"), Person("bob")

    async def check(talk):
        for number in range(50):
            await talk.write(f"number {number}")
        former = talk.keys
        while talk.keys["SessionKey"] == former["SessionKey"]:
            message = await talk.peer.ask("GetKeys", TgtUser="ana")
            if message["msgType"] == "UserKeys":
                talk.keys = message
        assert talk.keys["IdentityKey"] == former["IdentityKey"]
        await talk.peer.send("PrivateMessage", **bob.write("ana", former, "to the former"))
        await talk.write("to the new")
        ana.wait("to the former")
        ana.wait("to the new")

    correspond(server, ana, bob, check)
    assert "did not arrive" not in ana.text()


# ---- Another key ---------------------------------------------------------------------------------


@pytest.mark.parametrize("verified", [False, True])
def test_a_changed_key(serve, terminal, verified):
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")
    other = Person("bob")
    compared = ", and you had COMPARED that one" if verified else ""

    async def first(talk):
        await talk.write("it is me")
        ana.wait("it is me")
        if verified:
            digits = last_digits(ana, "bob")
            number = e2e_reference.safety_number(talk.keys["IdentityKey"], bob.identity_key)
            assert number[:35] in ana.text() and number[36:] in ana.text()
            ana.say(digits)
            ana.wait("bob is verified")

    async def second(talk):
        await talk.write("me again")
        await talk.notice("key_changed")
        ana.wait(rf"bob has another key than before{compared}\. It may")
        assert "me again" not in ana.text()
        ana.say("/msg bob who is it?")
        ana.wait("not sent to bob.*the key has changed")
        ana.say("/accept bob")
        ana.wait(said("encrypted", "bob to you", "me again"))
        ana.say("/msg bob welcome")
        assert await talk.text() == "welcome"
        ana.wait(said("encrypted", "you to bob", "welcome"))

    async def third(talk):
        await talk.write("the old one")
        ana.wait(said("verified" if verified else "encrypted", "bob to you", "the old one"))

    correspond(server, ana, bob, first)
    ana.wait("bob left")
    correspond(server, ana, other, second)
    ana.wait("bob left", times=2)
    correspond(server, ana, bob.again(), third)
    assert ana.text().count("another key than before") == 1


def test_accepting_a_key_hands_over_no_former_text(serve, terminal):
    """Somebody who takes another's name gets no earlier text."""
    server = serve()
    ana, bob, mallory = terminal(server, "ana"), Person("bob"), Person("bob")
    refs = []

    async def first(talk):
        talk.silent = True
        for text in ("the safe code is 4711", "the key is under the mat"):
            ana.say(f"/msg bob {text}")
            message, inside = await talk.read()
            refs.append(message["Ref"])
            assert inside.text == text
        ana.wait("you to bob", times=2)

    async def second(talk):
        await talk.write("hi, new phone")
        await talk.notice("key_changed")
        ana.say("/accept bob")
        ana.wait(said("encrypted", "bob to you", "hi, new phone"))
        for ref in refs:
            notice = {"Notice": "unreadable", "Code": "stale_key", "About": ref}
            await talk.peer.send("PrivateMessage", TgtUser="ana", text="", **notice)
        ana.wait("it was written for another key", times=2)
        ana.say("/msg bob welcome")
        assert await talk.text() == "welcome"

    correspond(server, ana, bob, first)
    ana.wait("bob left")
    correspond(server, ana, mallory, second)


def test_the_digits_are_those_of_the_number_that_was_shown(serve, terminal):
    """If the server changes the key during a comparison, nothing is marked."""
    server = serve()
    ana, bob, other = terminal(server, "ana"), Person("bob"), Person("bob")
    digits = []

    async def first(talk):
        await talk.write("it is me")
        ana.wait("it is me")
        digits.append(last_digits(ana, "bob"))

    async def second(talk):
        await talk.write("me again")
        await talk.notice("key_changed")
        ana.say(digits[0])
        ana.wait("not marked: .* another key of bob came")
        ana.say("/msg bob secret")
        ana.wait("not sent to bob.*the key has changed")

    correspond(server, ana, bob, first)
    ana.wait("bob left")
    correspond(server, ana, other, second)
    assert "bob is verified" not in ana.text() and "me again" not in ana.text()


def test_a_stale_key_is_asked_for_again(serve, terminal):
    """Once for each session key, with another Ref and the same id; never in plaintext."""
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")

    async def check(talk):
        talk.silent = True
        ana.say("/msg bob hello")
        first, inside = await talk.read()
        for ref in (first["Ref"], first["Ref"]):
            notice = {"Notice": "unreadable", "Code": "stale_key", "About": ref}
            await talk.peer.send("PrivateMessage", TgtUser="ana", text="", **notice)
        second, again = await talk.read()
        assert second["Ref"] != first["Ref"] and second["Seq"] == 2
        assert (again.text, again.id, again.sent_at) == ("hello", inside.id, inside.sent_at)
        notice["About"] = second["Ref"]
        await talk.peer.send("PrivateMessage", TgtUser="ana", text="", **notice)
        ana.wait('bob could not read "hello"')
        await talk.peer.nothing_more()

    correspond(server, ana, bob, check)


def test_a_friend_who_reconnects(serve, terminal):
    """A new session key of the same identity needs no acceptance."""
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")
    for number, session in enumerate((bob, bob.again()), 1):

        async def check(talk):
            ana.say("/msg bob hello")
            assert await talk.text() == "hello"
            await talk.write("hi there")
            ana.wait("hi there", times=number)

        correspond(server, ana, session, check)
        ana.wait("bob left", times=number)
    assert ana.text().count("hi there") == 2 and "another key" not in ana.text()


# ---- What is not confirmed -----------------------------------------------------------------------


def test_a_text_that_is_not_confirmed_is_told(serve, terminal):
    """After 10 seconds; a late confirmation is shown too."""
    server = serve()
    ana, bob = terminal(server, "ana"), Person("bob")

    async def check(talk):
        talk.silent = True
        ana.say("/msg bob hello")
        message, _ = await talk.read()
        ana.wait(said("encrypted", "you to bob", "hello"))
        late = 'bob has not confirmed "hello" yet'
        wait_until(lambda: late in ana.text(), late, CONFIRM + PATIENCE)
        await talk.peer.send("PrivateMessage", **bob.receipt("ana", message))
        ana.wait('bob has confirmed "hello" now')

    correspond(server, ana, bob, check)


def test_listen_says_what_is_missing(serve, homes):
    server = serve()
    ear, bob = Listener(server, "ana", homes("ana")), Person("bob")

    async def check(talk):
        await talk.peer.send("PrivateMessage", **bob.seal("ana", talk.keys, 1, "one"))
        await talk.peer.send("PrivateMessage", **bob.seal("ana", talk.keys, 5, "five"))
        await talk.peer.send("Broadcast", text="x", Missing=7)
        wait_until(lambda: ear.of("Broadcast"), "the broadcast")

    correspond(server, ear, bob, check)
    missing = [(message["SrcUser"], message["Missing"]) for message in ear.of("Missing")]
    assert missing == [("bob", 3)]
    assert "Missing" not in ear.of("Broadcast")[0]
