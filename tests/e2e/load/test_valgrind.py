# SPDX-License-Identifier: MIT
"""The server under valgrind: DRD and helgrind for its locks, memcheck for its memory and leaks. DRD and
helgrind look for the same faults, so each has one server: DRD the one with TLS, helgrind the plain one.

The sanitizers see more of our code; valgrind also checks OpenSSL, cJSON, SQLite and the buffers of
system calls. The servers without TLS have a history file. Each run has a short dialogue and a little load, then ends the server while members are
connected. Skipped under a sanitizer, because valgrind cannot run with it.
Known false reports are in valgrind.supp.

RAGNAROK, LOAD  the commands to test; default: ./ragnarok and ./build/load of this repository
"""
import asyncio
import os
import shlex
import shutil
import signal
import socket
import struct
import subprocess

import pytest

import helpers
from e2e_reference import Person
from helpers import (
    BINARY,
    PASSWORD,
    ROOT,
    UPGRADE,
    Raw,
    frame,
    join,
    join_as,
    join_original,
    request,
    scenario,
    taken_over,
    wait_until,
)

LOAD = shlex.split(os.environ.get("LOAD", str(ROOT / "build" / "load")))
PATIENCE = 6 * helpers.PATIENCE  # valgrind runs one thread at a time, and slowly
FOUND = 99  # exit status of valgrind if it reports errors

TOOLS = {
    "drd": ["--tool=drd"],
    "helgrind": ["--tool=helgrind"],
    "memcheck": ["--tool=memcheck", "--leak-check=full"],
}
SETTINGS = {
    "history": 3,
    "max_clients_per_address": 0,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "handshake_timeout_seconds": 60,
    "login_timeout_seconds": 60,
}

pytestmark = [
    pytest.mark.plain_run("valgrind cannot run a sanitizer"),
    pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed"),
]


@pytest.fixture(params=["drd-tls", "helgrind-plain", "memcheck-plain", "memcheck-tls"])
def server(request, serve, monkeypatch, tmp_path):
    """A server under valgrind, with its report in server.report."""
    tool, line = request.param.split("-")
    tls = line == "tls"
    report = tmp_path / "valgrind.log"
    options = [f"--error-exitcode={FOUND}", f"--log-file={report}", "--num-callers=30"]
    known = f"--suppressions={ROOT / 'tests' / 'valgrind.supp'}"
    command = ["valgrind", *TOOLS[tool], *options, known, *helpers.COMMAND]
    monkeypatch.setattr(helpers, "COMMAND", command)
    monkeypatch.setattr(helpers, "PATIENCE", PATIENCE)
    kept = {} if tls else {"history_file": str(tmp_path / "history.db"), "history_rooms": ["*"]}
    server = serve(SSL=tls, arguments=["--no-sandbox"], **SETTINGS, **kept)  # valgrind makes programs
    server.report = report
    return server


# ---- A little of everything ----------------------------------------------------------------------


def reset(raw):
    """Disconnects with an RST."""
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.socket.close()


async def talk(server, ana, bob):
    """Broadcasts and private messages, one to nobody."""
    for text in ("first words", "second words"):
        await ana.send("Broadcast", text=text)
        assert (await ana.message())["text"] == (await bob.message())["text"] == text
    await bob.send("PrivateMessage", TgtUser="ana", text="between us", Ref="a1")
    assert (await ana.message())["text"] == "between us"
    assert (await bob.message())["msgType"] == "Delivered"
    await bob.send("PrivateMessage", TgtUser="nobody", text="to the wind")
    await bob.error("unknown_user")
    await ana.send_text("{not JSON")
    await ana.error("bad_json")
    server.keep_secret("x" * 70000)
    await ana.send("Broadcast", text="x" * 60000)
    assert len((await bob.message())["text"]) == len((await ana.message())["text"]) == 60000
    for question in ({"msgType": "GetHistory", "Count": 3}, {"msgType": "Search", "text": "WORDS"}):
        await ana.send(question.pop("msgType"), **question)
        texts = [message["text"] for message in (await ana.message())["Messages"]]
        assert texts[:2] == ["first words", "second words"]


