# SPDX-License-Identifier: MIT
"""What the port offers of TLS, and what it makes of those who speak it badly.

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
import struct
import subprocess
import time

import pytest

from faults import SETTINGS
from helpers import PASSWORD, PATIENCE, ROOT, SCALE, steady
from test_load import load, scaled

OPENSSL = os.environ.get("OPENSSL", "openssl")
HELLOS = int(os.environ.get("HELLOS", "2000"))
FLOOD = shlex.split(os.environ.get("FLOOD", str(ROOT / "build" / "key_flood")))


# ---- Protocols and ciphers -----------------------------------------------------------------------


def handshake(server, *options):
    """Whether openssl comes to terms with the server, and what it says about that."""
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
    """A real one, as Python's OpenSSL says it."""
    context = ssl.create_default_context()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def cut(hello, chance):
    return hello[: chance.randrange(len(hello))]


def flip(hello, chance):
    """Some bits, and half the time of the first bytes, where the lengths are."""
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
    """A length that promises something else: 16 bits anywhere."""
    at = chance.randrange(len(hello) - 2)
    length = chance.choice([0, 1, 0x7FFF, 0xFFFF, chance.randrange(65536)])
    return hello[:at] + struct.pack("!H", length) + hello[at + 2 :]


def shred(hello, chance):
    """In records of a few bytes each, with something in between, perhaps."""
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
    """Sends it, and no more; the server has to end the connection by itself."""
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
            pass  # it was cut off, which is an end, too


def test_broken_client_hellos(serve):
    """One after the other, each to its end; what holds after every case is looked at after every
    50th, for the look takes longer than the case."""
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


# ---- New keys, all the time (RFC 8446 §4.6.3) ----------------------------------------------------


def test_20_who_ask_for_new_keys_before_every_message(serve):
    server = serve(SSL=True, **SETTINGS)
    messages = scaled(200, 10)
    with steady(server):
        load(server, members=20, senders=20, messages=messages, window=4, key_update=1)


def test_20_who_ask_for_new_keys_while_their_sockets_are_full(serve):
    """Far more is under way than sockets take, so answers to KeyUpdate have to wait for writes."""
    server = serve(SSL=True, room_buffer_bytes=64 << 20, **SETTINGS)
    messages, bulk = scaled(16, 4), {"window": 16, "size": 60000}
    with steady(server):
        load(server, members=20, senders=20, messages=messages, key_update=1, **bulk)


@contextlib.contextmanager
def flood(server, seconds):
    """A member with KeyUpdates to send that took so long to make; it begins to send them now."""
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


def test_nothing_but_new_keys(serve):
    """Two seconds' work for the server, ready to be read: it holds nobody up. It is rationed as any
    other bytes are, and who does not stop is told 1008."""
    server = serve(SSL=True, too_fast_seconds=1)
    with steady(server) as canaries, flood(server, 2) as member:
        while not ended(member, 0.05):
            begin = time.monotonic()
            canaries.talk()
            assert time.monotonic() - begin < SCALE, "a word took longer than a second"
    assert re.search(r'left client=3 why="too fast', server.log())
