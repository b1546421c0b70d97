# SPDX-License-Identifier: MIT
"""The cost of a delivery, counted instead of timed: instructions (callgrind) and allocations (memcheck).

Two servers do the same with different numbers of messages; the difference, divided by the number of
deliveries, excludes start, joins and end. A message is parsed and encoded once for all its receivers;
the figure includes that share.
"""
import os
import re
import shlex
import shutil
import subprocess

import pytest

import helpers
from helpers import PASSWORD, PATIENCE, ROOT

LOAD = shlex.split(os.environ.get("LOAD", str(ROOT / "build" / "load")))
MEMBERS, FEW, MANY = 40, 50, 200
INSTRUCTIONS_MAX = (
    1100  # in user space, a fortieth of a message included; 825 to 855 when this was written
)
ALLOCATIONS_MAX = 0.25  # none for a delivery; ten at the most for a message to forty; 0.06 was seen

pytestmark = [
    pytest.mark.plain_run("valgrind cannot run a sanitizer"),
    pytest.mark.skipif(not shutil.which("valgrind"), reason="valgrind is not installed"),
]


def count(serve, monkeypatch, options, messages):
    """Starts a server under valgrind, sends `messages` one after another, and ends it."""
    server_command = shlex.split(os.environ.get("RAGNAROK", str(ROOT / "ragnarok")))
    monkeypatch.setattr(helpers, "COMMAND", ["valgrind", "--child-silent-after-fork=yes", *options, *server_command])
    limits = {"max_messages_per_second": 0, "max_bytes_per_second": 0, "ping_interval_seconds": 600}
    server = serve(arguments=["--no-sandbox"], **limits)
    command = [*LOAD, "--port", server.port, "--password", PASSWORD, "--members", MEMBERS]
    command += ["--messages", messages, "--window", 1]
    words = [str(word) for word in command]
    subprocess.run(words, check=True, capture_output=True, timeout=10 * PATIENCE)
    server.finish()


def per_delivery(few, many):
    return (many - few) / ((MANY - FEW) * MEMBERS)


def test_instructions_per_delivery(serve, monkeypatch, tmp_path):
    totals = []
    for messages in (FEW, MANY):
        out = tmp_path / f"callgrind.{messages}"
        options = ["--tool=callgrind", f"--callgrind-out-file={out}"]
        count(serve, monkeypatch, options, messages)
        totals.append(int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M).group(1)))
    assert 0 < per_delivery(*totals) < INSTRUCTIONS_MAX


def test_allocations_per_delivery(serve, monkeypatch, tmp_path):
    totals = []
    for messages in (FEW, MANY):
        log = tmp_path / f"memcheck.{messages}"
        count(serve, monkeypatch, ["--tool=memcheck", f"--log-file={log}"], messages)
        allocations = re.search(r"total heap usage: ([\d,]+) allocs", log.read_text()).group(1)
        totals.append(int(allocations.replace(",", "")))
    assert 0 < per_delivery(*totals) < ALLOCATIONS_MAX
