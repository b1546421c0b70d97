# SPDX-License-Identifier: MIT
"""Pages and searches that go on in the history file where the room's memory ends."""
import asyncio
import contextlib
import sqlite3

import pytest

from helpers import Peer, join, scenario

STORED = {
    "history": 1,
    "history_file": "history.db",
    "max_message_bytes": 1024,
    "room_buffer_bytes": 65536,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
}
COUNT = 400  # messages of 300 bytes: three times what the memory holds


async def say(peer, *texts):
    """Says these. Returns the messages as they came back."""
    said = []
    for text in texts:
        said.append(await peer.ask("Broadcast", text=text))
    return said


async def question(peer, kind="GetHistory", **fields):
    """Asks when others may speak at the same time."""
    await peer.send(kind, Ref="q", **fields)
    while (answer := await peer.message()).get("Ref") != "q":
        assert answer["msgType"] in ("Broadcast", "State"), answer
    assert answer["msgType"] == "History", answer
    assert answer["Epoch"] == peer.joined["Epoch"]
    return answer


async def all_pages(peer, kind="GetHistory", **fields):
    """Pages back to the beginning."""
    messages, before = [], {}
    while True:
        answer = await question(peer, kind, **before, **fields)
        messages[:0] = answer["Messages"]
        if not answer["More"]:
            return messages
        assert answer["From"] < before.get("Before", 2**53)
        before = {"Before": answer["From"]}


def ids(answer):
    return [message["Id"] for message in answer["Messages"]]


def texts():
    return [f"{'tea' if number % 10 == 0 else 'coffee'} {number} {'x' * 200}" for number in range(1, COUNT + 1)]


@scenario
async def test_pages_go_on_in_the_file(serve):
    """No message twice, none missing, whatever the size of the pages."""
    ana = await join(serve(**STORED), "ana")
    said = await say(ana, *texts())
    bob = await join(ana.server, "bob")
    assert bob.joined["Oldest"] == 1
    for count in (7, 50, 100):
        assert await all_pages(bob, Count=count) == said
    answer = await question(bob, Before=2)
    assert (answer["Messages"], answer["More"]) == (said[:1], False)
    answer = await question(bob, Before=1)
    assert (answer["Messages"], answer["More"]) == ([], False)


@scenario
async def test_searches_go_on_in_the_file(serve):
    for index in (False, True):
        ana = await join(serve(**STORED, history_search=index), "ana")
        said = await say(ana, *texts())
        expected = [message for message in said if message["text"].startswith("tea")]
        for count in (3, 20, 100):
            assert await all_pages(ana, "Search", text="TEA", Count=count) == expected
        assert await all_pages(ana, "Search", text="coffee 399") == [said[398]]
        assert await all_pages(ana, "Search", text="coffee 9 ") == [said[8]]
        assert await all_pages(ana, "Search", text="cocoa") == []


@scenario
async def test_pages_after_a_restart(serve, tmp_path):
    folder_of = serve(**STORED)
    ana = await join(folder_of, "ana")
    said = await say(ana, *texts())
    await ana.close()
    assert await asyncio.to_thread(folder_of.finish) is None
    again = serve(**{**STORED, "history_file": str(folder_of.folder / "history.db")})
    bob = await join(again, "bob")
    assert (bob.joined["Epoch"], bob.joined["Oldest"]) == (ana.joined["Epoch"], 1)
    assert await all_pages(bob) == said
    assert [m["Id"] for m in await all_pages(bob, "Search", text="tea")] == list(range(10, COUNT + 1, 10))
    (new,) = await say(bob, "new")
    assert await all_pages(bob, Count=100) == [*said, new]


@scenario
async def test_a_message_with_as_many_fields_as_are_allowed(serve):
    """64 of the client's own: the server adds more of its own to them."""
    fields = {f"x{n}": n for n in range(63)}  # and Ref
    for index in (False, True):
        server = serve(**STORED, history_search=index)
        ana = await join(server, "ana")
        said = [await ana.ask("Broadcast", text="many fields", **fields)]
        said += await say(ana, *texts())
        await ana.close()
        assert await asyncio.to_thread(server.finish) is None
        again = serve(**{**STORED, "history_search": index, "history_file": str(server.folder / "history.db")})
        bob = await join(again, "bob")
        assert await all_pages(bob) == said
        assert await all_pages(bob, "Search", text="many fields") == said[:1]


@scenario
async def test_pages_while_others_speak(serve):
    """The border between memory and file moves all the time."""
    ana, bob = [await join(server, name) for server in (serve(**STORED),) for name in ("ana", "bob")]
    quiet = asyncio.Event()

    async def talk():
        while not quiet.is_set():
            await asyncio.gather(*[ana.send("Broadcast", text="x" * 300) for _ in range(20)])
            await ana.messages(20)

    talking = asyncio.create_task(talk())
    rounds, messages = 0, []
    while rounds < 12 or len(messages) < 300:  # more than memory holds
        messages = await all_pages(bob, Count=40)
        assert [message["Id"] for message in messages] == list(range(1, len(messages) + 1))
        rounds += 1
    quiet.set()
    await talking


