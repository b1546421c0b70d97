# SPDX-License-Identifier: MIT
"""ragchat as people and scripts run it: on a pseudo-terminal, and with pipes.

`Terminal` runs it on a pseudo-terminal whose other end is pyte, an independent terminal emulator:
tests assert what a user would see. `run`, `start` and `Listener` use pipes.
Each member has a folder for its keys, unless a test shares one.

RAGCHAT  the command to test; default: ./ragchat of this repository
"""
import fcntl
import json
import os
import pty
import re
import select
import shlex
import signal
import struct
import subprocess
import termios
import threading

import pyte

from helpers import PASSWORD, PATIENCE, ROOT, SANITIZER, wait_until

OK, PARTLY = 0, 5
RAGCHAT = shlex.split(os.environ.get("RAGCHAT", str(ROOT / "ragchat")))
ROWS = 24
FAST = {"max_messages_per_second": 0, "max_bytes_per_second": 0}


def environment(folder, **changes):
    """The environment of ragchat: its own home, UTF-8, the room's password, and `changes`."""
    values = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder),
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "RAGNAROK_PASSWORD": PASSWORD,
        # of sanitizers, and of make coverage
        **{key: os.environ[key] for key in os.environ if key.endswith(("SAN_OPTIONS", "PROFILE_FILE"))},
        **changes,
    }
    return {key: value for key, value in values.items() if value is not None}


class Terminal:
    """ragchat behind a pseudo-terminal, and what is on its screen."""

    command = RAGCHAT
    opened = []

    def __init__(
        self, server, name, folder, *options, rows=24, columns=160, url=None, wrap=(), **changes
    ):
        self.screen = pyte.Screen(columns, ROWS)
        self.stream = pyte.ByteStream(self.screen)
        self.raw, self.status = b"", None
        command = [*wrap, *RAGCHAT, "-n", name, *options, url or server.url()]
        self.pid, self.fd = pty.fork()
        if self.pid == 0:  # the window exists before the program reads its size
            self.measure(pty.STDOUT_FILENO, columns)
            os.execvpe(command[0], command, environment(folder, **changes))
        Terminal.opened.append(self)

    @staticmethod
    def measure(fd, columns):
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))

    def resize(self, columns):
        """Resizes the window: the system sends SIGWINCH."""
        self.measure(self.fd, columns)
        self.screen.resize(ROWS, columns)

    def pump(self):
        """Feeds the output so far to the screen."""
        while select.select([self.fd], [], [], 0)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:  # the other end is closed
                return
            if not data:
                return
            self.raw += data
            self.stream.feed(data)

    def lines(self):
        """The rows as text; a wide character appears once."""
        self.pump()
        return [row.rstrip() for row in self.screen.display]

    def text(self):
        return "\n".join(self.lines()).strip("\n")

    def wait_for(self, condition, what):
        """Waits for a condition; shows the screen on a timeout."""
        try:
            return wait_until(condition, what)
        except AssertionError as failure:
            raise AssertionError(f"{failure}; the screen:\n{self.text()}") from None

    def wait(self, pattern, times=1):
        """Waits until the text is on the screen this often, including present occurrences."""

        def look():
            return len(re.findall(pattern, self.text())) >= times

        self.wait_for(look, f"{pattern!r}, {times} times")

    def row(self):
        """The row of the input line."""
        return self.lines()[self.screen.cursor.y]

    def wait_row(self, row):
        self.wait_for(lambda: self.row() == row, f"the row {row!r}")

    def type(self, keys):
        os.write(self.fd, keys if isinstance(keys, bytes) else keys.encode())

    def say(self, line):
        self.type(line + "\r")

    def end(self):
        """Waits for the process and returns its exit status."""

        def look():
            self.pump()
            if self.status is None:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                self.status = os.waitstatus_to_exitcode(status) if pid else None
            return self.status is not None

        self.wait_for(look, "ragchat's end")
        self.pump()
        assert not SANITIZER.search(self.raw.decode(errors="replace")), self.raw
        return self.status

    def close(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGTERM)
            self.end()
        os.close(self.fd)


def start(server, name, folder, *options, url=None, env=None, **streams):
    """ragchat with pipes for all streams that are not given."""
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, **streams}
    return subprocess.Popen(
        [*RAGCHAT, "-n", name, *options, url or server.url()],
        env=environment(folder, **(env or {})),
        stderr=subprocess.PIPE,
        **streams,
    )


def run(server, name, folder, *options, text="", **more):
    """ragchat with `text` piped in, to its end: exit status, standard output, standard error."""
    process = start(server, name, folder, *options, **more)
    data = text.encode() if isinstance(text, str) else text
    out, err = process.communicate(data, timeout=6 * PATIENCE)
    err = err.decode()
    assert not SANITIZER.search(err), err
    return process.returncode, out.decode(), err


class Listener:
    """ragchat --listen, with the messages that it has printed so far."""

    def __init__(self, server, name, folder, *options, **more):
        self.process = start(
            server, name, folder, "--listen", *options, stdin=subprocess.DEVNULL, **more
        )
        self.messages = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        wait_until(lambda: self.of("OnlineUsers"), f"{name} to be in")

    def read(self):
        for line in self.process.stdout:
            self.messages.append(json.loads(line))

    def of(self, kind):
        return [message for message in list(self.messages) if message["msgType"] == kind]

    def texts(self, kind="Broadcast"):
        return [message["text"] for message in self.of(kind)]

    def wait(self, count, kind="Broadcast"):
        wait_until(lambda: len(self.of(kind)) >= count, f"{count} {kind}", 6 * PATIENCE)
        return self.of(kind)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.reader.join(PATIENCE)
        status = self.process.wait(PATIENCE)
        err = self.process.stderr.read().decode()
        assert not SANITIZER.search(err), err
        return status, err



def said(mark, who, text):
    """A private message on the screen."""
    return rf"\[{mark}\] {who}: {text}"
