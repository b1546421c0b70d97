# SPDX-License-Identifier: MIT
"""ragchat shows what was said before: /history, /search, and --history for scripts."""
import json
import re

import pytest

from helpers import join, scenario
from terminal import FAST, run, start

OK, USAGE, CONNECT, REFUSED, CERTIFICATE, PARTLY, FILES = range(7)


def fill(server, *texts, path="/"):
    """Says these in the room, as eve."""

    @scenario
    async def talk():
        eve = await join(server, "eve", path)
        for text in texts:
            await eve.ask("Broadcast", text=text)

    talk()


@pytest.fixture
def ana(terminal):
    return lambda server: terminal(server, "ana", NO_COLOR="1")


def written(screen):
    screen.pump()
    return screen.raw.decode()


def earlier(screen):
    """The texts that are marked as earlier ones, in their order, also those that have scrolled away."""
    return re.findall(r"\[earlier\] eve: ([^\r\n\x1b]*)", written(screen))


def ask(screen, line, answer):
    """Types a command, and waits for the end of its answer."""
    count = written(screen).count(answer)
    screen.say(line)
    screen.wait_for(lambda: written(screen).count(answer) > count, answer)


# ---- On a terminal -------------------------------------------------------------------------------


@pytest.mark.parametrize("fields", [
    {"deep": json.loads("[" * 31 + "]" * 31)},
    {**{f"x{n}": n for n in range(62)}, "wide": {f"y{n}": n for n in range(256)}},
], ids=["deep", "wide"])
def test_history_shows_what_is_as_deep_and_wide_as_is_allowed(serve, ana, fields):
    """In an answer such a message lies two levels deeper."""

    @scenario
    async def talk():
        eve = await join(server, "eve")
        await eve.ask("Broadcast", text="first", **fields)
        for text in ("second", "third", "fourth"):
            await eve.ask("Broadcast", text=text)

    server = serve(history=1, **FAST)
    talk()
    ana = ana(server)
    ana.wait("eve: fourth")
    ask(ana, "/history", "that was before, and there is nothing older")
    assert earlier(ana) == ["first", "second", "third"]
    ask(ana, "/search first", "that was found, and nothing older")
    assert earlier(ana)[3:] == ["first"]


def test_history_goes_back_page_by_page(serve, ana):
    server = serve(history=2, **FAST)
    fill(server, *[f"number {number}" for number in range(30)])
    ana = ana(server)
    ana.wait("eve: number 29")
    ask(ana, "/history 3", "/history shows what was said before that")
    assert earlier(ana) == ["number 25", "number 26", "number 27"]
    ask(ana, "/history", "/history shows what was said before that")  # 20
    assert earlier(ana)[3:] == [f"number {number}" for number in range(5, 25)]
    ask(ana, "/history 100", "that was before, and there is nothing older")
    assert earlier(ana)[23:] == [f"number {number}" for number in range(5)]
    ask(ana, "/history", "-- there is nothing older")


def test_nobody_takes_an_earlier_message_for_a_new_one(serve, ana):
    """The mark comes before the name, in each kind of message, and the line that is typed stays."""
    server = serve(history=1, **FAST)
    fill(server, "one", "/me waves", "two\n\x1b[31mred", "last")
    ana = ana(server)
    ask(ana, "/history 3", "there is nothing older")
    rows = [row for row in ana.lines() if "[earlier]" in row]
    assert [re.sub(r"^\d\d:\d\d ", "", row) for row in rows][:2] == ["[earlier] eve: one", "[earlier] * eve waves"]
    assert rows[2].endswith("[earlier] eve: two") and b"\x1b[31mred" not in ana.raw
    ana.wait(r"(?m)^ .*\[31mred|\ufffd\[31mred")
    ana.type("half a sent")
    fill(server, "new")
    ana.wait(r"(?m)^\d\d:\d\d eve: new$")
    ana.wait_row("> half a sent")


def test_search_shows_what_is_found_and_goes_on(serve, ana):
    server = serve(history=1, **FAST)
    fill(server, *[f"{'Tea' if number % 2 else 'coffee'} {number}" for number in range(50)], "the end")
    ana = ana(server)
    ask(ana, "/search TEA", "that was found; /search looks further back")
    assert earlier(ana) == [f"Tea {number}" for number in range(11, 51, 2)]
    ask(ana, "/search", "that was found, and nothing older")
    assert earlier(ana)[20:] == [f"Tea {number}" for number in range(1, 11, 2)]
    ask(ana, "/search", "the search is at its end")
    ask(ana, "/search cocoa", "nothing was found")
    ask(ana, "/history 1", "/history shows what was said before that")
    assert earlier(ana)[25:] == ["Tea 49"]  # a search does not move the place of /history


def test_what_cannot_be_shown(serve, ana):
    ana = ana(serve(history=0))
    ask(ana, "/history", "older messages cannot be shown: the past of this room cannot be read")
    for line in ("/history 0", "/history 101", "/history x", "/history -1", "/history 5 6"):
        ask(ana, line, "it goes like this: /history, or /history 1 to 100")
    ask(ana, "/search", "it goes like this: /search TEXT")
    ask(ana, "/search ab", 'older messages cannot be shown: "text": expected 3..128 characters, got 2')


# ---- For scripts ---------------------------------------------------------------------------------


def printed(out):
    return [json.loads(line) for line in out.splitlines()]


def test_history_for_scripts(serve, homes):
    """Oldest first, each whole; nothing else is printed, and standard input is not read."""
    server = serve(history=3, **FAST)
    texts = [f"number {number} é\x07" for number in range(250)]
    fill(server, *texts)
    process = start(server, "cron", homes("cron"), "--history", "230")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (OK, b"")
    messages = printed(out.decode())
    assert [message["text"] for message in messages] == texts[-230:]
    assert [message["Id"] for message in messages] == list(range(21, 251))
    assert {message["msgType"] for message in messages} == {"Broadcast"}
    assert b"\x07" not in out
    status, out, _ = run(server, "cron", homes("cron"), "--history", "1000", text="not sent\n")
    assert status == OK and [message["text"] for message in printed(out)] == texts
    status, out, _ = run(server, "cron", homes("cron"), "--history", "1")
    assert status == OK and [message["text"] for message in printed(out)] == texts[-1:]


def test_history_of_an_empty_room(serve, homes):
    server = serve(history=3)
    assert run(server, "cron", homes("cron"), "--history", "10") == (OK, "", "")


def test_history_that_nobody_may_read(serve, homes):
    status, out, err = run(serve(history=0), "cron", homes("cron"), "--history", "10")
    assert (status, out) == (PARTLY, "") and "the past of this room cannot be read" in err


@pytest.mark.parametrize(
    "options, complaint",
    [
        (["--history", "0"], "--history 0: expected 1 to 100000 messages"),
        (["--history", "100001"], "expected 1 to 100000 messages"),
        (["--history", "ten"], "expected 1 to 100000 messages"),
        (["--history", "5", "--listen"], "it ends by itself"),
        (["--once", "--history", "5"], "it ends by itself"),
        (["--history", "5", "--to", "bob"], "--history sends nothing"),
    ],
)
def test_wrong_options(homes, options, complaint):
    status, out, err = run(None, "cron", homes("cron"), *options, url="ws://127.0.0.1:1/")
    assert (status, out) == (USAGE, "") and complaint in err
