# SPDX-License-Identifier: MIT
"""The sandbox against code execution in the server: tests/tools/intruder.c attacks from inside.

Each action is tried twice: in a normal server, where it must fail, and in one with --no-sandbox, where
it must succeed; otherwise the test would prove nothing.
"""
import errno
import os
import re
import signal
import socket
import ssl
from pathlib import Path

import pytest

from helpers import PATIENCE, ROOT, Raw, request, wait_until
from server_control import hup, lines, reload, served_end

INTRUDER = str(ROOT / "build" / "intruder.so")  # tests/tools/intruder.c

pytestmark = pytest.mark.plain_run("a sanitizer needs more calls than the sandbox allows")


def restrictions(server):
    """The enforcement in the log: (seccomp, version of Landlock)."""
    wait_until(lambda: lines(server, "sandbox"), "a line about the sandbox")
    found = re.search(r"seccomp=(\w+) landlock=(\w+)", lines(server, "sandbox")[0])
    return found[1] == "on", int(found[2]) if found[2].isdigit() else 0


def need(server, landlock):
    seccomp, version = restrictions(server)
    if not seccomp:
        pytest.skip("this kernel has no seccomp filters")
    if version < landlock:
        pytest.skip(f"this kernel has Landlock {version}, not {landlock}")


def broker_of(server):
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    assert len(children) == 1, "one process beside the server"
    return int(children[0])


@pytest.fixture
def breached(serve, monkeypatch):
    """Starts a server that the intruder is in; `deed` is a function of the server."""
    monkeypatch.setenv("LD_PRELOAD", INTRUDER)

    def start(*deeds, **changes):
        monkeypatch.setenv("INTRUDER", " ".join(deeds))
        return serve(**changes)

    return start


def tries(server, count=1):
    """Runs the intruder; returns the errno of each action in turn."""
    wait_until(lambda: lines(server, "started"), "the start")
    server.signal(signal.SIGURG)
    wait_until(lambda: len(outcomes(server)) >= count, f"{count} deeds: {server.log()}")
    return outcomes(server)


def outcomes(server):
    return [int(code) for code in re.findall(r"^intruder \S+ (\d+)$", server.log(), re.MULTILINE)]


OPEN, CLOSED = ["--no-sandbox"], []

DEEDS = {
    "the authority's key is read": "open:{folder}/ragnarok-ca.pem",
    "the server's key is read": "open:{folder}/self-signed.pem",
    "the settings are read": "open:{folder}/config.json",
    "another file is read": "open:/etc/passwd",
    "memory of the process is read": "open:/proc/self/mem",
    "a file is made": "write:{folder}/of-the-intruder",
    "a file is removed": "unlink:{folder}/victim",
    "a process is started": "fork",
    "memory becomes a program": "code",
    "somebody is called": "connect:{port}",
    "a port is opened": "listen",
    "another process gets a signal": "kill:{parent}",
    "a thread of another process gets a signal": "tgkill:{parent}",
}


@pytest.mark.parametrize("what", DEEDS)
def test_the_server_can_no_longer(breached, tmp_path, what, held):
    folder, port = tmp_path / "server-0", held
    deed = DEEDS[what].format(folder=folder, port=port, parent=os.getpid())

    def attempt(number, arguments):
        own = deed.replace("server-0", f"server-{number}")
        server = breached(own, SSL=True, arguments=arguments)
        (server.folder / "victim").write_text("still here")
        return server, tries(server)[0]

    assert attempt(0, OPEN)[1] == 0, "without the sandbox it can"
    server, result = attempt(1, CLOSED)
    need(server, landlock=0)
    assert result == errno.ENOSYS
    assert (server.folder / "victim").exists()
    assert not (server.folder / "of-the-intruder").exists()
    with Raw(server) as ana:
        ana.join("ana")


