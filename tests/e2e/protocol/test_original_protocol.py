# SPDX-License-Identifier: MIT
"""The original's own dialogue, frame for frame: password, name, then messages (way 1)."""
import asyncio
import json
import time

import pytest

from helpers import BINARY, PASSWORD, PING, PRESENCE, TEXT, Peer, Raw, frame, join, join_original, scenario


@pytest.fixture
def server(serve, tls):
    return serve(SSL=tls)


def original(msg_type, source, target, text):
    """A message as the original's clients write it."""
    return json.dumps({"msgType": msg_type, "SrcUser": source, "TgtUser": target, "text": text})


# ---- The whole conversation ----------------------------------------------------------------------


@scenario
async def test_dialogue_frame_for_frame(server):
    ana = await Peer.open(server, protocols=())
    assert ana.socket.subprotocol is None
    await ana.send_text(PASSWORD)
    await ana.send_text("ana")
    assert await ana.next() == {"ServerName": "Ks"}
    assert await ana.next() == {"msgType": "OnlineUsers", "Users": ["ana"]}

    bob = await Peer.open(server, protocols=())
    await bob.send_text(PASSWORD)
    await bob.send_text("bob")
    assert await bob.next() == {"ServerName": "Ks"}
    assert await bob.next() == {"msgType": "OnlineUsers", "Users": ["ana", "bob"]}
    assert await ana.next() == {"msgType": "OnlineUsers", "Users": ["ana", "bob"]}

    server.keep_secret("hello everyone")
    await ana.send_text(original("Broadcast", "ana", "", "hello everyone"))
    heard = await bob.next()
    assert await ana.next() == heard
    assert set(heard) == {"msgType", "SrcUser", "TgtUser", "text", "Id", "Time"}
    assert (heard["msgType"], heard["SrcUser"], heard["TgtUser"]) == ("Broadcast", "ana", "")
    assert heard["text"] == "hello everyone"

    server.keep_secret("only for you")
    await bob.send_text(original("PrivateMessage", "bob", "ana", "only for you"))
    told = await ana.next()
    assert set(told) == {"msgType", "SrcUser", "text", "Time"}
    assert (told["msgType"], told["SrcUser"], told["text"]) == (
        "PrivateMessage",
        "bob",
        "only for you",
    )
    await bob.nothing_more()

    await bob.close()
    assert (await ana.next())["msgType"] == "Broadcast"  # bob's mark
    assert await ana.next() == {"msgType": "OnlineUsers", "Users": ["ana"]}


@scenario
async def test_server_waits_for_both_frames(server):
    ana = await Peer.open(server, protocols=())
    await ana.send_text(PASSWORD)
    await (await ana.socket.ping())  # the password alone gets no answer
    await ana.send_text("ana")
    assert await ana.next() == {"ServerName": "Ks"}


def test_everything_in_one_segment(server):
    """Password, name and the first message may come at once, and control frames in between."""
    server.keep_secret("quick as a flash")
    with Raw(server) as ana:
        ana.upgrade(protocol=None)
        ana.send(
            frame(TEXT, PASSWORD.encode())
            + frame(PING, b"")
            + frame(TEXT, b"ana")
            + frame(TEXT, original("Broadcast", "ana", "", "quick as a flash").encode())
        )
        assert ana.message() == {"ServerName": "Ks"}
        assert ana.message()["text"] == "quick as a flash"


@scenario
async def test_fragmented_password_and_name(server):
    """RFC 6455 §5.4: a message may come in fragments."""
    ana = await Peer.open(server, protocols=())
    await ana.socket.send([PASSWORD[:3], PASSWORD[3:]])
    await ana.socket.send(["a", "", "na"])
    assert await ana.next() == {"ServerName": "Ks"}
    await ana.presence("ana")


@scenario
async def test_unknown_subprotocol_is_way_1(server):
    ana = await Peer.open(server, protocols=("chat", "ragnarok.v99"))
    assert ana.socket.subprotocol is None
    await ana.send_text(PASSWORD)
    await ana.send_text("ana")
    assert await ana.next() == {"ServerName": "Ks"}


# ---- Who may come in -----------------------------------------------------------------------------


async def refused(server, password, name, code):
    """Way 1 gets no second try: one Error, then 1008 with a reason."""
    peer = await Peer.open(server, protocols=())
    if password != PASSWORD:
        server.keep_secret(password)
    await peer.send_text(password)
    await peer.send_text(name)
    await peer.error(code)
    status, reason = await peer.closed()
    assert status == 1008 and reason, (status, reason)


@scenario
async def test_wrong_password(server):
    await refused(server, "sesame-open-1147", "ana", "wrong_password")
    await refused(server, "", "ana", "wrong_password")
    await refused(server, PASSWORD + " ", "ana", "wrong_password")


