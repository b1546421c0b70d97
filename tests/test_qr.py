# SPDX-License-Identifier: MIT
"""QR codes: on the terminal at start, and for the page by GetQr. zbarimg reads what was drawn."""
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest

from helpers import COMMAND, PATIENCE, SANITIZER, SETTINGS, join, scenario

INK, PLAIN = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
HALVES = {" ": (0, 0), "▄": (0, 1), "▀": (1, 0), "█": (1, 1)}
RECTANGLE = re.compile(r"M(\d+) (\d+)h(\d+)v1h-(\d+)z")
TEXT_MAX = 512


def decode(rows, folder):
    """What a reader finds in a picture of these modules, 1 being dark."""
    scale = 4
    picture = folder / "code.pgm"
    lines = [bytes(0 if dark else 255 for dark in row for _ in range(scale)) for row in rows]
    head = f"P5\n{len(lines[0])} {len(lines) * scale}\n255\n"
    picture.write_bytes(head.encode() + b"".join(line * scale for line in lines))
    only_qr = ["-Sdisable", "-Sqrcode.enable", "-Sbinary"]
    read = subprocess.run(
        ["zbarimg", "--nodbus", "--quiet", "--raw", *only_qr, picture],
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
    return read.stdout.decode().removesuffix("\n")


# ---- For the page --------------------------------------------------------------------------------


def rows_of(size, path, quiet=4):
    """The modules that an SVG path covers, with a quiet zone; no module may be covered twice."""
    assert RECTANGLE.sub("", path) == ""
    rows = [[0] * (size + 2 * quiet) for _ in range(size + 2 * quiet)]
    for x, y, right, left in (map(int, match) for match in RECTANGLE.findall(path)):
        assert right == left and right > 0 and x + right <= size and y < size
        for at in range(x + quiet, x + quiet + right):
            assert not rows[y + quiet][at]
            rows[y + quiet][at] = 1
    return rows


@pytest.fixture
def server(serve):
    return serve()


@pytest.mark.parametrize(
    "text",
    [
        "https://192.168.1.5:12345/",
        "https://192.168.1.5:12345/rooms/tee%20stube#geheim",
        "ragnarok-verify:" + "0123456789" * 6,
        "x",
        "茶与谈话 🍵",
        "é" * (TEXT_MAX // 2),
        "z" * TEXT_MAX,
    ],
    ids=lambda text: text[:20],
)
def test_a_reader_finds_the_text(server, tmp_path, text):
    @scenario
    async def talk():
        ana = await join(server, "ana")
        code = await ana.ask("GetQr", text=text, Ref=["my", 1.50])
        assert (code["msgType"], code["Ref"]) == ("QrCode", ["my", 1.50])
        assert code.keys() == {"msgType", "Ref", "Size", "Path"}
        assert decode(rows_of(code["Size"], code["Path"]), tmp_path) == text

    talk()


@scenario
async def ask_without_ref(server):
    ana, bob = await join(server, "ana"), await join(server, "bob")
    code = await ana.ask("GetQr", text="between us")
    assert code.keys() == {"msgType", "Size", "Path"}
    await ana.nothing_more()
    await bob.message()  # that mark, and nothing before it
    await bob.nothing_more()


def test_nobody_else_hears_of_it(server):
    ask_without_ref(server)


@pytest.mark.parametrize("text", ["z" * (TEXT_MAX + 1), "é" * TEXT_MAX, "a\0b"], ids=len)
def test_a_text_that_is_too_long(server, text):
    @scenario
    async def talk():
        ana = await join(server, "ana")
        await ana.send("GetQr", text=text, Ref=7)
        error = await ana.error("too_long")
        assert error["Ref"] == 7 and "512" in error["text"]
        await ana.nothing_more()

    talk()


@pytest.mark.parametrize("fields", [{}, {"text": ""}, {"text": 5}, {"Text": "x"}], ids=json.dumps)
def test_a_text_that_is_missing(server, fields):
    @scenario
    async def talk():
        ana = await join(server, "ana")
        await ana.send("GetQr", **fields)
        await ana.error("missing_field")
        await ana.nothing_more()

    talk()


# ---- On the terminal -----------------------------------------------------------------------------


@contextlib.contextmanager
def terminal(columns):
    """A terminal of that width: the end that a program gets, and the end that a person sees."""
    seen, given = pty.openpty()
    fcntl.ioctl(given, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    try:
        yield seen, given
    finally:
        os.close(seen)


def read_to_end(seen):
    """What is written to a terminal until nobody holds the other end any more."""
    said = b""
    deadline = time.monotonic() + PATIENCE
    while select.select([seen], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            said += os.read(seen, 65536)
        except OSError:  # as Linux says it
            return said.decode().replace("\r\n", "\n")
    raise AssertionError(f"it goes on: {said}")


def start_on_terminal(folder, columns=80, term="xterm-256color", **changes):
    """What a start prints on a terminal. Its log ends the waiting: it is written after that."""
    (folder / "config.json").write_text(json.dumps({**SETTINGS, **changes}))
    with terminal(columns) as (seen, given):
        with subprocess.Popen(
            COMMAND, cwd=folder, stdin=subprocess.DEVNULL, stdout=given, stderr=subprocess.PIPE,
            env={**os.environ, "TERM": term},
        ) as process:  # fmt: skip
            os.close(given)
            first = ""
            while " started " not in first and (line := process.stderr.readline().decode()):
                first += line
            process.send_signal(signal.SIGTERM)
            said = read_to_end(seen)
            log = first + process.stderr.read().decode()
        assert " started " in first and process.returncode == 0, log
        assert not SANITIZER.search(said + log), said + log
    return said


def addresses_in(said):
    return re.findall(r"^ .* (https?://\S+)$", said.partition("\x1b")[0], re.MULTILINE)


def code_in(said):
    """The modules of the code; each line sets both colours, and gives them back."""
    rows = []
    for line in said.split("\n"):
        if "\x1b" not in line:
            continue
        assert line.startswith("  " + INK) and line.endswith(PLAIN), repr(line)
        halves = [HALVES[half] for half in line.strip().removeprefix(INK).removesuffix(PLAIN)]
        rows += [[upper for upper, _ in halves], [lower for _, lower in halves]]
    return rows


def default_address():
    """Where this host sends from; nothing is sent. None without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


@pytest.fixture
def host_of_others():
    """Skips a test where nobody else could reach this host anyway."""
    if not default_address():
        pytest.skip("this host has no route to others")


def test_a_phone_scans_the_address_to_open(tmp_path, tls, host_of_others):
    said = start_on_terminal(tmp_path, server_ip="0.0.0.0", SSL=tls)
    rows = code_in(said)
    url = decode(rows, tmp_path)
    assert url in addresses_in(said) and f"Scan it to open {url}\n" in said
    assert re.fullmatch(rf"{'https' if tls else 'http'}://{default_address()}:\d+/", url)
    quiet = rows[:2] + rows[-2:] + [row[:2] + row[-2:] for row in rows]
    assert not any(any(row) for row in quiet)


def test_the_address_that_was_asked_for_is_the_one_to_open(tmp_path, host_of_others):
    said = start_on_terminal(tmp_path, server_ip=default_address())
    assert [decode(code_in(said), tmp_path)] == addresses_in(said)


def test_the_start_fits_on_a_screen(tmp_path, host_of_others):
    lines = start_on_terminal(tmp_path, server_ip="0.0.0.0").split("\n")
    assert sum("\x1b" in line for line in lines) <= 17


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_no_code_for_an_address_that_only_this_machine_has(tmp_path, address):
    said = start_on_terminal(tmp_path, server_ip=address)
    assert "\x1b" not in said and "To let others in" in said


@pytest.mark.parametrize("options", [{"columns": 30}, {"term": "dumb"}], ids=str)
def test_no_code_where_it_cannot_be_seen(tmp_path, options):
    said = start_on_terminal(tmp_path, server_ip="0.0.0.0", **options)
    assert "\x1b" not in said and "Address:" in said


def test_no_code_where_nobody_looks(serve):
    server = serve(server_ip="0.0.0.0")
    server.finish()
    assert "\x1b" not in server.printed()
