# SPDX-License-Identifier: MIT
"""HTTP end to end, on bare sockets: the handshake of RFC 6455 §4.2, and other requests."""
import base64
import email.utils
import gzip
import hashlib
import os
import re
import socket
import ssl
import subprocess
import time

import pytest

from helpers import LATE, PATIENCE, ROOT, UPGRADE, V2, Raw, request, run, wait_until
from page_files import page_files, served


@pytest.fixture
def server(shared):
    return shared()


def ask(server, data):
    with Raw(server) as client:
        return client.exchange(data)


def assert_safe(response):
    """Checks the security headers of a response."""
    fields = response.fields
    assert fields["x-content-type-options"] == "nosniff"
    assert fields["referrer-policy"] == "no-referrer"
    assert fields["cross-origin-opener-policy"] == "same-origin"
    assert fields["cross-origin-resource-policy"] == "same-origin"
    assert re.match(r"camera=\((self)?\), ", fields["permissions-policy"])
    assert "microphone=()" in fields["permissions-policy"]
    policy = dict(
        part.strip().split(" ", 1) for part in fields["content-security-policy"].split(";")
    )
    for name in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert policy[name] == "'none'"
    assert "unsafe" not in fields["content-security-policy"]
    assert "strict-transport-security" not in fields
    assert fields["connection"].lower().split(", ")[0] in ("close", "keep-alive")


def assert_refused(response, status):
    """A refusal is complete, has a plain-text reason, and ends the connection (RFC 9112 §9.6)."""
    assert response.status == status, response.body
    assert_safe(response)
    assert response.fields["content-type"].startswith("text/plain")
    assert "camera=()" in response.fields["permissions-policy"]
    assert "close" in response.fields["connection"].lower().split(", ")
    assert int(response.fields["content-length"]) == len(response.body)
    assert response.body.startswith(str(status).encode())


def upgrade(target="/", **fields):
    """The request of an opening handshake; `_` in a name stands for `-`."""
    changes = {name.replace("_", "-"): value for name, value in fields.items()}
    return request(target, {**UPGRADE, **changes})


# ---- The handshake -------------------------------------------------------------------------------


def test_handshake_of_rfc6455_4_2_2(shared, tls):
    """The key and the answer are the RFC's own (§1.3)."""
    with Raw(shared(SSL=tls)) as client:
        client.send(upgrade())
        response = client.head()
    assert response.status == 101
    assert response.fields["upgrade"].lower() == "websocket"
    assert response.fields["connection"].lower() == "upgrade"
    assert response.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert "sec-websocket-protocol" not in response.fields
    assert "sec-websocket-extensions" not in response.fields


@pytest.mark.parametrize("offer", [V2, f"chat, {V2}", f"{V2},{V2}.next", f" chat ,\t{V2} "])
def test_subprotocol_is_chosen_rfc6455_4_2_2(server, offer):
    with Raw(server) as client:
        assert client.upgrade(protocol=offer).fields["sec-websocket-protocol"] == V2


@pytest.mark.parametrize("offer", ["chat", V2.upper(), f"{V2}.next", f"x{V2}"])
def test_subprotocol_is_not_guessed_rfc6455_4_2_2(server, offer):
    with Raw(server) as client:
        assert "sec-websocket-protocol" not in client.upgrade(protocol=offer).fields


def test_fields_in_any_case_and_order_rfc6455_4_2_1(server):
    head = (
        b"GET / HTTP/1.1\r\nsec-websocket-KEY:dGhlIHNhbXBsZSBub25jZQ==\r\nHOST: x\r\n"
        b"connection: keep-alive , UPGRADE\r\nsec-websocket-version:  13 \r\n"
        b"upgrade: WebSocket\r\n\r\n"
    )
    with Raw(server) as client:
        client.send(head)
        assert client.head().status == 101


def test_head_byte_by_byte(server):
    with Raw(server) as client:
        for byte in upgrade():
            client.send(bytes([byte]))
        assert client.head().status == 101


@pytest.mark.parametrize("version", ["8", "7, 8", "14", "013", ""])
def test_other_version_is_426_rfc6455_4_4(server, version):
    response = ask(server, upgrade(Sec_WebSocket_Version=version))
    assert_refused(response, 426)
    assert response.fields["sec-websocket-version"] == "13"


