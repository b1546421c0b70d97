# SPDX-License-Identifier: MIT
"""The end of connections and of the server, and every limit on the way: one test per limit."""
import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import time

import pytest

from helpers import (
    BINARY,
    CLOSE,
    COMMAND,
    LATE,
    PATIENCE,
    PING,
    PONG,
    SCALE,
    SETTINGS,
    TEXT,
    UPGRADE,
    V2,
    Peer,
    Raw,
    descriptors_of,
    frame,
    held_port,
    join,
    join_original,
    request,
    scenario,
    wait_until,
)
from server_control import NO_RATE, broadcast, connections, cpu_seconds, status_of

# ---- The end of the server -----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_everyone_is_told_1001(serve, tls, number):
    server = serve(SSL=tls)

    @scenario
    async def talk():
        peers = [
            await join(server, "ana"),
            await join(server, "bob", "/rooms/tea"),
            await join_original(server, "cleo"),
            await Peer.open(server),  # has not joined yet
        ]
        server.signal(number)
        for peer in peers:
            assert (await peer.closed())[0] == 1001

    talk()
    assert server.wait_end() == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), PATIENCE)


def test_what_was_accepted_is_flushed(serve, tls):
    """A member that has not read yet gets everything, then its 1001."""
    server = serve(SSL=tls, **NO_RATE)
    with Raw(server) as ana, Raw(server, receive_buffer=4096) as bob:
        ana.join("ana")
        bob.join("bob")
        texts = [f"{number:02d}" + "." * 16000 for number in range(40)]
        for text in texts:
            ana.send(broadcast(server, text))
        for text in texts:
            assert ana.message()["text"] == text
        server.signal(signal.SIGTERM)
        for text in texts:
            assert bob.message()["text"] == text
        assert bob.close_code() == 1001
        assert ana.close_code() == 1001
    assert server.wait_end() == 0


# The kernel buffers megabytes per connection unless limited; the ring must hold more.
WIDE_RING = {"room_buffer_bytes": 64 << 20, **NO_RATE}


def flood(server, ana, *others, megabytes):
    """Ana broadcasts while all read; returns when all of it has come back."""
    text = "~" * 50000
    for _ in range(megabytes * 20):
        ana.send(broadcast(server, text))
        for member in (ana, *others):
            if member.message()["text"] != text:
                raise AssertionError("another text came back")


def test_a_member_that_does_not_read_delays_shutdown_by_at_most_5_seconds(serve):
    server = serve(**WIDE_RING)
    with Raw(server) as ana, Raw(server, receive_buffer=4096) as bob:
        ana.join("ana")
        bob.join("bob")
        flood(server, ana, megabytes=8)
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
        assert 2 < time.monotonic() - begin < 5 + LATE


def test_second_signal_ends_at_once(serve):
    server = serve(**WIDE_RING)
    server.expected_status = None
    with Raw(server) as ana, Raw(server, receive_buffer=4096) as bob:
        ana.join("ana")
        bob.join("bob")
        flood(server, ana, megabytes=8)
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        assert ana.close_code() == 1001
        server.signal(signal.SIGTERM)
        server.wait_end()
        assert time.monotonic() - begin < 4 * SCALE


def test_a_silent_member_delays_shutdown_by_at_most_5_seconds(serve):
    """Neither a silent connection nor one that never answers a Close delays the end."""
    server = serve()
    with Raw(server), Raw(server) as ana, socket.socket() as half:
        half.connect(("127.0.0.1", server.port))
        half.sendall(b"GET / HTTP/1.1\r\n")
        ana.join("ana")
        begin = time.monotonic()
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
        assert time.monotonic() - begin < 5 + LATE


def join_all(server, stack, count):
    """Many members in a row: none waits until its deadline for joining."""
    members = []
    for number in range(count):
        members.append(stack.enter_context(Raw(server)))
        members[-1].join(f"member-{number:02}")
    return members


