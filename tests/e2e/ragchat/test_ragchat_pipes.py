# SPDX-License-Identifier: MIT
"""ragchat in scripts: exit statuses, delivery, --listen, certificates, other servers."""
import contextlib
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
import websockets

from helpers import PASSWORD, PATIENCE, SCALE, join, scenario, wait_until
from terminal import FAST, Listener, Terminal, environment, run, start
from thread_server import ThreadServer

OK, USAGE, CONNECT, REFUSED, CERTIFICATE, PARTLY, FILES = range(7)
AHEAD = 128  # the maximum of lines that ragchat has in flight


@pytest.fixture
def home(homes):
    return homes("ana")


# ---- Sending -------------------------------------------------------------------------------------


def test_lines_are_sent_in_order_and_delivered(serve, home, homes, tls):
    server = serve(SSL=tls, **FAST)
    ear = Listener(server, "ear", homes("ear"))
    status, out, err = run(server, "cron", home, text="one\n\n zwei 日本\nlast, without a newline")
    assert (status, out) == (OK, ""), err
    ear.wait(4)
    assert ear.texts() == ["one", "", " zwei 日本", "last, without a newline"]
    assert ear.end()[0] == OK


def test_lines_are_never_commands(serve, home, homes):
    server = serve()
    ear = Listener(server, "ear", homes("ear"))
    assert run(server, "cron", home, text="/quit\n//x\n")[0] == OK
    assert [message["text"] for message in ear.wait(2)] == ["/quit", "//x"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_ten_thousand_lines_across_a_restart(serve, home, homes, how):
    """In order, without duplicates. Nothing is lost either, if the server could end properly.

    A killed server may have returned a line to its sender and not yet to the others: one round of
    deliveries, at most the lines in flight.
    """
    count = int(10_000 / SCALE)
    big = {"history": 10_000, "room_buffer_bytes": 64 << 20, **FAST}
    server = serve(**big)
    server.expected_status = None
    ear = Listener(server, "ear", homes("ear"))
    cron = start(server, "cron", home)
    lines = "".join(f"{i}\n" for i in range(count)).encode()
    feeder = threading.Thread(target=cron.communicate, args=(lines,))
    feeder.start()
    ear.wait(count // 10)
    server.signal(how)
    server.wait_end()
    serve(server_port=server.port, **big)
    feeder.join(12 * PATIENCE)
    assert cron.returncode == OK
    wait_until(lambda: str(count - 1) in ear.texts()[-1:], "the last line")
    heard = [int(text) for text in ear.texts()]
    missing = sorted(set(range(count)) - set(heard))
    assert heard == sorted(set(heard))
    assert len(missing) <= (0 if how == signal.SIGTERM else AHEAD)
    assert missing == list(range(missing[0], missing[-1] + 1)) if missing else True
    assert ear.end()[0] == OK


def test_a_line_that_cannot_be_sent_is_named(serve, home, homes):
    server = serve(max_message_bytes=1024)
    ear = Listener(server, "ear", homes("ear"))
    text = b"good\n" + b"x" * 2000 + b"\nnot \xff UTF-8\nnor\0this\nlast\n"
    status, _, err = run(server, "cron", home, text=text)
    assert status == PARTLY
    assert "too long for the server" in err
    assert "line 3 is not sent: it is not UTF-8" in err and "line 4 is not sent" in err
    assert [message["text"] for message in ear.wait(2)] == ["good", "last"]


def test_the_end_of_the_time_and_signals(serve, home):
    """Undelivered lines show in the exit status."""
    server = serve(max_messages_per_second=1)
    status, _, err = run(server, "cron", home, "--timeout", "2", text="x\n" * 1000)
    assert (status, "time is up" in err) == (PARTLY, True)
    cron = start(server, "cron", home)
    wait_until(lambda: server.log().count(" joined ") == 2, "cron to be in")
    cron.send_signal(signal.SIGTERM)
    assert cron.wait(PATIENCE) == PARTLY


# ---- Not coming in -------------------------------------------------------------------------------


def wrong_options():
    yield [], "the address: it is missing"
    yield ["wss://x/", "y"], "unexpected argument y"
    yield ["--nonsense", "wss://x/"], "unrecognized option"
    yield ["ws://127.0.0.1:99999/"], "port is not a number from 1 to 65535"
    yield ["wss://me:secret@host/"], "no place in it"
    yield ["wss://host/#secret"], "use --password-file"
    yield ["wss://host/rooms/%00"], "the address"
    yield ["-n", "a\tb", "wss://x/"], "control characters"
    yield ["--timeout", "0", "wss://x/"], "expected 1 to 1000000"
    yield ["--password-file", "/nowhere", "wss://x/"], "No such file"
    yield ["--known-as", "host", "wss://x/"], "expected HOST:PORT"
    yield ["--known-as", "wss://host:1/", "wss://x/"], "expected HOST:PORT"
    yield ["--known-as", "host:99999", "wss://x/"], "port is not a number"
    yield ["--listen", "--to", "bob", "wss://x/"], "--to"


@pytest.mark.parametrize("arguments, complaint", wrong_options())
def test_wrong_options(home, arguments, complaint):
    done = subprocess.run(
        [*Terminal.command, *arguments],
        env=environment(home, USER="ana"),
        input="",
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == USAGE and complaint in done.stderr and not done.stdout
    assert "secret" not in done.stderr or "secret" in " ".join(arguments)


def test_nobody_answers(home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{taken.getsockname()[1]}/"
        status, _, err = run(None, "cron", home, text="x\n", url=url)
    assert status == CONNECT and "Connection refused" in err


def answer_as_mail(listener):
    """Sends an answer that is not a chatroom's, and waits until the client has gone."""
    with listener.accept()[0] as client:
        client.sendall(b"220 mail\r\n")
        with contextlib.suppress(ConnectionError):
            while client.recv(4096):
                pass


def test_what_answers_is_no_chatroom(home):
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=answer_as_mail, args=(other,), daemon=True).start()
        url = f"ws://127.0.0.1:{other.getsockname()[1]}/"
        status, _, err = run(None, "cron", home, text="x\n", url=url)
    assert status == CONNECT and "does not speak HTTP" in err


def test_a_server_that_is_full_says_so(serve, home, homes):
    server = serve(max_clients=1)
    ear = Listener(server, "ear", homes("ear"))
    status, _, err = run(server, "cron", home, text="x\n")
    assert status == CONNECT and "503" in err
    ear.end()


@pytest.mark.parametrize("given", [None, "wrong"], ids=["no password", "a wrong one"])
def test_the_password(serve, home, given):
    status, _, err = run(serve(), "cron", home, text="x\n", env={"RAGNAROK_PASSWORD": given})
    assert status == REFUSED and ("needs a password" in err) == (given is None)


def test_the_password_from_a_file(serve, home):
    (home / "password").write_text(PASSWORD + "\n")
    options = ["--password-file", str(home / "password")]
    status, _, err = run(
        serve(), "cron", home, *options, text="x\n", env={"RAGNAROK_PASSWORD": "wrong"}
    )
    assert status == OK, err


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o604])
def test_a_password_file_that_others_can_read_is_warned_of(serve, home, mode):
    path = home / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(mode)
    status, _, err = run(serve(), "cron", home, "--password-file", str(path), text="x\n")
    warning = f"others can read it (mode {mode:04o}); chmod 600 {path}"
    assert status == OK and (warning in err) == (mode != 0o600)


def test_the_password_does_not_stay_in_the_environment(serve, home):
    ear = Listener(serve(), "ana", home)
    try:
        environ = Path(f"/proc/{ear.process.pid}/environ").read_bytes()
    except PermissionError:  # not dumpable, and we are not root
        environ = b""
    assert PASSWORD.encode() not in environ
    ear.end()


def test_no_core_file_is_written(serve, home, monkeypatch):
    """It would hold the seed, the password and messages."""
    monkeypatch.chdir(home)
    server = serve()
    ear = start(server, "ana", home, "--listen", preexec_fn=allow_core_files)
    ear.stdout.readline()
    os.kill(ear.pid, signal.SIGABRT)
    _, status = os.waitpid(ear.pid, 0)
    ear.returncode = os.waitstatus_to_exitcode(status)
    ear.communicate()
    assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)


