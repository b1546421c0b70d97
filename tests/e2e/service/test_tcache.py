# SPDX-License-Identifier: MIT
"""The server executes itself once to switch glibc's per-thread malloc cache off (base/tcache.c).

test_valgrind.py shows that the program stays under valgrind, because its reports would be missing.
test_service.py shows that it keeps the sockets and the environment of a service manager.
"""
import json
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

import helpers
from helpers import PASSWORD, PATIENCE, ROOT

LOAD = shlex.split(os.environ.get("LOAD", str(ROOT / "build" / "load")))
OURS = "glibc.malloc.tcache_count=0"
MEMBERS = 1000
IDLE_KIB_MAX = 34  # over TLS, for one of a thousand; 27 to 30 when this was written, 38 with the cache

pytestmark = [
    pytest.mark.plain_run("a sanitizer has a malloc of its own"),
    pytest.mark.skipif(os.confstr("CS_GNU_LIBC_VERSION") is None, reason="this is not glibc"),
]


def tunables(server):
    """The tunables in the environment. glibc writes a NUL behind each of them."""
    environment = Path(f"/proc/{server.pid}/environ").read_bytes().decode()
    return re.findall(r"glibc\.[a-z_.]+=\d+", environment)


@pytest.mark.parametrize(
    "given, kept",
    [
        (None, [OURS]),
        ("", [OURS]),
        ("glibc.malloc.arena_max=9", ["glibc.malloc.arena_max=9", OURS]),
        ("glibc.malloc.tcache_count=3", ["glibc.malloc.tcache_count=3"]),
    ],
    ids=["unset", "empty", "others", "this one"],
)
def test_the_users_own_tunables_are_kept(serve, monkeypatch, given, kept):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if given is not None:
        monkeypatch.setenv("GLIBC_TUNABLES", given)
    assert tunables(serve()) == kept


def test_the_process_is_the_same(serve, monkeypatch):
    """Its name, arguments, working directory and ignored signals are unchanged."""
    binary = shutil.which(helpers.COMMAND[-1])
    monkeypatch.setattr(helpers, "COMMAND", [os.path.join(".", os.path.relpath(binary))])
    server = serve(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    proc = Path(f"/proc/{server.pid}")
    assert tunables(server) == [OURS]
    assert (proc / "comm").read_text().strip() == Path(binary).name
    assert (proc / "cmdline").read_text().split("\0")[0] == helpers.COMMAND[0]
    assert (proc / "exe").samefile(binary) and (proc / "cwd").samefile(".")


def test_it_is_tried_once_only(serve, monkeypatch):
    monkeypatch.setenv("RAGNAROK_TCACHE", "off")
    assert tunables(serve()) == []


def test_not_where_something_is_preloaded(serve, monkeypatch):
    """The preloaded library may be another malloc, or valgrind."""
    monkeypatch.setenv("LD_PRELOAD", str(ROOT / "build" / "hurry.so"))
    assert tunables(serve()) == []


def test_not_where_the_loader_was_started_by_name(serve, monkeypatch):
    """There /proc/self/exe is the loader, which would parse the server's options as its own."""
    binary = shutil.which(helpers.COMMAND[-1])
    headers = subprocess.run(["readelf", "-l", binary], stdout=subprocess.PIPE, text=True, check=True)
    loader = re.search(r"program interpreter: (\S+)\]", headers.stdout).group(1)
    monkeypatch.setattr(helpers, "COMMAND", [loader, binary])
    assert tunables(serve()) == []


def test_an_idle_member_keeps_nothing_of_its_handshake(serve):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limits = {"max_clients_per_address": 0, "max_clients": 2 * MEMBERS, "ping_interval_seconds": 600}
    server = serve(SSL=True, **limits)
    command = [*LOAD, "--json", "--tls", "--port", server.port, "--pid", server.pid, "--idle", 2]
    command += ["--password", PASSWORD, "--members", MEMBERS]
    done = subprocess.run(
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        timeout=10 * PATIENCE,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard)),
    )
    report = json.loads(done.stdout)
    grown = report["rss_kib_after"] - report["rss_kib_before"]
    assert 0 < grown / MEMBERS < IDLE_KIB_MAX
