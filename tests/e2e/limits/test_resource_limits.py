# SPDX-License-Identifier: MIT
"""Exhausted resources: descriptors, threads, memory, the log's disk. Members keep talking.

Allocations that fail call by call are in fault_injection.py; a sample runs here, all in `make faults`.
"""
import contextlib
import fcntl
import os
import re
import resource
import shlex
import socket
import subprocess
import time

import pytest

import helpers
from fault_injection import SETTINGS, Knobs, fail_one_by_one, fragile, play
from helpers import PATIENCE, SCALE, Raw, descriptors_of, request, steady, threads_of, wait_until

CROWD = 500
NO_PRELOAD = pytest.mark.no_tsan("ThreadSanitizer has an allocator of its own")


def cpu_seconds(server):
    with open(f"/proc/{server.pid}/stat", encoding="utf-8") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_share(server, seconds):
    """The share of a processor that the process uses, measured over a while."""
    before, begin = cpu_seconds(server), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(server) - before) / (time.monotonic() - begin)


def assert_calm(server, seconds=2):
    """The idle process uses at most a twentieth of a processor. Left-over work is no fault: one of
    three measurements must be calm."""
    assert any(cpu_share(server, seconds) < 0.05 * SCALE for _ in range(3))


@contextlib.contextmanager
def crowd(server, count=CROWD):
    """Opens `count` silent connections; those refused at once count too."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), PATIENCE))
            for _ in range(count)
        ]


def can_join(server, name):
    with contextlib.suppress(OSError, helpers.Cut, AssertionError), Raw(server) as raw:
        raw.socket.settimeout(1 * SCALE)
        raw.join(name)
        return True
    return False


# ---- Descriptors ---------------------------------------------------------------------------------


@pytest.mark.parametrize("relief", ["the limit is lifted", "the crowd leaves"])
def test_64_descriptors_and_500_clients(serve, tls, relief):
    server = serve(SSL=tls, handshake_timeout_seconds=60, **SETTINGS)
    with steady(server) as canaries:
        hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (64, hard))
        with crowd(server):
            wait_until(lambda: descriptors_of(server.pid) == 64, "the last descriptor to be taken")
            canaries.exchange()
            assert_calm(server)
            canaries.exchange()
            assert descriptors_of(server.pid) == 64
            if relief == "the limit is lifted":
                resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (1024, hard))
                assert wait_until(lambda: can_join(server, "late"), "a place")
        assert wait_until(lambda: can_join(server, "later"), "a place")
    assert "accept_failed" in server.log()


# ---- Threads -------------------------------------------------------------------------------------


@NO_PRELOAD
@pytest.mark.parametrize("relief", ["the limit is lifted", "the crowd leaves"])
def test_50_threads_and_500_clients(tmp_path, tls, relief):
    with fragile(tmp_path, tls, handshake_timeout_seconds=60) as (server, knobs, canaries):
        knobs["threads_max"] = 50
        with crowd(server):
            wait_until(lambda: "turned_away" in server.log(), "somebody to be turned away")
            canaries.exchange()
            assert_calm(server)
            assert threads_of(server.pid) <= 50
            assert not can_join(server, "late")
            canaries.exchange()
            if relief == "the limit is lifted":
                knobs["threads_max"] = 0
                assert wait_until(lambda: can_join(server, "late"), "a thread")
        assert wait_until(lambda: can_join(server, "later"), "a thread")


# ---- Memory --------------------------------------------------------------------------------------


def sample(tls):
    """Some of the calls of a session: the first ones, and fewer of the later ones."""
    most = 6800 if tls else 620
    count = 60
    return sorted({1 + int((most - 1) * (number / (count - 1)) ** 2) for number in range(count)})


@NO_PRELOAD
def test_an_allocation_fails(tmp_path, tls):
    """One call fails: connections may end, nobody waits in vain, nothing leaks."""
    failures = sum(failed for _, _, failed, _ in fail_one_by_one(tmp_path, tls, sample(tls)))
    assert failures >= 50, "the session has become shorter than the sample"


@NO_PRELOAD
def test_many_allocations_fail(tmp_path, tls):
    """Each k-th call fails, from the n-th on."""
    numbers, steps = [1, 50, 200], [2, 7, 40, 300]
    cut = 0
    for _, _, failed, done in fail_one_by_one(tmp_path, tls, numbers, steps):
        assert failed
        cut += done["cut"]
    assert cut > len(numbers) * len(steps)


@NO_PRELOAD
def test_no_memory_at_all(tmp_path, tls):
    """Every call fails for a while; members stay, and afterwards everything works again."""
    with fragile(tmp_path, tls) as (server, knobs, canaries):
        with knobs.failing(1, 1), crowd(server, 50):
            wait_until(lambda: "turned_away" in server.log(), "somebody to be turned away")
            assert_calm(server, 1)
        assert play(server)["cut"] == 0


@NO_PRELOAD
@pytest.mark.parametrize("nth", [1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987])
def test_an_allocation_fails_at_the_start(tmp_path, nth):
    """It starts or reports the reason; it only reads its settings, without clients."""
    knobs = Knobs(tmp_path)
    config = tmp_path / "config.json"
    config.write_text('{"SSL":false,"server_ip":"127.0.0.1","server_port":0,"server_name":"Ks"}')
    command = [*knobs.command(), "-c", str(config), "--check-config"]
    command.insert(1, f"FAIL_NTH={nth}")
    command.remove(f"FAIL_ALLOC={knobs.path}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert not helpers.SANITIZER.search(done.stderr), done.stderr
    assert done.returncode in (0, 1) and done.stdout + done.stderr


# ---- The log -------------------------------------------------------------------------------------


def redirected(folder, target):
    """A command that starts the server with its standard error redirected."""
    script = folder / "redirect"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(helpers.COMMAND)} "$@" {target}\n')
    script.chmod(0o755)
    return [str(script)]


def make_noise(server):
    """Gives the server much to log, at level debug."""
    for number in range(200):
        with Raw(server) as raw:
            raw.send(request("/nowhere", {"Host": "127.0.0.1"}))
            assert raw.head().status == 404, number


@pytest.mark.parametrize("target", ["/dev/full", "a closed stream", "no reader", "a lazy reader"])
def test_log_that_goes_nowhere(serve, tmp_path, monkeypatch, target):
    """Of the checks after every case, the length of the log is not possible here."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    if target == "a lazy reader":
        fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    where = {"/dev/full": "2>/dev/full", "a closed stream": "2>&-"}.get(target, f"2>{pipe}")
    monkeypatch.setattr(helpers, "COMMAND", redirected(tmp_path, where))
    server = serve(log_level="debug", **SETTINGS)
    if target != "a lazy reader":
        os.close(reader)
    with steady(server):
        make_noise(server)
    assert_calm(server, 1)
    if target == "a lazy reader":
        os.set_blocking(reader, False)
        assert len(os.read(reader, 1 << 20)) <= 4096
        make_noise(server)
        assert re.search(
            rb"log_lost lines=\d+", os.read(reader, 1 << 20)
        ), "what was lost is counted"
        os.close(reader)
