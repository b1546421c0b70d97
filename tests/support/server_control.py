# SPDX-License-Identifier: MIT
"""Server control for tests: settings, signals, and the state of the process."""
import contextlib
import json
import os
import re
import signal
import socket
import ssl

from helpers import PATIENCE, ROOT, TEXT, UPGRADE, Raw, frame, request, wait_until

INTRUDER = str(ROOT / "build" / "intruder.so")  # tests/tools/intruder.c
HURRY = str(ROOT / "build" / "hurry.so")  # tests/tools/hurry.c
NO_RATE = {"max_messages_per_second": 0, "max_bytes_per_second": 0}


def broadcast(server, text):
    """The frame of a Broadcast, for senders that do not wait."""
    server.keep_secret(text)
    return frame(TEXT, json.dumps({"msgType": "Broadcast", "text": text}).encode())


def status_of(server):
    """The answer to one more client."""
    with Raw(server) as client:
        client.send(request("/", UPGRADE))
        return client.head().status


def connections(server):
    """The server's socket descriptors, except the listening one and the broker's."""
    folder = f"/proc/{server.pid}/fd"
    links = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"{folder}/{name}"))
    return sum(link.startswith("socket:") for link in links) - 2


def cpu_seconds(server):
    fields = open(f"/proc/{server.pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")



def change(server, **changes):
    """Changes settings; None removes one."""
    settings = {**json.loads(server.config.read_text()), **changes}
    kept = {key: value for key, value in settings.items() if value is not None}
    server.config.write_text(json.dumps(kept, indent=4))


def lines(server, event):
    return re.findall(rf"^\S+ \w+ {event}\b.*$", server.log(), re.MULTILINE)


def hup(server, event="reloaded"):
    """Reloads the settings; returns the log line with the result."""
    before = len(lines(server, event))
    server.signal(signal.SIGHUP)
    wait_until(lambda: len(lines(server, event)) > before, f"{event}: {server.log()}")
    return lines(server, event)[before]


def reload(server, **changes):
    change(server, **changes)
    return hup(server)


def served_end(server):
    """The expiry of the current certificate."""
    context = ssl.create_default_context(cafile=server.folder / "ragnarok-ca.crt")
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        with context.wrap_socket(client, server_hostname="localhost") as line:
            return ssl.cert_time_to_seconds(line.getpeercert()["notAfter"])