@scenario
async def test_a_page_of_both_is_limited_in_bytes(serve):
    """A message that does not fit beside those of the memory is the first of the next page."""
    server = serve(**{**STORED, "max_message_bytes": 262144, "room_buffer_bytes": 2129920})
    ana = await join(server, "ana")
    said = await say(ana, *[str(size) + "x" * size for size in (100, 250_000, 100, *[200_000] * 10, 100, 100)])
    pages, before = [], {}
    while True:
        answer = await question(ana, Count=100, **before)
        size = sum(len(message["text"]) for message in answer["Messages"])
        assert answer["Messages"] and (size < 262144 or len(answer["Messages"]) == 1)
        pages[:0] = answer["Messages"]
        if not answer["More"]:
            break
        before = {"Before": answer["From"]}
    assert pages == said


@scenario
async def test_a_kept_room_is_read_also_when_newcomers_get_no_history(serve):
    ana = await join(serve(**{**STORED, "history": 0}), "ana")
    said = await say(ana, "one", "two")
    bob = await join(ana.server, "bob")
    assert bob.history == [] and bob.joined["Oldest"] == 1
    assert await all_pages(bob) == said
    other = await join(ana.server, "bob", "/rooms/other")
    await other.send("GetHistory")
    await other.error("no_history")


@pytest.mark.parametrize(
    "rooms, kept", [([""], ["/"]), (["tea"], ["/rooms/tea"]), (["*"], ["/", "/rooms/tea", "/rooms/x"]), ([], [])]
)
@scenario
async def test_hello_says_whether_the_room_is_kept(serve, rooms, kept):
    server = serve(**STORED, history_rooms=rooms, history_hours=48, history_messages=777)
    for path in ("/", "/rooms/tea", "/rooms/x"):
        hello = await (await Peer.open(server, path)).next()
        assert hello.get("Kept") == ({"Hours": 48, "Messages": 777} if path in kept else None)


@scenario
async def test_what_the_file_lost_is_a_gap(serve):
    """Ids that are missing were not stored, or not kept: pages go on behind them."""
    first = serve(**STORED)
    ana = await join(first, "ana")
    said = await say(ana, *texts())
    await ana.close()
    await asyncio.to_thread(first.finish)
    file = str(first.folder / "history.db")
    with contextlib.closing(sqlite3.connect(file)) as base, base:
        base.execute("DELETE FROM message WHERE id BETWEEN 20 AND 290 OR id=380")
        base.execute("UPDATE message SET body='no JSON' WHERE id=10")
    bob = await join(serve(**{**STORED, "history_file": file}), "bob")
    gone = {10, 380, *range(20, 291)}
    assert await all_pages(bob, Count=50) == [message for message in said if message["Id"] not in gone]


@scenario
async def test_what_was_deleted_from_the_file_is_not_shown_from_memory(serve):
    """Old messages are deleted from the file while the ring still holds them."""
    ana = await join(serve(**STORED), "ana")
    said = await say(ana, *[f"number {number}" for number in range(30)])
    assert await all_pages(ana) == said
    with contextlib.closing(sqlite3.connect(ana.server.folder / "history.db")) as base, base:
        base.execute("DELETE FROM message WHERE id<=20")
    assert await all_pages(ana) == await all_pages(ana, Count=3) == said[20:]
    assert await all_pages(ana, "Search", text="number") == said[20:]
    bob = await join(ana.server, "bob")
    assert bob.joined["Oldest"] == 21
    with contextlib.closing(sqlite3.connect(ana.server.folder / "history.db")) as base, base:
        base.execute("DELETE FROM message")
    assert await all_pages(ana) == []
    cleo = await join(ana.server, "cleo")
    assert "Oldest" not in cleo.joined
    said = await say(ana, "new")
    assert await all_pages(ana) == said


@scenario
async def test_a_file_that_cannot_be_read(serve):
    """The error names it, and the chat goes on, also without a page of the past."""
    first = serve(**STORED)
    ana = await join(first, "ana")
    await say(ana, *texts())
    await ana.close()
    await asyncio.to_thread(first.finish)
    file = first.folder / "history.db"
    bob = await join(serve(**{**STORED, "history_file": str(file)}), "bob")
    with file.open("r+b") as base:
        size = base.seek(0, 2)
        base.seek(4096)
        base.write(b"\xff" * (size - 4096))
    answer = await question(bob, Count=5)
    assert ids(answer) == list(range(COUNT - 4, COUNT + 1)) and answer["More"]
    await bob.send("GetHistory", Before=100, Ref=1)
    assert (await bob.error("unavailable"))["Ref"] == 1
    await bob.send("Search", text="tea", Before=100, Ref=2)
    assert (await bob.error("unavailable"))["Ref"] == 2