def test_everyone_leaves_just_as_the_server_ends(serve, tls):
    """Two threads that end the same connection at once do not conflict."""
    server = serve(SSL=tls)
    with contextlib.ExitStack() as stack:
        members = join_all(server, stack, 60)
        for number, member in enumerate(members):
            if number == 30:
                server.signal(signal.SIGTERM)
            if number % 3 == 0:
                reset(member)
            elif number % 3 == 1:
                member.socket.close()
            else:
                with contextlib.suppress(OSError):
                    member.send(frame(CLOSE, b"\x03\xe8"))
        assert server.wait_end() == 0


# ---- The end of a connection ---------------------------------------------------------------------


def reset(raw):
    """Ends a connection with RST instead of FIN."""
    raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.socket.close()


@pytest.mark.parametrize("how", ["close", "fin", "half", "reset", "inside-a-frame"])
def test_leaving_in_any_way_is_seen_by_the_others(serve, tls, how):
    server = serve(SSL=tls)
    bob = Raw(server)

    @scenario
    async def talk():
        ana = await join(server, "ana")
        bob.join("bob")
        await ana.presence("ana", "bob")
        if how == "close":
            bob.send(frame(CLOSE, b"\x03\xe8"))
        elif how == "half":
            socket.socket.shutdown(bob.socket, socket.SHUT_WR)
        elif how == "reset":
            reset(bob)
        else:
            bob.send(b"\x81\xff" if how == "inside-a-frame" else b"")
            bob.socket.close()
        await ana.presence("ana")

    talk()
    bob.socket.close()


def test_silence_is_pinged_and_an_answer_keeps_the_line(serve):
    server = serve(ping_interval_seconds=1)
    with Raw(server) as ana:
        begin = time.monotonic()
        ana.join("ana")
        pings = []
        while len(pings) < 3:
            opcode, payload = ana.next_frame()
            if opcode == PING:
                pings.append(payload)
                ana.send(frame(PONG, payload))
        assert 2 < time.monotonic() - begin < 3 + 3 * SCALE
        ana.send(broadcast(server, "I am still here"))
        assert ana.message()["text"] == "I am still here"


def test_silence_without_an_answer_ends_the_line(serve, tls):
    server = serve(SSL=tls, ping_interval_seconds=1)
    with Raw(server) as ana:
        begin = time.monotonic()
        ana.join("ana")
        while (opcode := ana.next_frame()[0]) != PING:
            assert opcode == TEXT
        ana.read_to_end()
        assert 1.99 < time.monotonic() - begin < 2 + LATE
        wait_until(lambda: not connections(server), "the connection's end")


def test_a_member_that_talks_is_not_pinged(serve):
    interval = int(2 * SCALE)
    server = serve(ping_interval_seconds=interval)
    with Raw(server) as ana:
        ana.join("ana")
        for number in range(10):
            ana.send(broadcast(server, f"keep talking {number}"))
            time.sleep(interval / 8)
            while (heard := ana.next_frame())[1].find(b"keep talking") < 0:
                assert heard[0] == TEXT, "a ping, though nobody was silent"


@pytest.mark.parametrize("protocol", [None, V2], ids=["way-1", "way-2"])
def test_login_timeout_is_1008(serve, protocol):
    server = serve(login_timeout_seconds=1)
    with Raw(server) as ana:
        begin = time.monotonic()
        ana.upgrade(protocol=protocol)
        assert ana.close_code() == 1008
        assert 0.99 < time.monotonic() - begin < 1 + LATE


def test_login_timeout_is_not_put_off_by_pings(serve):
    server = serve(login_timeout_seconds=1)
    with Raw(server) as ana:
        ana.upgrade()
        begin = time.monotonic()
        ana.socket.settimeout(0.2)
        code = None
        while code is None and time.monotonic() - begin < 1 + LATE:
            ana.send(frame(PING, b""))
            with contextlib.suppress(TimeoutError):
                code = ana.close_code()
        assert code == 1008


def trickle(client, data):
    """Sends a byte every 0.2 s until the server hangs up; returns the seconds that took."""
    begin = time.monotonic()
    client.socket.settimeout(0.2)
    for byte in data:
        assert time.monotonic() - begin < 1 + LATE, "the server still waits"
        try:
            client.send(bytes([byte]))
            if not client.socket.recv(4096):
                break
        except TimeoutError:
            continue
        except ConnectionError:
            break
    return time.monotonic() - begin


