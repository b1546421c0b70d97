# SPDX-License-Identifier: MIT
"""test_conformance.py - strict RFC 6455 conformance of the server's WebSocket side

Asks of tests/ws_echo what the cases of the same number in the Autobahn fuzzing suite ask of an echo
server, groups 1 to 10, and is strict where Autobahn tolerates: the close code must be the right
one, messages complete before a bad frame must come back, bad UTF-8 must be refused at its first
bad byte, and every connection must end with a Close frame and an orderly end of the stream.

A case is a script, a list of steps: bytes are sent, each in its own write; an event must be the next
thing received. The client here uses bare sockets, because no proper client can send invalid data. It
does not mask or fragment frames itself; the table does.

WS_ECHO          the command to test; default: tests/ws_echo of this repository
TEST_TIME_SCALE  stretches every wait, for sanitizers and slow machines; default: 1
"""
import base64
import functools
import hashlib
import os
import random
import select
import shlex
import socket
import ssl
import struct
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

COMMAND = shlex.split(os.environ.get("WS_ECHO") or str(Path(__file__).parents[2] / "ws_echo"))
SCALE = float(os.environ.get("TEST_TIME_SCALE", "1"))
PATIENCE = 20 * SCALE  # seconds until an answer counts as missing
AT_ONCE = 5 * SCALE  # seconds in which a bad byte must be answered; nothing is sent after it
A_MOMENT = 0.05  # seconds that count as silence

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA

dice = random.Random(6455)


# ---- Frames, right and wrong ---------------------------------------------------------------------


