# SPDX-License-Identifier: MIT
"""What was said survives the server's end, and is where it was at the next start."""
import asyncio
import contextlib
import os
import random
import signal
import sqlite3

import pytest

from helpers import PATIENCE, held_port, join, scenario
from history_members import Crowd, say, start, stored

KILLS = int(os.environ.get("KILLS", "4"))


def end(server, number):
    server.expected_status = None if number == signal.SIGKILL else 0
    server.signal(number)
    server.wait_end(2 * PATIENCE)


def as_history(*messages):
    return [{**message, "History": True} for message in messages]


async def check_survives(folder, number):
    server = start(folder)
    ana = await join(server, "Ana")
    said = await say(ana, "the first words", "the second words")
    end(server, number)
    server = start(folder)
    resume = {"Epoch": ana.joined["Epoch"], "After": said[0]["Id"]}
    back = await join(server, "Ana", Resume=resume)
    assert (back.joined["Epoch"], back.joined["Resumed"]) == (ana.joined["Epoch"], True)
    assert back.history == as_history(said[1])
    new = await join(server, "Bob")
    assert new.history == as_history(*said)
    more = await say(new, "the third words")
    assert more[0]["Id"] == said[1]["Id"] + 1
    server.finish()
    assert list(stored(server).values()) == ["the first words", "the second words", "the third words"]


@scenario
async def test_a_restart_loses_nothing(tmp_path):
    await check_survives(tmp_path, signal.SIGTERM)


@scenario
async def test_a_kill_loses_nothing(tmp_path):
    await check_survives(tmp_path, signal.SIGKILL)


@pytest.mark.parametrize("sync, resumes", [("process", False), ("power", True)])
@scenario
async def test_another_boot_of_the_machine(tmp_path, sync, resumes):
    """As after a power cut: the name of the last boot in the file is another one. Something that was
    heard may be missing then, unless each commit was synced."""
    server = start(tmp_path, history_sync=sync)
    ana = await join(server, "Ana")
    await say(ana, "the first words", "the second words")
    end(server, signal.SIGKILL)
    with contextlib.closing(sqlite3.connect(tmp_path / "history.db")) as base:
        base.execute("UPDATE run SET boot='another'")
        base.commit()
    server = start(tmp_path, history_sync=sync)
    resume = {"Epoch": ana.joined["Epoch"], "After": 1}
    joined = (await join(server, "Ana", Resume=resume)).joined
    assert (joined["Resumed"], joined["LastId"]) == (resumes, 2)
    assert (joined["Epoch"] == ana.joined["Epoch"]) == resumes
    server.finish()


async def live_through(crowd, kills):
    chance = random.Random(kills)
    await crowd.start()
    for number in range(kills):
        await crowd.all_in(number + 1)
        await crowd.more(chance.randrange(20, 400))
        end(crowd.server, signal.SIGKILL)
        await crowd.start()
    await crowd.all_in(kills + 1)
    await crowd.more(100)
    crowd.check()


async def survive_kills(folder, port, kills):
    crowd = Crowd(folder, port, 20)
    try:
        await live_through(crowd, kills)
    finally:
        await crowd.end()
    crowd.server.finish()
    kept = stored(crowd.server)
    assert {number: kept.get(number) for number in crowd.heard} == crowd.heard
    assert sorted(kept) == list(range(1, len(kept) + 1))
    return crowd


def test_members_that_talk_lose_nothing_by_kills(tmp_path):
    with held_port() as port:
        crowd = asyncio.run(survive_kills(tmp_path, port, KILLS))
    print(f"{KILLS} kills, {crowd.joins} joins, {len(crowd.heard)} heard, none lost or doubled")
