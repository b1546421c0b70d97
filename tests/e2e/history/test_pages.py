# SPDX-License-Identifier: MIT
"""Older messages, page by page, out of the room's memory (docs/PROTOCOL.md, GetHistory)."""
import asyncio
import json

import pytest

from helpers import PASSWORD, PATIENCE, Peer, Raw, join, join_original, scenario

UNLIMITED = {"max_messages_per_second": 0, "max_bytes_per_second": 0}
PAGE_BYTES = 262144


@pytest.fixture
def server(serve):
    return serve(history=1, **UNLIMITED)


async def say(peer, *texts):
    """Says these. Returns the messages as they came back."""
    said = []
    for text in texts:  # one by one: who is half the memory behind is closed
        await peer.send("Broadcast", text=text)
        said.append(await peer.message())
    return said


async def page(peer, **fields):
    answer = await peer.ask("GetHistory", **fields)
    assert answer["msgType"] == "History", answer
    assert answer["Epoch"] == peer.joined["Epoch"]
    assert answer.get("Ref") == fields.get("Ref")
    return answer


async def all_pages(peer, **fields):
    """Pages back to the beginning. Returns all messages, and how many pages they were."""
    messages, pages, before = [], 0, {}
    while True:
        answer = await page(peer, **before, **fields)
        messages[:0] = answer["Messages"]
        pages += 1
        if not answer["More"]:
            return messages, pages
        before = {"Before": answer["From"]}


def ids(answer):
    return [message["Id"] for message in answer["Messages"]]


# ---- What is in a page ---------------------------------------------------------------------------


@scenario
async def test_pages_are_what_was_said_without_a_gap(server):
    ana = await join(server, "ana")
    said = await say(ana, *[f"number {number}" for number in range(230)])
    bob = await join(server, "bob")
    assert (bob.joined["Oldest"], bob.joined["LastId"]) == (1, 230)
    assert await all_pages(bob) == (said, 5)
    assert await all_pages(bob, Count=100) == (said, 3)
    assert await all_pages(bob, Count=1) == (said, 230)


@scenario
async def test_a_page_ends_before_the_id_and_knows_whether_there_is_more(server):
    ana = await join(server, "ana")
    await say(ana, *"abcdefg")
    for before, count, expected, more in (
        (8, 3, [5, 6, 7], True),
        (5, 3, [2, 3, 4], True),
        (5, 4, [1, 2, 3, 4], False),
        (2, 9, [1], False),
        (1, 9, [], False),
        (0, 9, [], False),
        (100, 2, [6, 7], True),
        (2**53, 1, [7], True),
    ):
        answer = await page(ana, Before=before, Count=count, Ref=[before])
        assert (ids(answer), answer["More"]) == (expected, more)
        assert answer["From"] == (expected[0] if expected else before)


@scenario
async def test_a_room_where_nothing_was_said(server):
    ana = await join(server, "ana")
    assert "Oldest" not in ana.joined
    answer = await page(ana)
    assert (answer["Messages"], answer["More"]) == ([], False)


@scenario
async def test_pages_of_one_room_only(server):
    ana = await join(server, "ana", "/rooms/tea")
    bob = await join(server, "bob", "/rooms/coffee")
    await say(ana, "earl grey")
    (said,) = await say(bob, "espresso")
    assert (await page(bob))["Messages"] == [said]


@scenario
async def test_private_messages_are_in_no_page(server):
    ana = await join(server, "ana")
    await say(ana, "to all")
    await ana.ask("PrivateMessage", TgtUser="ana", text="psst")
    assert [message["text"] for message in (await page(ana))["Messages"]] == ["to all"]


@scenario
async def test_what_was_said_just_before_is_in_the_page(server):
    """The answer follows the broadcast, though both were sent at once."""
    ana = await join(server, "ana")
    await ana.send("Broadcast", text="now")
    await ana.send("GetHistory")
    said, answer = await ana.messages(2)
    assert (said["text"], answer["Messages"]) == ("now", [said])


