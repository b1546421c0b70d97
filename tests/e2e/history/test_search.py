# SPDX-License-Identifier: MIT
"""Searching the room's memory (docs/PROTOCOL.md, Search)."""
import json

import pytest

from helpers import join, join_original, scenario

UNLIMITED = {"max_messages_per_second": 0, "max_bytes_per_second": 0}


@pytest.fixture
def server(serve):
    return serve(history=1, **UNLIMITED)


async def say(peer, *texts):
    said = []
    for text in texts:  # one by one: who is half the memory behind is closed
        await peer.send("Broadcast", text=text)
        said.append(await peer.message())
    return said


async def search(peer, text, **fields):
    answer = await peer.ask("Search", text=text, **fields)
    assert answer["msgType"] == "History", answer
    assert answer["Epoch"] == peer.joined["Epoch"]
    return answer


def texts(answer):
    return [message["text"] for message in answer["Messages"]]


@pytest.mark.parametrize(
    "said, asked",
    [
        ("Tea is at four.", "at four"),
        ("Tea is at four.", "TEA"),
        ("die Straße", "STRASSE"),
        ("DIE STRASSE", "straße"),
        ("ＦＵＬＬ width", "full"),
        ("e\u0301te\u0301", "été"),
        ("我们明天去喝茶吧", "去喝茶"),
        ("明日お茶", "お茶" + "\u200b" * 2 + "?"),
        ("quo\"te\\s", 'o"te\\s'),
        ("a\nb\tc", "a\nb\tc"),
        ("%_*?", "%_*"),
        ("😀😀😀", "😀😀😀"),
    ],
)
@scenario
async def test_texts_are_folded(server, said, asked):
    ana = await join(server, "ana")
    (message,) = await say(ana, said)
    await say(ana, "something else")
    expected = [message] if "?" not in asked else []  # the zero-width blanks are nothing; ? is not in it
    assert (await search(ana, asked))["Messages"] == expected


@scenario
async def test_only_the_text_is_searched(server):
    ana = await join(server, "ana")
    await ana.ask("Broadcast", text="one", Mood="merry", More={"text": "merry"})
    assert texts(await search(ana, "merry")) == texts(await search(ana, "Broadcast")) == texts(await search(ana, "ana")) == []
    await ana.ask("PrivateMessage", TgtUser="ana", text="merry")
    assert texts(await search(ana, "merry")) == []


@scenario
async def test_the_newest_results_come_first_and_the_rest_page_by_page(server):
    ana = await join(server, "ana")
    await say(ana, *[f"{'tea' if number % 3 == 0 else 'coffee'} {number}" for number in range(150)])
    expected = [f"tea {number}" for number in range(0, 150, 3)]
    answer = await search(ana, "TEA", Ref=1)
    assert texts(answer) == expected[-20:] and answer["More"] and answer["Ref"] == 1
    assert answer["From"] == answer["Messages"][0]["Id"]
    got, before = [], {}
    while True:
        answer = await search(ana, "tea", Count=7, **before)
        got[:0] = texts(answer)
        if not answer["More"]:
            break
        before = {"Before": answer["From"]}
    assert got == expected


@scenario
async def test_nothing_is_found(server):
    ana = await join(server, "ana")
    await say(ana, "tea", "coffee")
    answer = await search(ana, "cocoa")
    assert (answer["Messages"], answer["From"], answer["More"]) == ([], 1, False)


@scenario
async def test_a_question_looks_through_a_limited_part(serve):
    """2 MiB; then the answer says where to go on."""
    server = serve(history=1, room_buffer_bytes=2**23, **UNLIMITED)
    ana = await join(server, "ana")
    (found,) = await say(ana, "needle")
    await say(ana, *["x" * 60_000] * 80)
    answers = [await search(ana, "needle")]
    while answers[-1]["More"]:
        answers.append(await search(ana, "needle", Before=answers[-1]["From"]))
        assert answers[-1]["From"] < answers[-2]["From"]
    assert [answer["Messages"] for answer in answers] == [[], [], [found]]


@scenario
async def test_a_result_in_its_surroundings(server):
    ana = await join(server, "ana")
    said = await say(ana, *"abc", "needle", *"defg")
    (found,) = (await search(ana, "needle"))["Messages"]
    answer = await ana.ask("GetHistory", Before=found["Id"] + 3, Count=5)
    assert answer["Messages"] == said[1:6]


@scenario
async def test_a_member_of_the_short_way_searches_in_ascii(server):
    ana = await join(server, "ana")
    (said,) = await say(ana, "für Ana 😀")
    bob = await join_original(server, "bob")
    (escaped,) = await say(ana, "FÜR Bob")
    await bob.message()
    await bob.send_text(json.dumps({"msgType": "Search", "text": "für"}))
    text = await bob.text()
    assert text.isascii() and json.loads(text)["Messages"] == [said, escaped]


@pytest.mark.parametrize(
    "fields, why",
    [
        ({}, '"text" is missing'),
        ({"text": 3}, '"text" must be a string, not a number'),
        ({"text": ""}, '"text": expected 3..128 characters, got 0'),
        ({"text": "ab"}, '"text": expected 3..128 characters, got 2'),
        ({"text": "a\u200b\u200bb"}, '"text": expected 3..128 characters, got 2'),
        ({"text": "x" * 129}, '"text": expected 3..128 characters, got 129'),
        ({"text": "x" * 513}, '"text" must have 3 to 128 characters, none of them U+0000'),
        ({"text": "a\0bc"}, '"text" must have 3 to 128 characters, none of them U+0000'),
        ({"text": "abc", "Count": 101}, '"Count": expected 1..100, got 101'),
        ({"text": "abc", "Before": "x"}, '"Before" must be a whole number from 0 to 9007199254740992'),
    ],
    ids=lambda value: str(value)[:30].replace("\0", "NUL"),
)
@scenario
async def test_bad_fields(server, fields, why):
    ana = await join(server, "ana")
    await ana.send("Search", Ref="r", **fields)
    error = await ana.error("missing_field")
    assert (error["text"], error["Ref"]) == (why, "r")
    await ana.nothing_more()


@scenario
async def test_texts_of_three_and_of_128_characters(server):
    ana = await join(server, "ana")
    await say(ana, "喝" * 128)
    assert len(texts(await search(ana, "喝" * 128))) == len(texts(await search(ana, "喝喝喝"))) == 1


@scenario
async def test_searches_cost_a_share_of_the_rate(serve):
    """Each looks through 60,000 bytes, of which a sixteenth counts: so here 16 a second, 64 at once."""
    server = serve(history=1, max_bytes_per_second=15_000)
    ana = await join(server, "ana")
    await say(ana, *["x" * 14_900] * 4)
    clock = ana.socket.loop.time
    begin = clock()
    for _ in range(90):
        await search(ana, "needle")
    assert clock() - begin > 0.9
    await ana.nothing_more()
