# SPDX-License-Identifier: MIT
"""The subprotocol ragnarok.v2 (way 2), message by message, as in docs/PROTOCOL.md."""
import asyncio
import itertools
import json
import re
import string

import pytest

from helpers import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PASSWORD,
    PATIENCE,
    PING,
    PONG,
    PRESENCE,
    TEXT,
    V2,
    Peer,
    Raw,
    frame,
    join,
    scenario,
    steady,
)


@pytest.fixture
def server(serve):
    return serve()


ROOMS = itertools.count()


@pytest.fixture
def own_room():
    """A room that no other test of this process uses, for tests that share a server."""
    return f"/rooms/test-{next(ROOMS)}"


async def newcomer(server, path="/"):
    """A client that has read its Hello and has not joined."""
    peer = await Peer.open(server, path)
    peer.hello = await peer.next()
    return peer


# ---- Coming in -----------------------------------------------------------------------------------


@scenario
async def test_hello(server):
    ana = await newcomer(server)
    assert ana.socket.subprotocol == V2
    nonce = ana.hello["Nonce"]
    assert ana.hello == {
        "msgType": "Hello",
        "ServerName": "Ks",
        "PasswordRequired": True,
        "Nonce": nonce,
        "Version": 2,
    }
    assert re.fullmatch("[0-9a-f]{64}", nonce)
    assert (await newcomer(server)).hello["Nonce"] != nonce


@scenario
async def test_subprotocol_is_chosen_among_several(server):
    ana = await Peer.open(server, protocols=("chat", V2, "ragnarok.v3"))
    assert ana.socket.subprotocol == V2
    assert (await ana.next())["msgType"] == "Hello"


@scenario
async def test_public_room_needs_no_password(serve):
    server = serve(server_password="")
    ana = await newcomer(server)
    assert ana.hello["PasswordRequired"] is False
    await ana.send_text('{"msgType":"Join","Name":"ana"}')
    assert (await ana.message())["msgType"] == "Joined"


@scenario
async def test_joined(serve):
    server = serve(max_message_bytes=4096)
    ana = await join(server, "ana")
    epoch = ana.joined["Epoch"]
    assert ana.joined == {
        "msgType": "Joined",
        "ServerName": "Ks",
        "Room": "",
        "Name": "ana",
        "Epoch": epoch,
        "LastId": 0,
        "Resumed": False,
        "MaxMessageBytes": 4096,
    }
    assert epoch and isinstance(epoch, str)
    assert ana.users == ["ana"]
    await ana.ask("Broadcast", text="the first of all")
    bob = await join(server, "bob")
    assert (bob.joined["Epoch"], bob.joined["LastId"]) == (epoch, 1)
    await ana.presence("ana", "bob")


@scenario
async def test_epoch_is_new_with_every_server(serve):
    first, second = await join(serve(), "ana"), await join(serve(), "ana")
    assert first.joined["Epoch"] != second.joined["Epoch"]


@scenario
async def test_wrong_password_may_be_tried_again(server):
    ana = await newcomer(server)
    await ana.send("Join", Password="sesame-open-1147", Name="ana")
    await ana.error("wrong_password")
    assert (await ana.ask("Join", Password=PASSWORD, Name="ana"))["msgType"] == "Joined"


@scenario
async def test_taken_name_may_be_tried_again(server):
    await join(server, "ana")
    second = await newcomer(server)
    await second.send("Join", Password=PASSWORD, Name="ana")
    await second.error("name_taken")
    assert (await second.ask("Join", Password=PASSWORD, Name="ana-2"))["Name"] == "ana-2"


@scenario
async def test_third_failure_closes(server):
    await join(server, "ana")
    second = await newcomer(server)
    await second.send("Join", Password="sesame-open-1147", Name="bob")
    await second.error("wrong_password")
    await second.send("Join", Password=PASSWORD, Name="ana")
    await second.error("name_taken")
    await second.send("Join", Password=PASSWORD, Name="")
    await second.error("bad_name")
    code, reason = await second.closed()
    assert code == 1008 and reason


@scenario
async def test_wrong_password_tells_nothing_about_names(server):
    """Without the password a client does not learn the members of the room."""
    await join(server, "ana")
    stranger = await newcomer(server)
    await stranger.send("Join", Password="sesame-open-1147", Name="ana")
    await stranger.error("wrong_password")


@scenario
async def test_join_echoes_ref_in_its_error(server):
    ana = await newcomer(server)
    await ana.send("Join", Password="sesame-open-1147", Name="ana", Ref=[1, "a"])
    assert (await ana.error("wrong_password"))["Ref"] == [1, "a"]