@pytest.fixture
def held():
    """A port with a listener."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("deed", ["exec:/bin/true", "trace:{parent}", "peek:{parent}"])
def test_an_obvious_intruder_ends_the_server(breached, deed):
    """Starting a program, or inspecting another process, is never an accident."""
    deed = deed.format(parent=os.getpid())
    server = breached(deed, arguments=CLOSED)
    need(server, landlock=0)
    wait_until(lambda: lines(server, "started"), "the start")
    server.signal(signal.SIGURG)
    server.expected_status = -signal.SIGSYS
    assert server.wait_end() == -signal.SIGSYS
    assert outcomes(server) == []


def test_a_program_can_be_started_without_the_sandbox(breached):
    server = breached("exec:/bin/true", arguments=OPEN)
    wait_until(lambda: lines(server, "started"), "the start")
    server.signal(signal.SIGURG)
    assert server.wait_end() == 0


def test_web_root_opens_no_other_folder(breached, tmp_path):
    """With --web-root, Landlock permits opening files for reading, below it only."""
    web = str(ROOT / "web")
    folder = tmp_path / "server-0"
    deeds = [f"open:{web}/style.css", f"open:{web}/../Makefile", f"open:{folder}/ragnarok-ca.pem",
             "open:/proc/self/mem", f"write:{web}/style.css"]  # fmt: skip
    server = breached(*deeds, SSL=True, arguments=["--web-root", web])
    need(server, landlock=1)
    denied = errno.EACCES
    assert tries(server, 5) == [0, denied, denied, denied, errno.ENOSYS]
    with Raw(server, tls=False) as reader:
        context = ssl._create_unverified_context()
        reader.socket = context.wrap_socket(reader.socket)
        assert reader.exchange(request("/style.css", {"Host": "127.0.0.1"})).status == 200


def test_an_old_kernel_is_told_of_and_serves_all_the_same(breached, monkeypatch):
    monkeypatch.setenv("OLD_KERNEL", "1")
    server = breached("open:/etc/passwd", SSL=True)
    assert restrictions(server) == (False, 0)
    assert " warn sandbox " in lines(server, "sandbox")[0]
    with Raw(server) as ana:
        ana.join("ana")
    assert tries(server) == [0]
    reload(server, server_name="Tea")


# ---- The broker ----------------------------------------------------------------------------------


def test_the_broker_is_confined_too(serve):
    server = serve(SSL=True)
    need(server, landlock=0)
    status = Path(f"/proc/{broker_of(server)}/status").read_text()
    assert re.search(r"^Seccomp:\s+2$", status, re.MULTILINE), status
    assert re.search(r"^NoNewPrivs:\s+1$", status, re.MULTILINE), status


def test_the_broker_keeps_no_socket_of_the_server(serve):
    """It would hold the port, or a service manager's sockets, beyond the end."""
    server = serve()
    descriptors = os.listdir(f"/proc/{broker_of(server)}/fd")
    assert sorted(map(int, descriptors)) == [0, 1, 2, 3]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_broker_ends_with_the_server(serve, how):
    server = serve()
    broker = broker_of(server)
    server.expected_status = -how if how == signal.SIGKILL else 0
    server.signal(how)
    assert server.wait_end() == server.expected_status
    wait_until(lambda: not Path(f"/proc/{broker}").exists(), "the broker's end")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_what_a_terminal_or_a_manager_sends_to_all_leaves_the_broker(serve, number):
    """It is needed until the server has drained."""
    server = serve()
    os.kill(broker_of(server), number)
    reload(server, server_name="Tea")


def test_a_server_whose_broker_is_gone_says_so_and_goes_on(serve):
    server = serve(SSL=True)
    end = served_end(server)
    with Raw(server) as ana:
        ana.join("ana")
        os.kill(broker_of(server), signal.SIGKILL)
        wait_until(lambda: lines(server, "broker_gone"), "a line in the log", PATIENCE)
        assert "restart the server" in hup(server, "reload_failed")
        assert "restart the server" in hup(server, "reload_failed")
        assert served_end(server) == end
        with Raw(server) as bob:
            bob.join("bob")