def allow_core_files():
    resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_name_that_is_taken(serve, home, homes):
    server = serve()
    ear = Listener(server, "Cron", homes("ear"))
    status, _, err = run(server, "cron", home, text="x\n")
    assert status == REFUSED and "does not let you in" in err
    ear.end()


def test_the_same_person_takes_the_name_over(serve, home):
    server = serve()
    old = Listener(server, "ana", home)
    assert run(server, "ana", home, text="x\n")[0] == OK
    old.reader.join(PATIENCE)
    assert old.process.wait(PATIENCE) == REFUSED
    assert "taken over by a newer connection" in old.process.stderr.read().decode()


@pytest.mark.parametrize("what", ["mode", "garbage", "known_keys", "writable", "folder"])
def test_files_that_cannot_be_used(serve, home, what):
    server = serve()
    assert run(server, "ana", home, text="x\n")[0] == OK
    folder = home / "ragnarok"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "seed").stat().st_mode & 0o777 == 0o600
    if what == "mode":
        (folder / "seed").chmod(0o644)
    elif what == "garbage":
        (folder / "seed").write_text("garbage")
    elif what == "folder":
        folder.chmod(0o720)
    else:
        (folder / "known_keys").write_text("x\ty\tz\n" if what == "known_keys" else "")
        (folder / "known_keys").chmod(0o666 if what == "writable" else 0o600)
    status, _, err = run(server, "ana", home, text="x\n")
    complaint = {
        "mode": "others must not read it: chmod 600",
        "garbage": "seed is broken",
        "known_keys": "known_keys:1: this line is broken",
        "writable": "others must not change it",
        "folder": "others can replace the keys in it",
    }[what]
    assert status == FILES and complaint in err and str(folder) in err


