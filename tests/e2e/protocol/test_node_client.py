# SPDX-License-Identifier: MIT
"""A dialogue with a client in another language: the `ws` module of Node.js."""
import os
import shutil
import subprocess
from pathlib import Path

from helpers import PASSWORD, PATIENCE, strict_loads

CLIENT = Path(__file__).with_name("node_client.js")
MODULES = "/usr/share/nodejs"  # of Debian's node-ws


def run_client(server):
    """Runs node_client.js; returns its lines as (name, message)."""
    node = shutil.which("node")
    assert node, "Node.js is missing: apt-get install nodejs node-ws"
    path = os.pathsep.join(filter(None, [os.environ.get("NODE_PATH"), MODULES]))
    arguments = [server.url(), PASSWORD] + ([str(server.root)] if server.tls else [])
    done = subprocess.run(
        [node, CLIENT, *arguments],
        env={**os.environ, "NODE_PATH": path},
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [tuple(line.split(" ", 1)) for line in done.stdout.splitlines()]


def without(message, *names):
    """The message without these fields, which differ in each run and must exist."""
    return {name: value for name, value in message.items() if name not in names}


def test_dialogue_with_node(serve, tls):
    server = serve(SSL=tls)
    server.keep_secret("from node with love")
    server.keep_secret("between two nodes")
    heard = run_client(server)
    assert heard[-3] == ("bob", "closed 1000")
    assert heard[-1] == ("ana", "closed 1005")
    told = [(who, strict_loads(text)) for who, text in heard if not text.startswith("closed")]

    love = {"msgType": "Broadcast", "SrcUser": "ana", "TgtUser": "", "text": "from node with love"}
    long = {"msgType": "Broadcast", "SrcUser": "bob", "TgtUser": "", "text": "x" * 60000}
    secret = {"msgType": "PrivateMessage", "SrcUser": "bob", "text": "between two nodes", "Ref": 7}
    both = {"msgType": "OnlineUsers", "Users": ["ana", "bob"]}
    alone = {"msgType": "OnlineUsers", "Users": ["ana"]}
    hello = {"msgType": "Hello", "ServerName": "Ks", "PasswordRequired": True, "Version": 2}
    joined = {"msgType": "Joined", "ServerName": "Ks", "Room": "", "Name": "bob", "LastId": 0}
    joined |= {"Resumed": False, "MaxMessageBytes": 65536}

    assert [(who, without(message, "Time", "Nonce", "Epoch")) for who, message in told] == [
        ("ana", {"ServerName": "Ks"}),
        ("ana", alone),
        ("bob", hello),
        ("bob", joined),
        ("bob", {**both, "Version": 2, "Count": 2}),
        ("ana", both),
        ("ana", {**love, "Id": 1}),
        ("bob", {**love, "Id": 1}),
        ("ana", secret),
        ("bob", {"msgType": "Delivered", "TgtUser": "ana", "Ref": 7}),
        ("ana", {**long, "Id": 2}),
        ("bob", {**long, "Id": 2}),
        ("ana", alone),
    ]
