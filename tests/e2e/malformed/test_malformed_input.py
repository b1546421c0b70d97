# SPDX-License-Identifier: MIT
"""Tables of malformed input: ambiguous requests, paths to the disk, deceptive names, and JSON that is
almost a message.

Each row has the expected outcome, and after each the canaries are checked.
"""
import json
import re
import shutil
import struct
import unicodedata

import pytest

import helpers
from helpers import CLOSE, PASSWORD, TEXT, UPGRADE, Raw, frame, request, steady, wait_until
from page_files import served

HOST = "127.0.0.1"
UNLIMITED = {
    "max_clients_per_address": 0,
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "max_rooms": 1000,
    "ping_interval_seconds": 600,
}

# ---- Request smuggling (RFC 9112 §11.2) ----------------------------------------------------------

BEHIND = request(served("icon.svg"), {"Host": HOST})  # must never be taken for a request
HELLO = b"5\r\nhello\r\n0\r\n\r\n"


def head(*lines, first="GET / HTTP/1.1", host=True, end="\r\n"):
    """A request head of these lines, as they are."""
    fields = [f"Host: {HOST}"] if host else []
    return end.join([first, *fields, *lines, "", ""]).encode("latin-1")


def handshake(*lines, first="GET / HTTP/1.1", **changes):
    fields = {name: value for name, value in {**UPGRADE, **changes}.items() if value is not None}
    return head(*[f"{name}: {value}" for name, value in fields.items()], *lines,
                first=first, host=False)  # fmt: skip


# Headers that announce a body in ambiguous ways.
LENGTHS = {
    "plain": ("Content-Length: 5", 400),
    "as long as the request behind": (f"Content-Length: {len(BEHIND)}", 400),
    "zero": ("Content-Length: 0", 200),
    "zero in blanks": ("Content-Length: \t 0\t ", 200),
    "zero twice": ("Content-Length: 0\r\nContent-Length: 0", 200),
    "zero, then five": ("Content-Length: 0\r\nContent-Length: 5", 400),
    "five, then zero": ("Content-Length: 5\r\nContent-Length: 0", 400),
    "list of zeros": ("Content-Length: 0, 0", 400),
    "list": ("Content-Length: 0,5", 400),
    "empty": ("Content-Length:", 400),
    "plus": ("Content-Length: +5", 400),
    "plus zero": ("Content-Length: +0", 400),
    "minus": ("Content-Length: -1", 400),
    "minus zero": ("Content-Length: -0", 400),
    "two zeros": ("Content-Length: 00", 400),
    "leading zero": ("Content-Length: 05", 400),
    "hexadecimal": ("Content-Length: 0x5", 400),
    "exponent": ("Content-Length: 0e1", 400),
    "fraction": ("Content-Length: 0.0", 400),
    "quoted": ('Content-Length: "0"', 400),
    "2^32": ("Content-Length: 4294967296", 400),
    "2^64": ("Content-Length: 18446744073709551616", 400),
    "with a word": ("Content-Length: 0 bytes", 400),
    "vertical tab": ("Content-Length: \v0", 400),
    "no-break space": ("Content-Length: \xa00", 400),
    "capitals": ("CONTENT-LENGTH: 5", 400),
    "small": ("content-length:5", 400),
    "space before the colon": ("Content-Length : 5", 400),
    "tab before the colon": ("Content-Length\t: 5", 400),
    "space before the name": (" Content-Length: 5", 400),
    "tab before the name": ("\tContent-Length: 5", 400),
    "NUL in the name": ("Content-Length\0: 5", 400),
    "another name": ("Content_Length: 5", 200),
    "folded": ("Content-Length:\r\n 5", 400),
    "behind a lone LF": ("X: a\nContent-Length: 5", 400),
    "behind a lone CR": ("X: a\rContent-Length: 5", 400),
    "behind a NUL": ("X: a\0Content-Length: 5", 400),
    "behind two CR": ("X: a\r\r\nContent-Length: 5", 400),
    "ended by LF": ("Content-Length: 5\nX: a", 400),
}
CODINGS = {
    "plain": ("Transfer-Encoding: chunked", 400),
    "identity": ("Transfer-Encoding: identity", 400),
    "empty": ("Transfer-Encoding:", 400),
    "tab": ("Transfer-Encoding:\tchunked", 400),
    "capitals": ("TRANSFER-ENCODING: CHUNKED", 400),
    "list": ("Transfer-Encoding: gzip, chunked", 400),
    "chunked, then identity": ("Transfer-Encoding: chunked, identity", 400),
    "twice": ("Transfer-Encoding: x\r\nTransfer-Encoding: chunked", 400),
    "misspelt": ("Transfer-Encoding: xchunked", 400),
    "quoted": ('Transfer-Encoding: "chunked"', 400),
    "parameter": ("Transfer-Encoding: chunked;q=1", 400),
    "vertical tab": ("Transfer-Encoding: \vchunked", 400),
    "space before the colon": ("Transfer-Encoding : chunked", 400),
    "space before the name": (" Transfer-Encoding: chunked", 400),
    "folded": ("Transfer-Encoding:\r\n chunked", 400),
    "folded into another": ("X: a\r\n\tTransfer-Encoding: chunked", 400),
    "behind a lone LF": ("X: a\nTransfer-Encoding: chunked", 400),
    "behind a lone CR": ("X: a\rTransfer-Encoding: chunked", 400),
    "high byte in the name": ("Transfer-Encoding\x80: chunked", 400),
    "another name": ("Transfer_Encoding: chunked", 200),
    "CL.TE": ("Content-Length: 0\r\nTransfer-Encoding: chunked", 400),
    "TE.CL": ("Transfer-Encoding: chunked\r\nContent-Length: 0", 400),
    "TE": ("TE: trailers, chunked", 200),
    "Trailer": ("Trailer: Content-Length", 200),
    "Expect": ("Expect: 100-continue", 200),
    "Expect with a length": ("Expect: 100-continue\r\nContent-Length: 5", 400),
    "Connection names a field": ("Connection: Content-Length, keep-alive", 200),
    "keep-alive": ("Connection: keep-alive\r\nKeep-Alive: timeout=60", 200),
}