# ---- Listening -----------------------------------------------------------------------------------


def test_listening_prints_what_comes(serve, homes):
    server = serve()
    ear = Listener(server, "ear", homes("ear"))

    @scenario
    async def talk():
        ana = await join(server, "ana")
        await ana.ask("Broadcast", text="a\u009b1m\n", Mood=[1.50, {"x": 9007199254740993}], Ref=7)
        await ana.send("PrivateMessage", TgtUser="ear", text="psst", Encrypted=True, Verified=True)
        await ana.nothing_more()

    talk()
    ear.wait(2)
    (private,) = ear.of("PrivateMessage")
    first = ear.of("Broadcast")[0]
    assert first["text"] == "a\u009b1m\n" and first["Mood"] == [1.5, {"x": 9007199254740993}]
    assert (first["SrcUser"], first["Ref"]) == ("ana", 7)
    assert private["text"] == "psst" and private["Encrypted"] is False
    assert "Verified" not in private, "nobody can forge a mark"
    assert ear.end() == (OK, "")


def test_json_for_scripts_holds_nothing_that_a_terminal_obeys(serve, homes):
    server = serve()
    ear = start(server, "ear", homes("ear"), "--once", stdin=subprocess.DEVNULL)

    @scenario
    async def talk():
        ana = await join(server, "ana")
        await ana.presence("ana", "ear")
        await ana.ask("Broadcast", text="\x9b31m\u202e\x7f\U000e0001")

    talk()
    out, _ = ear.communicate(timeout=PATIENCE)
    assert ear.returncode == OK
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out.decode())
    assert json.loads(out.decode().splitlines()[-1])["text"] == "\x9b31m\u202e\x7f\U000e0001"


def test_once_without_a_message(serve, home):
    seconds = str(int(5 * SCALE))
    status, out, err = run(serve(), "ana", home, "--once", "--timeout", seconds)
    assert status == PARTLY and "time is up" in err
    assert [json.loads(line)["msgType"] for line in out.splitlines()] == ["Joined", "OnlineUsers"]