@pytest.mark.parametrize("data", [b"", request("/", UPGRADE)], ids=["silent", "trickle"])
def test_handshake_timeout(serve, tls, data):
    """The deadline from accept to the end of the request head, whatever is received in between."""
    server = serve(SSL=tls, handshake_timeout_seconds=1)
    begin = time.monotonic()
    with Raw(server, tls=False) as client:
        trickle(client, b"\x16" if tls and data else data)
        client.socket.settimeout(PATIENCE)
        client.read_to_end()
        assert 0.99 < time.monotonic() - begin < 1 + LATE


def test_handshake_timeout_after_tls(serve):
    limit = int(SCALE)  # applies to the TLS handshake too
    server = serve(SSL=True, handshake_timeout_seconds=limit)
    begin = time.monotonic()
    with Raw(server) as client:
        client.read_to_end()
        assert limit - 0.01 < time.monotonic() - begin < limit + LATE


# ---- Rates ---------------------------------------------------------------------------------------


def paced(server, texts, at_least):
    """Sends everything at once; all of it must come back in order, not before `at_least` s."""
    with Raw(server) as ana, Raw(server) as bob:
        ana.join("ana")
        bob.join("bob")
        begin = time.monotonic()
        ana.send(b"".join(broadcast(server, text) for text in texts))
        bob.send(broadcast(server, "and me in between"))
        heard = [bob.message()["text"] for _ in range(len(texts) + 1)]
        assert time.monotonic() - begin > at_least
        others = heard.index("and me in between")
        assert others < len(texts), "a flood of one does not hold up another"
        del heard[others]
        assert heard == texts


def test_message_rate_slows_down_and_loses_nothing(serve):
    """20 a second with a burst of 40: 80 take two seconds."""
    server = serve(max_messages_per_second=20, max_bytes_per_second=0)
    paced(server, [f"message {number}" for number in range(80)], at_least=1.8)


def test_byte_rate_slows_down_and_loses_nothing(serve):
    """10,000 bytes a second with a burst of 40,000: 60,000 take two seconds."""
    server = serve(max_messages_per_second=0, max_bytes_per_second=10000)
    texts = [f"{number:02d}" + "." * 1000 for number in range(60)]
    paced(server, texts, at_least=1.8)


def test_no_rate_limit(serve):
    server = serve(**NO_RATE)
    with Raw(server) as ana:
        ana.join("ana")
        texts = [f"message {number}" for number in range(1000)]
        ana.send(b"".join(broadcast(server, text) for text in texts))
        assert [ana.message()["text"] for _ in texts] == texts


def test_being_paused_is_not_taken_for_silence(serve):
    """The server does not read a member over its rate, and so cannot see its pong."""
    server = serve(max_messages_per_second=0, max_bytes_per_second=1000, ping_interval_seconds=1)
    with Raw(server) as ana:
        ana.join("ana")
        ana.send(broadcast(server, "." * 7500))  # 4,000 at once, and 3.5 s for the rest
        ana.send(broadcast(server, "after the pause"))
        while b"after the pause" not in (heard := ana.next_frame())[1]:
            if heard[0] == PING:
                ana.send(frame(PONG, heard[1]))


# ---- How many ------------------------------------------------------------------------------------


def full_then_free(server, room):
    """`room` connections are accepted, one more gets 503, and a released slot is free again."""
    with contextlib.ExitStack() as stack:
        members = join_all(server, stack, room)
        assert status_of(server) == 503
        assert status_of(server) == 503
        members[0].send(frame(CLOSE, b"\x03\xe8"))
        assert members[0].close_code() == 1000
        wait_until(lambda: status_of(server) == 101, "a free place")


def test_max_clients(serve, tls):
    full_then_free(serve(SSL=tls, max_clients=3), 3)