@scenario
async def test_taken_name(server):
    ana = await join_original(server, "Ana")
    await refused(server, PASSWORD, "aNA", "name_taken")
    await ana.nothing_more()
    assert ana.users == ["Ana"]


@scenario
async def test_bad_name(server):
    for name in ("", " ana", "ana\n", "a\u202eb", "a" * 33, "a\0b"):
        await refused(server, PASSWORD, name, "bad_name")


@scenario
async def test_any_password_opens_a_public_room(serve, tls):
    server = serve(SSL=tls, server_password="")
    await join_original(server, "ana", password="")
    await join_original(server, "bob", password="whatever-you-like")


@scenario
async def test_names_in_any_script(server):
    names = ["Zoë", "Ольга", "田中", "🦉", "x y"]
    for name in names:
        last = await join_original(server, name)
    await last.presence(*names)


def test_binary_password_is_refused_with_1003(server):
    """RFC 6455 §7.4.1: a type of data that the server cannot accept."""
    with Raw(server) as peer:
        peer.upgrade(protocol=None)
        peer.send(frame(BINARY, PASSWORD.encode()))
        assert peer.close_code() == 1003


# ---- In the room ---------------------------------------------------------------------------------


@scenario
async def test_error_leaves_the_connection_open(server):
    ana = await join_original(server, "ana")
    await ana.send_text("good morning")
    await ana.error("bad_json")
    await ana.send("Shout", text="good morning")
    await ana.error("unknown_type")
    await ana.send("PrivateMessage", TgtUser="nobody", text="good morning")
    assert (await ana.error("unknown_user"))["TgtUser"] == "nobody"
    await ana.nothing_more()


@scenario
async def test_no_history_for_the_original(serve, tls):
    server = serve(SSL=tls, history=50)
    ana = await join_original(server, "ana")
    await ana.ask("Broadcast", text="before bob came")
    bob = await join_original(server, "bob")
    await bob.nothing_more()


@scenario
async def test_both_ways_share_the_room(server):
    ana = await join_original(server, "ana")
    bob = await join(server, "bob")
    await ana.presence("ana", "bob")
    heard = await ana.ask("Broadcast", text="from the old to the new")
    assert await bob.message() == heard
    heard = await bob.ask("Broadcast", text="from the new to the old")
    assert await ana.message() == heard
    await bob.send("PrivateMessage", TgtUser="ana", text="across the ages")
    assert (await ana.message())["text"] == "across the ages"


# ---- ASCII, as the original sent it --------------------------------------------------------------

LETTERS = "Zoé漢😀"


def as_the_original_reads(text):
    """Decodes a frame like the original's testclient.py, which knows escapes only. It joins surrogate
    pairs, unlike the original's client and server."""
    decoded = text.encode().decode("unicode_escape")
    return json.loads(decoded.encode("utf-16", "surrogatepass").decode("utf-16"))


async def next_ascii(peer):
    """The next frame, which the original's client must decode correctly."""
    text = await peer.text()
    assert text.isascii(), text
    message = as_the_original_reads(text)
    assert message == json.loads(text)
    return message


@scenario
async def test_the_original_reads_names_and_texts_with_any_letters(serve, tls):
    server = serve(SSL=tls, server_name=LETTERS)
    old = await Peer.open(server, protocols=())
    await old.send_text(PASSWORD)
    await old.send_text("старый")
    assert await next_ascii(old) == {"ServerName": LETTERS}
    assert (await next_ascii(old))["Users"] == ["старый"]
    new = await join(server, LETTERS)
    assert (await next_ascii(old))["Users"] == [LETTERS, "старый"]

    await new.send("Broadcast", text=LETTERS, Ключ={"é": [LETTERS]}, Ref=LETTERS)
    heard = await next_ascii(old)
    assert await new.message() == heard
    assert (heard["SrcUser"], heard["text"], heard["Ref"]) == (LETTERS, LETTERS, LETTERS)
    assert heard["Ключ"] == {"é": [LETTERS]}

    await new.send("PrivateMessage", TgtUser="СТАРЫЙ", text=f"nur für dich {LETTERS}")
    told = await next_ascii(old)
    assert (told["SrcUser"], told["text"]) == (LETTERS, f"nur für dich {LETTERS}")

    await old.send("PrivateMessage", TgtUser="nobody", text="é", Ref=LETTERS)
    assert (await next_ascii(old))["Ref"] == LETTERS
    await old.send("PrivateMessage", TgtUser=LETTERS, text="é", Ref=LETTERS)
    assert (await next_ascii(old))["msgType"] == "Delivered"
    await old.send("GetKeys", TgtUser=LETTERS)
    assert (await next_ascii(old))["User"] == LETTERS
    assert json.loads(await new.text())["text"] == "é"


