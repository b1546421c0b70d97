# SPDX-License-Identifier: MIT
"""The TLS of the port: versions, ciphers, malformed handshakes.

OPENSSL  openssl(1), the other side of the protocol tests; default: openssl
HELLOS   how many broken ClientHellos are sent; default: 2000, `make faults` sends 100000
"""
import contextlib
import os
import random
import re
import shlex
import socket
import ssl
import statistics
import struct
import subprocess
import time

import pytest

from fault_injection import SETTINGS
from flood import Flood
from helpers import PASSWORD, PATIENCE, ROOT, SCALE, in_time, request, steady, wait_until
from page_files import served
from hostile_clients import hello_of
from load_generator import load, scaled
from server_control import cpu_seconds

OPENSSL = os.environ.get("OPENSSL", "openssl")
HELLOS = int(os.environ.get("HELLOS", "2000"))
FLOOD = shlex.split(os.environ.get("FLOOD", str(ROOT / "build" / "key_flood")))


# ---- Protocols and ciphers -----------------------------------------------------------------------


def handshake(server, *options):
    """Whether openssl connects to the server, and its output."""
    done = subprocess.run(
        [OPENSSL, "s_client", "-connect", f"127.0.0.1:{server.port}", *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode == 0 and "Cipher is (NONE)" not in done.stdout, done.stdout + done.stderr


ANY = "ALL:COMPLEMENTOFALL:@SECLEVEL=0"
GOOD = {
    "1.2 AES-128-GCM": ["-tls1_2", "-cipher", "ECDHE+AES128+AESGCM"],
    "1.2 AES-256-GCM": ["-tls1_2", "-cipher", "ECDHE+AES256+AESGCM"],
    "1.2 ChaCha20": ["-tls1_2", "-cipher", "ECDHE+CHACHA20"],
    "1.3 AES-128-GCM": ["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
    "1.3 AES-256-GCM": ["-tls1_3", "-ciphersuites", "TLS_AES_256_GCM_SHA384"],
    "1.3 ChaCha20": ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
    "1.2 P-256": ["-tls1_2", "-groups", "P-256"],
    "1.3 X25519": ["-tls1_3", "-groups", "X25519"],
    "1.3 P-256": ["-tls1_3", "-groups", "P-256"],
    "1.3 P-384": ["-tls1_3", "-groups", "P-384"],
}
BAD = {
    "1.0": ["-tls1", "-cipher", ANY],
    "1.1": ["-tls1_1", "-cipher", ANY],
    "1.2 CBC": ["-tls1_2", "-cipher", "ECDHE+AES:!AESGCM:!AESCCM:@SECLEVEL=0"],
    "1.2 CCM": ["-tls1_2", "-cipher", "ECDHE+AESCCM:@SECLEVEL=0"],
    "1.2 Camellia and ARIA": ["-tls1_2", "-cipher", "CAMELLIA:ARIA:@SECLEVEL=0"],
    "1.2 RSA key exchange": ["-tls1_2", "-cipher", "kRSA:@SECLEVEL=0"],
    "1.2 finite-field DHE": ["-tls1_2", "-cipher", "kDHE:@SECLEVEL=0"],
    "1.2 pre-shared key": ["-tls1_2", "-psk", "00", "-cipher", "PSK:@SECLEVEL=0"],
    "1.2 anonymous": ["-tls1_2", "-cipher", "aNULL:@SECLEVEL=0"],
    "1.2 no encryption": ["-tls1_2", "-cipher", "eNULL:@SECLEVEL=0"],
    "1.3 finite-field 2048": ["-tls1_3", "-groups", "ffdhe2048"],
    "1.3 finite-field 8192": ["-tls1_3", "-groups", "ffdhe8192"],
    "1.3 P-521": ["-tls1_3", "-groups", "P-521"],
    "1.3 X448": ["-tls1_3", "-groups", "X448"],
    "1.3 CCM": ["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
    "1.3 CCM-8": ["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"],
}


def test_what_is_spoken_and_what_is_not(serve):
    server = serve(SSL=True)
    with steady(server) as canaries:
        for name, options in GOOD.items():
            agreed, said = handshake(server, *options)
            assert agreed, f"{name} is refused:\n{said}"
            canaries.check(name)
        for name, options in BAD.items():
            agreed, said = handshake(server, *options)
            assert not agreed, f"{name} is spoken:\n{said}"
            refused = "alert" in said.lower() or "no protocols" in said or "no cipher" in said
            assert refused, f"{name} was not even tried:\n{said}"
            canaries.check(name)


# ---- Broken ClientHellos -------------------------------------------------------------------------


def client_hello():
    """A real ClientHello of Python's OpenSSL."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def cut(hello, chance):
    return hello[: chance.randrange(len(hello))]


def flip(hello, chance):
    """Flips some bits, half the time among the first bytes, which hold the lengths."""
    broken = bytearray(hello)
    for _ in range(chance.randrange(1, 9)):
        reach = len(broken) if chance.random() < 0.5 else 60
        broken[chance.randrange(reach)] ^= 1 << chance.randrange(8)
    return bytes(broken)


def grow(hello, chance):
    at = chance.randrange(len(hello))
    return hello[:at] + chance.randbytes(chance.randrange(1, 2000)) + hello[at:]


def shrink(hello, chance):
    at = chance.randrange(len(hello))
    return hello[:at] + hello[at + chance.randrange(1, 100) :]


def stretch(hello, chance):
    """Sets a wrong length: 16 bits anywhere."""
    at = chance.randrange(len(hello) - 2)
    length = chance.choice([0, 1, 0x7FFF, 0xFFFF, chance.randrange(65536)])
    return hello[:at] + struct.pack("!H", length) + hello[at + 2 :]


def shred(hello, chance):
    """Splits it into records of a few bytes each, possibly with other records in between."""
    body, records, at = hello[5:], [], 0
    while at < len(body):
        size = chance.randrange(1, 40)
        records.append(b"\x16\x03\x01" + struct.pack("!H", len(body[at : at + size])))
        records.append(body[at : at + size])
        at += size
    if chance.random() < 0.5:
        records.insert(2 * chance.randrange(len(records) // 2), b"\x15\x03\x01\0\x02\x01\0")
    return b"".join(records)


def twice(hello, chance):
    return hello + chance.choice([cut, flip])(hello, chance)


WAYS = [cut, flip, grow, shrink, stretch, shred, twice]


def offer(server, hello):
    """Sends only this; the server must end the connection."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            client.sendall(hello)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass  # a reset is an end too


def test_broken_client_hellos(serve):
    """One after the other, each to its end; the checks after a case run after every 50th, because
    they take longer than a case."""
    server = serve(SSL=True, **SETTINGS)
    hello, chance = client_hello(), random.Random(0x16)
    with steady(server) as canaries:
        for number in range(HELLOS):
            broken = WAYS[number % len(WAYS)](hello, chance)
            try:
                offer(server, broken)
            except TimeoutError as hang:
                raise AssertionError(f"no end after hello {number}: {broken.hex()}") from hang
            if number % 50 == 0:
                canaries.check(f"hello {number}")


# ---- What a handshake costs (CVE-2002-20001) -----------------------------------------------------

REPLAYS, REPLAY_SECONDS = 40, 8  # per second, and the duration


def delays(canaries, seconds):
    """The time that each canary message takes meanwhile."""
    taken, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        canaries.talk()
        taken.append(time.monotonic() - begin)
        time.sleep(0.02)
    return taken


def replay(server, canaries, hello):
    """Seconds of processor time that the replays cost, and the slowdown of the members' messages. The
    processor time of those messages was measured before, and is subtracted."""
    spent = cpu_seconds(server)
    usual = delays(canaries, REPLAY_SECONDS / 4)
    words = (cpu_seconds(server) - spent) / len(usual)
    with Flood(server, REPLAYS, hello, "127.0.1.1"):
        spent = cpu_seconds(server)
        during = delays(canaries, REPLAY_SECONDS)
        spent = cpu_seconds(server) - spent - words * len(during)
    return spent, statistics.median(during) - statistics.median(usual)


@pytest.mark.plain_run("a sanitizer multiplies the processor time that it measures")
@pytest.mark.parametrize("group", ["X25519", "P-384", "ffdhe8192"])
def test_replayed_client_hellos_cost_next_to_nothing(serve, group):
    """40 a second from one address: less than 5 % of a core, in one of three rounds (the machine may be
    busy), and no message of a member takes twice as long."""
    server = serve(SSL=True, max_messages_per_second=0)
    hello, rounds = hello_of(group).hex(), []
    with steady(server) as canaries:
        while len(rounds) < 3:
            spent, slower = replay(server, canaries, hello)
            rounds.append(f"{spent:.2f} s of processor time, {1000 * slower:.1f} ms slower")
            if spent < 0.05 * REPLAY_SECONDS * SCALE and slower < 0.005 * SCALE:
                return
    raise AssertionError(rounds)


def test_a_source_over_its_handshake_budget_waits_and_others_do_not(serve):
    """An address in another block still has its own budget."""
    server = serve(SSL=True)
    hello = hello_of("P-384").hex()
    with steady(server), Flood(server, 100, hello, "127.0.1.1"):
        wait_until(lambda: waits_long(server, "127.0.1.1"), "a handshake that has to wait")
        for _ in range(10):
            assert in_time(lambda: shake_hands(server, "127.0.2.1"), 0.5 * SCALE)


def shake_hands(server, address):
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE, (address, 0)) as client:
        with server.tls_context().wrap_socket(client, server_hostname="127.0.0.1"):
            pass


def waits_long(server, address):
    """Whether a handshake from there takes more than a second, or fails."""
    begin = time.monotonic()
    with contextlib.suppress(OSError):
        shake_hands(server, address)
        return time.monotonic() - begin > 1
    return True


# ---- The first answer, and the last words ---------------------------------------------------------


def first_answer(server):
    """Seconds from the handshake to the answer of a client that has not set TCP_NODELAY."""
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        with server.tls_context().wrap_socket(client, server_hostname="127.0.0.1") as line:
            begin = time.monotonic()
            line.sendall(request(served("icon.svg"), {"Host": "127.0.0.1"}))
            assert line.recv(20).startswith(b"HTTP/1.1 200")
            return time.monotonic() - begin


def test_no_client_waits_for_a_delayed_acknowledgement(serve):
    """Linux delays one by 40 ms; the answer to most of 15 comes sooner."""
    server = serve(SSL=True)
    with steady(server):
        assert statistics.median(first_answer(server) for _ in range(15)) < 0.035 * SCALE


def record_of(line):
    """Type and length of the next TLS record; None at the end."""
    head = line.recv(5, socket.MSG_WAITALL)
    if not head:
        return None
    length = struct.unpack("!H", head[3:])[0]
    assert len(line.recv(length, socket.MSG_WAITALL)) == length
    return head[0], length


ALERT, SEALED_ALERT = (21, 2), (23, 2 + 1 + 16)  # RFC 8446 §5.1; §5.2, with the type and a tag


def test_an_alert_arrives_before_the_end_rfc8446_6_2(serve):
    """Although its peer keeps sending unread data: no reset overtakes it."""
    server = serve(SSL=True)
    broken = b"\x17\x03\x03\x00\x20" + bytes(32)
    with steady(server):
        for secured in [False, True] * 10:
            with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
                line = client
                if secured:
                    line = server.tls_context().wrap_socket(client, server_hostname="127.0.0.1")
                bare = socket.socket(fileno=os.dup(line.fileno()))
                with line, bare:
                    bare.settimeout(PATIENCE)
                    if secured:  # the session ticket, of another length than an alert
                        assert record_of(bare)[1] > 100
                    bare.sendall(broken * 100)
                    assert record_of(bare) == (SEALED_ALERT if secured else ALERT)
                    assert record_of(bare) is None


def test_sending_after_an_alert_is_reset(serve):
    """The end does not wait for a peer that never stops."""
    server = serve(SSL=True)
    with steady(server), socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        with pytest.raises(OSError):
            while True:
                client.sendall(bytes(1000))


# ---- New keys, all the time (RFC 8446 §4.6.3) ----------------------------------------------------


def test_20_clients_ask_for_new_keys_before_every_message(serve):
    server = serve(SSL=True, **SETTINGS)
    messages = scaled(200, 10)
    with steady(server):
        load(server, members=20, senders=20, messages=messages, window=4, key_update=1)


def test_20_clients_ask_for_new_keys_while_their_sockets_are_full(serve):
    """More data is in flight than sockets hold, so answers to KeyUpdate wait for writes."""
    server = serve(SSL=True, room_buffer_bytes=64 << 20, **SETTINGS)
    messages, bulk = scaled(16, 4), {"window": 16, "size": 60000}
    with steady(server):
        load(server, members=20, senders=20, messages=messages, key_update=1, **bulk)


@contextlib.contextmanager
def flood(server, seconds):
    """A member that starts to send KeyUpdates that took this long to make."""
    command = [*FLOOD, str(server.port), PASSWORD, "flood", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as member:
        try:
            assert int(member.stdout.readline()) > 1000
            yield member
        finally:
            member.kill()


def ended(process, patience):
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    return process.poll() is not None


def talk_beside_a_flood(server):
    with steady(server) as canaries, flood(server, 2) as member:
        while not ended(member, 0.05):
            begin = time.monotonic()
            canaries.talk()
            assert time.monotonic() - begin < SCALE, "a word took longer than a second"


def test_nothing_but_new_keys(serve):
    """Two seconds' work for the server, ready to be read, blocks nobody. It is rate-limited like other
    bytes, and a member that does not stop gets 1008; one of three rounds must show it, because a busy
    machine may be slower than the limit."""
    server = serve(SSL=True, too_fast_seconds=1)
    for _ in range(3):
        talk_beside_a_flood(server)
        if 'why="too fast' in server.log():
            return
    pytest.fail(f"the flood was never too fast: {server.log()}")