def test_max_clients_per_address(serve, tls):
    server = serve(SSL=tls, max_clients_per_address=2)
    with Raw(server) as ana, Raw(server) as bob:
        ana.join("ana")
        bob.join("bob")
        assert status_of(server) == 429
        with socket.socket() as other:  # another address is not affected
            other.bind(("127.0.0.2", 0))
            other.settimeout(PATIENCE)
            other.connect(("127.0.0.1", server.port))
            if tls:
                other = server.tls_context().wrap_socket(other, server_hostname="127.0.0.1")
            other.sendall(request("/", UPGRADE))
            assert other.recv(64).startswith(b"HTTP/1.1 101")
            other.close()
        ana.send(frame(CLOSE, b"\x03\xe8"))
        assert ana.close_code() == 1000
        wait_until(lambda: status_of(server) == 101, "a free place")


def test_one_descriptor_per_client(serve):
    server = serve()
    with contextlib.ExitStack() as stack:
        stack.enter_context(Raw(server)).join("the first")
        wait_until(lambda: connections(server) == 1, "the connection that saw it start to be gone")
        before = descriptors_of(server.pid)
        for number in range(10):
            stack.enter_context(Raw(server)).join(f"member-{number}")
        assert descriptors_of(server.pid) == before + 10


def test_no_descriptors_left(serve):
    """EMFILE costs only the connection that could not be accepted, and no processor time."""
    server = serve()

    @scenario
    async def talk():
        ana, bob = await join(server, "ana"), await join(server, "bob")
        used = max(int(name) for name in os.listdir(f"/proc/{server.pid}/fd")) + 1
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (used + 2, used + 2))
        with contextlib.ExitStack() as stack:
            for _ in range(8):
                client = stack.enter_context(socket.socket())
                client.connect(("127.0.0.1", server.port))
            wait_until(lambda: connections(server) >= 4, "all descriptors in use")
            begin, spent = time.monotonic(), cpu_seconds(server)
            while time.monotonic() - begin < 1:
                heard = await ana.ask("Broadcast", text="is the line still up")
                assert await bob.message() == heard
                await asyncio.sleep(0.05)
            assert cpu_seconds(server) - spent < 0.5, "it spins"
        await ana.close()
        wait_until(lambda: connections(server) == 1, "all but bob to be gone")
        await join(server, "cleo")
        await bob.presence("bob", "cleo")

    talk()


# ---- Falling behind ------------------------------------------------------------------------------


def test_only_the_slow_consumer_is_closed(serve, tls):
    """More than half the ring behind: 1013, or cut where a frame had begun; one line says so."""
    server = serve(SSL=tls, **NO_RATE)
    with Raw(server) as ana, Raw(server, receive_buffer=4096) as bob, Raw(server) as cleo:
        for name, member in {"ana": ana, "bob": bob, "cleo": cleo}.items():
            member.join(name)
        flood(server, ana, cleo, megabytes=8)
        assert bob.close_code() in (1013, None)
        ana.send(broadcast(server, "who is still there"))
        for member in (ana, cleo):
            assert member.message()["text"] == "who is still there"
        bob.socket.close()
        pattern = r"^.* warn too_slow .*=\d+.*$"
        wait_until(lambda: re.search(pattern, server.log(), re.MULTILINE), "a line in the log")
        assert len(re.findall(pattern, server.log(), re.MULTILINE)) == 1


def test_a_slow_member_that_reads_again_misses_nothing(serve, tls):
    """Less than half the ring behind has no consequence."""
    server = serve(SSL=tls, room_buffer_bytes=32 << 20, **NO_RATE)
    with Raw(server) as ana, Raw(server, receive_buffer=4096) as bob:
        ana.join("ana")
        bob.join("bob")
        flood(server, ana, megabytes=8)
        bob.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        assert [bob.message()["Id"] for _ in range(8 * 20)] == list(range(1, 8 * 20 + 1))


def test_full_queue_of_ones_own_closes_alone(serve):
    """A member that does not read its private messages is closed, and the sender is told."""
    server = serve(**NO_RATE)
    text = "~" * 60000
    fields = {"msgType": "PrivateMessage", "TgtUser": "bob", "text": text, "Ref": 1}
    with Raw(server) as ana, Raw(server, receive_buffer=4096) as bob, Raw(server) as cleo:
        for name, member in {"ana": ana, "bob": bob, "cleo": cleo}.items():
            member.join(name)
        for _ in range(400):
            ana.send_text(json.dumps(fields))
            answer = ana.message()
            if answer["msgType"] == "Error":
                break
        assert answer["msgType"] == "Error", "the queue of bob has no end"
        cleo.send(broadcast(server, "nothing happened to us"))
        for member in (ana, cleo):
            assert member.message()["text"] == "nothing happened to us"