async def replace(server, ana):
    """A member with keys takes over from the ghost, while private messages arrive for either."""
    fay = Person("fay")
    old = await join_as(server, fay)
    for number in range(3):
        await ana.send("PrivateMessage", TgtUser="fay", text=f"for one of the two, {number}")
        new = await join_as(server, fay.again())
        await taken_over(old)
        await ana.send("GetKeys", TgtUser="fay")
        old = new
    for _ in range(3):
        assert (await ana.message())["User"] == "fay"
    await old.close()


async def come_and_go(server, ana, bob):
    """Late joins with history and by resuming, another room, a proper leave."""
    cleo = await join(server, "cleo")
    assert [message["History"] for message in cleo.history] == [True] * 3
    resume = {"Epoch": cleo.joined["Epoch"], "After": cleo.joined["LastId"] - 1}
    dan = await join(server, "dan", Resume=resume)
    assert dan.joined["Resumed"] and len(dan.history) == 1
    eve = await join(server, "eve", "/rooms/tea")
    await eve.nothing_more()
    await dan.close()
    await eve.close()
    await ana.presence("ana", "bob", "cleo")
    await cleo.close()
    await bob.presence("ana", "bob")


def misbehave(server):
    """A reset in the middle, a refused request, the page, a broken rule."""
    gone = Raw(server)
    gone.join("gone")
    reset(gone)
    with Raw(server) as raw:
        assert raw.exchange(request("/", {"Host": "127.0.0.1"})).status == 200
    with Raw(server) as raw:
        assert raw.exchange(request("/", UPGRADE, method="POST")).status >= 400
    with Raw(server) as raw:
        raw.join("rude")
        raw.send(frame(BINARY, b"\0"))
        assert raw.close_code() == 1003


@scenario
async def dialogue(server):
    ana, bob = await join(server, "ana"), await join_original(server, "bob")
    await talk(server, ana, bob)
    await come_and_go(server, ana, bob)
    await replace(server, ana)
    server.signal(signal.SIGHUP)
    misbehave(server)
    await asyncio.to_thread(
        wait_until, lambda: " reloaded " in server.log(), "new settings", PATIENCE
    )
    await ana.presence("ana", "bob")
    strangers = [Raw(server, tls=False) for _ in range(8)]
    for number, stranger in enumerate(strangers):
        if number == 4:  # the server stops while handshakes fail
            server.signal(signal.SIGTERM)
        reset(stranger)
    assert (await ana.closed())[0] == (await bob.closed())[0] == 1001


# ---- Many at once --------------------------------------------------------------------------------


def load(server, *flags, **options):
    """Runs the load generator, which checks every delivery."""
    given = {"port": server.port, "password": PASSWORD, "timeout": int(2 * PATIENCE), **options}
    numbers = [f"--{name.replace('_', '-')}={value}" for name, value in given.items()]
    done = subprocess.run(
        [*LOAD, *numbers, *flags, *(["--tls"] if server.tls else [])],
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout


def crowd(server):
    """Concurrent senders; over TLS with new keys before every message (RFC 8446 §4.6.3)."""
    keys = {"key_update": 1} if server.tls else {}
    load(server, members=8, senders=4, messages=25, window=4, **keys)
    load(server, "--private", members=4, senders=4, messages=10)


def test_nothing_is_found(server):
    crowd(server)
    dialogue(server)
    status = server.wait_end(PATIENCE)
    found = server.report.read_text()
    clean = found.count("ERROR SUMMARY: 0 errors from 0 contexts")
    assert clean == 2 == found.count("ERROR SUMMARY:"), found  # the server's and the broker's
    assert status == 0, found