def test_listening_for_some_time(serve, home):
    assert run(serve(), "ana", home, "--listen", "--timeout", "1")[0] == OK


def test_a_closed_pipe_ends_it_quietly(serve, home):
    server = serve()
    ear = start(server, "ear", home, "--listen", stdin=subprocess.DEVNULL)
    ear.stdout.readline()
    ear.stdout.close()
    assert ear.wait(PATIENCE) == OK
    assert ear.stderr.read() == b""


def test_rooms(serve, homes):
    server = serve()
    tea = Listener(server, "ear", homes("ear"), url=server.url("/rooms/caf%C3%A9"))
    for path in ("/", "/rooms/café"):
        url = server.url(path)
        assert run(server, "cron", homes("cron"), text=f"in {path}\n", url=url)[0] == OK
    assert [message["text"] for message in tea.wait(1)] == ["in /rooms/café"]
    assert tea.of("Joined")[0]["Room"] == "café"


# ---- Certificates --------------------------------------------------------------------------------


def test_trust_on_first_use(serve, home, tmp_path):
    first = serve(SSL=True)
    fingerprint = re.search("Certificate: SHA-256 (.*)", first.printed())[1]
    status, _, err = run(first, "ana", home, text="x\n")
    assert status == OK and fingerprint in err and "first time" in err
    status, _, err = run(first, "ana", home, text="x\n")
    assert (status, err) == (OK, ""), "it is remembered"
    first.finish()
    second = serve(SSL=True, server_port=first.port)
    status, _, err = run(second, "ana", home, text="x\n")
    other = re.search("Certificate: SHA-256 (.*)", second.printed())[1]
    assert status == CERTIFICATE and "REFUSED" in err
    assert f"before: {fingerprint}" in err and re.search(f"now: +{other}", err)
    assert run(second, "ana", home, "--insecure", text="x\n")[0] == OK
    assert run(second, "ana", home, text="x\n")[0] == CERTIFICATE, "--insecure remembers nothing"


def make_certificate(folder, *key, days=2, host="IP:127.0.0.1"):
    """A self-signed certificate in folder/cert.crt, of a new key or of `key`."""
    words = f"openssl req -x509 -nodes -days {days} -subj /CN=x -addext subjectAltName={host}"
    key = key or "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -keyout key.pem".split()
    subprocess.run(
        [*words.split(), *key, "-out", "cert.crt"], cwd=folder, check=True, capture_output=True
    )
    (folder / "key.pem").chmod(0o600)
    return {"SSL_Cert": str(folder / "cert.crt"), "SSL_Key": str(folder / "key.pem"), "SSL": True}


def test_a_renewed_certificate_for_the_same_key_is_the_same_server(serve, homes, tmp_path):
    """The server does so when the machine has another address."""
    server = serve(**make_certificate(tmp_path))
    ana = Terminal(server, "ana", homes("ana"))
    ana.wait(r"\(yes/no\)")
    ana.say("yes")
    ana.wait("1 here")
    prints = []
    for number, key in enumerate((["-key", "key.pem"], [])):
        prints.append(re.search("Certificate: SHA-256 (.*)", server.printed())[1])
        files = make_certificate(tmp_path, *key, days=3, host="IP:127.0.0.1,IP:127.77.0.7")
        server.finish()
        server = serve(server_port=server.port, **files)
        ana.wait("REFUSED" if number else "connected again")
    known = (homes("ana") / "ragnarok" / "known_certificates").read_text()
    assert prints[1] in known and prints[0] not in known
    assert ana.end() == CERTIFICATE
    assert prints[1] in ana.text()


def test_a_person_is_asked(serve, homes):
    server = serve(SSL=True)
    for answer, status in (("no", CERTIFICATE), ("yes", OK), (None, OK)):
        ana = Terminal(server, "ana", homes("ana"))
        if answer:
            ana.wait(r"\(yes/no\)")
            ana.say(answer)
        if status == OK:
            ana.wait("1 here")
            ana.say("/quit")
        assert ana.end() == status


