# SPDX-License-Identifier: MIT
"""The QR code on the terminal at start, read back with zbarimg."""
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

from helpers import COMMAND, PATIENCE, SANITIZER, SETTINGS

INK, PLAIN = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
HALVES = {" ": (0, 0), "▄": (0, 1), "▀": (1, 0), "█": (1, 1)}


def decode(rows, folder):
    """Decodes a picture of these modules, where 1 is dark."""
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


@contextlib.contextmanager
def terminal(columns):
    """A pseudo-terminal of that width: the program's end and the user's end."""
    seen, given = pty.openpty()
    fcntl.ioctl(given, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    try:
        yield seen, given
    finally:
        os.close(seen)


def read_to_end(seen):
    """Reads a terminal until the other end is closed."""
    said = b""
    deadline = time.monotonic() + PATIENCE
    while select.select([seen], [], [], max(0, deadline - time.monotonic()))[0]:
        try:
            said += os.read(seen, 65536)
        except OSError:  # Linux reports the end like this
            return said.decode().replace("\r\n", "\n")
    raise AssertionError(f"it goes on: {said}")


def start_on_terminal(folder, columns=80, term="xterm-256color", **changes):
    """The output of a start on a terminal. The log line written after it ends the wait."""
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
    """The modules of the code; each line sets both colours, and resets them."""
    rows = []
    for line in said.split("\n"):
        if "\x1b" not in line:
            continue
        assert line.startswith("  " + INK) and line.endswith(PLAIN), repr(line)
        halves = [HALVES[half] for half in line.strip().removeprefix(INK).removesuffix(PLAIN)]
        rows += [[upper for upper, _ in halves], [lower for _, lower in halves]]
    return rows


def default_address():
    """The source address of this host, or None without a route. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("203.0.113.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


@pytest.fixture
def host_of_others():
    """Skips a test on hosts that no other host can reach."""
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
    assert "\x1b" not in said and "Open:" in said


def test_no_code_where_nobody_looks(serve):
    server = serve(server_ip="0.0.0.0")
    server.finish()
    assert "\x1b" not in server.printed()