def mask(payload, key):
    stream = (key * (len(payload) // 4 + 1))[: len(payload)]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(stream, "big")
    return masked.to_bytes(len(payload), "big")


def frame(opcode, payload=b"", fin=True, rsv=0):
    """One masked frame (§5.2), whatever the opcode and the payload's length may be."""
    first, key, size = fin << 7 | rsv << 4 | opcode, dice.randbytes(4), len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    return head + key + mask(payload, key)


def message(opcode, *fragments):
    """The frames of a message: the first has the opcode, the last has FIN (§5.4)."""
    last = len(fragments) - 1
    return [
        frame(opcode if i == 0 else CONTINUATION, fragment, fin=i == last)
        for i, fragment in enumerate(fragments)
    ]


def close(code, reason=b""):
    return frame(CLOSE, struct.pack("!H", code) + reason)


def chopped(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


def octets(*frames):
    return chopped(b"".join(frames), 1)


# ---- What may come back --------------------------------------------------------------------------


@dataclass
class Got:
    """A frame with just this payload."""

    opcode: int
    payload: bytes


@dataclass
class Closed:
    """A Close frame with one of these codes; None is a Close frame without a code."""

    codes: tuple
    within: float = PATIENCE


class Silence:
    """Nothing arrives, and the connection stays open."""


def closes(*codes):
    """The server has read our Close frame and answers it."""
    return [Closed(codes)]


def fails(code, within=PATIENCE):
    """The server closes, and we answer it."""
    return [Closed((code,), within), close(code)]


GOODBYE = [close(1000), *closes(1000)]


# ---- The client ----------------------------------------------------------------------------------


class Client:
    def __init__(self, server):
        self.inbox = bytearray()
        self.sock = socket.create_connection(server.address, PATIENCE)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if server.tls:
            # With what Server does to the options: an end without close_notify is an error.
            self.sock = server.tls.wrap_socket(self.sock, suppress_ragged_eofs=False)
        self.shake_hands()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def shake_hands(self):
        """§4.1; no extension is offered, so none may be used."""
        key = base64.b64encode(dice.randbytes(16)).decode()
        self.sock.sendall(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        deadline = time.monotonic() + PATIENCE
        while b"\r\n\r\n" not in self.inbox:
            assert self.fill(deadline), "the stream ended in the handshake"
        head, self.inbox = self.inbox.split(b"\r\n\r\n", 1)
        status, *lines = head.decode("ascii").split("\r\n")
        fields = {name.lower(): value.strip() for name, value in (f.split(":", 1) for f in lines)}
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
        assert status.startswith("HTTP/1.1 101 ")
        assert fields["upgrade"].lower() == "websocket"
        assert fields["connection"].lower() == "upgrade"
        assert fields["sec-websocket-accept"] == accept
        assert "sec-websocket-extensions" not in fields

    def send(self, data):
        """The server may hang up early; the frames that it sent before decide."""
        self.sock.settimeout(PATIENCE)
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError):
            pass

    def fill(self, deadline):
        """Reads once. False is the end of the stream."""
        self.sock.settimeout(max(deadline - time.monotonic(), 0.001))
        got = self.sock.recv(1 << 20)
        self.inbox += got
        return bool(got)

    def take(self, count, deadline):
        while len(self.inbox) < count:
            assert self.fill(deadline), "the stream ended in place of a frame"
        taken = bytes(self.inbox[:count])
        del self.inbox[:count]
        return taken

    def take_length(self, short, deadline):
        if short < 126:
            return short
        size, least = (2, 126) if short == 126 else (8, 65536)
        length = int.from_bytes(self.take(size, deadline), "big")
        assert length >= least, "a length not in its shortest form"
        return length

    def take_frame(self, within=PATIENCE):
        """A server's frame: final, without RSV and mask, of the shortest form (§5.1, §5.2)."""
        deadline = time.monotonic() + within
        first, second = self.take(2, deadline)
        opcode = first & 0x0F
        assert first & 0xF0 == 0x80, "a fragment, or a reserved bit"
        assert second & 0x80 == 0, "a mask"
        assert opcode in (TEXT, BINARY, CLOSE, PING, PONG)
        assert opcode < CLOSE or second <= 125, "a long control frame"
        return opcode, self.take(self.take_length(second, deadline), deadline)

    def expect(self, event):
        if isinstance(event, Silence):
            assert not self.inbox
            assert not select.select([self.sock], [], [], A_MOMENT)[0], "something came"
        elif isinstance(event, Closed):
            opcode, payload = self.take_frame(event.within)
            assert opcode == CLOSE, f"opcode {opcode}, {payload[:99]}"
            code = int.from_bytes(payload[:2], "big") if payload else None
            assert code in event.codes and len(payload) != 1
            payload[2:].decode()
        else:
            opcode, payload = self.take_frame()
            # Compared in two steps, because pytest's diff of megabytes would take minutes.
            assert (opcode, len(payload)) == (event.opcode, len(event.payload)), payload[:99]
            same = payload == event.payload
            assert same, "what came back is not what was sent"

    def expect_end(self):
        """§7.1.1: the server ends the stream, after its Close frame and nothing else."""
        assert not self.fill(time.monotonic() + PATIENCE) and not self.inbox


# ---- The table: groups 1 to 5 --------------------------------------------------------------------

CASES = {}


def case(name, *steps):
    CASES[name] = lambda: steps


def echo(opcode, payload, writes=None):
    """One message, sent in these writes, comes back as one frame; then a clean close."""
    return [*(writes or [frame(opcode, payload)]), Got(opcode, payload), *GOODBYE]


def chopped_three_ways(group, number, frames, *then):
    """Three cases: all in one write, a write for each frame, a write for each octet."""
    case(f"{group}.{number}", b"".join(frames), *then)
    case(f"{group}.{number + 1}", *frames, *then)
    case(f"{group}.{number + 2}", *octets(*frames), *then)


HELLO = b"Hello, world!"


def framing():
    sizes = 0, 125, 126, 127, 128, 65535, 65536
    for group, opcode, byte in (1, TEXT, b"*"), (2, BINARY, b"\xfe"):
        for number, size in enumerate(sizes, 1):
            case(f"1.{group}.{number}", *echo(opcode, byte * size))
        payload = byte * 65536
        case(f"1.{group}.8", *echo(opcode, payload, chopped(frame(opcode, payload), 997)))


def pings_and_pongs():
    payloads = b"", HELLO, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", b"\xfe" * 125
    for number, payload in enumerate(payloads, 1):
        case(f"2.{number}", frame(PING, payload), Got(PONG, payload), *GOODBYE)
    case("2.5", frame(PING, b"\xfe" * 126), *fails(1002))
    case("2.6", *octets(frame(PING, b"\xfe" * 125)), Got(PONG, b"\xfe" * 125), *GOODBYE)
    case("2.7", frame(PONG), *GOODBYE)
    case("2.8", frame(PONG, b"unsolicited pong payload"), *GOODBYE)
    case(
        "2.9",
        frame(PONG, b"unsolicited pong payload"),
        frame(PING, b"ping payload"),
        Got(PONG, b"ping payload"),
        *GOODBYE,
    )
    ten = [b"payload-%d" % i for i in range(10)]
    pings, pongs = [frame(PING, p) for p in ten], [Got(PONG, p) for p in ten]
    case("2.10", *pings, *pongs, *GOODBYE)
    case("2.11", *octets(*pings), *pongs, *GOODBYE)


def reserved_bits():
    def in_the_middle(rsv):
        return frame(TEXT, HELLO), frame(TEXT, HELLO, rsv=rsv), frame(PING)

    refused = Got(TEXT, HELLO), *fails(1002)
    case("3.1", frame(TEXT, HELLO, rsv=1), *fails(1002))
    case("3.2", b"".join(in_the_middle(2)), *refused)
    case("3.3", *in_the_middle(3), *refused)
    case("3.4", *octets(*in_the_middle(4)), *refused)
    case("3.5", frame(BINARY, HELLO, rsv=5), *fails(1002))
    case("3.6", frame(PING, HELLO, rsv=6), *fails(1002))
    case("3.7", frame(CLOSE, struct.pack("!H", 1000), rsv=7), *fails(1002))


def opcodes():
    for group, first in (1, 3), (2, 11):
        case(f"4.{group}.1", frame(first), *fails(1002))
        case(f"4.{group}.2", frame(first + 1, b"reserved opcode payload"), *fails(1002))
        for number, payload in (3, b""), (4, HELLO), (5, HELLO):
            frames = frame(TEXT, HELLO), frame(first + number - 1, payload), frame(PING)
            writes = octets(*frames) if number == 5 else frames
            case(f"4.{group}.{number}", *writes, Got(TEXT, HELLO), *fails(1002))


def fragmentation():
    parts = [b"fragment%d" % i for i in range(1, 6)]
    two, joined = message(TEXT, *parts[:2]), Got(TEXT, b"".join(parts[:2]))
    ping, pong = frame(PING, b"ping payload"), Got(PONG, b"ping payload")

    case("5.1", *message(PING, *parts[:2]), *fails(1002))
    case("5.2", *message(PONG, *parts[:2]), *fails(1002))
    chopped_three_ways(5, 3, two, joined, *GOODBYE)
    chopped_three_ways(5, 6, [two[0], ping, two[1]], pong, joined, *GOODBYE)
    for number, fin in (9, True), (12, False):
        stray = frame(CONTINUATION, b"non-continuation payload", fin)
        chopped_three_ways(5, number, [stray, frame(TEXT, HELLO)], *fails(1002))
    stray = frame(CONTINUATION, parts[2], fin=False)
    case("5.15", b"".join([*two, stray, frame(TEXT, parts[3])]), joined, *fails(1002))
    for number, fin in (16, False), (17, True):
        stray = frame(CONTINUATION, parts[0], fin)
        case(f"5.{number}", *[stray, *message(TEXT, *parts[1:3])] * 2, *fails(1002))
    case("5.18", frame(TEXT, parts[0], fin=False), frame(TEXT, parts[1]), *fails(1002))

    five, pings = message(TEXT, *parts), [b"pongme 1!", b"pongme 2!"]
    before, after = [*five[:2], frame(PING, pings[0])], [*five[2:4], frame(PING, pings[1]), five[4]]
    then = Got(PONG, pings[1]), Got(TEXT, b"".join(parts)), *GOODBYE
    case("5.19", b"".join(before), Got(PONG, pings[0]), b"".join(after), *then)
    case("5.20", *before, Got(PONG, pings[0]), *after, *then)


# ---- Group 6: UTF-8 ------------------------------------------------------------------------------

KOSME = "κ\u1f79σμε".encode()  # its second letter takes three bytes
MIXED = "Hello-µ@ßöäüàá-UTF-8!!".encode()


def one_byte_each(text):
    return message(TEXT, *chopped(text, 1))


def fragmented_utf8():
    case("6.1.1", *echo(TEXT, b""))
    case("6.1.2", *echo(TEXT, b"", message(TEXT, b"", b"", b"")))
    middle = b"middle frame payload"
    case("6.1.3", *echo(TEXT, middle, message(TEXT, b"", middle, b"")))
    case("6.2.1", *echo(TEXT, MIXED))
    at = MIXED.index("ü".encode())
    case("6.2.2", *echo(TEXT, MIXED, message(TEXT, MIXED[:at], MIXED[at:])))
    case("6.2.3", *echo(TEXT, MIXED, one_byte_each(MIXED)))
    case("6.2.4", *echo(TEXT, KOSME, one_byte_each(KOSME)))
    surrogate = KOSME + b"\xed\xa0\x80edited"
    case("6.3.1", frame(TEXT, surrogate), *fails(1007))
    case("6.3.2", *one_byte_each(surrogate), *fails(1007))


def fail_fast():
    """The byte 0x90 after 0xf4 is invalid and must be answered at once. Before it, a ping between the
    frames, or silence inside a frame, shows that the connection is still open."""
    text = KOSME + b"\xf4\x90\x80\x80edited"
    bad = text.index(b"\x90")
    alive = frame(PING), Got(PONG, b"")
    refused = fails(1007, AT_ONCE)
    for number, first, second in (1, bad - 1, bad + 3), (2, bad, bad + 1):
        head, tail, _ = message(TEXT, text[:first], text[first:second], text[second:])
        case(f"6.4.{number}", head, *alive, tail, *refused)
        data, start = frame(TEXT, text), 6
        pieces = data[: start + first], data[start + first : start + second]
        case(f"6.4.{number + 2}", pieces[0], Silence(), pieces[1], *refused)


def lonely(first, last):
    """Each lead byte alone, with a space after it."""
    return b"".join(bytes([byte, 0x20]) for byte in range(first, last))


CUT_SHORT = "c0 e080 f08080 f8808080 fc80808080 df efbf f7bfbf fbbfbfbf fdbfbfbfbf"
PAST_BMP = [
    f"{lead:02x}{second:02x}bf{last:02x}"
    for lead in range(0xF0, 0xF5)
    for second in (0x8F, 0x9F, 0xAF, 0xBF)
    for last in (0xBE, 0xBF)
    if (lead, second) >= (0xF0, 0x9F) and (lead, second) <= (0xF4, 0x8F)
]

# From 6.5 on, one message each. After Markus Kuhn's decoder stress test; which of them are good is
# for Python's own strict decoder to say.
SEQUENCES = [
    ["hello$world", "hello¢world", "hello€world", "hello\U00024b62world", KOSME],
    [KOSME[: i + 1] for i in range(len(KOSME))],
    "00 c280 e0a080 f0908080",  # the first of each length
    "f888808080 fc8480808080",  # ... of lengths there are none of
    "7f dfbf efbfbf f48fbfbf",  # the last of each length
    "f7bfbfbf fbbfbfbfbf fdbfbfbfbfbf",
    "ed9fbf ee8080 efbfbd f48fbfbf f4908080",  # next to the surrogates and to the end
    "80 bf 80bf 80bf80 80bf80bf 80bf80bf80 80bf80bf80bf " + bytes(range(128, 191)).hex(),
    [lonely(*r) for r in ((192, 223), (224, 239), (240, 247), (248, 251), (252, 253))],
    CUT_SHORT,
    [CUT_SHORT.replace(" ", "")],
    "fe ff fefeffff",  # bytes that occur nowhere
    "c0af e080af f08080af f8808080af fc80808080af",  # a slash, overlong
    "c1bf e09fbf f08fbfbf f887bfbfbf fc83bfbfbfbf",  # the greatest that are overlong
    "c080 e08080 f0808080 f880808080 fc8080808080",  # NUL, overlong
    "eda080 edadbf edae80 edafbf edb080 edbe80 edbfbf",  # surrogates, alone and paired
    "eda080edb080 eda080edbfbf edadbfedb080 edadbfedbfbf "
    "edae80edb080 edae80edbfbf edafbfedb080 edafbfedbfbf",
    ["efbfbe", "efbfbf", *PAST_BMP],  # not characters, but good UTF-8
    "efbfb9 efbfba efbfbb efbfbc efbfbd efbfbe efbfbf",
]


def as_bytes(sequence):
    """Hexadecimal if it parses as such, otherwise the text itself."""
    if isinstance(sequence, bytes):
        return sequence
    try:
        return bytes.fromhex(sequence)
    except ValueError:
        return sequence.encode()


def is_utf8(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def sequences():
    for group, row in enumerate(SEQUENCES, 5):
        for number, item in enumerate(row.split() if isinstance(row, str) else row, 1):
            text = as_bytes(item)
            steps = echo(TEXT, text) if is_utf8(text) else [frame(TEXT, text), *fails(1007)]
            case(f"6.{group}.{number}", *steps)


# ---- Group 7: closing ----------------------------------------------------------------------------


def closing():
    text, shut = frame(TEXT, b"Hello World!"), close(1000)
    case("7.1.1", text, shut, Got(TEXT, b"Hello World!"), *closes(1000))
    case("7.1.2", shut, frame(CLOSE), *closes(1000))
    case("7.1.3", shut, frame(PING), *closes(1000))
    case("7.1.4", shut, text, *closes(1000))
    first, second = message(TEXT, b"fragment1", b"fragment2")
    case("7.1.5", first, shut, second, *closes(1000))
    long = b"BAsd7&jh23" * (256 * 1024 // 10)
    echoes = Got(TEXT, long), Got(TEXT, b"Hello World!")
    case("7.1.6", frame(TEXT, long), text, shut, frame(PING), *echoes, *closes(1000))

    case("7.3.1", frame(CLOSE), *closes(None, 1000))
    case("7.3.2", frame(CLOSE, b"a"), *closes(1002))
    case("7.3.3", shut, *closes(1000))
    case("7.3.4", close(1000, b"Hello World!"), *closes(1000))
    case("7.3.5", close(1000, b"*" * 123), *closes(1000))
    case("7.3.6", close(1000, b"*" * 124), *closes(1002))
    case("7.5.1", close(1000, KOSME + b"\xed\xa0\x80edited"), *closes(1007))

    good = 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999
    for number, code in enumerate(good, 1):
        case(f"7.7.{number}", close(code), *closes(code, 1000))
    bad = 0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999
    for number, code in enumerate(bad, 1):
        case(f"7.9.{number}", close(code), *closes(1002))
    case("7.13.1", close(5000), *closes(1002))
    case("7.13.2", close(65535), *closes(1002))


# ---- Groups 9 and 10: large, many, in pieces -----------------------------------------------------

KIB, MIB = 1024, 1024 * 1024


@functools.cache
def pattern(opcode):
    """A pattern of a prime length, so that no fragment equals its neighbour."""
    filler = random.Random(opcode).randbytes(65521)
    return filler if opcode == BINARY else ("κό€😀" + filler.hex()).encode()[:65521]


def much(opcode, size):
    """A payload of `size` bytes; a text ends with a complete character."""
    data = (pattern(opcode) * (size // 65521 + 1))[:size]
    if opcode == TEXT:
        data = data.decode(errors="ignore").encode().ljust(size, b"*")
    return data


def large(opcode, size):
    return echo(opcode, much(opcode, size))


def large_in_fragments(opcode, size, fragment):
    data = much(opcode, size)
    return echo(opcode, data, [b"".join(message(opcode, *chopped(data, fragment)))])


def large_in_chops(opcode, size, chop):
    data = much(opcode, size)
    return echo(opcode, data, chopped(frame(opcode, data), chop))


def round_trips(opcode, size, count):
    data = much(opcode, size)
    for _ in range(count):
        yield frame(opcode, data)
        yield Got(opcode, data)
    yield from GOODBYE


def limits():
    def later(name, function, *args):
        CASES[name] = functools.partial(function, *args)

    for odd, opcode in (0, TEXT), (1, BINARY):
        for number, size in enumerate((64, 256, KIB, 4 * KIB, 8 * KIB, 16 * KIB), 1):
            later(f"9.{1 + odd}.{number}", large, opcode, size * KIB)
        for number in range(1, 10):
            size = 64 * 4 ** (number - 1)
            later(f"9.{3 + odd}.{number}", large_in_fragments, opcode, 4 * MIB, size)
        for number in range(1, 7):
            later(f"9.{5 + odd}.{number}", large_in_chops, opcode, MIB, 32 * 2**number)
        for number, size in enumerate((0, 16, 64, 256, KIB, 4 * KIB), 1):
            later(f"9.{7 + odd}.{number}", round_trips, opcode, size, 1000)
    later("10.1.1", large_in_fragments, TEXT, 65536, 1300)


framing()
pings_and_pongs()
reserved_bits()
opcodes()
fragmentation()
fragmented_utf8()
fail_fast()
sequences()
closing()
limits()

# ---- The server, and the tests -------------------------------------------------------------------


class Server:
    """An echo server on a free port."""

    def __init__(self, *options):
        command = [*COMMAND, "--port", "0", *options]
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.stderr)
        try:
            self.address = self.read_address()
        except BaseException:
            self.stop()
            raise
        self.tls = None
        if "--tls" in options:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.tls.check_hostname, self.tls.verify_mode = False, ssl.CERT_NONE
            self.tls.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF

    def read_address(self):
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "no word from the server"
        line = self.process.stdout.readline().decode().strip()
        assert line.startswith("listening on "), line
        host, port = line.removeprefix("listening on ").rsplit(":", 1)
        return host, int(port)

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            self.process.stdout.close()
        self.stderr.seek(0)
        said = self.stderr.read().decode(errors="replace")
        self.stderr.close()
        assert "Sanitizer" not in said and "runtime error" not in said, said


@pytest.fixture(scope="session", params=["plain", "tls"])
def server(request):
    """One server for all the cases. With TLS, the arrival of bytes and the end of streams differ."""
    server = Server("--tls") if request.param == "tls" else Server()
    yield server
    server.stop()


def test_the_table_is_whole():
    """The number of cases of the suite in the groups 1 to 10."""
    assert len(CASES) == 301


@pytest.mark.parametrize("name", CASES)
def test_case(server, name):
    with Client(server) as client:
        for step in CASES[name]():
            if isinstance(step, bytes):
                client.send(step)
            else:
                client.expect(step)
        client.expect_end()
    assert server.process.poll() is None, "the server is gone"


def test_late_bytes_are_not_answered_with_a_reset(server):
    """§7.1.1: data in flight when the server closes must not cost the peer the Close frame."""
    with Client(server) as client:
        client.send(frame(TEXT, HELLO, rsv=1))
        client.expect(Closed((1002,)))
        client.expect_end()
        client.sock.sendall(frame(BINARY, bytes(1000)))
        errors = select.poll()
        errors.register(client.sock, select.POLLERR)
        assert not errors.poll(1000 * A_MOMENT), "the connection was reset"
