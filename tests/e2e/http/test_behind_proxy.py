# SPDX-License-Identifier: MIT
"""Behind nginx, Caddy and HAProxy, set up as in docs/OPERATING.md except for names, ports and certificates.

`make test` unpacks them into build/unpacked, because Debian's packages open port 80 as soon as they are
installed. A proxy that is neither installed nor unpacked is skipped by name.
"""
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess

import pytest

import e2e_reference
import terminal
from browser_user import PLAIN_RUN, Person
from helpers import (
    PASSWORD,
    PATIENCE,
    PING,
    PONG,
    ROOT,
    SCALE,
    UNPACKED,
    UPGRADE,
    Raw,
    frame,
    greeted,
    join,
    request,
    scenario,
    try_join,
    wait_until,
)

PAGE = (ROOT / "docs" / "OPERATING.md").read_text()
SECTION = PAGE.split("\n## Behind a proxy\n")[1].split("\n## ")[0]
CLUSTER = PAGE.split("\n## Two machines\n")[1].split("\n## ")[0]
NAME = "chat.example.org"
PATH = ":".join([os.environ["PATH"], "/usr/sbin", f"{UNPACKED}/sbin", f"{UNPACKED}/bin"])
RECONNECT = 3 * PATIENCE  # backing off takes its time
FAMILIES = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]


def snippet(language, section=SECTION):
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL)[1]