@scenario
async def test_join_without_a_name(server):
    ana = await newcomer(server)
    await ana.send("Join", Password=PASSWORD)
    await ana.error("missing_field")


@scenario
async def test_join_without_a_password_that_is_needed(server):
    ana = await newcomer(server)
    await ana.send("Join", Name="ana")
    await ana.error("wrong_password")
    await ana.send("Join", Name="ana", Password=None)
    await ana.error("wrong_password")


@scenario
async def test_nothing_but_join_before_joining(server):
    ana = await newcomer(server)
    bob = await join(server, "bob")
    await ana.send("Broadcast", text="let me in please")
    assert (await ana.message())["msgType"] == "Error"
    await bob.nothing_more()


@scenario
async def test_second_join_is_an_error(server):
    ana = await join(server, "ana")
    answer = await ana.ask("Join", Password=PASSWORD, Name="bob")
    assert answer["msgType"] == "Error"
    await ana.nothing_more()
    assert ana.users == ["ana"]


# ---- Names ---------------------------------------------------------------------------------------

BAD_NAMES = {
    "empty": "",
    "too-long": "a" * 33,
    "space-first": " ana",
    "space-last": "ana\u00a0",
    "control": "a\x1fb",
    "nul": "a\0b",
    "delete": "a\x7fb",
    "bidi": "a\u202eb",
    "isolate": "a\u2066b",
    "zero-width": "a\u200bb",
    "byte-order-mark": "\ufeffana",
    "line-separator": "a\u2028b",
    "noncharacter": "a\uffffb",
}


@pytest.mark.parametrize("name", BAD_NAMES.values(), ids=BAD_NAMES.keys())
def test_bad_name(shared, own_room, name):
    @scenario
    async def talk():
        ana = await newcomer(shared(), own_room)
        await ana.send("Join", Password=PASSWORD, Name=name)
        await ana.error("bad_name")
        assert (await ana.ask("Join", Password=PASSWORD, Name="ana"))["msgType"] == "Joined"

    talk()


@scenario
async def test_longest_name(server):
    ana = await join(server, "🦉" * 32)
    assert ana.users == ["🦉" * 32]


@pytest.mark.parametrize(
    "first, second",
    [("ana", "ANA"), ("Straße", "STRASSE"), ("ﬁn", "FIN"), ("\u212bsa", "åsa"),
     ("caf\u00e9", "cafe\u0301"), ("ｗｉｄｅ", "wide"), ("Σίσυφος", "ΣΊΣΥΦΟΣ")],
)  # fmt: skip
def test_same_name_by_its_fold(server, first, second):
    """NFKC with case folding (Unicode UTS 10646 TR31) makes them the same."""

    @scenario
    async def talk():
        ana = await join(server, first)
        other = await newcomer(server)
        await other.send("Join", Password=PASSWORD, Name=second)
        await other.error("name_taken")
        await ana.close()
        bob = await join(server, "bob")
        await bob.presence("bob")
        assert (await other.ask("Join", Password=PASSWORD, Name=second))["Name"] == second

    talk()


@scenario
async def test_name_is_free_in_another_room(server):
    await join(server, "ana")
    assert (await join(server, "ana", "/rooms/tea")).users == ["ana"]


# ---- Broadcast -----------------------------------------------------------------------------------


@scenario
async def test_broadcast(server):
    ana, bob = await join(server, "ana"), await join(server, "bob")
    heard = await ana.ask("Broadcast", text="good morning")
    time = heard["Time"]
    assert heard == {
        "msgType": "Broadcast",
        "SrcUser": "ana",
        "TgtUser": "",
        "text": "good morning",
        "Id": 1,
        "Time": time,
    }
    assert await bob.message() == heard


UNKNOWN_FIELDS = {
    "Big": "9007199254740993",
    "Exponent": "1.50E+2",
    "Nul": r'"a\u0000b"',
    "Escapes": r'"\/\u00e9\ud83e\udd89"',
    "Nested": '{"a" : [1,  2, {"b":null}],\t"c":true}',
    "clé": '"é"',
    "Ref": "[ 0.10 ]",
}