@scenario
async def test_a_page_is_limited_in_bytes_and_holds_one_message_at_least(serve):
    server = serve(history=1, max_message_bytes=PAGE_BYTES + 1024, room_buffer_bytes=16 * PAGE_BYTES, **UNLIMITED)
    ana = await join(server, "ana")
    said = await say(ana, *["x" * 60_000] * 9, "y" * (PAGE_BYTES + 1), "z")
    assert await all_pages(ana) == (said, 5)  # z; y; four times x; four; one
    assert ids(await page(ana, Before=11)) == [10]
    answer = await page(ana, Before=10)
    assert ids(answer) == [6, 7, 8, 9]
    assert len(json.dumps(answer["Messages"], separators=(",", ":"))) <= PAGE_BYTES


@scenario
async def test_what_memory_has_lost_is_not_there(serve):
    """The oldest message moves on; a page never has a hole."""
    server = serve(history=1, max_message_bytes=1024, room_buffer_bytes=65536, **UNLIMITED)
    ana = await join(server, "ana")
    said = []
    for _ in range(4):
        said += await say(ana, *["x" * 900] * 40)
    got, _ = await all_pages(ana)
    assert 40 < len(got) < 80 and got == said[-len(got) :]
    bob = await join(server, "bob")
    assert bob.joined["Oldest"] == got[0]["Id"]
    answer = await page(bob, Before=5)
    assert (answer["Messages"], answer["More"], answer["From"]) == ([], False, 5)


@scenario
async def test_pages_while_others_speak(serve):
    """Each page ends where the one before begins, while the oldest messages are overwritten."""
    server = serve(history=1, max_message_bytes=1024, room_buffer_bytes=65536, **UNLIMITED)
    ana, bob = await join(server, "ana"), await join(server, "bob")
    quiet = asyncio.Event()

    async def talk():
        while not quiet.is_set():
            await say(ana, *["x" * 300] * 20)

    await say(ana, "the first")
    await bob.message()
    talking = asyncio.create_task(talk())
    for _ in range(30):
        newest = await ask_in_a_crowd(bob, 1)
        before, seen = newest["Messages"][0]["Id"], newest["Messages"]
        while True:
            answer = await ask_in_a_crowd(bob, 2, Before=before, Count=10)
            assert ids(answer) == list(range(answer["From"], before))
            seen[:0] = answer["Messages"]
            if not answer["More"]:
                break
            before = answer["From"]
        assert ids({"Messages": seen}) == list(range(seen[0]["Id"], seen[0]["Id"] + len(seen)))
    quiet.set()
    await talking


async def ask_in_a_crowd(peer, ref, **fields):
    """A page, when others speak at the same time."""
    await peer.send("GetHistory", Ref=ref, **fields)
    while (answer := await peer.message())["msgType"] != "History":
        assert answer["msgType"] == "Broadcast", answer
    return answer


@scenario
async def test_a_member_of_the_short_way_gets_pages_in_ascii(server):
    ana = await join(server, "ana")
    (said,) = await say(ana, "für Ana 😀")
    bob = await join_original(server, "bob")
    await bob.send("GetHistory", Ref="é")
    text = await bob.text()
    assert text.isascii() and json.loads(text)["Messages"] == [said]
    assert json.loads(text)["Ref"] == "é"


@scenario
async def test_after_a_failed_resume_the_client_pages_back_to_what_it_saw(serve):
    server = serve(history=1, max_message_bytes=1024, room_buffer_bytes=65536, **UNLIMITED)
    ana, bob = await join(server, "ana"), await join(server, "bob")
    (seen,) = await say(ana, "the last that bob saw")
    await bob.close()
    await ana.presence("ana")
    said = await say(ana, *["x" * 900] * 57)  # more than three quarters of the ring: no resuming
    bob = await join(server, "bob", Resume={"Epoch": ana.joined["Epoch"], "After": seen["Id"]})
    assert (bob.joined["Resumed"], bob.joined["Oldest"]) == (False, 1)
    assert (await all_pages(bob))[0] == [seen, *said]


# ---- Refusals ------------------------------------------------------------------------------------


