# SPDX-License-Identifier: MIT
"""The five small servers of docs/tour, and the problem of each that the next one solves.

The head comments of docs/tour/*.c say how to see these problems by hand; the tests do the same.
Also: the names in docs/TOUR.md and docs/ARCHITECTURE.md are in the source.
"""
import asyncio
import contextlib
import os
import re
import select
import signal
import socket
import ssl
import struct
import subprocess
import threading
from pathlib import Path

import pytest
import websockets

from helpers import PATIENCE, ROOT, SCALE

FOLDER = ROOT / "docs" / "tour"
PROGRAMS = Path(os.environ.get("TOUR", ROOT / "build" / "tour"))
CHATS = ["3_websocket", "4_tls", "5_fan_out"]
MESSAGE_MAX = 4096
CLIENTS_MAX = 100

# RFC 6455 §1.3 and §5.7
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
MASKED_HELLO = bytes.fromhex("818537fa213d7f9f4d5158")
HELLO = b"\x81\x05Hello"

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """The certificate and the key of step 4, made by the command in its head comment."""
    folder = tmp_path_factory.mktemp("pair")
    page = (FOLDER / "4_tls.c").read_text().replace("\n *", "")
    command = re.search(r"openssl req .*? -out cert\.pem", page, re.DOTALL)[0].split()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=PATIENCE)
    return [str(folder / "cert.pem"), str(folder / "key.pem")]