@scenario
async def test_unknown_fields_travel_through_byte_for_byte(server):
    ana, bob = await join(server, "ana"), await join(server, "bob")
    await ana.presence("ana", "bob")
    inner = ",".join(f'"{name}":{value}' for name, value in UNKNOWN_FIELDS.items())
    await ana.send_text('{"msgType":"Broadcast","text":"look at this",%s}' % inner)
    await ana.send_text(
        '{"msgType":"PrivateMessage","TgtUser":"bob","text":"look at this",%s}' % inner
    )
    for text in (await bob.text(), await bob.text()):
        for name, value in UNKNOWN_FIELDS.items():
            assert f'"{name}":{value}' in text


@scenario
async def test_fields_of_the_server_win(server):
    """Whatever a client puts into them, and however it escapes their names."""
    ana, bob = await join(server, "ana"), await join(server, "bob")
    claimed = (
        r'"SrcUser":"eve","Id":999,"T\u0069me":5,"Hist\u006fry":true'
        r',"text":"trust me, I am eve"'
    )
    await ana.send_text('{%s,"TgtUser":"cleo","msgType":"Broadcast"}' % claimed)
    heard = await bob.message()
    assert set(heard) == {"msgType", "SrcUser", "TgtUser", "text", "Id", "Time"}
    assert (heard["SrcUser"], heard["TgtUser"], heard["Id"]) == ("ana", "", 1)
    assert heard["Time"] > 5
    await ana.send_text('{%s,"TgtUser":"bob","msgType":"PrivateMessage"}' % claimed)
    told = await bob.message()
    assert set(told) == {"msgType", "SrcUser", "text", "Time"}
    assert told["SrcUser"] == "ana" and told["Time"] > 5


@scenario
async def test_any_text_comes_out_as_it_went_in(server):
    ana = await join(server, "ana")
    for text in ("", " ", string.printable, "\0\x1f\x7f", "é🦉\u2028\ufeff", "a" * 5000):
        assert (await ana.ask("Broadcast", text=text))["text"] == text


@scenario
async def test_one_order_for_all(serve):
    """Everyone sees the same broadcasts in the same order, each once, with consecutive Ids."""
    server = serve(max_messages_per_second=0, max_bytes_per_second=0)
    peers = [await join(server, f"member-{n}") for n in range(6)]

    async def talk(peer, number):
        for count in range(50):
            await peer.send("Broadcast", text=f"talk {number} {count}")

    async def listen(peer):
        return await peer.messages(300)

    talks = [talk(peer, number) for number, peer in enumerate(peers)]
    heard = await asyncio.gather(*(listen(peer) for peer in peers), *talks)
    first = heard[0]
    assert [message["Id"] for message in first] == list(range(1, 301))
    assert all(other == first for other in heard[:6])
    for number in range(6):
        mine = [m["text"] for m in first if m["SrcUser"] == f"member-{number}"]
        assert mine == [f"talk {number} {count}" for count in range(50)]


# ---- Private messages and keys -------------------------------------------------------------------


@scenario
async def test_private_message_is_private(server):
    ana, bob = await join(server, "ana"), await join(server, "bob")
    cleo = await join(server, "cleo")
    await ana.send("PrivateMessage", TgtUser="bob", text="for your eyes only")
    told = await bob.message()
    time = told["Time"]
    assert told == {
        "msgType": "PrivateMessage",
        "SrcUser": "ana",
        "text": "for your eyes only",
        "Time": time,
    }
    await ana.nothing_more()  # no Ref, no Delivered
    assert (await cleo.message())["text"].startswith("mark")
    await cleo.nothing_more()


@pytest.mark.parametrize("ref", ["7", '"a b"', "null", "false", "1.50E+1", '{"a" : [1,  2]}'])
def test_delivered_echoes_ref_as_written(server, ref):
    @scenario
    async def talk():
        ana, bob = await join(server, "ana"), await join(server, "bob")
        await ana.presence("ana", "bob")
        await ana.send_text(
            '{"msgType":"PrivateMessage","TgtUser":"bob","text":"tell me","Ref":%s}' % ref
        )
        text = await ana.text()
        assert json.loads(text) == {
            "msgType": "Delivered",
            "TgtUser": "bob",
            "Ref": json.loads(ref),
        }
        assert f'"Ref":{ref}' in text
        assert f'"Ref":{ref}' in await bob.text()

    talk()