@scenario
async def test_nothing_is_escaped_where_no_original_is(server):
    """Byte for byte as sent, also before such a member joins and after it leaves."""

    async def echo():
        await bob.send("Broadcast", text=LETTERS)
        frame = await bob.text()
        while json.loads(frame)["msgType"] in PRESENCE:
            frame = await bob.text()
        return LETTERS in frame, json.loads(frame)["text"]

    bob = await join(server, "bob")
    await join_original(server, "elsewhere", path="/rooms/tea")
    assert await echo() == (True, LETTERS)
    old = await join_original(server, "old")
    assert await echo() == (False, LETTERS)
    await old.close()
    await bob.presence("bob")
    while (await echo())[0] is False:  # its thread ends a moment after the list
        pass
    assert await echo() == (True, LETTERS)


@scenario
async def test_whenever_the_original_comes_all_it_hears_is_ascii(server):
    """Also messages sent at the same moment."""
    ana, going = await join(server, "ána"), True

    async def talk():
        while going:
            await asyncio.gather(*(ana.send("Broadcast", text=LETTERS) for _ in range(5)))
            await ana.send("PrivateMessage", TgtUser="old", text=LETTERS)
            for _ in range(5):
                await ana.message()

    talking = asyncio.ensure_future(talk())
    for _ in range(20):
        old = await Peer.open(server, protocols=())
        await old.send_text(PASSWORD)
        await old.send_text("old")
        for _ in range(8):
            await next_ascii(old)
        await old.close()
        while True:  # until the name is free
            await asyncio.sleep(0)
            probe = await Peer.open(server, protocols=())
            await probe.send_text(PASSWORD)
            await probe.send_text("old")
            answer = await next_ascii(probe)
            await probe.close()
            if "ServerName" in answer:
                break
    going = False
    await talking


@scenario
async def test_private_messages_are_escaped_for_the_original(server):
    """Whatever of it is not ASCII: the text, another field, or only the name of the sender."""
    old, zoe, bob = await join_original(server, "old"), await join(server, "Zoé"), await join(server, "bob")
    for sender, name in ((zoe, "Zoé"), (bob, "bob")):
        for fields in ({"text": "plain"}, {"text": "é"}, {"text": "plain", "é": ["😀"]}):
            await sender.send("PrivateMessage", TgtUser="old", **fields)
            while (message := await next_ascii(old))["msgType"] != "PrivateMessage":
                pass
            assert (message["SrcUser"], {key: message[key] for key in fields}) == (name, fields)


@scenario
async def test_what_would_take_too_much_of_the_ring_is_not_escaped(serve):
    """An eighth of the ring: nobody is closed, and nothing is lost."""
    server = serve(max_message_bytes=4096, room_buffer_bytes=8 * (4096 + 1024))
    old, bob = await join_original(server, "old"), await join(server, "bob")
    for letters, escaped in ((700, True), (1900, False)):
        await bob.send("Broadcast", text="é" * letters)
        while "Broadcast" not in (text := await old.text()):
            pass
        assert text.isascii() is escaped and json.loads(text)["text"] == "é" * letters
        assert (await bob.message())["text"] == "é" * letters
    await bob.send("PrivateMessage", TgtUser="old", text="é" * 1900)
    assert (await next_ascii(old))["text"] == "é" * 1900


@scenario
async def test_what_grows_is_counted_for_its_sender(serve):
    """Otherwise a member that writes é uses three times its share of bandwidth."""
    server = serve(max_message_bytes=4096, max_bytes_per_second=4096, max_messages_per_second=0)
    await join_original(server, "old")
    bob = await join(server, "bob")
    begin = time.monotonic()
    for _ in range(6):  # 11.5 kB each when escaped: the first of them use up the burst of 16 kB
        await bob.send("Broadcast", text="é" * 1900)
    for _ in range(6):
        await bob.message()
    assert time.monotonic() - begin > 8  # without it: after 1.9 s


# ---- What can be relied on ------------------------------------------------------------------------


@scenario
async def test_ids_are_consecutive_and_time_is_now(server):
    ana = await join_original(server, "ana")
    before = time.time() * 1000
    heard = [await ana.ask("Broadcast", text=f"number {n}") for n in range(5)]
    ids = [message["Id"] for message in heard]
    assert ids == list(range(ids[0], ids[0] + 5))
    times = [before - 2, *(message["Time"] for message in heard), time.time() * 1000 + 2]
    assert times == sorted(times), "milliseconds since 1970"


@scenario
async def test_rooms_by_path_for_the_original(server):
    ana = await join_original(server, "ana", path="/rooms/tea")
    bob = await join_original(server, "bob")
    await ana.ask("Broadcast", text="tea is ready")
    await bob.nothing_more()
    assert (ana.users, bob.users) == (["ana"], ["bob"])
