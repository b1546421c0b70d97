# SPDX-License-Identifier: MIT
"""Running as a service: reloads, the end, service managers, proxies.

LOAD  the load generator; default: ./build/load of this repository
"""
import asyncio
import contextlib
import fcntl
import functools
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import termios
import time

import pytest

import helpers
from certificates import make_pair
from helpers import (
    CLOSE,
    COMMAND,
    PASSWORD,
    PATIENCE,
    PING,
    PONG,
    ROOT,
    SCALE,
    SETTINGS,
    TEXT,
    UPGRADE,
    Peer,
    Raw,
    Server,
    frame,
    join,
    request,
    scenario,
    steady,
    wait_until,
)
from server_control import (
    HURRY,
    INTRUDER,
    NO_RATE,
    broadcast,
    change,
    connections,
    hup,
    lines,
    reload,
    served_end,
    status_of,
)

LOAD = shlex.split(os.environ.get("LOAD", str(ROOT / "build" / "load")))


# ---- New settings --------------------------------------------------------------------------------


def test_name_and_password_change(serve):
    server = serve()
    server.keep_secret("another-password-1")

    @scenario
    async def talk():
        ana = await join(server, "ana")
        reload(server, server_name="Tea", server_password="another-password-1")
        bob = await Peer.open(server)
        assert (await bob.next())["ServerName"] == "Tea"
        await bob.send("Join", Name="bob", Password=PASSWORD)
        await bob.error("wrong_password")
        await bob.send("Join", Name="bob", Password="another-password-1")
        assert (await bob.message())["ServerName"] == "Tea"
        heard = await ana.ask("Broadcast", text="the one who was here stays")
        assert heard == await bob.message()

    talk()


def test_limits_change_for_new_clients(serve):
    server = serve(max_clients=1, history=0)
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(broadcast(server, "one for the history"))
        ana.message()
        assert status_of(server) == 503
        reload(server, max_clients=100, history=5)
        with Raw(server) as bob:
            bob.join("bob")
            assert bob.message()["History"] is True
        reload(server, max_clients_per_address=1)
        assert status_of(server) == 429
        reload(server, max_clients_per_address=0, max_message_bytes=300)
        with Raw(server) as cleo:
            assert cleo.join("cleo")["MaxMessageBytes"] == 300
            cleo.send(broadcast(server, "x" * 400))
            assert cleo.close_code() == 1009
        ana.send(broadcast(server, "y" * 400))  # it was told another limit
        while ana.message()["text"] != "y" * 400:
            pass


def test_rate_changes_for_connected_members(serve):
    server = serve(**NO_RATE)
    with Raw(server) as ana:
        ana.join("ana")
        reload(server, max_messages_per_second=10)
        begin = time.monotonic()
        ana.send(b"".join(broadcast(server, f"text {number}") for number in range(30)))
        heard = [ana.message()["text"] for _ in range(30)]
        assert heard == [f"text {number}" for number in range(30)]
        assert time.monotonic() - begin > 0.8, "20 at once and 10 a second"


def test_ping_interval_changes_for_connected_members(serve):
    server = serve(ping_interval_seconds=600)
    with Raw(server) as ana:
        ana.join("ana")
        ana.next_frame()  # OnlineUsers
        reload(server, ping_interval_seconds=1)
        assert ana.next_frame()[0] == PING


def test_timeouts_change(serve):
    server = serve(login_timeout_seconds=600, handshake_timeout_seconds=600)
    reload(server, login_timeout_seconds=1, handshake_timeout_seconds=1)
    begin = time.monotonic()
    with Raw(server) as silent, Raw(server) as shy:
        shy.upgrade()
        assert silent.read_to_end() == b""
        assert shy.close_code() == 1008
    assert time.monotonic() - begin < 1 + 5 * SCALE


def test_origins_change(serve):
    def status(server):
        fields = {**UPGRADE, "Origin": "https://chat.example"}
        with Raw(server) as client:
            client.send(request("/", fields))
            return client.head().status

    server = serve()
    assert status(server) == 403
    reload(server, allowed_origins=["https://chat.example"])
    assert status(server) == 101
    reload(server, allowed_origins=None)
    assert status(server) == 403


def test_rooms_and_logging_change(serve):
    server = serve(max_rooms=1, log_level="warn")
    change(server, max_rooms=2, log_level="debug", log_addresses=True)
    server.signal(signal.SIGHUP)

    @scenario
    async def talk():
        wait_until(lambda: lines(server, "reloaded"), "a line in the log")
        ana = await join(server, "ana", "/rooms/tea")
        await ana.nothing_more()
        bob = await Peer.open(server)
        await bob.next()
        await bob.send("Join", Name="bob", Password="a wrong one")
        await bob.error("wrong_password")

    talk()
    wait_until(lambda: lines(server, "error_sent"), "debug lines")
    assert "address=127.0.0.1" in lines(server, "wrong_password")[0]


def test_what_cannot_change_stays_and_is_told(serve):
    server = serve()
    line = reload(server, SSL=True, server_port=1, server_ip="0.0.0.0", room_buffer_bytes=1 << 20)
    assert "certificate=none" in line
    wait_until(lambda: lines(server, "reload_kept"), "a warning")
    assert "keys=SSL,server_ip,server_port,room_buffer_bytes " in lines(server, "reload_kept")[0]
    assert not server.certificate.exists(), "nothing is made for what does not change"
    with Raw(server) as ana:
        ana.join("ana")