@scenario
async def test_no_answer_comes_before_delivered(server):
    """Neither a private one nor a broadcast, however fast."""
    ana, bob = await join(server, "ana"), await join(server, "bob")
    await ana.presence("ana", "bob")

    async def answer():
        while (question := await bob.next()).get("Ref", 0) is not None:
            if question["msgType"] == "PrivateMessage" and question["Ref"] % 2:
                await bob.send("PrivateMessage", TgtUser="ana", text="heard that")
            elif question["msgType"] == "PrivateMessage":
                await bob.send("Broadcast", text="heard that")

    answering = asyncio.ensure_future(answer())
    for number in range(90):
        await ana.send("PrivateMessage", TgtUser="bob", text="hear that?", Ref=number)
        kinds = [(await ana.message())["msgType"] for _ in range(2)]
        assert kinds == ["Delivered", "PrivateMessage" if number % 2 else "Broadcast"]
    answering.cancel()


@scenario
async def test_private_message_to_oneself(server):
    ana = await join(server, "ana")
    await ana.send("PrivateMessage", TgtUser="ana", text="note to myself", Ref=1)
    kinds = {message["msgType"] for message in await ana.messages(2)}
    assert kinds == {"PrivateMessage", "Delivered"}


@scenario
async def test_target_is_found_by_its_fold(server):
    ana, bob = await join(server, "ana"), await join(server, "Bob")
    await ana.send("PrivateMessage", TgtUser="BOB", text="however you spell it")
    assert (await bob.message())["text"] == "however you spell it"


@scenario
async def test_private_and_broadcast_of_one_sender_keep_their_order(server):
    ana, bob = await join(server, "ana"), await join(server, "bob")
    kinds = ["PrivateMessage", "Broadcast"] * 20
    for number, kind in enumerate(kinds):
        await ana.send(kind, TgtUser="bob", text=f"in order {number}")
    heard = await bob.messages(len(kinds))
    assert [message["msgType"] for message in heard] == kinds
    assert [message["text"] for message in heard] == [f"in order {n}" for n in range(40)]


@scenario
async def test_keys_are_absent_until_published(server):
    ana = await join(server, "ana")
    await join(server, "bob")
    assert await ana.ask("GetKeys", TgtUser="bob") == {"msgType": "UserKeys", "User": "bob"}


# ---- Errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PrivateMessage", "GetKeys"])
def test_unknown_user(server, kind):
    @scenario
    async def talk():
        ana = await join(server, "ana")
        await join(server, "bob", "/rooms/tea")  # another room is not in reach
        for target in ("bob", "", "é" * 500, "a\0b"):
            await ana.send(kind, TgtUser=target, text="is anybody there", Ref={"n": 5})
            error = await ana.error("unknown_user")
            assert (error["TgtUser"], error["Ref"]) == (target, {"n": 5})
        await ana.nothing_more()

    talk()


@pytest.mark.parametrize(
    "fields",
    [
        {"msgType": "Broadcast"},
        {"msgType": "PrivateMessage", "TgtUser": "ana"},
        {"msgType": "PrivateMessage", "text": "to nobody at all"},
        {"msgType": "GetKeys"},
        {"msgType": "Broadcast", "Text": "case matters here"},
        {"msgType": "Broadcast", "text": 5},
        {"msgType": "PrivateMessage", "TgtUser": ["ana"], "text": "to a list"},
    ],
    ids=json.dumps,
)
def test_missing_field(shared, own_room, fields):
    @scenario
    async def talk():
        ana = await join(shared(), "ana", own_room)
        await ana.send_text(json.dumps({**fields, "Ref": "r-17"}))
        assert (await ana.error("missing_field"))["Ref"] == "r-17"
        await ana.nothing_more()

    talk()


@pytest.mark.parametrize(
    "kind",
    ["Shout", "broadcast", "", "OnlineUsers", "Joined", "Error", "Broadcast\0 and more", "B" * 99],
)
def test_unknown_type(shared, own_room, kind):
    @scenario
    async def talk():
        ana = await join(shared(), "ana", own_room)
        await ana.send(kind, text="what is this", Ref="r-18")
        assert (await ana.error("unknown_type"))["Ref"] == "r-18"
        await ana.nothing_more()

    talk()