def test_broken_tls_record_ends_that_connection_only(serve):
    server = serve(SSL=True)

    @scenario
    async def talk():
        ana = await join(server, "ana")
        with Raw(server) as bob:
            bob.join("bob")
            await ana.presence("ana", "bob")
            raw = socket.socket(fileno=os.dup(bob.socket.fileno()))
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"\xff" * 32)  # a record that does not decrypt
            raw.close()
            with contextlib.suppress(ssl.SSLError):
                bob.read_to_end()
        await ana.presence("ana")
        await ana.nothing_more()

    talk()


# ---- What once went wrong ------------------------------------------------------------------------


def test_a_blocked_member_with_half_a_frame_costs_no_cpu(serve, tls):
    """Its socket takes no more, and its last bytes filled the read buffer completely."""
    server = serve(SSL=tls, room_buffer_bytes=64 * 1024 * 1024, **NO_RATE)
    with Raw(server, receive_buffer=4096) as slow, Raw(server) as fast:
        slow.join("slow")
        fast.join("fast")
        for _ in range(200):
            fast.send(broadcast(server, "x" * 60000))
            fast.message()
        wait_until(lambda: cpu_share(server) < 0.1, "the kernel's buffers to be full")
        slow.send(frame(TEXT, b" " * 15000)[: 12000 if tls else 4096])
        assert min(cpu_share(server) for _ in range(3)) < 0.5


def cpu_share(server, seconds=0.5):
    """The share of a processor that the process uses, measured over a while."""
    before, start = cpu_seconds(server), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(server) - before) / (time.monotonic() - start)


@pytest.mark.parametrize("sent", [b"", b"GET / HT"], ids=["nothing", "half a request"])
def test_shutdown_does_not_wait_for_handshakes(serve, tls, sent):
    """They get no Close frame; browsers keep such connections in reserve."""
    server = serve(SSL=tls)
    with Raw(server) as idle:
        idle.send(sent)
        server.signal(signal.SIGTERM)
        assert server.wait_end() == 0
    assert "cut_off=0" in server.log()


def test_a_list_does_not_wait_for_the_close_of_its_sender(serve):
    """Two of 60 leave at once; neither answers the Close frame, and the second must send the change."""
    server = serve()
    with contextlib.ExitStack() as stack:
        peers = join_all(server, stack, 60)
        watcher, *leavers = peers[:3]
        users = 0
        while users != 60:
            users = json.loads(watcher.next_frame()[1]).get("Count", 0)
        started = time.monotonic()
        for peer in leavers:
            peer.send(frame(BINARY, b"not text"))
        while users != 58:
            users = json.loads(watcher.next_frame()[1])["Count"]
        assert time.monotonic() - started < 4 * SCALE, "less than a close handshake takes"


def test_without_standard_streams_nobody_gets_the_log(tmp_path):
    """Sockets must not get the numbers 0 to 2."""
    config = tmp_path / "config.json"
    bare = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    with held_port() as port:
        config.write_text(json.dumps({**SETTINGS, "server_port": port, "log_level": "debug"}))
        process = subprocess.Popen([*bare, *COMMAND, "-c", str(config)])
        try:
            wait_until(lambda: can_connect(port), "the server to listen")
            listen_for_the_log(process, port)
        finally:
            process.kill()
            process.wait()


def listen_for_the_log(process, port):
    """One of four connections is answered; the others receive nothing, not even at the end."""
    with contextlib.ExitStack() as stack:
        *others, last = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            for _ in range(4)
        ]
        last.sendall(b"nonsense\r\n\r\n")
        assert last.recv(100).startswith(b"HTTP/1.1 400 ")
        process.send_signal(signal.SIGTERM)
        for other in others:
            assert other.recv(100) == b"", "the end of the stream, and no log before it"
    assert process.wait(PATIENCE) == 0


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