@scenario
async def test_without_history_nobody_reads_the_past(serve):
    server = serve(history=0)
    ana = await join(server, "ana")
    await say(ana, "secret")
    bob = await join(server, "bob")
    assert "Oldest" not in bob.joined
    await bob.send("GetHistory", Ref=1)
    assert (await bob.error("no_history"))["Ref"] == 1
    await bob.send("Search", text="secret", Ref=2)
    assert (await bob.error("no_history"))["Ref"] == 2
    await bob.nothing_more()


@pytest.mark.parametrize(
    "fields, why",
    [
        ({"Count": 0}, '"Count": expected 1..100, got 0'),
        ({"Count": 101}, '"Count": expected 1..100, got 101'),
        ({"Count": "5"}, '"Count" must be a whole number from 1 to 100'),
        ({"Count": -1}, '"Count" must be a whole number from 1 to 100'),
        ({"Count": 1.5}, '"Count" must be a whole number from 1 to 100'),
        ({"Count": None}, '"Count" must be a whole number from 1 to 100'),
        ({"Before": "9"}, '"Before" must be a whole number from 0 to 9007199254740992'),
        ({"Before": -1}, '"Before" must be a whole number from 0 to 9007199254740992'),
        ({"Before": 2**53 + 1}, '"Before" must be a whole number from 0 to 9007199254740992'),
        ({"Before": [1]}, '"Before" must be a whole number from 0 to 9007199254740992'),
        ({"Before": {}, "Count": 0}, '"Before" must be a whole number from 0 to 9007199254740992'),
    ],
    ids=str,
)
@scenario
async def test_fields_out_of_range(server, fields, why):
    ana = await join(server, "ana")
    await ana.send("GetHistory", Ref="r", **fields)
    error = await ana.error("missing_field")
    assert (error["text"], error["Ref"]) == (why, "r")
    await ana.nothing_more()


@scenario
async def test_only_members_may_ask(server):
    peer = await Peer.open(server)
    await peer.next()
    await peer.send("GetHistory")
    await peer.error("unknown_type")


def ask(raw, ref):
    raw.send_text(json.dumps({"msgType": "GetHistory", "Count": 100, "Ref": ref}))


def read_answers(raw, last):
    """Reads up to the answer to `last`. Returns a line for each: Ref, and what it was."""
    answers = []
    while not answers or answers[-1][0] != last:
        message = raw.message()
        if "Ref" in message:
            answers.append((message["Ref"], message.get("Code", message["msgType"])))
    return answers


def test_one_answer_at_a_time(serve):
    """A client that does not read gets one page, and an Error for each further question. It stays."""
    server = serve(history=1, room_buffer_bytes=2**23, **UNLIMITED)
    filler = "x" * 60_000
    with Raw(server, receive_buffer=4096) as raw:
        raw.join("ana")
        for _ in range(5):
            raw.send_text(json.dumps({"msgType": "Broadcast", "text": filler}))
            while raw.message()["msgType"] != "Broadcast":
                pass
        for ref in range(40):
            ask(raw, ref)
        answers = read_answers(raw, 39)
        assert [ref for ref, _ in answers] == list(range(40))
        kinds = [kind for _, kind in answers]
        assert kinds[0] == "History" and set(kinds) == {"History", "too_fast"}
        assert kinds.count("too_fast") > 20
        ask(raw, 40)
        assert read_answers(raw, 40) == [(40, "History")]  # all was read: it may ask again


# ---- The rate ------------------------------------------------------------------------------------


@scenario
async def test_pages_have_a_rate_and_do_not_end_the_connection(serve):
    """A client that pages on without a pause is slowed down, and is never too fast. The rate is four
    times max_bytes_per_second: here 64,000 bytes a second, 256,000 at once."""
    server = serve(history=1, max_bytes_per_second=16_000, too_fast_seconds=1)
    ana = await join(server, "ana")
    await say(ana, *["x" * 15_000] * 4)
    clock = asyncio.get_running_loop().time
    begin, got = clock(), 0
    while clock() - begin < 3:
        got += sum(len(message["text"]) for message in (await page(ana))["Messages"])
    seconds = clock() - begin
    assert 256_000 < got < 256_000 + 64_000 * (seconds + 1) + 60_000
    await ana.nothing_more()