BAD_JSON = {
    "empty": "",
    "word": "hello there",
    "array": '[{"msgType":"Broadcast"}]',
    "string": '"Broadcast"',
    "cut": '{"msgType":"Broadcast","text":"cut of',
    "trailing-bytes": '{"msgType":"Broadcast","text":"and then"} x',
    "two-objects": '{"msgType":"GetKeys","TgtUser":"ana"}{}',
    "trailing-nul": '{"msgType":"GetKeys","TgtUser":"ana"}\0',
    "trailing-comma": '{"msgType":"Broadcast","text":"and so on",}',
    "single-quotes": "{'msgType':'Broadcast'}",
    "comment": '{"msgType":"Broadcast"/* hello */,"text":"hello there"}',
    "key-twice": '{"msgType":"Broadcast","text":"one of","text":"the two"}',
    "key-twice-escaped": r'{"msgType":"Broadcast","text":"one of","te\u0078t":"the two"}',
    "key-twice-inside": '{"msgType":"Broadcast","text":"nested","x":{"a":1,"a":2}}',
    "byte-order-mark": '\ufeff{"msgType":"Broadcast","text":"marked"}',
    "half-surrogate": r'{"msgType":"Broadcast","text":"\ud83e alone"}',
    "raw-control": '{"msgType":"Broadcast","text":"a\x01b"}',
    "leading-zero": '{"msgType":"Broadcast","text":"zero","x":01}',
    "not-a-number": '{"msgType":"Broadcast","text":"number","x":NaN}',
    "bad-escape": r'{"msgType":"Broadcast","text":"\x41"}',
    "too-deep": '{"msgType":"Broadcast","text":"deep","x":' + "[" * 32 + "]" * 32 + "}",
    "too-many-fields": json.dumps(
        {"msgType": "Broadcast", "text": "many", **{f"x{n}": n for n in range(65)}}
    ),
}


@pytest.mark.parametrize("text", BAD_JSON.values(), ids=BAD_JSON.keys())
def test_bad_json(shared, own_room, text):
    """Strictly RFC 8259: a refusal has a reason, and the connection stays open."""

    @scenario
    async def talk():
        ana = await join(shared(), "ana", own_room)
        await ana.send_text(text)
        await ana.error("bad_json")
        await ana.nothing_more()

    talk()


@scenario
async def test_bounds_of_json_are_inclusive(server):
    """A depth of 32 and 64 own fields are accepted."""
    ana = await join(server, "ana")
    deep = '{"msgType":"Broadcast","text":"deep enough","x":' + "[" * 31 + "]" * 31 + "}"
    await ana.send_text(deep)
    assert (await ana.message())["text"] == "deep enough"
    many = await ana.ask("Broadcast", text="many fields", **{f"x{n}": n for n in range(64)})
    assert many["x61"] == 61


@scenario
async def test_white_space_around_json_is_good(server):
    ana = await join(server, "ana")
    await ana.send_text(' \t\r\n{ "msgType" : "Broadcast" ,\n"text":"roomy" }\n ')
    assert (await ana.message())["text"] == "roomy"


# ---- Frames --------------------------------------------------------------------------------------


@scenario
async def test_message_too_long(serve):
    server = serve(max_message_bytes=1024)
    ana, bob = await join(server, "ana"), await join(server, "bob")
    rest = len('{"msgType": "Broadcast", "text": ""}')
    text = "m" * (1024 - rest)
    assert (await ana.ask("Broadcast", text=text))["text"] == text
    assert (await bob.message())["text"] == text
    await ana.send("Broadcast", text=text + "m")
    await ana.error("too_long")
    assert (await ana.closed())[0] == 1009
    await bob.presence("bob")


@scenario
async def test_message_too_long_in_fragments(serve):
    server = serve(max_message_bytes=1024)
    ana = await join(server, "ana")
    await ana.socket.send(["{" + " " * 600, " " * 600 + "}"])
    await ana.error("too_long")
    assert (await ana.closed())[0] == 1009


def test_binary_frame_is_refused_with_1003(server):
    """RFC 6455 §7.4.1"""
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(frame(BINARY, b"\x00\x01"))
        assert ana.close_code() == 1003