@pytest.fixture
def start(pair):
    """Starts a program on a free port and returns the port. At the end stderr must be empty."""
    running = []

    def run(name):
        command = [str(PROGRAMS / name), *(pair if name == "4_tls" else []), "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        running.append(process)
        line = process.stdout.readline().decode()
        return int(re.fullmatch(r"listening on 127\.0\.0\.1:(\d+)\n", line)[1])

    yield run
    for process in running:
        process.terminate()
        _, complaints = process.communicate(timeout=PATIENCE)
        assert (complaints, process.returncode) == (b"", -signal.SIGTERM)


@pytest.fixture
def connect(start, pair):
    """Connects to a program, over TLS to step 4. `stuck`: with small receive buffers."""
    with contextlib.ExitStack() as stack:

        def to(name, port, stuck=False):
            plain = stack.enter_context(socket.socket())
            if stuck:
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            plain.settimeout(PATIENCE)
            plain.connect(("127.0.0.1", port))
            if name != "4_tls":
                return plain
            context = ssl.create_default_context(cafile=pair[0])
            return stack.enter_context(context.wrap_socket(plain, server_hostname="localhost"))

        yield to


def read(connection, size):
    got = b""
    while len(got) < size and (part := connection.recv(size - len(got))):
        got += part
    return got


def is_silent(connection):
    return select.select([connection], [], [], 0)[0] == []


def masked(opcode, payload, final=True):
    """A client's frame (RFC 6455 §5.2)."""
    head = bytes([opcode | (0x80 if final else 0)])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    else:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    mask = b"\x01\x20\x33\xF4"
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def read_frame(connection):
    opcode, size = read(connection, 2)
    if size == 126:
        (size,) = struct.unpack("!H", read(connection, 2))
    assert opcode & 0x80 and size <= MESSAGE_MAX
    return opcode & 0x0F, read(connection, size)


def shake_hands(connection):
    request = f"GET / HTTP/1.1\r\nHost: localhost\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    connection.sendall(request.encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        byte = read(connection, 1)
        assert byte, "the program has closed the connection"
        answer += byte
    assert answer.startswith(b"HTTP/1.1 101 ") and f"Accept: {ACCEPT}\r\n".encode() in answer
    # A client is added to the list a moment after its answer. Then it receives its own messages.
    while True:
        connection.sendall(masked(TEXT, b"here"))
        connection.sendall(masked(PING, b"?"))
        heard = read_frame(connection)
        if heard == (TEXT, b"here"):
            assert read_frame(connection) == (PONG, b"?")
            return connection
        assert heard == (PONG, b"?")


def say(speaker, text, *listeners):
    speaker.sendall(masked(TEXT, text))
    for listener in listeners:
        assert read_frame(listener) == (TEXT, text)


# ---- Step 1 --------------------------------------------------------------------------------------


def test_1_sends_back_what_it_reads(start, connect):
    client = connect("1_echo", start("1_echo"))
    for size in (1, 5000, 100000):
        client.sendall(bytes(size))
        assert read(client, size) == bytes(size)


def test_1_serves_one_client_at_a_time(start, connect):
    port = start("1_echo")
    first, second = connect("1_echo", port), connect("1_echo", port)
    second.sendall(b"second\n")
    for _ in range(100):
        first.sendall(b"first\n")
        assert read(first, 6) == b"first\n"
    assert is_silent(second)
    first.close()
    assert read(second, 7) == b"second\n"


@pytest.mark.parametrize("port", ["", "x", "12x", "-1", "65536"])
def test_1_refuses_what_is_no_port(port):
    done = subprocess.run([PROGRAMS / "1_echo", port], capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"port: expected 0..65535 (0: any free one), got {port}\n"


# ---- Step 2 --------------------------------------------------------------------------------------


def arrive(connect, port, others):
    """A client of step 2 is in the list as soon as it receives its own lines."""
    client = connect("2_threads", port)
    client.sendall(b"+")
    for each in [client, *others]:
        assert read(each, 1) == b"+"
    return client


def test_2_serves_many_at_a_time(start, connect):
    port = start("2_threads")
    clients = []
    for _ in range(10):
        clients.append(arrive(connect, port, clients))
    for number, client in enumerate(clients):
        client.sendall(b"%d\n" % number)
        for other in clients:
            assert read(other, 2) == b"%d\n" % number


def test_2_mixes_lines_that_come_in_pieces(start, connect):
    port = start("2_threads")
    first = arrive(connect, port, [])
    second = arrive(connect, port, [first])
    first.sendall(b"half a ")
    assert read(second, 7) == b"half a "
    second.sendall(b"whole one\n")
    assert read(first, 17) == b"half a whole one\n"
    first.sendall(b"line\n")
    assert read(second, 15) == b"whole one\nline\n"


def test_2_closes_one_more_than_its_list_holds(start, connect):
    port = start("2_threads")
    clients = []
    for _ in range(CLIENTS_MAX):
        clients.append(arrive(connect, port, clients))
    assert read(connect("2_threads", port), 1) == b""
    clients[0].sendall(b"x")
    assert [read(client, 1) for client in clients] == [b"x"] * CLIENTS_MAX


# ---- Steps 3 to 5: WebSocket ---------------------------------------------------------------------


@pytest.mark.parametrize("name", CHATS)
def test_a_client_of_the_trade_is_served(start, pair, name):
    """python3-websockets, which checks the handshake and every frame."""
    port = start(name)
    context = ssl.create_default_context(cafile=pair[0]) if name == "4_tls" else None
    address = f"{'wss' if context else 'ws'}://localhost:{port}/"

    async def talk():
        async with websockets.connect(address, ssl=context) as ana:
            await (await ana.ping())
            async with websockets.connect(address, ssl=context) as ben:
                await (await ben.ping())
                for text in ("hello", "你好", "x" * MESSAGE_MAX, ""):
                    await ana.send(text)
                    assert [await ana.recv(), await ben.recv()] == [text, text]

    asyncio.run(asyncio.wait_for(talk(), PATIENCE))


@pytest.mark.parametrize("name", CHATS)
def test_the_examples_of_the_rfc_come_byte_by_byte(start, connect, name):
    client = shake_hands(connect(name, start(name)))
    for byte in MASKED_HELLO:
        client.sendall(bytes([byte]))
    assert read(client, len(HELLO)) == HELLO


@pytest.mark.parametrize("name", CHATS)
def test_messages_are_whole_whatever_their_pieces(start, connect, name):
    """The pieces that step 2 mixes arrive one message after the other here."""
    port = start(name)
    first, second = (shake_hands(connect(name, port)) for _ in range(2))
    assert read_frame(first) == (TEXT, b"here")
    frame = masked(TEXT, b"half a line")
    first.sendall(frame[:9])
    say(second, b"whole one", first, second)
    first.sendall(frame[9:])
    assert read_frame(second) == (TEXT, b"half a line")


@pytest.mark.parametrize("request_", ["POST / HTTP/1.1\r\nSec-WebSocket-Key: " + KEY, "GET / HTTP/1.1",
                                      "GET / HTTP/1.1\r\nSec-WebSocket-Key: short", "x" * 5000])
def test_what_asks_for_no_websocket_is_refused(start, connect, request_):
    client = connect("3_websocket", start("3_websocket"))
    client.sendall(f"{request_}\r\n\r\n".encode()[:4096])
    assert read(client, 24) == b"HTTP/1.1 400 Bad Request"


BAD = {
    "no-mask": HELLO,
    "fragment": masked(TEXT, b"half", final=False),
    "reserved-bit": b"\xC1" + masked(TEXT, b"x")[1:],
    "too-long": masked(TEXT, bytes(MESSAGE_MAX + 1))[:4],  # more unread bytes would cause a reset
    "far-too-long": b"\x81\xFF" + bytes(8),
    "long-ping": masked(PING, bytes(126)),
    **{f"utf8-{text.hex()}": masked(TEXT, text) for text in (
        b"\xFF", b"\x80", b"\xC0\x80", b"\xE0\x9F\xBF", b"\xED\xA0\x80", b"\xF4\x90\x80\x80", b"a\xE4\xBD")},
}


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD)
def test_a_broken_rule_ends_the_connection(start, connect, frame):
    client = shake_hands(connect("3_websocket", start("3_websocket")))
    client.sendall(frame)
    assert read(client, 100) == b"\x88\x02\x03\xEA"  # Close 1002


@pytest.mark.parametrize("payload, answer", [(b"\x03\xE8bye", b"\x03\xE8"), (b"", b""), (b"x", b"")])
def test_close_is_answered(start, connect, payload, answer):
    client = shake_hands(connect("3_websocket", start("3_websocket")))
    client.sendall(masked(CLOSE, payload))
    assert read_frame(client) == (CLOSE, answer)
    assert read(client, 1) == b""


@pytest.mark.parametrize("name", CHATS)
def test_places_come_back(start, connect, name):
    """The list is full. One client that leaves makes room for exactly one other."""
    port = start(name)
    clients = [connect(name, port) for _ in range(CLIENTS_MAX)]
    with pytest.raises((OSError, AssertionError, ValueError)):
        shake_hands(connect(name, port))
    shake_hands(clients[0]).close()
    for _ in range(1000):  # until its thread has left
        with contextlib.suppress(OSError, AssertionError, ValueError):
            shake_hands(connect(name, port))
            return
    pytest.fail("no place came back")


# ---- The problem of step 3 -----------------------------------------------------------------------


@contextlib.contextmanager
def wire_tap(port):
    """A relay to that port that records all bytes, as a machine on the path can."""
    noted = bytearray()

    def copy(source, target):
        while data := source.recv(65536):
            noted.extend(data)
            target.sendall(data)
        with contextlib.suppress(OSError):  # the other way may have ended both
            target.shutdown(socket.SHUT_WR)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = socket.create_connection(("127.0.0.1", port))

        def relay():
            client, _ = listener.accept()
            with client, server:
                back = threading.Thread(target=copy, args=(server, client))
                back.start()
                copy(client, server)
                back.join()

        thread = threading.Thread(target=relay)
        thread.start()
        yield listener.getsockname()[1], noted
        thread.join()


@pytest.mark.parametrize("name, readable", [("3_websocket", True), ("4_tls", False)])
def test_an_eavesdropper_reads_along_without_tls(start, connect, name, readable):
    with wire_tap(start(name)) as (port, noted):
        client = shake_hands(connect(name, port))
        say(client, b"a secret", client)
        client.close()
    assert (b"a secret" in noted) == readable and len(noted) > 100


# ---- The problem of step 4 -----------------------------------------------------------------------

FLOOD = 16 << 20  # bytes, more than kernels keep for a client that does not read


def flood(speaker):
    """Sends, and reads its own messages, until one does not arrive. Returns the bytes received."""
    text, came = bytes(range(32, 96)) * 64, 0
    frame = masked(TEXT, text)
    speaker.settimeout(SCALE)
    with contextlib.suppress(TimeoutError):
        while came < FLOOD:
            speaker.sendall(frame)
            assert read_frame(speaker) == (TEXT, text)
            came += len(text)
    speaker.settimeout(PATIENCE)
    return came


def test_4_waits_for_a_client_that_does_not_read(start, connect):
    port = start("4_tls")
    stuck = shake_hands(connect("4_tls", port, stuck=True))
    speaker = shake_hands(connect("4_tls", port))
    assert flood(speaker) < FLOOD
    stuck.close()
    assert read_frame(speaker)[0] == TEXT


def test_5_cuts_off_a_client_that_does_not_read(start, connect):
    port = start("5_fan_out")
    stuck = shake_hands(connect("5_fan_out", port, stuck=True))
    speaker = shake_hands(connect("5_fan_out", port))
    assert flood(speaker) == FLOOD
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)  # earlier bytes arrive soon
    with contextlib.suppress(ConnectionResetError):
        assert len(read(stuck, FLOOD)) < FLOOD