def test_a_certificate_of_ones_own_authority(serve, home, tmp_path):
    server, other = serve(SSL=True), serve(SSL=True)
    trusted = ["--ca", str(server.root)]
    status, _, err = run(server, "ana", home, *trusted, text="x\n")
    assert (status, err) == (OK, "")
    status, _, err = run(other, "ana", home, *trusted, text="x\n")
    assert status == CERTIFICATE and "none of those in --ca" in err
    status, _, err = run(server, "ana", home, "--ca", str(tmp_path / "no"), text="x\n")
    assert status == CERTIFICATE and "--ca" in err


def test_a_certificate_for_another_host(serve, home, tmp_path):
    """RFC 9525: the name is checked, not only the chain."""
    files = make_certificate(tmp_path, host="DNS:other.example")
    server = serve(**files)
    status, _, err = run(server, "ana", home, "--ca", files["SSL_Cert"], text="x\n")
    assert status == CERTIFICATE and "IP address mismatch" in err


def test_a_pin_outranks_the_system(serve, homes, tmp_path):
    """A CA of the system does not replace a pinned key automatically; a user is asked once, and a
    script is refused."""
    home, folders = homes("ana"), [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    files = [make_certificate(folder) for folder in folders]
    server = serve(**files[0])
    assert run(server, "ana", home, text="x\n")[0] == OK
    server.finish()
    server = serve(server_port=server.port, **files[1])
    trusted = {"SSL_CERT_FILE": files[1]["SSL_Cert"]}
    status, _, err = run(server, "ana", home, text="x\n", env=trusted)
    assert status == CERTIFICATE and "the system vouches for it now" in err
    assert "starting ragchat on a terminal" in err and "known_certificates" in err
    for answer, status in (("no", CERTIFICATE), ("yes", OK), (None, OK)):
        ana = Terminal(server, "ana", home, **trusted)
        if answer:
            ana.wait(r"the system vouches for it now(?s:.*)\(yes/no\)")
            ana.say(answer)
        if status == OK:
            ana.wait("1 here")
            ana.say("/quit")
        assert ana.end() == status
    assert run(server, "ana", home, text="x\n", env=trusted)[::2] == (OK, "")


def test_a_renewed_certificate_of_a_trusted_server_is_no_alarm(serve, homes, tmp_path):
    home = homes("ana")
    port = None
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        files = make_certificate(folder)
        server = serve(**files) if port is None else serve(server_port=port, **files)
        port = server.port
        trusted = {"SSL_CERT_FILE": files["SSL_Cert"]}
        assert run(server, "ana", home, text="x\n", env=trusted)[::2] == (OK, "")
        server.finish()


# ---- A server that moves -------------------------------------------------------------------------


def identity_key(server, name):
    """As relayed by the server."""
    keys = {}

    @scenario
    async def ask():
        peer = await join(server, "asker")
        keys.update(await peer.ask("GetKeys", TgtUser=name))

    ask()
    return keys["IdentityKey"]


def met_at(server, homes, *options):
    """Ana listens and meets bob; returns her identity key there, and her output."""
    ear = Listener(server, "ana", homes("ana"), *options)
    status, _, err = run(server, "bob", homes("bob"), "--to", "ana", *options, text="psst\n")
    assert status == OK, err
    ear.wait(1, "PrivateMessage")
    key = identity_key(server, "ana")
    return key, ear.end()[1]


def known_to_ana(homes):
    lines = (homes("ana") / "ragnarok" / "known_keys").read_text().splitlines()
    return {(line.split("\t")[0], line.split("\t")[3]) for line in lines}


def test_a_server_with_the_same_key_at_another_address_is_the_same(serve, homes, tmp_path):
    """Identity and people stay, and one line says so."""
    files = make_certificate(tmp_path)
    first, second = serve(**files), serve(**files)
    keys, told = zip(met_at(first, homes), met_at(second, homes))
    assert keys[0] == keys[1]
    assert known_to_ana(homes) == {(f"127.0.0.1:{first.port}", identity_key_of_bob(homes))}
    moved = f"127.0.0.1:{second.port} is the server that you know from 127.0.0.1:{first.port}"
    assert moved in told[1] and told[1].count("\n") == 1
    assert met_at(second, homes)[1] == "", "it is said once"


def identity_key_of_bob(homes):
    """The one that ana has written down."""
    ((_, key),) = known_to_ana(homes)
    return key


def test_a_server_with_another_key_is_another_server(serve, homes, tmp_path):
    keys = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        server = serve(**make_certificate(tmp_path / name))
        keys.append(met_at(server, homes)[0])
    assert keys[0] != keys[1] and len(known_to_ana(homes)) == 2


def test_only_the_user_says_that_a_server_without_a_key_is_the_same(serve, homes):
    first, second, third = serve(), serve(), serve()
    known_as = ["--known-as", f"127.0.0.1:{first.port}"]
    key = met_at(first, homes)[0]
    assert met_at(second, homes)[0] != key
    assert met_at(third, homes, *known_as)[0] == key
    assert met_at(third, homes)[0] == key, "it is remembered"
    assert met_at(second, homes, *known_as)[0] == key
    at_first = [key for server, key in known_to_ana(homes) if server.endswith(f":{first.port}")]
    assert len(at_first) == 1


def test_one_name_in_two_rooms_has_two_keys(serve, homes):
    """The keys do not link two names, or a name in two rooms, to one person."""
    server = serve()
    keys = set()
    for path in ("/", "/rooms/press"):
        for name in ("ana", "whistleblower"):
            ear = Listener(server, name, homes("ana"), url=server.url(path))

            @scenario
            async def ask():
                peer = await join(server, "asker", path)
                keys.add((await peer.ask("GetKeys", TgtUser=name))["IdentityKey"])

            ask()
            ear.end()
    assert len(keys) == 4


def test_insecure_says_so_loudly(serve, home):
    status, _, err = run(serve(SSL=True), "ana", home, "--insecure", text="x\n")
    assert status == OK and "NOT CHECKED" in err


def test_tls_that_is_none(serve, home):
    server = serve()
    url = server.url().replace("ws:", "wss:")
    status, _, err = run(server, "ana", home, text="x\n", url=url)
    assert status == CONNECT and "no TLS" in err


# ---- The original server -------------------------------------------------------------------------


class Original(ThreadServer):
    """A server of the two-frame hello, as plain as the original: no subprotocol, no Ref, no Id."""

    def __init__(self, password):
        self.password, self.users = password, {}
        super().__init__()

    async def tell(self, names, **message):
        for name in list(names):
            if name in self.users:
                await self.users[name].send(json.dumps(message))

    async def serve(self, client):
        if await client.recv() != self.password:
            return
        name = await client.recv()
        await client.send(json.dumps({"ServerName": "Old"}))
        self.users[name] = client
        await self.tell(self.users, msgType="OnlineUsers", Users=list(self.users))
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in client:
                said = json.loads(text)
                to = said.get("TgtUser", "")
                kind = said["msgType"]
                names = [to] if kind == "PrivateMessage" else self.users
                await self.tell(names, msgType=kind, SrcUser=name, TgtUser=to, text=said["text"])
        del self.users[name]


@pytest.fixture
def original():
    server = Original(PASSWORD)
    yield server
    server.stop()


def test_the_original_server(original, home, homes, terminal):
    ear = Listener(original, "ear", homes("ear"))
    assert run(original, "cron", home, text="one\ntwo\n")[0] == OK
    assert [message["text"] for message in ear.wait(2)] == ["one", "two"]
    ana = terminal(original, "ana")
    ana.say("/msg ear secret")
    ana.wait("not sent to ear.*no keys")
    ana.say("/plain ear")
    ana.wait("NOT ENCRYPTED")
    ana.say("/msg ear hello")
    ana.wait(r"\[not encrypted\] you to ear: hello")
    assert [message["text"] for message in ear.wait(1, "PrivateMessage")] == ["hello"]


def test_the_original_server_refuses(original, home):
    status, _, err = run(original, "cron", home, text="x\n", env={"RAGNAROK_PASSWORD": "wrong"})
    assert status == REFUSED and "ended" in err
