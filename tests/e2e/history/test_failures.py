# SPDX-License-Identifier: MIT
"""A disk that fails: the chat goes on, everybody is told, and what can be made up for is."""
import contextlib
import errno
import re
import resource
import signal
import sqlite3

import pytest

from helpers import PATIENCE, PING, PONG, Raw, frame, join, scenario, until, wait_until
from history_members import Disk, get, metric, say, start, state_of, stored
from server_control import broadcast

KILOBYTE = "x" * 1000
SMALL_RING = {"max_message_bytes": 1024, "room_buffer_bytes": 16384}


def end(server, number=signal.SIGTERM):
    server.expected_status = None if number == signal.SIGKILL else 0
    server.signal(number)
    server.wait_end(2 * PATIENCE)


async def come_back(server, peer, after):
    """Joins a restarted server as a member that has heard everything up to `after`."""
    resume = {"Epoch": peer.joined["Epoch"], "After": after}
    return (await join(server, peer.joined["Name"], Resume=resume)).joined


def is_trusted(server):
    return (server.folder / "history.db.trust").stat().st_size > 0


def limit_files():
    """As a full disk: no file grows beyond 64 KiB. The log does not, either."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, resource.RLIM_INFINITY))


async def fill(peer):
    """Talks until the disk is full. Returns all that was said."""
    said = []
    while not said or metric(peer.server, "failing") == 0:
        said += await say(peer, *(f"{len(said) + i} {KILOBYTE}" for i in range(20)))
    return said


@scenario
async def test_a_room_that_cannot_be_opened_is_told_until_it_is_left(tmp_path):
    server = start(tmp_path, history_rooms=["", "tea"])
    ana = await join(server, "Ana")
    await say(ana, "stored")
    await until(lambda: stored(server), "the text to be stored")
    assert (get(server, "/healthz"), metric(server, "unopened_rooms")) == ("ok\n", 0)
    with contextlib.closing(sqlite3.connect(server.folder / "history.db")) as base:
        base.execute("ALTER TABLE room RENAME TO lost")
        bob = await join(server, "Bob", "/rooms/tea")
        base.execute("ALTER TABLE lost RENAME TO room")
    assert 'room="tea" why="it cannot be opened in the history file' in server.log()
    await say(ana, "stored, too")
    assert "not being stored" in get(server, "/healthz") and metric(server, "unopened_rooms") == 1
    await bob.close()
    await until(lambda: metric(server, "unopened_rooms") == 0, "the room to be gone")
    assert get(server, "/healthz") == "ok\n"
    await ana.close()
    end(server)


@scenario
async def test_a_full_disk_is_told_and_made_up_for(tmp_path):
    server = start(tmp_path, preexec_fn=limit_files)
    ana = await join(server, "Ana")
    bob = await join(server, "Bob")
    said = await fill(ana)
    assert await state_of(bob) == "failing"
    assert (await join(server, "Cem")).history[-1] == {"msgType": "State", "History": "failing"}
    assert "not being stored" in get(server, "/healthz")
    assert not is_trusted(server)
    assert len(re.findall(r"history_failed", server.log())) == 1, "once a minute"
    said += await say(ana, "the chat goes on")
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert await state_of(bob) == "stored"
    assert get(server, "/healthz") == "ok\n"
    assert (metric(server, "failing"), is_trusted(server)) == (0, True)
    said += await say(ana, "all is well again")
    assert stored(server) == {message["Id"]: message["text"] for message in said}
    assert metric(server, 'messages_total{result="lost"}') == 0
    end(server, signal.SIGKILL)
    server = start(tmp_path)
    assert (await come_back(server, ana, said[-1]["Id"]))["Resumed"]
    server.finish()


@scenario
async def test_what_was_overwritten_meanwhile_is_no_silent_hole(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    server = start(tmp_path, **SMALL_RING)
    ana = await join(server, "Ana")
    await say(ana, "this is stored")
    disk.be(errno.EIO)
    said = await say(ana, *(f"{i} {KILOBYTE[:900]}" for i in range(60)))
    disk.be(Disk.WELL)
    await until(lambda: metric(server, "failing") == 0, "storing again")
    lost = metric(server, 'messages_total{result="lost"}')
    assert 30 < lost < 60
    last = await say(ana, "this is stored, too")
    assert sorted(stored(server)) == [1, *range(2 + lost, last[0]["Id"] + 1)]
    assert not is_trusted(server)
    end(server)
    server = start(tmp_path, **SMALL_RING)
    joined = await come_back(server, ana, said[0]["Id"])
    assert not joined["Resumed"]
    assert joined["Epoch"] != ana.joined["Epoch"]
    assert joined["LastId"] == last[0]["Id"], "no Id is given twice"
    server.finish()


@scenario
async def test_a_server_that_dies_while_storing_fails_gives_a_new_epoch(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    server = start(tmp_path)
    ana = await join(server, "Ana")
    await say(ana, "this is stored")
    disk.be(errno.ENOSPC)
    heard = await say(ana, "this is heard, and not stored")
    end(server, signal.SIGKILL)
    disk.be(Disk.WELL)
    server = start(tmp_path)
    joined = await come_back(server, ana, heard[0]["Id"])
    assert (joined["Resumed"], joined["LastId"]) == (False, 1)
    assert joined["Epoch"] != ana.joined["Epoch"]
    server.finish()


@scenario
async def test_trust_is_taken_away_as_soon_as_the_disk_allows_it(tmp_path, monkeypatch):
    """A filesystem that became read-only takes neither messages nor the end of the trust."""
    disk = Disk(tmp_path, monkeypatch)
    server = start(tmp_path)
    ana = await join(server, "Ana")
    await say(ana, "this is stored")
    disk.be(errno.EROFS)
    heard = await say(ana, "this is heard, and not stored")
    await until(lambda: ".trust file" in server.log(), "the owner's advice")
    assert is_trusted(server)
    disk.be(errno.ENOSPC)
    await until(lambda: not is_trusted(server), "the next attempt")
    end(server, signal.SIGKILL)
    disk.be(Disk.WELL)
    server = start(tmp_path)
    joined = await come_back(server, ana, heard[0]["Id"])
    assert (joined["Resumed"], joined["LastId"]) == (False, 1)
    assert joined["Epoch"] != ana.joined["Epoch"]
    server.finish()


def test_rooms_that_were_silent_are_stored_first_again(tmp_path, monkeypatch):
    """Their members, too, get only what is stored, from the first message on."""
    disk = Disk(tmp_path, monkeypatch)
    server = start(tmp_path, history_rooms=["", "tea"])
    with Raw(server) as ana, Raw(server) as bob:
        ana.join("Ana")
        bob.join("Bob", "/rooms/tea")
        disk.be(errno.EIO)
        ana.send(broadcast(server, "this is heard"))
        wait_until(lambda: metric(server, "failing") == 1, "the failure")
        disk.be(Disk.WELL)
        wait_until(lambda: metric(server, "failing") == 0, "storing again")
        disk.be(Disk.STALLS)
        bob.send(broadcast(server, "the first words after it"))
        for _ in range(2):  # between the two the thread has fanned out, if it does
            bob.send(frame(PING, b"?"))
            while (heard := bob.next_frame())[0] != PONG:
                assert b"words" not in heard[1]
        disk.be(Disk.WELL)
        while b"words" not in bob.next_frame()[1]:
            pass
    server.finish()


@scenario
async def test_what_is_left_is_stored_at_the_end(tmp_path, monkeypatch):
    disk = Disk(tmp_path, monkeypatch)
    server = start(tmp_path)
    ana = await join(server, "Ana")
    disk.be(errno.EIO)
    said = await say(ana, "heard while the disk fails")
    disk.be(Disk.WELL)
    end(server)
    assert stored(server) == {1: "heard while the disk fails"}
    server = start(tmp_path)
    assert (await come_back(server, ana, said[0]["Id"]))["Resumed"]
    server.finish()


def damage(server):
    """Makes SQLite find the file damaged, which it looks at again when its schema was changed."""
    with contextlib.closing(sqlite3.connect(server.folder / "history.db")) as base:
        base.execute("PRAGMA writable_schema=ON")
        base.execute("UPDATE sqlite_master SET sql='CREATE nothing' WHERE name='message'")
        version = base.execute("PRAGMA schema_version").fetchone()[0]
        base.execute(f"PRAGMA schema_version={version + 1}")
        base.commit()


@scenario
async def test_a_damaged_file_is_left_alone(tmp_path):
    server = start(tmp_path)
    ana = await join(server, "Ana")
    await say(ana, "this is stored")
    damage(server)
    await say(ana, *(f"text {i}" for i in range(20)))
    assert metric(server, "failing") == 1
    assert metric(server, "failures_total") == 1, "it is not tried again"
    assert ".recover" in server.log()
    assert (await join(server, "Bob")).history[-1] == {"msgType": "State", "History": "failing"}
    assert not is_trusted(server)
    before = (tmp_path / "history.db").read_bytes()
    end(server)
    assert len((tmp_path / "history.db").read_bytes()) >= len(before)


@scenario
async def test_rooms_loaded_while_storing_failed_go_on_in_a_damaged_file(tmp_path, monkeypatch):
    """Nobody says anything there until the file turns out to be damaged."""
    disk = Disk(tmp_path, monkeypatch)
    server = start(tmp_path, history_rooms=["", "tea"])
    bob = await join(server, "Bob", "/rooms/tea")
    await say(bob, "this is stored")
    await bob.close()
    await until(lambda: " left " in server.log(), "the room's end")
    ana = await join(server, "Ana")
    disk.be(errno.EIO)
    await say(ana, "this is heard")
    assert await state_of(ana) == "failing"
    bob = await join(server, "Bob", "/rooms/tea")
    damage(server)
    disk.be(Disk.WELL)
    await until(lambda: ".recover" in server.log(), "the damage")
    await say(bob, "the chat goes on")
    end(server)


@pytest.mark.parametrize("room", ["", "tea"])
@scenario
async def test_only_rooms_that_are_named_are_stored(tmp_path, room):
    server = start(tmp_path, history_rooms=["tea"])
    ana = await join(server, "Ana", f"/rooms/{room}" if room else "/")
    await say(ana, "some words")
    await ana.close()
    await until(lambda: " left " in server.log(), "the room's end")
    again = await join(server, "Ana", f"/rooms/{room}" if room else "/")
    assert len(again.history) == 1, "the main room stays in memory, the other one is loaded"
    end(server)
    assert list(stored(server, room).values()) == ["some words"] * (room == "tea")