def settings():
    """The settings for config.json in docs/OPERATING.md."""
    return json.loads("{" + snippet("json") + "}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Proxy:
    """A proxy before a server; to `Peer`, `Raw` and others it looks like a server with TLS."""

    tls = True

    def __init__(self, server, authority, folder, **replaced):
        self.server, self.authority, self.folder = server, authority, folder
        self.replaced, self.port = replaced, free_port()
        folder.mkdir()
        self.config = folder / "proxy.conf"
        self.config.write_text(self.configuration())
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen(
                self.command(), cwd=folder, env=self.environment(), stdout=log, stderr=log
            )
        wait_until(self.listens, f"the proxy to listen: {self.config.read_text()}", 6 * PATIENCE)

    def environment(self):
        return {"PATH": PATH, "HOME": str(self.folder)}

    def listens(self):
        assert self.process.poll() is None, (self.folder / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def pointed(self, text):
        """The snippet with our names, ports and paths."""
        text = text.replace("127.0.0.1:12345", f"127.0.0.1:{self.server.port}")
        for old, new in self.replaced.items():
            assert old in text, old
            text = text.replace(old, new)
        return text

    def finish(self):
        self.process.terminate()
        self.process.wait(PATIENCE)

    # The interface of Server

    def tls_context(self):
        return self.authority.tls_context()

    def url(self, path="/"):
        return f"wss://127.0.0.1:{self.port}{path}"

    def keep_secret(self, text):
        self.server.keep_secret(text)


class Nginx(Proxy):
    program = shutil.which("nginx", path=PATH)

    def configuration(self):
        temporary = "".join(f"{name}_temp_path {self.folder}/{name};" for name in FAMILIES)
        site = self.pointed(snippet("nginx")).replace("listen 443", f"listen 127.0.0.1:{self.port}")
        site = re.sub(r"/etc/\S+/fullchain.pem", str(self.authority.certificate), site)
        site = re.sub(r"/etc/\S+/privkey.pem", str(self.authority.key), site)
        return (
            f"daemon off; {'user root;' if os.geteuid() == 0 else ''} pid {self.folder}/pid;\n"
            f"events {{}}\nhttp {{ access_log off; {temporary}\n{site}}}\n"
        )

    def command(self):
        return [self.program, "-p", self.folder, "-e", "stderr", "-c", self.config]

    def workers(self):
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children, encoding="ascii") as file:
            return set(file.read().split())

    def reload(self):
        """Waits until another process accepts; the previous one keeps its connections."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        wait_until(lambda: self.workers() - before, "a new worker")


class Caddy(Proxy):
    program = shutil.which("caddy", path=PATH)

    def configuration(self):
        self.admin = f"127.0.0.1:{free_port()}"
        names = f"localhost:{self.port}, 127.0.0.1:{self.port}"
        ours = f"bind 127.0.0.1\n    tls {self.authority.certificate} {self.authority.key}"
        site = self.pointed(snippet("caddy")).replace(f"{NAME} {{", f"{names} {{\n    {ours}")
        return f"{{\n    admin {self.admin}\n    auto_https disable_redirects\n}}\n{site}"

    def command(self):
        return [self.program, "run", "--adapter", "caddyfile", "--config", self.config]

    def reload(self):
        subprocess.run(
            [self.program, "reload", "--adapter", "caddyfile", "--config", self.config,
             "--address", self.admin, "--force"],
            env=self.environment(), check=True, capture_output=True, timeout=6 * PATIENCE,
        )  # fmt: skip


class HAProxy(Proxy):
    """Before one server, or before two, of which `other` is the second."""

    program = shutil.which("haproxy", path=PATH)
    other = None

    def environment(self):
        libraries = ":".join(str(path) for path in (UNPACKED / "lib").glob("*-linux-gnu"))
        return {**super().environment(), "LD_LIBRARY_PATH": libraries}

    def configuration(self):
        pem = self.folder / "both.pem"
        pem.write_text(self.authority.certificate.read_text() + self.authority.key.read_text())
        site = snippet("haproxy", CLUSTER)
        site = site.replace("10.0.0.1:12345", f"127.0.0.1:{self.server.port}")
        if self.other:
            site = site.replace("10.0.0.2:12345", f"127.0.0.1:{self.other.port}")
        else:
            site = re.sub(r" +server two .*\n", "", site)
        return self.pointed(site.replace("bind :443", f"bind 127.0.0.1:{self.port}")).replace(
            "/etc/haproxy/chat.example.org.pem", str(pem)
        )

    def command(self):
        return [self.program, "-f", self.config]


def installed(kind):
    absent = pytest.mark.skipif(not kind.program, reason=f"{kind.__name__} is not installed")
    return pytest.param(kind, id=kind.__name__.lower(), marks=absent)


@pytest.fixture
def before(tmp_path, authority):
    """Puts a proxy before a server, and stops it at the end."""
    proxies = []

    def start(kind, server, **replaced):
        proxies.append(kind(server, authority, tmp_path / f"proxy-{len(proxies)}", **replaced))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.finish()


both = pytest.mark.parametrize("kind", [installed(Nginx), installed(Caddy)])
nginx = pytest.mark.parametrize("kind", [installed(Nginx)])
without_caddy = pytest.mark.parametrize("kind", [installed(Nginx), installed(HAProxy)])
haproxy = pytest.mark.parametrize("kind", [installed(HAProxy)])
each = pytest.mark.parametrize("kind", [installed(Nginx), installed(Caddy), installed(HAProxy)])


class From(Raw):
    """A client of the proxy with its own loopback address."""

    def __init__(self, proxy, address):
        self.server, self.buffer = proxy, b""
        plain = socket.create_connection(("127.0.0.1", proxy.port), PATIENCE, (address, 0))
        self.socket = proxy.tls_context().wrap_socket(plain, server_hostname="127.0.0.1")


def broadcast(server, text):
    server.keep_secret(text)
    return json.dumps({"msgType": "Broadcast", "text": text})


def get(proxy, path, **fields):
    """The response; the proxy may keep the connection, so the body is not read."""
    with Raw(proxy) as client:
        client.send(request(path, {"Host": "127.0.0.1", **fields}))
        return client.head()


# ---- Talking -------------------------------------------------------------------------------------


@each
def test_people_meet_through_it(serve, before, kind):
    """Messages of the maximum size in both directions at once, without encryption."""
    server = serve(**settings(), max_bytes_per_second=0)
    proxy = before(kind, server)

    @scenario
    async def talk():
        ana, bob = await join(proxy, "ana"), await join(server, "bob")
        for size in (1, 125, 126, 65000):
            for speaker, listener in ((ana, bob), (bob, ana)):
                heard = await speaker.ask("Broadcast", text="x" * size)
                assert heard == await listener.message()
        await bob.send("PrivateMessage", TgtUser="ana", text="for one")
        assert (await ana.message())["text"] == "for one"
        await ana.send_text("y" * 70000)
        assert (await ana.closed())[0] == 1009

    talk()


@both
@PLAIN_RUN
@pytest.mark.xdist_group("network")
def test_the_page_comes_through_it_and_back(serve, before, kind, chromium):
    server = serve(**settings())
    ana = Person(chromium, before(kind, server))
    try:
        ana.join("ana")
        with Raw(server) as bob:
            bob.join("bob")
            ana.say("through the proxy")
            assert bob.message()["text"] == "through the proxy"
            bob.send_text(broadcast(server, "and back again"))
            ana.sees("and back again", by="bob")
        ana.expect_cut()
        server.signal(signal.SIGTERM)
        server.wait_end()
        ana.wait_link("connecting", "waiting")
        serve(**settings(), server_port=server.port)
        ana.wait_online(RECONNECT)
        assert ana.faults() == []
    finally:
        ana.close()


@nginx
def test_pings_keep_the_silent(serve, before, kind):
    """nginx closes connections silent for proxy_read_timeout; pings prevent that."""
    seconds = int(2 * max(SCALE, 1))
    timeout = {"proxy_read_timeout 120s": f"proxy_read_timeout {seconds}s"}
    often, seldom = serve(ping_interval_seconds=1), serve(ping_interval_seconds=600)
    with Raw(before(kind, seldom, **timeout)) as ana:
        ana.join("ana")
        assert ana.close_code() is None, "cut by nginx"
    with Raw(before(kind, often, **timeout)) as bob:
        bob.join("bob")
        pings = 0
        while pings < 3 * seconds:
            opcode, payload = bob.next_frame()
            pings += opcode == PING
            if opcode == PING:
                bob.send(frame(PONG, payload))
        bob.send_text(broadcast(often, "still here"))
        assert bob.message()["text"] == "still here"


@haproxy
def test_it_finds_nothing_wrong_with_the_page(serve, before, kind):
    proxy = before(kind, serve(**settings()))
    done = subprocess.run(
        [kind.program, "-c", "-f", proxy.config], env=proxy.environment(),
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@haproxy
def test_it_leads_newcomers_to_the_server_that_stays(serve, before, kind):
    """A room has one server, until that one ends: first it answers with 503, then not at all."""
    servers = {name: serve(**settings(), server_name=name) for name in ("one", "two")}
    pair = type("Pair", (kind,), {"other": servers["two"]})
    proxy = before(pair, servers["one"])

    def server_name():
        with Raw(proxy) as client:
            client.upgrade()
            return client.message()["ServerName"]

    with Raw(proxy) as deaf:
        deaf.upgrade()
        first = deaf.message()["ServerName"]
        deaf.send_text(json.dumps({"msgType": "Join", "Name": "deaf", "Password": PASSWORD}))
        assert deaf.message()["msgType"] == "Joined"
        assert {server_name() for _ in range(4)} == {first}
        servers[first].signal(signal.SIGTERM)
        assert deaf.close_code() == 1001
        (other,) = set(servers) - {first}
        assert {server_name() for _ in range(4)} == {other}
    servers[first].wait_end()
    assert server_name() == other


# ---- Who it is -----------------------------------------------------------------------------------


@each
def test_limits_go_by_the_address_behind_it(serve, before, kind):
    """Whatever address a client claims."""
    proxy = before(kind, serve(**settings(), max_clients_per_address=1))
    with contextlib.ExitStack() as stack:
        for address, claimed, status in [
            ("127.0.0.2", None, 101),
            ("127.0.0.3", None, 101),
            ("127.0.0.2", None, 429),
            ("127.0.0.2", "203.0.113.1", 429),
            ("127.0.0.3", "127.0.0.1", 429),
            ("127.0.0.4", "203.0.113.1, ::1", 101),
        ]:
            client = stack.enter_context(From(proxy, address))
            client.send(request("/", {**UPGRADE, "X-Forwarded-For": claimed}))
            assert client.head().status == status, (address, claimed)


@each
def test_the_log_has_the_address_behind_it(serve, before, kind):
    server = serve(**settings(), log_addresses=True)
    with From(before(kind, server), "127.0.0.7") as client:
        client.upgrade(**{"X-Forwarded-For": "203.0.113.1"})
        client.message()
        client.send_text('{"msgType": "Join", "Name": "ana", "Password": "a wrong one"}')
        assert client.message()["Code"] == "wrong_password"
    assert "wrong_password address=127.0.0.7 " in server.log()


@without_caddy
def test_how_it_is_is_nobody_elses_business(serve, before, kind):
    """The proxy's client is itself a trusted proxy, and forwards for another client."""
    proxy = before(kind, serve(**settings()))
    for path in ("/healthz", "/metrics"):
        assert get(proxy, path, **{"X-Forwarded-For": "203.0.113.1"}).status == 404
        assert get(proxy, path).status == 200, "this machine itself"


@nginx
def test_it_is_called_by_the_name_that_it_allows(serve, before, kind):
    named, other = serve(**settings()), serve(trusted_proxies=["127.0.0.1"])
    assert get(before(kind, named), "/", Host=NAME).status == 200
    assert get(before(kind, other), "/", Host=NAME).status == 421


@each
def test_keys_come_through_it_under_the_name_that_it_allows(serve, before, kind):
    """As in docs/OPERATING.md, the proxy's origin is the only one of the server."""
    named, other = serve(**settings()), serve(trusted_proxies=["127.0.0.1"])

    @scenario
    async def talk():
        for server, answers in ((named, ["Joined"]), (other, ["wrong_origin", "Joined"])):
            proxy, ana = before(kind, server), e2e_reference.Person("ana")
            bob, peer = await join(proxy, "bob"), await greeted(proxy)
            peer.origin = f"https://{NAME}"
            await try_join(peer, ana)
            heard = [await peer.message()]
            if heard[0]["msgType"] == "Error":
                heard.append(await peer.ask("Join", Name="ana", Password=PASSWORD))
            assert [message.get("Code", message["msgType"]) for message in heard] == answers
            card = await bob.ask("GetKeys", TgtUser="ana")
            assert card.get("IdentityKey") == (ana.identity_key if server is named else None)

    talk()


@nginx
def test_a_guesser_behind_it_does_not_lock_out_the_others(serve, before, kind):
    """The address behind the proxy counts, and an existing member is judged alone."""
    proxy = before(kind, serve(**settings()))

    @scenario
    async def talk():
        ana = e2e_reference.Person("ana")
        for password in (PASSWORD, *(f"not-the-password-{n}" for n in range(6)), PASSWORD):
            peer = await greeted(proxy)
            peer.origin = f"https://{NAME}"
            if password is PASSWORD:
                await try_join(peer, ana)
                assert (await peer.message())["msgType"] == "Joined"
            else:
                answer = await peer.ask("Join", Name="child", Password=password)
                assert answer["Code"] in ("wrong_password", "throttled")
            await peer.close()
        assert answer["Code"] == "throttled" and answer["RetryAfter"] > 0

    talk()


# ---- Coming and going ----------------------------------------------------------------------------


@both
def test_the_server_restarts_behind_it(serve, before, homes, kind):
    """Members are told, newcomers get a 502 meanwhile, and the members reconnect."""
    server = serve(**settings())
    proxy = before(kind, server)
    trust = ("--ca", str(proxy.authority.folder / "ragnarok-ca.crt"))
    ear = terminal.Listener(proxy, "ear", homes("ear"), *trust)

    @scenario
    async def leave():
        ana = await join(proxy, "ana")
        server.signal(signal.SIGTERM)
        assert (await ana.closed())[0] == 1001

    leave()
    server.wait_end()
    assert get(proxy, "/").status == 502
    server = serve(**settings(), server_port=server.port)
    ear.wait(2, "Joined")

    @scenario
    async def come():
        ana = await join(proxy, "ana")
        await ana.ask("Broadcast", text="here we are again")

    come()
    ear.wait(1)
    assert ear.end()[0] == 0


@both
def test_it_reads_its_settings_again(serve, before, kind):
    """nginx keeps existing connections; the tested Caddy closes them, and clients reconnect."""
    proxy = before(kind, serve(**settings()))

    @scenario
    async def talk():
        ana = await join(proxy, "ana")
        proxy.reload()
        if kind is Caddy:
            await ana.closed()
            ana = await join(proxy, "ana")
        bob = await join(proxy, "bob")
        heard = await ana.ask("Broadcast", text="still here")
        assert heard == await bob.message()

    talk()