def test_5_keeps_a_client_that_is_late_for_a_while(start, connect):
    """It falls behind until only the ring has the rest. Nobody sends more; its thread continues."""
    port = start("5_fan_out")
    late = shake_hands(connect("5_fan_out", port, stuck=True))
    speaker = shake_hands(connect("5_fan_out", port))
    assert read_frame(late) == (TEXT, b"here")
    texts = [b"%06d" % number + b"x" * 4000 for number in range(120)]
    for text in texts:
        say(speaker, text, speaker)
    assert [read_frame(late) for _ in texts] == [(TEXT, text) for text in texts]


def test_5_gives_all_the_same_order(start, connect):
    port, speakers, each = start("5_fan_out"), 4, 300
    clients = [shake_hands(connect("5_fan_out", port)) for _ in range(speakers)]
    for before, client in enumerate(clients):
        for _ in range(speakers - 1 - before):
            assert read_frame(client) == (TEXT, b"here")
    heard = [[] for _ in clients]

    def talk(number):
        for i in range(each):
            clients[number].sendall(masked(TEXT, b"%d %d" % (number, i)))
        heard[number] = [read_frame(clients[number]) for _ in range(speakers * each)]

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(speakers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(order == heard[0] for order in heard)
    for number in range(speakers):
        own = [text for _, text in heard[0] if text.startswith(b"%d " % number)]
        assert own == [b"%d %d" % (number, i) for i in range(each)]


# ---- docs/TOUR.md and docs/ARCHITECTURE.md -------------------------------------------------------

SOURCES = [file for file in ROOT.rglob("*.[ch]") if file.relative_to(ROOT).parts[0] not in ("build", "tests", "docs")]
PAGE = (ROOT / "docs" / "TOUR.md").read_text()
QUOTED = sorted(set(re.findall(r"`([^`\n]+)`", PAGE)))
COMMANDS = {"make tour", "build/tour/"}
FOREIGN = {"SSL", "EMFILE", "Id"}  # names of OpenSSL, the C library and the protocol


def defines(file, name):
    code = (ROOT / file).read_text()
    return re.search(rf"^[a-z][\w *]*?[ *]{name}\([^;{{]*?\)\n\{{", code, re.MULTILINE)


def test_the_tour_has_seven_stops():
    stops = re.split(r"^## (?=\d\. )", PAGE, flags=re.MULTILINE)[1:]
    assert [stop[0] for stop in stops] == list("1234567")
    for stop in stops:
        stop = stop.split("\n## ")[0]
        assert re.search(r"`\w+` in\s`[\w/]+\.c`", stop), "names a function and its file"
        assert re.search(r"^- Behind it: .*(?:RFC \d|\(\d\))", stop, re.MULTILINE)
        assert "ithout" in stop, "says what goes wrong without it"


def test_every_function_of_the_tour_is_in_its_file():
    pairs = re.findall(r"`(\w+)` in\s`([\w/.]+)`", PAGE)
    assert len(set(pairs)) > 20
    assert [pair for pair in pairs if not defines(pair[1], pair[0])] == []


def test_every_name_of_the_tour_is_in_the_source():
    code = "\n".join(file.read_text() for file in SOURCES)
    for name in set(QUOTED) - COMMANDS - FOREIGN:
        if "/" in name or "." in name:
            assert (ROOT / name).exists(), name
        else:
            assert re.search(rf"\b{name}\b", code), name
    assert COMMANDS | FOREIGN <= set(QUOTED)


def test_every_step_is_in_the_tour():
    steps = [file.name for file in sorted(FOLDER.glob("*.c"))]
    assert re.findall(r"^\| \[(\w+\.c)\]\(tour/\1\)", PAGE, re.MULTILINE) == steps
    assert [file.stem for file in sorted(FOLDER.glob("*.c"))] == ["1_echo", "2_threads", *CHATS]


@pytest.mark.plain_run("nothing of it is C")
def test_the_diagrams_are_those_of_the_source(tmp_path):
    """If this fails, `make diagrams` draws them again."""
    subprocess.run([ROOT / "tools" / "diagrams", tmp_path], check=True, timeout=6 * PATIENCE)
    for name in ("layers.svg", "threads.svg"):
        assert (tmp_path / name).read_text() == (ROOT / "docs" / name).read_text()


def test_every_mutex_is_in_the_table_of_locks():
    """docs/ARCHITECTURE.md has one row for each, with its name and file."""
    declared = {
        (name, str(file.relative_to(ROOT)))
        for file in SOURCES
        if not file.relative_to(ROOT).parts[0] in ("bench", "client")
        for name in re.findall(r"^(?:static| )[\w ]*pthread_mutex_t (\w+)", file.read_text(), re.MULTILINE)
    }
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text().split("\n## Locks\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| [^|]+ \| `(\w+)` in `([\w/.]+)` \| (\d|leaf) \|", page, re.MULTILINE)
    assert sorted(row[:2] for row in rows) == sorted(declared) and len(rows) > 10
    numbers = [order for *_, order in rows if order != "leaf"]
    assert numbers == [str(1 + i) for i in range(len(numbers))]


def test_every_name_of_the_architecture_is_in_the_source():
    """Names of files are checked by test_layers.py."""
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    code = "\n".join(file.read_text() for file in SOURCES)
    names = set(re.findall(r"`(\w+)`", page))
    assert [name for name in names if not re.search(rf"\b{name}\b", code)] == [] and len(names) > 20


def test_every_struct_of_a_client_is_in_its_header():
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `([\w/.]+\.h)` \|", page, re.MULTILINE)
    assert len(rows) == 10
    for name, file in rows:
        assert f"\nstruct {name} {{" in (ROOT / file).read_text(), (name, file)