@pytest.mark.parametrize(
    "key",
    ["", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ==x", "dGhl", "!" * 22 + "==", None],
)
def test_bad_key_is_400_rfc6455_4_2_1(server, key):
    assert_refused(ask(server, upgrade(Sec_WebSocket_Key=key)), 400)


# ---- Plain requests ------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "CONNECT", "get", "head", "BREW"])
def test_other_method_is_405_rfc9110_15_5_6(server, method):
    with Raw(server) as client:
        client.send(request("/", {"Host": "127.0.0.1"}, method=method))
        response = client.head()
    assert response.status == 405
    assert response.fields["allow"] == "GET, HEAD"
    assert_safe(response)


BAD_HEADS = {
    "no-host-rfc9112-3.2": request("/"),
    "two-hosts-rfc9112-3.2": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "no-version": b"GET /\r\nHost: a\r\n\r\n",
    "two-spaces": b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "space-before-colon-rfc9112-5.1": b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "no-colon": b"GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n",
    "empty-name": b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "folded-rfc9112-5.2": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
    "lone-return-rfc9112-2.2": b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rc\r\n\r\n",
    "not-http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
}


@pytest.mark.parametrize("data", BAD_HEADS.values(), ids=BAD_HEADS.keys())
def test_bad_request_is_400(server, data):
    assert_refused(ask(server, data), 400)


@pytest.mark.parametrize(
    "name",
    ["", "%20", "a%00b", "a%0Ab", "%FF", "a%2", "a%zz", "a/b", "%E2%80%AEa", "a" * 33],
)
def test_room_that_cannot_be_is_404(server, name):
    assert_refused(ask(server, upgrade(f"/rooms/{name}")), 404)


@pytest.mark.parametrize("target,host,status", [("/x", "127.0.0.1", 404), ("/rooms/%00", "127.0.0.1", 404), ("/", "a.example", 421)])
def test_refusal_is_a_page_for_browsers_rfc9110_12_5_1(server, target, host, status):
    """Other programs get plain text; both say the same reason."""
    plain = ask(server, request(target, {"Host": host, "Accept": "*/*"}))
    assert_refused(plain, status)
    page = ask(server, request(target, {"Host": host, "Accept": "text/html,*/*;q=0.8"}))
    assert page.status == status and page.fields["content-type"] == "text/html; charset=utf-8"
    assert_safe(page)
    assert int(page.fields["content-length"]) == len(page.body)
    text = page.body.decode()
    title, reason = plain.body.decode().strip().split(": ", 1)
    assert f"<h1>{title}</h1>" in text and f"<p>{reason}</p>" in text
    assert text.count("<a href=") == 1 and '<a href="/">' in text


@pytest.mark.parametrize("version", ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"])
def test_other_http_version_is_505_rfc9110_15_6_6(server, version):
    assert_refused(ask(server, request("/", {"Host": "127.0.0.1"}, version=version)), 505)


@pytest.mark.parametrize("version", ["HTTP/1.0", "HTTP/1.2", "HTTP/1.9"])
def test_another_minor_version_is_answered_rfc9110_2_5(server, version):
    assert ask(server, request("/", {"Host": "127.0.0.1"}, version=version)).status == 200


@pytest.mark.parametrize("target", ["/", "/nothing", served("icon.svg")])
def test_every_answer_has_a_date_rfc9110_6_6_1(server, target):
    for data in (request(target, {"Host": "127.0.0.1"}), request(target), upgrade()):
        with Raw(server) as client:
            client.send(data)
            date = client.head().fields["date"]
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", date)
        when = email.utils.parsedate_to_datetime(date).timestamp()
        assert -1 - LATE < when - time.time() <= 1


# ---- Bounds of the head --------------------------------------------------------------------------


def test_long_target_is_414(server):
    good = request("/?" + "a" * 2046, {"Host": "127.0.0.1"})
    assert ask(server, good).status == 200
    assert_refused(ask(server, request("/?" + "a" * 2047, {"Host": "127.0.0.1"})), 414)


def test_many_fields_are_431(server):
    fields = {"Host": "127.0.0.1", **{f"X-{number}": "b" for number in range(99)}}
    assert ask(server, request("/", fields)).status == 200
    fields["X-99"] = "b"
    assert_refused(ask(server, request("/", fields)), 431)


def test_long_head_is_431(server):
    empty = len(request("/", {"Host": "127.0.0.1", "X": ""}))
    assert ask(server, request("/", {"Host": "127.0.0.1", "X": "b" * (8192 - empty)})).status == 200
    assert_refused(ask(server, request("/", {"Host": "127.0.0.1", "X": "b" * (8193 - empty)})), 431)


def test_endless_head_is_431_before_its_end(server):
    assert_refused(ask(server, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"b" * 8192), 431)


# ---- The page ------------------------------------------------------------------------------------

WEB = ROOT / "web"
FILES = page_files()
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}


def get(server, path="/", method="GET", **fields):
    """Asks for a path; `_` in a name stands for `-`."""
    changes = {name.replace("_", "-"): value for name, value in fields.items()}
    return ask(server, request(path, {"Host": "127.0.0.1", **changes}, method=method))


def test_page(shared, tls):
    """Every file is served as tools/embed makes it, with its type and the security headers."""
    server = shared(SSL=tls)
    for name in set(FILES) - {"trust.html"}:  # a template: see test_trust_page.py
        response = get(server, f"/{name}")
        assert response.status == 200
        assert response.body == FILES[name].content
        assert int(response.fields["content-length"]) == len(response.body)
        assert response.fields["content-type"] == TYPES[os.path.splitext(name)[1]]
        kept = "public, max-age=31536000, immutable"
        assert response.fields["cache-control"] == ("no-cache" if name == "index.html" else kept)
        digest = hashlib.sha256(response.body).hexdigest()
        assert response.fields["etag"] == f'"{digest[:32]}"'
        assert_safe(response)


def test_page_is_small(server):
    """As a browser receives it: all files together are under 110 kB, and the page is four of them."""
    answers = [get(server, f"/{name}", Accept_Encoding="gzip") for name in FILES]
    assert sum(int(answer.fields["content-length"]) for answer in answers) < 110_000
    assert [re.sub("-[0-9a-f]{12}", "", name) for name in FILES] == [
        "app.js", "icon.svg", "index.html", "manifest.webmanifest", "trust.html",
    ]  # fmt: skip


def test_the_html_has_style_and_words_and_needs_one_script(server):
    """Nobody sees a box without a label before the script has arrived."""
    text = get(server).body.decode()
    join = re.search('<main id="join">.*?</main>', text, re.DOTALL)[0]
    for words in ("Your name</label>", "Password</label>", ">Join</button>", "Pick a name"):
        assert words in join
    assert re.findall('<script[^>]* src="([^"]*)"', text) == [served("app.js")]
    assert "<link rel=\"stylesheet\"" not in text and "<style>" in text


def inline_hashes(text, tag):
    found = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    digests = [hashlib.sha256(content.encode()).digest() for content in found]
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


@pytest.mark.parametrize("path", ["/", "/trust"])
def test_policy_names_what_is_inline_csp_2_3_1(serve, path):
    """Only these styles and scripts, by their hashes; nothing else is inline."""
    response = get(serve(SSL=True), path)
    text = response.body.decode()
    scripts = f"script-src 'self' {inline_hashes(text, 'script')}".strip()
    parts = response.fields["content-security-policy"].split("; ")
    assert f"style-src {inline_hashes(text, 'style')}" in parts
    assert scripts in parts
    assert not re.search(r"<[^>]*\s(style|on\w+)=", text)


@pytest.mark.parametrize(
    "path", ["/", "/?query", "/rooms/tea", "/rooms/caf%C3%A9?x", "/index.html"]
)
def test_page_of_a_room(server, path):
    response = get(server, path)
    assert (response.status, response.body) == (200, FILES["index.html"].content)


def test_page_as_gzip_rfc9110_12_5_3(shared, tls):
    server = shared(SSL=tls)
    for path, name in (("/rooms/tea", "index.html"), (served("app.js"), served("app.js")[1:])):
        plain = get(server, path, Accept_Encoding="br, gzip;q=0")
        packed = get(server, path, Accept_Encoding="gzip, deflate, br, zstd")
        assert "content-encoding" not in plain.fields
        assert packed.fields["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body == FILES[name].content
        assert len(packed.body) < len(plain.body)
        assert packed.fields["etag"] != plain.fields["etag"]
        assert packed.fields["vary"] == plain.fields["vary"] == "Accept-Encoding"


def test_what_is_filled_in_is_never_compressed(shared):
    """A compressed response never contains text of the server or of the request (BREACH)."""
    server = shared(SSL=True)
    response = get(server, "/trust", Accept_Encoding="gzip, deflate, br, identity;q=0")
    assert response.status == 200 and response.body.startswith(b"<!doctype html>")
    assert "content-encoding" not in response.fields and "vary" not in response.fields


def test_page_that_has_not_changed_is_304_rfc9110_13_1_2(shared, tls):
    server = shared(SSL=tls)
    for coding in ("gzip", None):
        whole = get(server, "/", Accept_Encoding=coding)
        tag = whole.fields["etag"]
        for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            response = get(server, "/", Accept_Encoding=coding, If_None_Match=known)
            assert (response.status, response.body) == (304, b"")
            assert response.fields["etag"] == tag
            assert response.fields["vary"] == "Accept-Encoding"
            assert_safe(response)
        for strange in ('"x"', tag.strip('"'), tag[:-1], ""):
            response = get(server, "/", Accept_Encoding=coding, If_None_Match=strange)
            assert (response.status, response.body) == (200, whole.body)


@pytest.mark.parametrize("path", ["/", "/rooms/tea", "/nothing", "/rooms/"])
def test_head_has_no_body_rfc9110_9_3_2(shared, tls, path):
    server = shared(SSL=tls)
    got, head = get(server, path), get(server, path, method="HEAD")
    for response in (got, head):
        assert response.fields.pop("date")  # a second may have passed between the two
    assert (head.status, head.fields, head.body) == (got.status, got.fields, b"")
    assert int(head.fields["content-length"]) == len(got.body) > 0


def test_bad_head_is_refused_without_body(server):
    response = ask(server, b"HEAD / HTTP/1.1\r\nHost : a\r\n\r\n")
    assert (response.status, response.body) == (400, b"")


TRICKS = [
    "//",
    "//index.html",
    "/./index.html",
    "/index.html/",
    "/index.html%00",
    "/index.html%00.js",
    "/INDEX.HTML",
    "/%69ndex.html",
    "/web/index.html",
    "/../config.json",
    "/%2e%2e/config.json",
    "/..%2fconfig.json",
    "/..\\config.json",
    "/rooms/../config.json",
    "/rooms/..%2f..%2fconfig.json/",
    "/config.json",
    "/self-signed.pem",
    "/self-signed.crt",
    "//etc/passwd",
    "/etc/passwd",
    "/rooms",
    "/.",
    "/..",
]


@pytest.mark.parametrize("rooted", [False, True], ids=["built-in", "web-root"])
def test_nothing_of_the_file_system_is_reachable(serve, rooted):
    server = serve(SSL=True, arguments=["--web-root", str(WEB)] if rooted else [])
    for path in TRICKS:
        response = get(server, path)
        assert_refused(response, 404)
        assert b"PRIVATE KEY" not in response.body and b"root:" not in response.body
    with Raw(server) as client:
        client.send(b"GET /index.html\0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert client.head().status == 400


def test_version_lists_the_page_as_sha256sum_does(tmp_path):
    said = run("--version", folder=tmp_path).stdout
    expected = [
        f"{hashlib.sha256(file.content).hexdigest()}  {name}" for name, file in FILES.items()
    ]
    assert said.split("\n")[-len(expected) - 1 : -1] == expected


def test_embed_writes_what_is_served(tmp_path, server):
    """So that everybody can compare the page of a server with its source."""
    folder = tmp_path / "page"
    folder.mkdir()
    command = [ROOT / "tools" / "embed", ROOT / "web", folder]
    subprocess.run(command, check=True, timeout=PATIENCE)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    assert get(server, served("app.js")).body == (folder / served("app.js")[1:]).read_bytes()


def test_web_root_serves_what_is_there_now(serve, tmp_path):
    root = tmp_path / "page"
    root.mkdir()
    (root / "config.json").write_text("not a file of the page")
    server = serve(arguments=["--web-root", str(root)])
    assert_refused(get(server), 404)
    for text in ("one", "<p>another, longer one"):
        (root / "index.html").write_text(text)
        response = get(server, Accept_Encoding="gzip")
        assert (response.status, response.body) == (200, text.encode())
        again = get(server, If_None_Match=response.fields["etag"])
        assert (again.status, again.body) == (304, b"")
    assert_refused(get(server, "/config.json"), 404)
    (root / "index.html").unlink()
    (root / "index.html").symlink_to(server.config)
    assert_refused(get(server), 404)


def test_web_root_that_is_none_ends_the_start(serve, tmp_path):
    server = serve()
    done = run("-c", str(server.config), "--web-root", str(tmp_path / "no"), folder=tmp_path)
    assert done.returncode == 1
    assert "--web-root" in done.stderr and "No such file" in done.stderr


# ---- Slow readers --------------------------------------------------------------------------------


LARGE = 1024 * 1024  # the maximum file size with --web-root


@pytest.fixture
def large(serve, tls, tmp_path):
    """A server with a large page, and small limits that do not apply to it."""
    root = tmp_path / "page"
    root.mkdir()
    (root / "index.html").write_bytes(b"x" * LARGE)
    limits = {"max_message_bytes": 256, "room_buffer_bytes": 16384}
    return serve(SSL=tls, max_clients=1, arguments=["--web-root", str(root)], **limits)


def is_free(server):
    """Whether the server's only slot is free; otherwise it answers 503."""
    return get(server, "/nothing").status == 404


def test_a_slow_line_gets_the_page_whole(large):
    """A peer that reads slowly but steadily may take longer than the limit for silent peers."""
    with Raw(large, receive_buffer=4096) as client:
        begin = time.monotonic()
        client.send(request("/", {"Host": "127.0.0.1"}))
        length = int(client.head().fields["content-length"])
        body = client.buffer
        while len(body) < length:
            data = client.socket.recv(16384)
            assert data, f"cut off after {len(body)} bytes"
            body += data
            pace = begin + 7 * len(body) / length
            while time.monotonic() < pace:  # the line is this slow
                time.sleep(0.01)
        assert body == b"x" * LARGE
        assert time.monotonic() - begin > 5
    wait_until(lambda: is_free(large), "the place to be given back")


def test_a_peer_that_reads_nothing_is_closed_in_time(large):
    with Raw(large, receive_buffer=4096) as client:
        begin = time.monotonic()
        client.send(request("/", {"Host": "127.0.0.1"}))
        wait_until(lambda: is_free(large), "the place to be given back", 7 + LATE)
        assert time.monotonic() - begin > 4, "it had a chance"
        with pytest.raises((ConnectionError, ssl.SSLError, AssertionError)):
            assert len(client.read_to_end()) > LARGE, "what it did not take is gone, too"


@pytest.mark.parametrize("tls", [False], ids=["plain"])
def test_a_peer_that_reads_hardly_anything_is_closed_in_time(large):
    """Reading slowly does not extend the deadline indefinitely."""
    with Raw(large, receive_buffer=4096) as client:
        begin = time.monotonic()
        client.send(request("/", {"Host": "127.0.0.1"}))

        def sip():
            time.sleep(0.5)  # the line is this slow
            return client.receive() == b"" or is_free(large)

        wait_until(sip, "the place to be given back", 33 + LATE)
        assert time.monotonic() - begin > 25, "it had a chance"


# ---- Names of this server ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:81", "[::1]", "localhost", "a.localhost", "pc.local."]
)
def test_own_names_are_answered(server, host):
    assert get(server, Host=host).status == 200
    assert answered(server, Host=host, Origin=f"http://{host}") == 101


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil", ""])
def test_a_strangers_name_is_421_rfc9110_15_5_20(shared, tls, host):
    """DNS rebinding: to a browser this is the origin of the page that it came from."""
    server = shared(SSL=tls)
    response = get(server, Host=host)
    assert_refused(response, 421)
    assert b"allowed_origins" in response.body
    origin = f"{'https' if tls else 'http'}://{host}"
    assert_refused(ask(server, upgrade(Host=host, Origin=origin)), 421)
    assert answered(server, Host=host) == 101, "a program that is no browser may call us anything"


def test_names_of_allowed_origins_are_answered(serve):
    server = serve(allowed_origins=["https://chat.example"])
    assert get(server, Host="chat.example:81").status == 200
    assert answered(server, Host="chat.example", Origin="https://chat.example") == 101
    assert get(server, Host="other.example").status == 421


def test_names_of_the_certificate_are_answered(serve, tmp_path):
    """A trusted certificate, for a name that this machine also has in its own network."""
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    subject = [
        "-subj",
        "/CN=x",
        "-addext",
        "subjectAltName=DNS:chat.example,DNS:*.a.example,IP:127.0.0.1",
    ]
    files = ["-keyout", str(tmp_path / "k.pem"), "-out", str(tmp_path / "c.crt")]
    subprocess.run(
        [*make.split(), *subject, *files], check=True, capture_output=True, timeout=PATIENCE
    )
    server = serve(SSL=True, SSL_Cert=str(tmp_path / "c.crt"), SSL_Key=str(tmp_path / "k.pem"))
    assert get(server, Host="chat.example:81").status == 200
    assert get(server, Host="b.a.example").status == 200
    assert get(server, Host="example").status == 421
    assert get(server, Host="x").status == 421


# ---- Origin --------------------------------------------------------------------------------------


def answered(server, **fields):
    with Raw(server) as client:
        client.send(upgrade(**fields))
        return client.head().status


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1.evil.example"]
)
def test_foreign_origin_is_403_rfc6455_10_2(server, origin):
    assert_refused(ask(server, upgrade(Origin=origin)), 403)


def test_own_origin_and_none_are_welcome_rfc6455_10_2(shared, tls):
    server = shared(SSL=tls)
    host, scheme = f"127.0.0.1:{server.port}", "https" if tls else "http"
    assert answered(server, Host=host) == 101
    assert answered(server, Host=host, Origin=f"{scheme}://{host}") == 101
    assert answered(server, Host=host, Origin=f"{scheme}://127.0.0.1:1") == 403


def test_allowed_origins(serve):
    server = serve(allowed_origins=["https://chat.example"])
    assert answered(server, Origin="https://chat.example") == 101
    assert answered(server, Origin="https://other.example") == 403
    assert answered(serve(allowed_origins=["*"]), Origin="https://other.example") == 101


def test_foreign_origin_may_read_the_page(server):
    fields = {"Host": "127.0.0.1", "Origin": "http://other.example"}
    assert ask(server, request("/", fields)).status == 200


# ---- TLS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/rooms/caf%C3%A9", "/icon.svg"])
def test_plain_http_on_the_tls_port_is_sent_to_https(shared, path):
    """An address typed without https:// is redirected, also a proxy's request in absolute-form."""
    server = shared(SSL=True)
    place = f"127.0.0.1:{server.port}"
    for target in (path, f"http://{place}{path}"):
        with Raw(server, tls=False) as client:
            response = client.exchange(request(target, {"Host": place}))
        assert_refused(response, 307)
        assert response.fields["location"] == f"https://{place}{path}"
        assert response.fields["cache-control"] == "no-store"


def test_plain_http_byte_by_byte_on_the_tls_port(serve):
    server = serve(SSL=True)
    with Raw(server, tls=False) as client:
        for byte in request("/x", {"Host": "a:1"}, method="HEAD"):
            client.send(bytes([byte]))
        response = client.head()
        assert client.ended()
    assert (response.status, response.fields["location"]) == (307, "https://a:1/x")


@pytest.mark.parametrize("data", [upgrade(), b"GET / HTTP/1.0\r\n\r\n"], ids=["ws", "no-host"])
def test_plain_request_that_cannot_be_sent_on_gets_a_hint(shared, data):
    with Raw(shared(SSL=True), tls=False) as client:
        response = client.exchange(data)
    assert_refused(response, 400)
    assert b"wss://" in response.body


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions(shared, version):
    """TLS 1.2 gets no session tickets: there the key of a ticket opens what was said."""
    server = shared(SSL=True)
    context = server.tls_context()
    context.minimum_version = context.maximum_version = version
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(request("/", {"Host": "localhost"}))
            assert client.recv(16).startswith(b"HTTP/1.1 200")
            assert client.session.has_ticket == (version == ssl.TLSVersion.TLSv1_3)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_old_tls_is_refused(shared):
    server = shared(SSL=True)
    context = server.tls_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as plain:
        with pytest.raises(ssl.SSLError, match="(?i)version"):
            context.wrap_socket(plain, server_hostname="localhost")


def test_nonsense_on_the_tls_port_ends_that_connection_only(serve):
    server = serve(SSL=True)
    with Raw(server, tls=False) as client:
        client.send(b"\x00\xff" * 100)
        client.read_to_end()
    assert ask(server, request("/", {"Host": "127.0.0.1"})).status == 200