def test_invalid_utf8_is_refused_with_1007(server):
    """RFC 6455 §8.1: as soon as a byte shows it, before the message has ended."""
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(frame(TEXT, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80", fin=False))
        assert ana.close_code() == 1007


BROKEN_FRAMES = {
    "unmasked-§5.1": frame(TEXT, b"{}", masked=False),
    "reserved-bit-§5.2": frame(TEXT, b"{}", reserved=4),
    "reserved-opcode-§5.2": frame(0x3, b""),
    "reserved-control-§5.2": frame(0xB, b""),
    "fragmented-ping-§5.5": frame(PING, b"", fin=False),
    "long-ping-§5.5": frame(PING, b"p" * 126),
    "lone-continuation-§5.4": frame(CONTINUATION, b"{}"),
    "message-in-message-§5.4": frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
    "length-not-minimal-§5.2": b"\x81\xfe\x00\x02\x00\x00\x00\x00{}",
    "length-top-bit-§5.2": b"\x81\xff\x80" + bytes(11),
    "close-of-one-byte-§5.5.1": frame(CLOSE, b"\x03"),
    "close-code-1005-§7.4.1": frame(CLOSE, b"\x03\xed"),
    "close-code-999-§7.4.2": frame(CLOSE, b"\x03\xe7"),
}


@pytest.mark.parametrize("data", BROKEN_FRAMES.values(), ids=BROKEN_FRAMES.keys())
def test_protocol_error_is_closed_with_1002(shared, own_room, data):
    with Raw(shared()) as ana:
        ana.join("ana", own_room)
        ana.send(data)
        assert ana.close_code() == 1002


def test_ping_is_answered_in_the_middle_of_a_message(server):
    """RFC 6455 §5.4, §5.5.2, §5.5.3"""
    server.keep_secret("in two pieces")
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(frame(TEXT, b'{"msgType":"Broadcast",', fin=False))
        ana.send(frame(PING, b"are you there?"))
        while (answer := ana.next_frame())[0] == TEXT:
            assert json.loads(answer[1])["msgType"] in PRESENCE
        assert answer == (PONG, b"are you there?")
        ana.send(frame(CONTINUATION, b'"text":"in two pieces"}'))
        assert ana.message()["text"] == "in two pieces"


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_close_is_answered_with_its_code(server, code):
    """RFC 6455 §5.5.1, §7.1.1: a Close comes back, then the server ends the connection."""
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(frame(CLOSE, code.to_bytes(2, "big") + b"bye"))
        assert ana.close_code() == code
        assert ana.ended()


def test_close_without_a_code(server):
    """RFC 6455 §5.5.1"""
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(frame(CLOSE, b""))
        assert ana.close_code() in (1000, 1005)
        assert ana.ended()


def test_endless_fragments_are_closed_with_1008(server):
    """The number of fragments of a message is limited by its bytes."""
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(frame(TEXT, b"", fin=False) + frame(CONTINUATION, b"", fin=False) * 5000)
        assert ana.close_code() == 1008


# ---- History and resuming ------------------------------------------------------------------------


async def say(peer, count):
    """Broadcasts `count` messages; returns their Ids."""
    for number in range(count):
        await peer.send("Broadcast", text=f"said {number}")
    return [message["Id"] for message in await peer.messages(count)]


def ids(messages):
    return [message["Id"] for message in messages]


@scenario
async def test_history(serve):
    server = serve(history=5)
    ana = await join(server, "ana")
    assert ana.history == []
    await say(ana, 8)
    bob = await join(server, "bob")
    assert bob.joined["LastId"] == 8
    assert bob.joined["Resumed"] is False
    assert ids(bob.history) == [4, 5, 6, 7, 8]
    for message in bob.history:
        time = message["Time"]
        assert message == {
            "msgType": "Broadcast",
            "SrcUser": "ana",
            "TgtUser": "",
            "text": f"said {message['Id'] - 1}",
            "Id": message["Id"],
            "Time": time,
            "History": True,
        }
    assert (await bob.ask("Broadcast", text="this is live")).get("History") is None


@scenario
async def test_no_history_by_default(server):
    ana = await join(server, "ana")
    await say(ana, 3)
    bob = await join(server, "bob")
    assert bob.history == [] and bob.joined["LastId"] == 3


@scenario
async def test_history_shorter_than_asked_for(serve):
    server = serve(history=50)
    ana = await join(server, "ana")
    await say(ana, 2)
    assert ids((await join(server, "bob")).history) == [1, 2]


@scenario
async def test_resume(server):
    """Everything after `After`, whatever `history` is."""
    ana, bob = await join(server, "ana"), await join(server, "bob")
    await say(ana, 3)
    assert ids(await bob.messages(3)) == [1, 2, 3]
    await bob.close()
    await ana.presence("ana")
    await say(ana, 20)
    bob = await join(server, "bob", Resume={"Epoch": bob.joined["Epoch"], "After": 3})
    assert bob.joined["Resumed"] is True and bob.joined["LastId"] == 23
    assert ids(bob.history) == list(range(4, 24))
    assert all(message["History"] is True for message in bob.history)
    assert (await bob.ask("Broadcast", text="I am back"))["Id"] == 24


@scenario
async def test_resume_with_nothing_missed(serve):
    server = serve(history=50)
    ana = await join(server, "ana")
    await say(ana, 3)
    bob = await join(server, "bob", Resume={"Epoch": ana.joined["Epoch"], "After": 3})
    assert bob.joined["Resumed"] is True and bob.history == []


@scenario
async def test_resume_from_the_very_start(server):
    ana = await join(server, "ana")
    await say(ana, 3)
    bob = await join(server, "bob", Resume={"Epoch": ana.joined["Epoch"], "After": 0})
    assert bob.joined["Resumed"] is True and ids(bob.history) == [1, 2, 3]


@scenario
async def test_resume_in_another_epoch(serve):
    server = serve(history=2)
    ana = await join(server, "ana")
    await say(ana, 5)
    for epoch in ("0" * 16, "", "é"):
        bob = await join(server, f"bob{epoch}", Resume={"Epoch": epoch, "After": 3})
        assert bob.joined["Resumed"] is False
        assert ids(bob.history) == [4, 5], "what anyone gets who comes new"


@scenario
async def test_resume_after_an_id_that_never_was(serve):
    server = serve(history=2)
    ana = await join(server, "ana")
    await say(ana, 5)
    bob = await join(server, "bob", Resume={"Epoch": ana.joined["Epoch"], "After": 6})
    assert bob.joined["Resumed"] is False
    assert ids(bob.history) == [4, 5]


@scenario
async def test_resume_after_too_much_was_missed(serve):
    """Resumed is true only if every broadcast after After is still there."""
    server = serve(
        max_message_bytes=1024,
        room_buffer_bytes=65536,
        max_messages_per_second=0,
        max_bytes_per_second=0,
    )
    ana = await join(server, "ana")
    for number in range(200):
        await ana.ask("Broadcast", text=f"{number:03d}" + "." * 900)
    epoch = ana.joined["Epoch"]
    bob = await join(server, "bob", Resume={"Epoch": epoch, "After": 5})
    assert bob.joined["Resumed"] is False
    cleo = await join(server, "cleo", Resume={"Epoch": epoch, "After": 190})
    assert cleo.joined["Resumed"] is True and ids(cleo.history) == list(range(191, 201))


@pytest.mark.parametrize("resuming", [False, True], ids=["history", "resume"])
def test_no_gap_and_no_double_while_others_talk(serve, resuming):
    unlimited = {"max_messages_per_second": 0, "max_bytes_per_second": 0}
    server = serve(history=20, room_buffer_bytes=64 * 1024 * 1024, **unlimited)

    @scenario
    async def talk():
        ana = await join(server, "ana")
        await ana.ask("Broadcast", text="the first word")
        resume = {"Resume": {"Epoch": ana.joined["Epoch"], "After": 0}} if resuming else {}
        stop = asyncio.Event()

        async def chatter():
            while not stop.is_set():
                await ana.ask("Broadcast", text="blah blah blah")

        chattering = asyncio.create_task(chatter())
        for number in range(15):
            bob = await join(server, f"bob-{number}", **resume)
            seen = ids(bob.history + await bob.messages(10))
            assert seen == list(range(seen[0], seen[0] + len(seen)))
            assert all(message.get("History") for message in bob.history), "live comes later"
            assert bob.history[-1]["Id"] == bob.joined["LastId"]
            assert not resuming or seen[0] == 1
            await bob.close()
        stop.set()
        await chattering

    talk()


# ---- Rooms ---------------------------------------------------------------------------------------


@scenario
async def test_rooms_do_not_hear_each_other(server):
    main = await join(server, "ana")
    tea, coffee = await join(server, "bob", "/rooms/tea"), await join(
        server, "bob", "/rooms/coffee"
    )
    assert (main.joined["Room"], tea.joined["Room"]) == ("", "tea")
    assert len({peer.joined["Epoch"] for peer in (main, tea, coffee)}) == 3
    for peer in (main, tea, coffee):
        assert (await peer.ask("Broadcast", text="only my own room"))["Id"] == 1
    for peer in (main, tea, coffee):
        await peer.nothing_more()
    assert (main.users, tea.users) == (["ana"], ["bob"])


@pytest.mark.parametrize(
    "path, room",
    [
        ("/", ""),
        ("/?next=/rooms/tea", ""),
        ("/chat", ""),
        ("/rooms", ""),
        ("/Rooms/tea", ""),
        ("/rooms/tea", "tea"),
        ("/rooms/tea?x=1", "tea"),
        ("/rooms/%74%65a", "tea"),
        ("/rooms/caf%C3%A9", "café"),
        ("/rooms/two%20words", "two words"),
        ("/rooms/50%25", "50%"),
        ("/rooms/a%2Fb", "a/b"),
    ],
)
def test_room_by_path(server, path, room):
    @scenario
    async def talk():
        assert (await join(server, "ana", path)).joined["Room"] == room

    talk()


@scenario
async def test_two_spellings_of_a_path_are_one_room(server):
    ana, bob = await join(server, "ana", "/rooms/tea"), await join(server, "bob", "/rooms/t%65a")
    await bob.presence("ana", "bob")
    await ana.presence("ana", "bob")


@scenario
async def test_room_is_gone_with_its_last_member(serve):
    server = serve(history=50)
    ana = await join(server, "ana", "/rooms/tea")
    await say(ana, 3)
    await ana.close()
    main = await join(server, "ana")
    for attempt in range(100):  # leaving takes a moment after the close
        bob = await join(server, f"bob-{attempt}", "/rooms/tea")
        if bob.joined["Epoch"] != ana.joined["Epoch"]:
            break
        await bob.close()
    assert bob.joined["Epoch"] != ana.joined["Epoch"]
    assert bob.joined["LastId"] == 0 and bob.history == []
    await main.nothing_more()


@scenario
async def test_too_many_rooms(serve):
    server = serve(max_rooms=2)
    tea = await join(server, "ana", "/rooms/tea")
    late = await newcomer(server, "/rooms/coffee")
    await late.send("Join", Password=PASSWORD, Name="bob")
    await late.error("too_many_rooms")
    await join(server, "bob", "/rooms/tea")
    await join(server, "bob")
    assert tea.joined["Room"] == "tea"


@scenario
async def test_main_room_outlives_its_members(serve):
    server = serve(history=50)
    ana = await join(server, "ana")
    await say(ana, 3)
    await ana.close()
    bob = await join(server, "bob")
    assert bob.joined["Epoch"] == ana.joined["Epoch"]
    assert bob.joined["LastId"] == 3 and ids(bob.history) == [1, 2, 3]


# ---- Presence ------------------------------------------------------------------------------------


@scenario
async def test_online_users_are_sorted_by_code_point(server):
    """Not by UTF-16, which sorts U+FF8A after U+10400, nor by a locale."""
    names = ["b", "A", "é", "Z", "a-1", "\uff8a", "\U00010428", "ß", "中"]
    for name in names:
        ana = await join(server, name)
    assert ana.users == sorted(names)


@scenario
async def test_presence_follows_every_change_in_a_small_room(server):
    ana = await join(server, "ana")
    bob = await join(server, "bob")
    first = {"msgType": "Presence", "Version": 2, "Since": 1, "Count": 2, "Joined": ["bob"]}
    assert await ana.next() == first
    await bob.close()
    second = {"msgType": "Presence", "Version": 3, "Since": 2, "Count": 1, "Left": ["bob"]}
    assert await ana.next() == second


@scenario
async def test_presence_of_a_crowd_is_conflated(serve):
    """The changes of a moment are sent as one; what they lead to is correct."""
    server = serve(max_clients_per_address=0, login_timeout_seconds=60)
    ana = await join(server, "ana")
    crowd = [await newcomer(server) for _ in range(200)]
    for number, peer in enumerate(crowd):
        await peer.send("Join", Password=PASSWORD, Name=f"guest-{number:03d}")
    everyone = sorted(["ana", *(f"guest-{number:03d}" for number in range(200))])
    changes = 0
    while ana.users != everyone:
        assert (await ana.next())["msgType"] == "Presence"
        changes += 1
    assert changes < 150, "far fewer messages than joins"
    for peer in crowd:
        assert (await peer.message())["msgType"] == "Joined"
        await asyncio.wait_for(peer.presence(*everyone), PATIENCE)


def test_receiver_busy(serve):
    """A member that does not read stays; senders to it get the reason of a failure."""
    server = serve(max_messages_per_second=0, max_bytes_per_second=0)

    @scenario
    async def talk():
        ana = await join(server, "ana")
        with Raw(server, receive_buffer=4096) as bob:
            bob.join("bob")
            await ana.presence("ana", "bob")
            answer = {"msgType": "Delivered"}
            while answer["msgType"] == "Delivered":
                answer = await ana.ask("PrivateMessage", TgtUser="bob", text="x" * 60000, Ref=1)
            assert (answer["Code"], answer["Ref"], answer["TgtUser"]) == ("receiver_busy", 1, "bob")
            await ana.send("PrivateMessage", TgtUser="bob", text="x" * 60000, Ref=2)
            await ana.error("receiver_busy")

    with steady(server):
        talk()