# The first line, or bytes before it.
FIRST = {
    "two spaces": ("GET  / HTTP/1.1", 400),
    "space behind": ("GET / HTTP/1.1 ", 400),
    "space before": (" GET / HTTP/1.1", 400),
    "tabs": ("GET\t/\tHTTP/1.1", 400),
    "vertical tab": ("GET /\v HTTP/1.1", 400),
    "ended by LF": ("GET / HTTP/1.1\nX: a", 400),
    "LF before": ("\nGET / HTTP/1.1", 400),
    "an empty line before": ("\r\nGET / HTTP/1.1", 200),
    "two empty lines before": ("\r\n\r\nGET / HTTP/1.1", 400),
    "no version": ("GET /", 400),
    "small version": ("GET / http/1.1", 400),
    "HTTP/1.10": ("GET / HTTP/1.10", 400),
    "HTTP/01.1": ("GET / HTTP/01.1", 400),
    "HTTP/1.2": ("GET / HTTP/1.2", 200),
    "HTTP/2.0": ("GET / HTTP/2.0", 505),
    "HTTP/1.0": ("GET / HTTP/1.0\r\nConnection: keep-alive", 200),
    "HTTP/2 preface": ("PRI * HTTP/2.0", 405),
    "two requests in one": ("GET / HTTP/1.1 GET /style.css HTTP/1.1", 400),
    "fragment": ("GET /#/style.css HTTP/1.1", 400),
    "asterisk": ("GET * HTTP/1.1", 400),
    "authority": ("GET 127.0.0.1:80 HTTP/1.1", 400),
    "relative": ("GET style.css HTTP/1.1", 400),
    "absolute": ("GET http://127.0.0.1/ HTTP/1.1", 200),
    "absolute, a stranger's": ("GET http://evil.example/ HTTP/1.1", 421),
    "absolute, user information": ("GET http://127.0.0.1@evil.example/ HTTP/1.1", 400),
    "absolute, no host": ("GET http:/// HTTP/1.1", 400),
    "another scheme": ("GET file:///etc/passwd HTTP/1.1", 400),
    "POST": ("POST / HTTP/1.1\r\nContent-Length: 5", 405),
    "POST in chunks": ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked", 405),
    "CONNECT": ("CONNECT 127.0.0.1:22 HTTP/1.1", 405),
    "TRACE": ("TRACE / HTTP/1.1", 405),
    "small method": ("get / HTTP/1.1", 405),
    "NUL in the method": ("GE\0T / HTTP/1.1", 400),
}
HOSTS = {
    "none": ([], 400),
    "the same twice": ([HOST, HOST], 400),
    "two": ([HOST, "evil.example"], 400),
    "list": ([f"{HOST}, evil.example"], 400),
    "NUL": ([f"{HOST}\0.evil.example"], 400),
    "user information": ([f"{HOST}@evil.example"], 400),
    "path": ([f"{HOST}/evil"], 400),
    "two ports": ([f"{HOST}:80:80"], 400),
    "port too large": ([f"{HOST}:65536"], 400),
    "port is a word": ([f"{HOST}:http"], 400),
    "a stranger's": (["evil.example"], 421),
    "empty": ([""], 421),
}
HANDSHAKES = {
    "another version": (handshake(**{"Sec-WebSocket-Version": "12"}), 426),
    "version twice": (handshake("Sec-WebSocket-Version: 13"), 400),
    "bad key": (handshake(**{"Sec-WebSocket-Key": "short"}), 400),
    "key twice": (handshake("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400),
    "no Connection": (handshake(Connection=None), 400),
    "no Upgrade": (handshake(Upgrade=None), 400),
    "with a length": (handshake("Content-Length: 5"), 400),
    "in chunks": (handshake("Transfer-Encoding: chunked"), 400),
    "POST": (handshake(first="POST / HTTP/1.1"), 405),
    "HEAD": (handshake(first="HEAD / HTTP/1.1"), 400),
    "HTTP/1.0": (handshake(first="GET / HTTP/1.0"), 400),
    "h2c": (head("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA"),
            200),
}  # fmt: skip

SMUGGLED = {
    **{f"length, {name}": (head(line), status) for name, (line, status) in LENGTHS.items()},
    **{f"coding, {name}": (head(line), status) for name, (line, status) in CODINGS.items()},
    **{f"line, {name}": (head(first=line), status) for name, (line, status) in FIRST.items()},
    **{
        f"host, {name}": (head(*[f"Host: {host}" for host in hosts], host=False), status)
        for name, (hosts, status) in HOSTS.items()
    },
    **{f"handshake, {name}": row for name, row in HANDSHAKES.items()},
    "head, with a length": (head("Content-Length: 5", first="HEAD / HTTP/1.1"), 400),
    "every line ended by LF": (head("X: a", end="\n"), 400),
    "every line ended by CR": (head("X: a", end="\r"), 400),
}


def smuggle(server, data):
    """Sends a request followed by no request and others. Returns the status; there is exactly one
    complete answer, perhaps one 400 for what is no request, and then the connection is closed
    (RFC 9112 §9.6)."""
    bodiless = data.startswith(b"HEAD")
    with Raw(server) as client:
        response = last = client.answer(data + HELLO + BEHIND + BEHIND, bodiless)
        if response.fields["connection"] == "keep-alive":
            last = client.answer(b"")
            assert last.status == 400
        assert client.read_to_end() == b""
    assert last.fields["connection"].lower().split(", ")[0] == "close"
    return response.status


def test_no_request_is_smuggled(serve, tls):
    """The status is exactly this, and nothing after the head is taken for a second request."""
    assert len(SMUGGLED) >= 60
    server = serve(SSL=tls, **UNLIMITED)
    wrong = {}
    with steady(server) as canaries:
        for name, (data, status) in SMUGGLED.items():
            found = smuggle(server, data)
            if found != status:
                wrong[name] = (found, status)
            canaries.check(name)
    assert not wrong, wrong
    assert smuggle(server, head()) == 200


def test_no_request_is_smuggled_behind_an_upgrade(serve, tls):
    """After the 101 only frames are accepted: the G of GET has a reserved bit set."""
    server = serve(SSL=tls)
    with steady(server), Raw(server) as client:
        client.send(handshake() + BEHIND)
        assert client.head().status == 101
        opcode, payload = client.next_frame()
        assert (opcode, struct.unpack("!H", payload[:2])[0]) == (CLOSE, 1002)
        assert client.ended()


# ---- Paths and the disk --------------------------------------------------------------------------

CLIMBS = [
    "/" + climb * 6 + target
    for climb in ("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "....//", "..;/",
                  "..%252f", "%c0%ae%c0%ae/", "..%c0%af", "..%00/", ".%2e/", "%uff0e%uff0e/")
    for target in ("etc/passwd", "config.json")
]  # fmt: skip
PLACES = [
    "/config.json",
    "/self-signed.pem",
    "/self-signed.crt",
    "/ragnarok-ca.pem",
    "/web/index.html",
    "/.git/HEAD",
    "/.htaccess",
    "/proc/self/environ",
    "/dev/null",
    "//etc/passwd",
    "/etc/passwd",
    "/~root/",
    "/index.html/",
    "/index.html%00",
    "/index.html%00.css",
    "/index.html.",
    "/index.html::$DATA",
    "/INDEX.HTML",
    "/%69ndex.html",
    "/./index.html",
    "//index.html",
    "/style.css/../index.html",
    "/rooms/../config.json",
    "/rooms/..%2f..%2fconfig.json/",
    "/rooms",
    "/.",
    "/..",
]
FILE_CALL = re.compile(r"^\d+ +(\w+)\(", re.MULTILINE)


@pytest.fixture
def traced(serve, monkeypatch, tmp_path):
    """Starts a server under strace, which logs its system calls on files."""
    calls = tmp_path / "strace.log"
    # -D: the server stays this process's child, so that signals and exit status are its own
    strace = ["strace", "-D", "-f", "-qq", "-e", "trace=%file", "-o", str(calls)]
    monkeypatch.setattr(helpers, "COMMAND", [*strace, *helpers.COMMAND])

    def start(**changes):
        server = serve(SSL=True, **changes)
        server.calls = lambda: FILE_CALL.findall(calls.read_text())
        return server

    return start


def get(server, path):
    with Raw(server) as client:
        response = client.exchange(request(path, {"Host": HOST}))
        return response.status, response.body


needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
without_leaks = pytest.mark.plain_run("LeakSanitizer cannot run under strace")


@needs_strace
@without_leaks
def test_no_path_reaches_the_disk(traced):
    """Once it listens, the server makes no system call that names a file."""
    server = traced(**UNLIMITED)
    begun = len(server.calls())
    assert begun > 10, "its start was seen"
    wrong = {}
    with steady(server) as canaries:
        for path in [*CLIMBS, *PLACES]:
            status, body = get(server, path)
            if status not in (400, 404) or b"PRIVATE KEY" in body or b"root:" in body:
                wrong[path] = status
            canaries.check(path)
    assert not wrong, wrong
    assert get(server, "/")[0] == get(server, served("icon.svg"))[0] == 200
    with Raw(server) as client:
        client.join("ana", "/rooms/..%20..")
    assert server.calls()[begun:] == []


@needs_strace
@without_leaks
def test_strace_would_see_it(traced):
    """The same list holds the page's file where it is read at each request."""
    server = traced(arguments=["--web-root", str(helpers.ROOT / "web")], **UNLIMITED)
    begun = len(server.calls())
    assert get(server, "/index.html")[0] == 200
    wait_until(lambda: "openat" in server.calls()[begun:], "the page to be opened")


# ---- Names ---------------------------------------------------------------------------------------

IN, BAD, TAKEN = "Joined", "bad_name", "name_taken"
WOLF = "\U0001f43a"


def each(verdict, names, form="{}"):
    return [(form.format(name), verdict) for name in names]


def between(first, last):
    return [chr(code) for code in range(first, last + 1)]


def alike(*names):
    """The first one gets in; the others have the same fold."""
    return [(names[0], IN), *each(TAKEN, names[1:])]


def different(*names):
    """They look alike, but differ in Unicode: each is accepted (see lib/name.c)."""
    return each(IN, names)


# Each name tries to join the room; all names accepted before are still there.
NAMES = [
    # Control characters: C0, DEL, C1
    *each(BAD, between(0x00, 0x1F), "a{}b"),
    *each(BAD, between(0x7F, 0x9F), "a{}b"),
    *each(BAD, ["\t", "\n", "\0", "\x1b[31mred", "a\r\nb", "name\n"]),
    # Bidirectional controls
    *each(BAD, between(0x202A, 0x202E), "a{}b"),
    *each(BAD, between(0x2066, 0x2069), "a{}b"),
    *each(BAD, ["\u200e", "\u200f", "\u061c"], "a{}b"),
    *each(BAD, ["\u202e" + "ana", "ana\u202c", "\u2067ana\u2069", "gro.\u202eelpmaxe"]),
    # Zero width, fillers, tags, variation selectors and other blanks
    *each(BAD, ["\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e"],
          "a{}b"),
    *each(BAD, ["\u115f", "\u1160", "\u3164", "\uffa0", "\u2800", "\u17b4", "\u17b5"], "a{}b"),
    *each(BAD, between(0x2061, 0x2064), "a{}b"),
    *each(BAD, between(0x206A, 0x206F), "a{}b"),
    *each(BAD, ["\ufe0e", "\ufe0f", "\U000e0100", "\U000e0061", "\U000e007f", "\U0001d173"], "a{}"),
    *each(BAD, ["\u200b", "\u3164", "\u2800", "\ufeff", "\u200d\u200d"]),
    # Separators, private use, not assigned, not characters
    *each(BAD, ["\u2028", "\u2029", "\ue000", "\uf8ff", "\U000f0000", "\U0010fffd"], "a{}b"),
    *each(BAD, ["\u0378", "\ufdd0", "\ufffe", "\uffff", "\U0001fffe", "\U0010ffff"], "a{}b"),
    # White space at an end, or nothing else
    *each(BAD, [" ", "  ", "\u00a0", "\u1680", "\u2003", "\u202f", "\u205f", "\u3000"]),
    *each(BAD, [" ", "\u00a0", "\u2009", "\u3000"], "{}ana"),
    *each(BAD, [" ", "\u00a0", "\u2009", "\u3000"], "ana{}"),
    *each(IN, ["in the middle", "two  spaces", "no\u00a0break"]),
    # A combining mark without a base
    *each(BAD, ["\u0301", "\u0308a", "\u20dd", "\u0903", "\u0e34\u0e01"]),
    # Length: 1 to 32 characters, which are code points
    ("", BAD),
    *each(IN, ["x", WOLF, "y" * 32, WOLF * 32, "\u00e9" * 32, "e\u0301" * 16]),
    *each(BAD, ["y" * 33, WOLF * 33, "\u00e9" * 33, "e\u0301" * 16 + "e", "y" * 128, "y" * 4000]),
    *each(BAD, ["y" * 32 + " ", "y" * 32 + "\u0301", WOLF * 1000]),
    # Case
    *alike("Bob", "bob", "BOB", "bOb"),
    *alike("Straße", "STRASSE", "strasse", "STRAẞE"),
    *alike("Σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"),
    *alike("Жанна", "жанна", "ЖАННА"),
    *alike("ǆ", "Ǆ", "ǅ", "dž"),
    *alike("ŉ", "ʼn"),
    *different("ilker", "\u0131lker"),
    *alike("\u0130lker", "i\u0307lker"),
    # Composed and decomposed (NFC, NFD), and what Unicode calls compatible (NFKC)
    *alike("caf\u00e9", "cafe\u0301", "CAFE\u0301"),
    *alike("\u00c5sa", "A\u030asa", "\u212bsa", "\u00e5sa"),
    *alike("\ud55c\uae00", "\u1112\u1161\u11ab\u1100\u1173\u11af"),
    *alike("\u1e69", "s\u0323\u0307", "s\u0307\u0323"),
    *alike("fine", "\ufb01ne", "\uff46\uff49\uff4e\uff45", "\U0001d41fine", "FINE", "f\u2071ne"),
    *alike("3", "\uff13", "\u00b3", "\u2462", "\U0001d7db"),
    *alike("\u30ab\u30bf", "\uff76\uff80"),
    *alike("\u03a9", "\u2126", "\u03c9"),
    *alike("K", "\u212a", "k", "\uff2b"),
    *alike("viii", "\u2177", "VIII", "\u2167"),
    *alike("a b", "a\u00a0b", "a\u3000b", "A B"),
    *alike("1/2", "\uff11\uff0f\uff12"),
    # Letters of different scripts
    *different("paul", "\u0440aul", "p\u0430ul", "\u0440\u0430ul", "\u03c1aul"),
    *different("scope", "\u0455cope", "sc\u043epe", "\u0455\u0441\u043e\u0440\u0435"),
    *different("Omar", "0mar", "\u041emar", "\u039fmar"),
    *different("lea", "1ea", "\u04c0ea", "|ea"),
    *different("rn", "m", "vv", "w"),
    # No name is reserved: the server's own messages have no SrcUser. These are words that mean
    # something to programs
    *each(IN, ["Server", "server_name", "Ks", "System", "admin", "root", "everyone", "@all", "me"]),
    *each(IN, ["null", "undefined", "true", "NaN", "None", "0", "-1", "1e9", "[]", "{}", '"',
               "\\"]),
    *each(IN, ["__proto__", "constructor", "toString", "hasOwnProperty", "prototype", "length"]),
    *each(IN, ["<b>", "</script>", "&amp;", "' OR 1=1 --", "$(id)", "`id`", "%s%n", "%00", "${x}"]),
    *each(IN, ["../..", "/", ".", "..", "con", "NUL", "a/b", "a\\b", "-rf", "--help", "#1", ";",
               ":"]),
    *each(IN, ["\u05d0\u05d1", "\u0639\u0644\u064a", "\u0939\u093f", "\u0e01\u0e34",
               "\u5c71\u7530"]),
    *each(IN, ["\ufffd", "\u2665", "\u00bf", "\u20ac", "\U0001d11e", "\U0001f468",
               "e\u0301\u0302"]),
]  # fmt: skip


def try_name(client, name):
    """Tries to join by this name; returns the outcome."""
    client.send_text(json.dumps({"msgType": "Join", "Password": PASSWORD, "Name": name}))
    answer = client.message()
    return answer.get("Code", answer["msgType"])


def test_names(serve):
    """A refusal has a reason and allows a retry; an accepted name is listed exactly as given."""
    assert len(NAMES) >= 200
    server = serve(SSL=False, **UNLIMITED)
    members, wrong = [], []
    with steady(server) as canaries:
        for number, (name, verdict) in enumerate(NAMES):
            stranger = Raw(server)
            stranger.upgrade()
            stranger.message()
            found = try_name(stranger, name)
            if found != verdict:
                codes = [unicodedata.name(c, hex(ord(c))) for c in name]
                wrong.append((number, codes, found, verdict))
            if found == IN:
                members.append(stranger)
            else:
                assert try_name(stranger, f"honest {number}") == IN
                stranger.socket.close()
            canaries.check(f"name {number}", kept=len(members))
        assert not wrong, wrong
        assert sorted(name for name, verdict in NAMES if verdict == IN) == sorted(online(server))
        for member in members:
            member.socket.close()


def online(server):
    """The users after the refused ones have gone, as seen by a newcomer."""

    def look():
        with Raw(server) as client:
            client.upgrade()
            client.message()
            assert try_name(client, "who looks") == IN
            users = json.loads(client.next_frame()[1])["Users"]
            client.send(frame(CLOSE, b"\x03\xe8"))
            client.read_to_end()
        users.remove("who looks")
        return None if any(name.startswith("honest ") for name in users) else users

    return wait_until(look, "the refused to be gone")


@pytest.mark.parametrize(
    "name", [b"\xff", b"a\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"]
)
def test_a_name_that_is_no_utf8_ends_the_line(serve, name):
    """RFC 6455 §8.1, before the text is parsed."""
    server = serve()
    with steady(server), Raw(server) as client:
        client.upgrade()
        client.message()
        client.send(frame(TEXT, b'{"msgType":"Join","Password":"","Name":"' + name + b'"}'))
        assert client.close_code() == 1007


# ---- JSON ----------------------------------------------------------------------------------------

NO_NUMBER = ["null", "true", '"1"', "[1]", "{}", "-1", "1.0", "1e2", "9007199254740993", "18446744073709551616"]
NO_STRING = ["null", "true", "false", "0", "-1.5", "1e400", "[]", '["ana"]', "{}", '{"a":"b"}']
SAID = "Broadcast"


def typed(verdict, form, values):
    """The form with each value in it; the values are JSON already."""
    return [(form.replace("<>", value), verdict) for value in values]


def about(field, depth):
    """A Broadcast with so many levels of brackets inside of the message."""
    return '{"msgType":"Broadcast","text":"x","f":' + field * depth + "1" + "]" * depth + "}"


def many(count, start="f"):
    return "".join(f',"{start}{number}":1' for number in range(count))


# A member's message, and the code of the Error that answers it; SAID: it is relayed.
MESSAGES = [
    # Wrong types in every field
    *typed("missing_field", '{"msgType":<>,"text":"x"}', NO_STRING),
    *typed("missing_field", '{"msgType":"Broadcast","text":<>}', NO_STRING),
    *typed("missing_field", '{"msgType":"PrivateMessage","TgtUser":<>,"text":"x"}', NO_STRING),
    *typed("missing_field", '{"msgType":"PrivateMessage","TgtUser":"ana","text":<>}', NO_STRING),
    *typed("missing_field", '{"msgType":"GetKeys","TgtUser":<>}', NO_STRING),
    *typed("missing_field", '{"msgType":"Search","text":<>}', NO_STRING),
    *typed("missing_field", '{"msgType":"GetHistory","Before":<>}', NO_NUMBER),
    *typed("missing_field", '{"msgType":"GetHistory","Count":<>}', NO_NUMBER),
    *typed("missing_field", '{"msgType":"GetHistory","Count":<>}', ["0", "101", "9007199254740992"]),
    *typed("missing_field", '{"msgType":"Search","text":"abc","Before":<>}', NO_NUMBER),
    *typed("missing_field", '{"msgType":"Search","text":<>}', ['""', '"ab"', r'"abc\u0000"', '"' + "x" * 9000 + '"']),
    *typed("missing_field", '{"msgType":"GetUsers","Prefix":<>}', NO_STRING),
    *typed("missing_field", '{"msgType":"GetUsers","After":<>}', NO_STRING),
    *typed("missing_field", '{"msgType":"GetUsers","Limit":<>}', [*NO_NUMBER, "0", "501", "9007199254740992"]),
    *typed("missing_field", '{"msgType":"GetUsers","Prefix":<>}', [r'"a\u0000"', '"' + "x" * 129 + '"']),
    *typed("Users", '{"msgType":"GetUsers","Prefix":"","After":"","Ref":<>}', NO_STRING),
    *typed("History", '{"msgType":"GetHistory","Before":<>,"Count":1}', ["0", "1", "9007199254740992"]),
    *typed("History", '{"msgType":"Search","text":"abc","Ref":<>}', NO_STRING),
    *typed(SAID, '{"msgType":"Broadcast","text":"x","Ref":<>}', NO_STRING),
    *typed(SAID, '{"msgType":"Broadcast","text":"x","Id":<>,"Time":<>,"SrcUser":<>}', NO_STRING),
    *typed("Delivered", '{"msgType":"PrivateMessage","TgtUser":"ana","text":"x","Ref":<>}',
           NO_STRING),
    # Missing or misspelled fields
    ("{}", "missing_field"),
    ('{"text":"x"}', "missing_field"),
    ('{"MsgType":"Broadcast","text":"x"}', "missing_field"),
    ('{"msgtype":"Broadcast","text":"x"}', "missing_field"),
    ('{"msgType ":"Broadcast","text":"x"}', "missing_field"),
    (r'{"msgType\u0000":"Broadcast","text":"x"}', "missing_field"),
    ('{"msgType":"Broadcast"}', "missing_field"),
    ('{"msgType":"Broadcast","Text":"x"}', "missing_field"),
    ('{"msgType":"PrivateMessage","text":"x"}', "missing_field"),
    ('{"msgType":"PrivateMessage","TgtUser":"ana"}', "missing_field"),
    ('{"msgType":"GetKeys"}', "missing_field"),
    (r'{"m\u0073gType":"Broa\u0064cast","t\u0065xt":"x"}', SAID),
    # Unknown types
    *typed("unknown_type", '{"msgType":<>,"text":"x"}',
           ['""', '"broadcast"', '"Broadcast "', '"Join"', '"Joined"', '"Error"', '"Hello"',
            '"GetQr"', '"OnlineUsers"', '"Delivered"', '"ServerName"', r'"Broadcast\u0000"',
            '"' + "B" * 99 + '"']),
    # Unknown receivers
    *typed("unknown_user", '{"msgType":"PrivateMessage","TgtUser":<>,"text":"x"}',
           ['""', '"bob"', '" ana"', r'"ana\u0000"', '"' + "a" * 5000 + '"', r'"\u202eana"',
                  '"*"']),
    # Not an object, or more than one
    *[(text, "bad_json") for text in (
        "", " ", "null", "true", "1", '"Broadcast"', "[]", '[{"msgType":"Broadcast"}]', "{", "}",
        "{{}}",
        "{}{}", "{},", ",{}", "{}\0", "{} x", "\ufeff{}", "\x0b{}", "\xa0{}", "{}\x0c", "{}//",
        "/**/{}")],
    # Grammar
    *[("{" + inside + "}", "bad_json") for inside in (
        ",", '"a"', '"a":', ':1', '"a":1,', ',"a":1', '"a":1,,"b":2', '"a":1 "b":2', '"a"=1',
        '"a" 1',
        "a:1", "'a':1", "1:1", "null:1", '"a":1;', '"a":', '"a":[', '"a":[1', '"a":[1,', '"a":[1,]',
        '"a":[,1]', '"a":[1 2]', '"a":]', '"a":{]', '"a":[}', '"a":{"b"}', '"a":{"b":}', '"a":"b')],
    # Literals and numbers
    *typed("bad_json", '{"msgType":"Broadcast","text":"x","f":<>}',
           ["True", "nul", "nulll", "undefined", "NaN", "Infinity", "-Infinity", "01", "-01", "00",
            "+1",
            "1.", ".5", "-.5", "-", "1e", "1e+", "1E-", "1.e1", "0x1", "1_0", "1,0", "--1", "1f",
            "\uff11"]),
    *typed(SAID, '{"msgType":"Broadcast","text":"x","f":<>}',
           ["0", "-0", "-0.0", "1E+2", "1e-400", "1e400", "9007199254740993",
            "18446744073709551616",
            "-9223372036854775809", "0." + "3" * 400, "1" * 400, "true", "null", '""', "[]", "{}"]),
    # Strings
    *typed("bad_json", '{"msgType":"Broadcast","text":<>}',
           [r'"\x41"', r'"\u12"', r'"\u12G4"', r'"\u"', r'"\U00000041"', r'"\a"', r'"\0"',
            "\"\\'\"",
            r'"\ud800"', r'"\udc00"', r'"\udc00\ud800"', r'"\ud800\ud800"', r'"\ud800x"', '"a\nb"',
            '"a\tb"', '"a\0b"', '"a\x1fb"', "'x'", "x", '"a" "b"']),
    *typed(SAID, '{"msgType":"Broadcast","text":<>}',
           ['""', r'"\u0000"', r'"\ud83d\udc3a"', r'"\b\f\n\r\t\/\\\""', '"\x7f"', '"\u2028"',
                  '"\uffff"']),
    # Duplicate fields
    ('{"msgType":"Broadcast","msgType":"Broadcast","text":"x"}', "bad_json"),
    ('{"msgType":"GetKeys","msgType":"Broadcast","text":"x"}', "bad_json"),
    ('{"msgType":"Broadcast","text":"x","text":"y"}', "bad_json"),
    (r'{"msgType":"Broadcast","text":"x","\u0074ext":"y"}', "bad_json"),
    ('{"msgType":"Broadcast","text":"x","Ref":1,"Ref":1}', "bad_json"),
    ('{"msgType":"Broadcast","text":"x","f":{"a":1,"a":1}}', "bad_json"),
    ('{"msgType":"Broadcast","text":"x","f":[[{"a":{"b":1,"b":2}}]]}', "bad_json"),
    ('{"msgType":"Broadcast","text":"x","":1,"":2}', "bad_json"),
    ('{"msgType":"Broadcast","text":"x","f":[{"a":1},{"a":1}],"":1}', SAID),
    ('{"msgType":"Broadcast","text":"x","Text":"y","TEXT":"z"}', SAID),
    # Depth and number
    (about("[", 31), SAID),
    (about("[", 32), "bad_json"),
    (about("[", 30000), "bad_json"),
    ('{"msgType":"Broadcast","text":"x","f":' + '{"a":' * 31 + "1" + "}" * 31 + "}", SAID),
    ('{"msgType":"Broadcast","text":"x","f":' + '{"a":' * 32 + "1" + "}" * 32 + "}", "bad_json"),
    ("[" * 65000, "bad_json"),
    ('{"a":' * 13000, "bad_json"),
    ('{"msgType":"Broadcast","text":"x"' + many(64) + "}", SAID),
    ('{"msgType":"Broadcast","text":"x"' + many(65) + "}", "bad_json"),
    ('{"msgType":"Broadcast","text":"x","f":{"a":1' + many(255) + "}}", SAID),
    ('{"msgType":"Broadcast","text":"x","f":{"a":1' + many(256) + "}}", "bad_json"),
]  # fmt: skip


def test_messages(serve, tls):
    """All on one connection: each is answered with this code and nothing else."""
    assert len(MESSAGES) >= 150
    server, wrong = serve(SSL=tls, history=1, **UNLIMITED), []
    with steady(server) as canaries, Raw(server) as ana, Raw(server) as bob:
        ana.join("ana")
        bob.join("listener")
        for number, (text, verdict) in enumerate(MESSAGES):
            ana.send_text(text)
            ana.send_text(f'{{"msgType":"Broadcast","text":"mark {number}"}}')
            found = answers(ana, f"mark {number}")
            if [answer.get("Code", answer["msgType"]) for answer in found] != [verdict]:
                wrong.append((text[:200], verdict, found))
            canaries.check(f"message {number}", kept=2)
        assert not wrong, wrong
        passed_on = sum(verdict == SAID for _, verdict in MESSAGES)
        heard = [bob.message() for _ in range(passed_on + len(MESSAGES))]
        assert [message["Id"] for message in heard] == list(range(1, len(heard) + 1))


def answers(client, mark):
    """The messages before one's own mark, without private messages to oneself."""
    found = []
    while (message := client.message()).get("text") != mark:
        if message["msgType"] != "PrivateMessage":
            found.append(message)
    return found


MOST_GUESSES = 4  # server/limits/login_throttle.h: after the fifth in a minute the address is refused
KEYS = {"IdentityKey": 64, "SessionKey": 64, "KeySignature": 128, "Proof": 128}
JOIN = '{"msgType":"Join","Password":"%s","Name":"bob"%%s}' % PASSWORD


CARD = {"KeyExpires": "1798761600000", "KeyOrigin": '"https://chat.example.org"', "KeyEnc": '"hpke-v2"'}


def keys(changed=None, value=None):
    """The seven fields of a claim, as JSON; one is changed, or (None) left out."""
    fields = {name: '"' + "a" * digits + '"' for name, digits in KEYS.items()} | CARD
    if changed:
        fields[changed] = value
    return "".join(f',"{name}":{value}' for name, value in fields.items() if value is not None)


def resume(inside):
    return JOIN % (',"Resume":' + inside)


# Messages instead of a Join, and the outcome.
JOINS = [
    *typed("wrong_password", '{"msgType":"Join","Password":<>,"Name":"bob"}',
           [*NO_STRING, '""', '"' + PASSWORD[:-1] + '"', '"' + PASSWORD + ' "', r'"\u0000"',
            '"' + PASSWORD + r'\u0000"', '"' + "x" * 60000 + '"', '"' + PASSWORD.upper() + '"']),
    *typed("missing_field", f'{{"msgType":"Join","Password":"{PASSWORD}","Name":<>}}', NO_STRING),
    *typed("bad_name", f'{{"msgType":"Join","Password":"{PASSWORD}","Name":<>}}',
           ['""', r'"\u0000"', '"' + "x" * 60000 + '"', r'"a\u202e"']),
    *typed("missing_field", JOIN % ',"Resume":<>',
           [*NO_STRING, '""', '{"Epoch":"x"}', '{"After":1}']),
    (resume('{"Epoch":"x","After":1,"After":1}'), "bad_json"),
    *typed("missing_field", resume('{"Epoch":<>,"After":1}'), NO_STRING),
    *typed("missing_field", resume('{"Epoch":"x","After":<>}'),
           ["-1", "-0", "1.0", "1e3", "1E0", "9007199254740994", "18446744073709551616", "1" * 400,
            '"1"', "null", "true", "[1]", "{}"]),
    *typed("Joined", resume('{"Epoch":"x","After":<>}'), ["0", "1", "9007199254740992"]),
    (resume('{"Epoch":"' + "x" * 60000 + '","After":1}'), "Joined"),
    *[row for field in [*KEYS, "KeyOrigin", "KeyEnc"]
      for row in typed("missing_field", JOIN % keys(field, "<>"), NO_STRING)],
    *typed("missing_field", JOIN % keys("KeyExpires", "<>"), ['"1"', "null", "true", "[1]", "{}"]),
    *[(JOIN % keys(field, None), "missing_field") for field in [*KEYS, *CARD]],
    *typed("bad_proof", JOIN % keys("KeyExpires", "<>"),
           ["-1", "0", "1.0", "1e3", "9007199254740992", "18446744073709551616", "1" * 400]),
    *[row for field in ("KeyOrigin", "KeyEnc") for row in typed("bad_proof", JOIN % keys(field, "<>"),
      ['""', '"' + "a" * 60000 + '"', r'"\u0000"', '"\u00e9"'])],
    *[row for field, digits in KEYS.items() for row in typed("bad_proof", JOIN % keys(field, "<>"),
      ['""', '"' + "a" * (digits - 1) + '"', '"' + "a" * (digits + 1) + '"',
             '"' + "A" * digits + '"',
       '"' + "g" * digits + '"', '"' + "a" * 60000 + '"'])],
    (JOIN % keys(), "bad_proof"),
    *typed("unknown_type", '{"msgType":<>,"Password":"x","Name":"bob"}',
           [*NO_STRING, '"join"', '"Broadcast"', '"Hello"', r'"Join\u0000"']),
    ("{}", "unknown_type"),
    *[(text, "bad_json") for text in ("", "null", "[]", PASSWORD, JOIN % ',"Name":"eve"',
                                      (JOIN % "") * 2)],
    (JOIN % ',"f":' + "[" * 32 + "]" * 32, "bad_json"),
    (JOIN % many(62), "Joined"),
    (JOIN % many(63), "bad_json"),
]  # fmt: skip


def batches(rows):
    """As many rows at a time as one server answers, because it throttles wrong passwords."""
    batch, guesses = [], 0
    for row in rows:
        guesses += row[1] == "wrong_password"
        if guesses > MOST_GUESSES:
            yield batch
            batch, guesses = [], 1
        batch.append(row)
    yield batch


def test_joins(serve):
    """A refused client gets the reason, and can join on the same connection."""
    wrong = []
    for batch in batches(JOINS):
        server = serve(**UNLIMITED)
        with steady(server) as canaries:
            for number, (text, verdict) in enumerate(batch):
                found = try_join(server, f"/rooms/{number}", text, verdict)
                if found != verdict:
                    wrong.append((text[:200], verdict, found))
                canaries.check(text[:200])
    assert not wrong, wrong


def try_join(server, path, text, verdict):
    """Sends this to a separate room, and returns the outcome; after the expected one the client talks
    there in the end, under the name it sent or as bob."""
    with Raw(server) as client:
        client.upgrade(path)
        client.message()
        client.send_text(text)
        answer = client.message()
        found = answer.get("Code", answer["msgType"])
        if found == verdict:
            if found != IN:
                assert try_name(client, "bob") == IN
            client.send_text('{"msgType":"Broadcast","text":"here I am"}')
            assert client.message()["text"] == "here I am"
    return found