def test_tls_stays_where_the_file_says_none(serve):
    server = serve(SSL=True)
    line = reload(server, SSL=False, SSL_Cert=None, SSL_Key=None, server_name="Tea")
    assert re.search(r"certificate=[0-9A-F:]{95}$", line)
    with Raw(server) as ana:
        assert ana.join("ana")["ServerName"] == "Tea"


WRONG = {
    "not JSON": ("{", r"config\.json:\d+:\d+: not acceptable JSON"),
    "a value": ({"max_clients": -1}, r"config\.json:\d+:\d+: max_clients: expected .*, got -1"),
    "a key": ({"max_client": 1}, r"config\.json:\d+:\d+: max_client: .* did you mean max_clients"),
    "the ring": ({"max_message_bytes": 1 << 20, "room_buffer_bytes": 1 << 24},
                 r"config\.json:\d+:\d+: max_message_bytes: expected a room_buffer_bytes of at least"),
    "no file": (None, r"config\.json: cannot be read: No such file"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_changes_nothing(serve, what):
    server = serve()
    wrong, complaint = WRONG[what]
    if wrong is None:
        server.config.unlink()
    elif isinstance(wrong, str):
        server.config.write_text(wrong)
    else:
        change(server, server_name="Tea", server_password="never-in-force", **wrong)
        server.keep_secret("never-in-force")
    with steady(server):
        line = hup(server, "reload_failed")
        assert re.search(rf' error reload_failed why="[^"]*{complaint}[^"]*"$', line), line
        with Raw(server) as ana:
            assert ana.join("ana")["ServerName"] == "Ks"
        server.config.write_text(json.dumps({**SETTINGS, "server_name": "Tea"}))
        hup(server)
        with Raw(server) as ana:
            assert ana.join("bob")["ServerName"] == "Tea"


# ---- New certificates ----------------------------------------------------------------------------


def shown_certificate(server):
    """The certificate for a new connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as plain:
        with context.wrap_socket(plain) as stream:
            return ssl.DER_cert_to_PEM_cert(stream.getpeercert(binary_form=True))


def test_a_new_certificate_is_shown_and_nobody_notices(serve):
    server = serve(SSL=True)
    before = shown_certificate(server)
    with steady(server), Raw(server) as ana, Raw(server) as bob:
        ana.join("ana")
        bob.join("bob")
        make_pair(server.folder, name="new")
        reload(server, SSL_Cert="new.crt", SSL_Key="new.pem")
        assert shown_certificate(server) == (server.folder / "new.crt").read_text() != before
        ana.send(broadcast(server, "still under the old one"))
        assert ana.message() == bob.message()
        with Raw(server, tls=False) as reader:  # what there was to trust is gone with it
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            reader.socket = context.wrap_socket(reader.socket)
            get = request("/ragnarok-ca.crt", {"Host": "127.0.0.1"})
            assert reader.exchange(get).status == 404


def other_key(folder):
    make_pair(folder, name="other")
    shutil.copy(folder / "other.pem", folder / "bad.pem")


def no_key(folder):
    (folder / "bad.pem").unlink()


BAD_PAIRS = {
    "another key": (other_key, "expected the key of the certificate in"),
    "no key": (no_key, "expected both .*bad.pem and "),
    "open key": (lambda folder: (folder / "bad.pem").chmod(0o644), "bad.pem"),
    "no PEM": (lambda folder: (folder / "bad.crt").write_text("nonsense"), "bad.crt"),
    "over": (lambda folder: make_pair(folder, days=-1, name="bad"), "has expired"),
}


@pytest.mark.parametrize("how", BAD_PAIRS)
def test_a_bad_certificate_keeps_the_old_one_and_says_why(serve, how):
    server = serve(SSL=True)
    before = shown_certificate(server)
    make_pair(server.folder, name="bad")
    spoil, why = BAD_PAIRS[how]
    spoil(server.folder)
    with steady(server):
        change(server, SSL_Cert="bad.crt", SSL_Key="bad.pem", server_name="Tea")
        assert re.search(why, hup(server, "reload_failed"))
        assert shown_certificate(server) == before
        with Raw(server) as ana:
            assert ana.join("ana")["ServerName"] == "Ks", "wholly or not at all"


def test_missing_certificates_are_not_made_again(serve):
    """A tool may be renewing them at this moment."""
    server = serve(SSL=True)
    before = shown_certificate(server)
    with steady(server):
        server.certificate.rename(server.folder / "elsewhere.crt")
        server.key.rename(server.folder / "elsewhere.pem")
        hup(server, "reload_failed")
        assert not server.key.exists() and shown_certificate(server) == before


def test_new_settings_without_a_descriptor_left(serve, tls):
    server = serve(SSL=tls)
    with steady(server):
        used = max(int(name) for name in os.listdir(f"/proc/{server.pid}/fd")) + 1
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 3, before[1]))
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                client = stack.enter_context(socket.socket())
                client.connect(("127.0.0.1", server.port))
            wait_until(lambda: lines(server, "accept_failed"), "all descriptors in use")
            change(server, server_name="Tea")
            for _ in range(5):
                hup(server)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, before)
        wait_until(lambda: connections(server) == 2, "all but the canaries to be gone")
        with Raw(server) as ana:
            assert ana.join("ana")["ServerName"] == "Tea"


def resident_kib(server):
    status = open(f"/proc/{server.pid}/status").read()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


@contextlib.contextmanager
def crowd(server, members):
    """Members that check every delivery, and 50 joins and leaves a second, for some seconds."""
    command = [*LOAD, "--tls", "--port", server.port, "--password", PASSWORD]
    command += ["--members", members, "--rate", 20, "--churn", int(50 / SCALE)]
    command += ["--seconds", int(6 * SCALE)]
    load = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE)
    try:
        wait_until(lambda: connections(server) >= members, "the members", 3 * PATIENCE)
        yield load
        said = load.communicate(timeout=6 * PATIENCE)[1].decode()
    finally:
        load.kill()
        load.wait()
    assert load.returncode == 0, said


def test_100_reloads_drop_nobody(serve):
    """With 200 members over TLS as canaries. If a crowd ends too early, another replaces it. The
    length of the log is not limited for so many reloads."""
    patient = {"handshake_timeout_seconds": int(60 * SCALE), "login_timeout_seconds": int(60 * SCALE)}
    server = serve(SSL=True, max_clients=4000, max_clients_per_address=0, **patient, **NO_RATE)
    for number in range(2):
        make_pair(server.folder, name=f"pair-{number}")
    sizes = []
    while len(sizes) < 100:
        with crowd(server, 200 if SCALE == 1 else 50) as load:
            while len(sizes) < 100 and load.poll() is None:
                number = len(sizes)
                pair = f"pair-{number % 2}"
                reload(server, SSL_Cert=f"{pair}.crt", SSL_Key=f"{pair}.pem", history=number)
                sizes.append(resident_kib(server))
    assert len(lines(server, "reloaded")) == 100
    if SCALE == 1:
        assert sizes[-1] - sizes[20] < 8 * 1024, f"old settings are freed: {sizes}"


# ---- The end -------------------------------------------------------------------------------------


class Listener(asyncio.Protocol):
    """A member that records the Ids of all broadcasts, and the end of its connection."""

    def __init__(self, name):
        self.name, self.buffer, self.ids = name, b"", []
        self.upgraded, self.code = False, None
        self.here = asyncio.get_running_loop().create_future()
        self.gone = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(request("/", UPGRADE) + frame(TEXT, PASSWORD.encode()))
        transport.write(frame(TEXT, self.name.encode()))

    def data_received(self, data):
        self.buffer += data
        if not self.upgraded:
            head, found, self.buffer = self.buffer.partition(b"\r\n\r\n")
            self.upgraded = bool(found)
            self.buffer = self.buffer if found else head
        while self.upgraded and self.take_frame():
            pass

    def take_frame(self):
        if len(self.buffer) < 4:
            return False
        length, start = self.buffer[1], 2
        if length == 126:
            length, start = struct.unpack("!H", self.buffer[2:4])[0], 4
        if len(self.buffer) < start + length:
            return False
        self.hear(self.buffer[0] & 0x0F, self.buffer[start : start + length])
        self.buffer = self.buffer[start + length :]
        return True

    def hear(self, opcode, payload):
        if opcode == PING:
            self.transport.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self.code = struct.unpack("!H", payload[:2])[0]
            self.transport.write(frame(CLOSE, payload[:2]))
        elif b'"OnlineUsers"' in payload[:40]:
            if not self.here.done():
                self.here.set_result(True)
        elif number := re.search(rb'"Id":(\d+)', payload):
            self.ids.append(int(number.group(1)))

    def connection_lost(self, _):
        self.gone.set_result(True)


def test_1000_members_get_all_that_was_accepted(serve):
    """With messages in flight at the end, all members receive the same, up to 1001."""
    count = 1000 if SCALE == 1 else 200
    server = serve(max_clients=4 * count, max_clients_per_address=0, **NO_RATE)  # all are newcomers

    @scenario
    async def talk():
        loop, members = asyncio.get_running_loop(), []
        for number in range(count):
            make = functools.partial(Listener, f"member-{number}")
            members.append((await loop.create_connection(make, "127.0.0.1", server.port))[1])
            if number % 10 == 0:  # who has not joined has a share of the places only
                await members[-1].here
        await asyncio.wait_for(asyncio.gather(*(member.here for member in members)), 3 * PATIENCE)
        for sender in members[:10]:
            sender.transport.write(b"".join(broadcast(server, f"text {i}") for i in range(100)))
        while len(members[-1].ids) < 20:
            await asyncio.sleep(0.001)
        server.signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(*(member.gone for member in members)), PATIENCE)
        heard = members[0].ids
        assert heard == list(range(1, len(heard) + 1)) and len(heard) >= 20
        assert all(member.ids == heard for member in members)
        assert {member.code for member in members} == {1001}

    talk()
    assert server.wait_end() == 0
    assert "cut_off=0" in server.log()


def test_a_client_during_the_drain_is_told_so(serve):
    server = serve()
    with Raw(server) as deaf:
        deaf.join("deaf")  # does not answer the Close frame, so that the end takes its time
        assert get(server, "/healthz").status == 200
        server.signal(signal.SIGTERM)
        assert deaf.close_code() == 1001
        assert get(server, "/healthz").status == 503
        assert status_of(server) == 503
        assert get(server, "/").status == 503
        deaf.socket.close()
        assert server.wait_end() == 0
    assert "cut_off=0" in server.log()


@pytest.mark.parametrize("polite", [True, False], ids=["answers", "hangs-up"])
def test_the_log_says_that_the_server_closed(serve, polite):
    server = serve()
    with Raw(server) as ana:
        ana.join("ana")
        server.signal(signal.SIGTERM)
        assert ana.close_code() == 1001
        if polite:
            ana.send(frame(CLOSE, struct.pack("!H", 1001)))
            ana.read_to_end()
    server.wait_end()
    assert [line.split(" ", 2)[2] for line in lines(server, "left")] == [
        'left client=1 why="the server is shutting down"'
    ]


def test_a_terminal_that_is_gone_ends_it(serve):
    ours, theirs = os.openpty()

    def take_terminal():
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup(1) may have started the tests
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY)

    server = serve(preexec_fn=take_terminal)
    server.signal(signal.SIGHUP)
    wait_until(lambda: lines(server, "reloaded"), "the terminal is there, so this is a reload")
    os.close(theirs)
    os.close(ours)
    assert server.wait_end() == 0
    assert "stopping signal=1" in server.log()


SHELL = """
import fcntl, os, signal, subprocess, sys, termios
theirs, folder, relay, *command = sys.argv[1:]
os.setsid()
fcntl.ioctl(int(theirs), termios.TIOCSCTTY)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
job = subprocess.Popen(command, preexec_fn=os.setpgrp)
open(folder + "/job.new", "w").write(f"{job.pid}\\n")
os.rename(folder + "/job.new", folder + "/job")

def hang_up(number, frame):
    if relay == "relay":
        job.send_signal(signal.SIGHUP)
    os._exit(0)

signal.signal(signal.SIGHUP, hang_up)
while True:
    signal.pause()
"""


@contextlib.contextmanager
def shell_job(serve, tmp_path, monkeypatch, relay):
    """A server that is a background job of a shell on a terminal, and its process id; the terminal is closed,
    and the shell ends."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-c", SHELL, str(theirs), str(tmp_path), relay, *COMMAND]
    monkeypatch.setattr(helpers, "COMMAND", command)
    server = serve(pass_fds=[theirs])
    number = tmp_path / "job"
    wait_until(number.exists, "the shell says which process it is")
    job = int(number.read_text())
    os.close(theirs)
    os.close(ours)
    assert server.wait_end() == 0  # the shell
    try:
        yield server, job
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(job, signal.SIGKILL)


def test_after_disown_a_hup_is_a_reload(serve, tmp_path, monkeypatch):
    """Its terminal is gone without a signal: it is no longer a job."""
    with shell_job(serve, tmp_path, monkeypatch, "disown") as (server, job):
        os.kill(job, signal.SIGHUP)
        wait_until(lambda: lines(server, "reloaded"), f"a reload: {server.log()}")
        os.kill(job, signal.SIGTERM)
        wait_until(lambda: lines(server, "stopped"), "the end")


def test_a_shell_that_passes_the_hang_up_on_ends_it(serve, tmp_path, monkeypatch):
    with shell_job(serve, tmp_path, monkeypatch, "relay") as (server, _):
        wait_until(lambda: lines(server, "stopped"), f"the end: {server.log()}")
        assert not lines(server, "reloaded")


MEANINGLESS = ["SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGPWR"]


@pytest.mark.parametrize("name", MEANINGLESS)
def test_a_signal_that_means_nothing_ends_nothing(serve, name):
    server = serve()
    with steady(server):
        server.signal(getattr(signal, name))


def core_limit(server):
    return re.search(r"^Max core file size +(\S+)", limits_of(server), re.MULTILINE)[1]


def limits_of(server):
    return open(f"/proc/{server.pid}/limits").read()


def dumps_core(server):
    """Ends it by SIGABRT without the limit. Returns whether the system wrote a core dump."""
    resource.prlimit(server.pid, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)
    server.signal(signal.SIGABRT)
    _, status = os.waitpid(server.pid, 0)
    server.process.returncode = -signal.SIGABRT
    server.expected_status = -signal.SIGABRT
    return os.WCOREDUMP(status)


@pytest.mark.plain_run("a sanitizer forbids core dumps itself")
def test_no_core_dump_holds_the_key(serve):
    """Neither by the limit nor, where dumps are piped to a program and know none, without it; but by
    --allow-core, for debugging."""
    unlimited = functools.partial(
        resource.setrlimit, resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2
    )
    server, open_to_all = (
        serve(preexec_fn=unlimited, arguments=arguments) for arguments in ([], ["--allow-core"])
    )
    assert core_limit(server) == "0" and core_limit(open_to_all) == "unlimited"
    with contextlib.suppress(PermissionError):  # to lift the limit takes CAP_SYS_RESOURCE
        assert not dumps_core(server)


# ---- The certificate of a running server ---------------------------------------------------------


def openssl(folder, *arguments):
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def test_a_certificate_is_renewed_while_the_server_runs(serve, monkeypatch):
    """Without a signal, our certificate with five days left is issued again, and nobody is cut."""
    monkeypatch.setenv("LD_PRELOAD", HURRY)
    monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
    server = serve(SSL=True)
    key, cert = server.key.name, server.certificate.name
    (server.folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    with Raw(server) as ana:
        ana.join("ana")
        openssl(server.folder, "req", "-new", "-key", key, "-subj", "/CN=x", "-out", "csr")
        openssl(server.folder, "x509", "-req", "-in", "csr", "-CA", "ragnarok-ca.pem", "-CAkey",
                "ragnarok-ca.pem", "-days", "5", "-extfile", "names", "-out", "due")  # fmt: skip
        issuer = server.certificate.read_text().partition("-----END CERTIFICATE-----\n")[2]
        (server.folder / "due").write_text((server.folder / "due").read_text() + issuer)
        os.rename(server.folder / "due", server.folder / cert)
        month = time.time() + 30 * 86400
        wait_until(
            lambda: lines(server, "renewed") and served_end(server) > month,
            f"a renewal: {server.log()}",
        )
        ana.send(broadcast(server, "still here"))
        assert ana.message()["text"] == "still here"
        assert not lines(server, "reloaded")


def test_a_certificate_that_is_broken_meanwhile_changes_nothing(serve, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", HURRY)
    monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
    server = serve(SSL=True)
    before = served_end(server)
    good = server.certificate.read_text()
    server.certificate.write_text("nonsense")
    wait_until(lambda: lines(server, "renewal_failed"), f"a complaint: {server.log()}")
    assert served_end(server) == before
    server.certificate.write_text(good)


# ---- Service managers ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_a_service_manager_is_told(serve, tmp_path, monkeypatch, kind):
    """The protocol of sd_notify(3), against a socket of our own."""
    name = f"@ragnarok-{os.getpid()}-{time.monotonic_ns()}" if kind == "abstract" else "notify"
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(PATIENCE)
        manager.bind(name.replace("@", "\0"))
        monkeypatch.setenv("NOTIFY_SOCKET", name if kind == "abstract" else str(tmp_path / name))
        server = serve()
        assert manager.recv(200) == b"READY=1"
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        hup(server)
        state, stamp = manager.recv(200).decode().split("\n")
        assert state == "RELOADING=1"
        assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) < before + PATIENCE * 10**6
        assert manager.recv(200) == b"READY=1"
        server.config.write_text("{")
        hup(server, "reload_failed")
        assert manager.recv(200).startswith(b"RELOADING=1") and manager.recv(200) == b"READY=1"
        server.signal(signal.SIGTERM)
        assert manager.recv(200) == b"STOPPING=1"
        assert server.wait_end() == 0


def test_a_service_manager_that_is_gone_costs_nothing(serve, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/nonexistent/notify")
    with Raw(serve()) as ana:
        ana.join("ana")


@contextlib.contextmanager
def watched(monkeypatch, tmp_path, patience_us, **environment):
    """A service manager with a watchdog: yields a function that returns the notifications of a time."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", str(patience_us))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def heard(seconds):
            said, until = [], time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                manager.settimeout(left)
                with contextlib.suppress(TimeoutError):
                    said.append(manager.recv(200).decode())
            return said

        yield heard


def test_a_watchdog_hears_that_the_server_is_alive(serve, monkeypatch, tmp_path):
    """At half of the timeout, also without clients and during reloads."""
    with watched(monkeypatch, tmp_path, 400_000) as heard:
        server = serve()
        wait_until(lambda: "WATCHDOG=1" in heard(0.5), "the first word")
        assert heard(2 * SCALE).count("WATCHDOG=1") >= 4
        hup(server)
        assert "WATCHDOG=1" in heard(2 * SCALE)


@pytest.mark.parametrize("whose", ["1", "nonsense"])
def test_no_watchdog_is_told_that_did_not_ask(serve, monkeypatch, tmp_path, whose):
    patience, pid = (400_000, "1") if whose == "1" else ("nonsense", "")
    with watched(monkeypatch, tmp_path, patience, WATCHDOG_PID=pid) as heard:
        serve()
        assert "WATCHDOG=1" not in heard(1)


def test_a_server_that_accepts_nobody_falls_silent_for_the_watchdog(serve, monkeypatch, tmp_path):
    """Then systemd restarts it. Existing members continue as long as possible."""
    monkeypatch.setenv("LD_PRELOAD", INTRUDER)
    monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
    with watched(monkeypatch, tmp_path, 400_000) as heard:
        server = serve()
        server.expected_status = -signal.SIGKILL
        with Raw(server) as ana:
            ana.join("ana")
            wait_until(lambda: "WATCHDOG=1" in heard(0.5), "a sign of life")
            server.signal(signal.SIGWINCH)
            with contextlib.ExitStack() as strangers:

                def hangs():
                    """Whether it does; it may have accepted the last stranger before it got the signal."""
                    if not lines(server, "hangs"):
                        strangers.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                        heard(0.1)
                    return lines(server, "hangs")

                wait_until(hangs, "a line in the log")
                heard(0.1)  # notifications in flight
                assert "WATCHDOG=1" not in heard(2)
                ana.send(broadcast(server, "still here"))
                assert ana.message()["text"] == "still here"
        server.signal(signal.SIGKILL)


def passing_on(monkeypatch, sock, pid="$$"):
    """Starts the server with this socket as descriptor 3, as in sd_listen_fds(3)."""
    script = f'export LISTEN_FDS=1 LISTEN_PID={pid}; exec "$@" 3<&{sock.fileno()}'
    monkeypatch.setattr(helpers, "COMMAND", ["bash", "-c", script, "bash", *COMMAND])
    return {"pass_fds": [sock.fileno()]}


def test_sockets_that_were_opened_before(serve, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = serve(server_port=1, **passing_on(monkeypatch, listener))
        assert server.port == listener.getsockname()[1]
        with Raw(server) as ana:
            ana.join("ana")
            server.signal(signal.SIGTERM)
            assert ana.close_code() == 1001
        with socket.create_connection(("127.0.0.1", server.port)):
            assert server.wait_end() == 0  # a new connection waits for the next start
        assert listener.accept()


def test_sockets_for_another_process_are_not_taken(serve, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = serve(**passing_on(monkeypatch, listener, pid=1))
        assert server.port != listener.getsockname()[1]


def test_what_is_no_listening_socket_is_refused(serve, monkeypatch):
    with socket.socket() as idle:
        idle.bind(("127.0.0.1", 0))
        with pytest.raises(AssertionError, match="no listening TCP socket"):
            serve(**passing_on(monkeypatch, idle))


def test_the_journal_is_told_levels_and_has_a_clock(tmp_path):
    def plug():
        stream = os.fstat(2)
        os.environ["JOURNAL_STREAM"] = f"{stream.st_dev}:{stream.st_ino}"

    server = Server(tmp_path, preexec_fn=plug)
    server.signal(signal.SIGHUP)
    wait_until(lambda: "\n<6>info reloaded " in server.log(), "a line in the journal")
    server.config.write_text("nonsense")
    server.signal(signal.SIGHUP)
    wait_until(lambda: "\n<3>error reload_failed " in server.log(), "an error in the journal")
    server.finish()


def test_a_log_that_is_not_the_journal_has_times(serve, monkeypatch):
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    server = serve()
    wait_until(lambda: lines(server, "started"), "the start in the log")


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_the_unit_is_well_fenced_in(tmp_path):
    """An exposure level of 1.5 or less; and systemd understands every line of the units."""
    units = ROOT / "contrib" / "systemd"
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager",
         units / "ragnarok.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("ragnarok.service", "ragnarok.socket"):
        text = (units / name).read_text().replace("/usr/bin/ragnarok", "/bin/true")
        (tmp_path / name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "ragnarok.service",
         tmp_path / "ragnarok.socket"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "ragnarok" not in done.stderr, done.stderr


# ---- Installing ----------------------------------------------------------------------------------


def make(*words):
    """Runs make independently of an outer make, with the existing build."""
    surroundings = {name: value for name, value in os.environ.items() if name[:4] != "MAKE"}
    subprocess.run(
        ["make", "-s", *words], cwd=ROOT, env=surroundings, check=True, timeout=12 * PATIENCE
    )


@pytest.mark.plain_run("installs what is built plainly")
def test_installing_and_taking_away_again(tmp_path):
    where = [f"DESTDIR={tmp_path}", "PREFIX=/opt/rag"]
    make("install", *where)
    units = tmp_path / "opt/rag/lib/systemd/system"
    unit = (units / "ragnarok.service").read_text()
    assert "ExecStart=/opt/rag/bin/ragnarok " in unit
    assert "ExecReload=/opt/rag/bin/ragnarok --check-config " in unit
    config = tmp_path / "etc/ragnarok/config.json"
    assert config.stat().st_mode & 0o777 == 0o640
    assert json.loads(config.read_text())["SSL_Key"] == "/var/lib/ragnarok/self-signed.pem"
    for name in ("bin/ragnarok", "bin/ragchat"):
        subprocess.run([tmp_path / "opt/rag" / name, "--version"], check=True, capture_output=True)
    config.write_text("of somebody's own")
    make("install", *where)
    assert config.read_text() == "of somebody's own"
    make("uninstall", *where)
    left = [path for path in tmp_path.rglob("*") if not path.is_dir()]
    assert left == [config]


# ---- Root ----------------------------------------------------------------------------------------


def warned(server):
    """The warning, which comes below the address."""
    return wait_until(lambda: lines(server, "running_as_root"), "the warning")[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to be root")
class TestRoot:
    """A sudo user has another account; root without sudo may have none, and is warned."""

    def test_sudo_is_refused_where_nothing_needs_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SUDO_UID", "1000")
        (tmp_path / "config.json").write_text(json.dumps({**SETTINGS, "SSL": True}))
        done = helpers.run(folder=tmp_path)
        assert done.returncode == 1 and done.stdout == ""
        assert "start it without sudo" in done.stderr and "--allow-root" in done.stderr
        assert os.listdir(tmp_path) == ["config.json"], "nothing was made that is root's"

    def test_the_option_allows_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("SUDO_UID", "1000")
        server = Server(tmp_path, ["--allow-root"])
        server.finish()
        assert not lines(server, "running_as_root")

    def test_a_low_port_is_a_need(self, serve, monkeypatch):
        """The port is one that a service manager has opened: the tests cannot have a low one."""
        monkeypatch.setenv("SUDO_UID", "1000")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            server = serve(server_port=443, **passing_on(monkeypatch, listener))
            warned(server)

    def test_without_sudo_it_is_warned_of(self, serve):
        assert "setcap" in warned(serve())


# ---- Behind a proxy ------------------------------------------------------------------------------


def get(server, path, forwarded=(), method="GET", host="127.0.0.1"):
    """A response; `forwarded` are the fields of X-Forwarded-For, one or several."""
    fields = [forwarded] if isinstance(forwarded, str) else forwarded
    extra = b"".join(f"X-Forwarded-For: {value}\r\n".encode() for value in fields)
    with Raw(server) as client:
        head = request(path, {"Host": host}, method=method)
        return client.exchange(head[:-2] + extra + b"\r\n")


def come_in(server, stack, forwarded):
    """Upgrades as a client of that address would, through the proxy; returns the status."""
    client = stack.enter_context(Raw(server))
    client.send(request("/", {**UPGRADE, "X-Forwarded-For": forwarded}))
    return client.head().status


def test_a_limit_counts_for_the_address_behind_the_proxy(serve):
    server = serve(trusted_proxies=["127.0.0.0/8", "10.0.0.0/8"], max_clients_per_address=1)
    with contextlib.ExitStack() as stack:
        for forwarded, status in [
            ("198.51.100.1", 101),
            ("198.51.100.2", 101),
            ("198.51.100.1", 429),
            ("203.0.113.9, 198.51.100.1", 429),  # what stands left of it anybody can say
            ("198.51.100.1, 203.0.113.9", 101),
            ("203.0.113.9, 10.1.1.1", 429),  # another trusted proxy in between
            ("2001:db8::1", 101),
            ("[2001:db8::2]:4711", 429),  # the same /64
        ]:
            assert come_in(server, stack, forwarded) == status, forwarded


def test_a_proxy_that_is_not_trusted_is_not_believed(serve):
    server = serve(trusted_proxies=["192.0.2.1"], max_clients_per_address=1)
    with contextlib.ExitStack() as stack:
        assert come_in(server, stack, "198.51.100.1") == 101
        assert come_in(server, stack, "198.51.100.2") == 429


@pytest.mark.parametrize(
    "forwarded", ["unknown", "198.51.100.1, 300.1.1.1", "1.2.3.4:99999", "x" * 99]
)
def test_what_is_no_address_is_the_proxys_own(serve, forwarded):
    server = serve(trusted_proxies=["127.0.0.1"], log_level="debug", log_addresses=True)

    @scenario
    async def talk():
        peer = await Peer.open(server, extra_headers={"X-Forwarded-For": forwarded})
        await peer.next()
        await peer.send("Join", Name="ana", Password="a wrong one")
        await peer.error("wrong_password")

    talk()
    assert len(lines(server, "bad_forwarded")) == 1
    assert "address=127.0.0.1 " in lines(server, "wrong_password")[0]


def test_the_log_has_the_clients_address(serve):
    server = serve(trusted_proxies=["127.0.0.1"], log_addresses=True)

    @scenario
    async def talk():
        peer = await Peer.open(server, extra_headers={"X-Forwarded-For": "6.6.6.6, 198.51.100.7"})
        await peer.next()
        await peer.send("Join", Name="ana", Password="a wrong one")
        await peer.error("wrong_password")

    talk()
    assert "address=198.51.100.7 " in lines(server, "wrong_password")[0]


# ---- How it is -----------------------------------------------------------------------------------

SAMPLE = re.compile(r"(?P<name>\w+)(?:\{(?P<labels>[^}]*)\})? (?P<value>-?[0-9.e+-]+)")


def metrics(server, **options):
    """All samples: name and labels, as they are written, to their value."""
    response = get(server, "/metrics", **options)
    assert response.status == 200
    assert response.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    samples, types = {}, {}
    for line in response.body.decode().splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = SAMPLE.fullmatch(line)
            assert match, line
            family = re.sub(r"_(bucket|sum|count)$", "", match["name"])
            assert types.get(match["name"]) or types.get(family) == "histogram", line
            key = line.rsplit(" ", 1)[0].removeprefix("ragnarok_")
            assert key not in samples
            samples[key] = float(match["value"])
    return samples


def settled(server, **wanted):
    """Waits until these samples have these values; returns all."""

    def look():
        found = metrics(server)
        return found if all(found[name] == value for name, value in wanted.items()) else None

    return wait_until(look, f"{wanted}: {metrics(server)}")


def test_metrics_count_what_happens(serve):
    server = serve(max_clients_per_address=0, ping_interval_seconds=600)

    @scenario
    async def talk():
        ana, bob = await join(server, "ana"), await join(server, "bob")
        tea = await join(server, "cleo", "/rooms/tea")
        for number in range(5):
            await ana.ask("Broadcast", text=f"number {number}")
        assert len(await bob.messages(5)) == 5
        await ana.send("PrivateMessage", TgtUser="bob", text="for one")
        assert (await bob.message())["text"] == "for one"
        thief = await Peer.open(server)
        await thief.next()
        await thief.send("Join", Name="dan", Password="a wrong one")
        await thief.error("wrong_password")
        await thief.close()
        await bob.socket.send(b"not text")
        assert (await bob.closed())[0] == 1003
        settled(server, clients=2, rooms=2)
        await tea.close()
        settled(server, clients=1, rooms=1)

    talk()
    get(server, "/none")
    found = settled(server, clients=0, connections=1)
    assert found['messages_total{kind="broadcast"}'] == 5
    assert found['messages_total{kind="private"}'] == 1
    assert found["deliveries_total"] == 5 * 2 + 1
    assert found['refusals_total{code="wrong_password"}'] == 1
    assert found['evictions_total{reason="broke_rules"}'] == 1
    assert found['evictions_total{reason="too_slow"}'] == 0
    assert found["received_bytes_total"] > 1000 and found["sent_bytes_total"] > 2000
    assert 1 <= found["delivery_seconds_count"] <= 5
    assert 0 < found["delivery_seconds_sum"] < 5 * PATIENCE
    assert found["pump_round_messages_sum"] == 5
    rounds = [
        value for name, value in found.items() if name.startswith("pump_round_messages_bucket")
    ]
    assert rounds == sorted(rounds) and rounds[-1] == found["pump_round_messages_count"]


def test_metrics_count_failures_and_reloads(serve):
    server = serve(SSL=True, handshake_timeout_seconds=int(SCALE))
    with Raw(server, tls=False) as client:
        client.send(b"\x16\x03\x01\x00\x05nonsense")
        client.read_to_end()
    with Raw(server) as client:
        assert client.read_to_end() == b""
    with Raw(server) as client:
        assert client.exchange(request("/", {"Host": "a b"})).status == 400
    hup(server)
    change(server, max_clients=0)
    hup(server, "reload_failed")
    found = metrics(server)
    assert found['handshake_failures_total{stage="tls"}'] == 1
    assert found['handshake_failures_total{stage="request"}'] == 1
    assert found['refusals_total{code="400"}'] == 1
    assert found['reloads_total{result="done"}'] == 1
    assert found['reloads_total{result="refused"}'] == 1


def test_metrics_count_slow_consumers(serve):
    server = serve(max_message_bytes=1024, room_buffer_bytes=1 << 16, **NO_RATE)
    with Raw(server) as ana, Raw(server, receive_buffer=4096) as slow:
        ana.join("ana")
        slow.join("slow")
        for _ in range(4000):
            ana.send(broadcast(server, "x" * 900))
            ana.message()
        settled(server, **{'evictions_total{reason="too_slow"}': 1})


def test_prometheus_can_read_it(serve):
    parser = pytest.importorskip("prometheus_client.parser")
    server = serve()
    text = get(server, "/metrics").body.decode()
    families = {family.name: family for family in parser.text_string_to_metric_families(text)}
    assert families["ragnarok_delivery_seconds"].type == "histogram"
    assert families["ragnarok_messages"].type == "counter"
    assert all(family.documentation for family in families.values())


def test_how_it_is_is_nobody_elses_business(serve):
    server = serve(trusted_proxies=["127.0.0.1"], metrics_from=["198.51.100.0/24", "2001:db8::/32"])
    for path in ("/metrics", "/healthz"):
        for forwarded, status in [
            ((), 200),
            ("203.0.113.1", 404),
            ("198.51.100.77", 200),
            ("2001:db8::7", 200),
            ("198.51.100.77, 203.0.113.1", 404),
            ("127.0.0.1, 203.0.113.1", 404),
            ("nonsense", 404),
            (["127.0.0.1", "203.0.113.1"], 404),
            (["203.0.113.1", "198.51.100.77"], 200),
        ]:
            assert get(server, path, forwarded).status == status, (path, forwarded)
        assert get(server, path, host="evil.example").status == 421


def test_a_proxy_that_is_not_known_hides_it(serve):
    """Then all clients, also from the internet, come from loopback."""
    server = serve()
    assert get(server, "/metrics", "203.0.113.1").status == 404
    assert get(server, "/metrics", "127.0.0.1").status == 404
    assert get(server, "/metrics").status == 200


def test_health(serve, tls):
    server = serve(SSL=tls, max_clients=1)
    response = get(server, "/healthz")
    assert (response.status, response.body) == (200, b"ok\n")
    response = get(server, "/healthz", method="HEAD")
    assert (response.status, response.body) == (200, b"")
    wait_until(lambda: status_of(server) == 101, "a free place")
    wait_until(lambda: connections(server) == 0, "a free place")
    with Raw(server) as ana:
        ana.join("ana")
        assert get(server, "/healthz").status == 200, "full is not ill"
        assert "ragnarok_clients 1\n" in get(server, "/metrics").body.decode()


# ---- The log -------------------------------------------------------------------------------------

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (error|warn|info|debug) [a-z_]+"
    r'( [a-z_]+=("([^"\\]|\\.)*"|[^ "=]*))+'
)


def test_every_line_is_keys_and_values(serve):
    """With any names of people and rooms, and any refusals."""
    server = serve(log_level="debug", log_addresses=True)
    names = ['a" why="b', "x=1 y=2", "back\\slash", "two words", "ünï"]

    @scenario
    async def talk():
        for name in names:
            peer = await join(server, name)
            await peer.send("Nonsense", text="what nobody may read")
            await peer.error("unknown_type")
            await peer.close()
        room = "/rooms/" + names[0].replace(" ", "%20").replace('"', "%22")
        await (await join(server, "ana", room)).close()
        peer = await Peer.open(server)
        await peer.next()
        await peer.send("Join", Name="ana", Password="what-was-wrong")
        await peer.error("wrong_password")

    talk()
    get(server, "/", host="evil.example")
    get(server, '/"quoted"=x')
    server.config.write_text('{"a \\" b": "c"}')
    hup(server, "reload_failed")
    server.finish()
    for line in server.log().splitlines():
        assert LINE.fullmatch(line), line
