#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Keys section of docs/PROTOCOL.md once more, in Python, for the tests to compare with.

It shares nothing with e2e.c and hpke.c but the page: the primitives are those of `cryptography`,
and HPKE (RFC 9180, base mode, single-shot) is put together here of HMAC and AES-GCM. Run by itself
it prints tests/vectors/private-message.json.
"""
import hashlib
import hmac
import itertools
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

PAD = 64


def raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def block(data):
    """Bytes with their length before them."""
    return len(data).to_bytes(2, "big") + data


# ---- HPKE ----------------------------------------------------------------------------------------

KEM = b"KEM" + (0x20).to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x20, 1, 1))


def extract(suite, salt, label, data):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + data, "sha256")


def expand(suite, key, label, info, length):
    """One block of HKDF is enough here."""
    data = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\x01"
    return hmac.digest(key, data, "sha256")[:length]


def schedule(shared, enc, receiver, info):
    """AES key and nonce, of what X25519 gave."""
    secret = extract(KEM, b"", b"eae_prk", shared)
    secret = expand(KEM, secret, b"shared_secret", enc + receiver, 32)
    context = b"\0" + extract(SUITE, b"", b"psk_id_hash", b"")
    context += extract(SUITE, b"", b"info_hash", info)
    secret = extract(SUITE, secret, b"secret", b"")
    return expand(SUITE, secret, b"key", context, 16), expand(
        SUITE, secret, b"base_nonce", context, 12
    )


def hpke_seal(receiver, info, aad, plain, ephemeral=None):
    ephemeral = ephemeral or X25519PrivateKey.generate()
    enc = raw(ephemeral.public_key())
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(receiver))
    key, nonce = schedule(shared, enc, receiver, info)
    return enc, AESGCM(key).encrypt(nonce, plain, aad)


def hpke_open(receiver, enc, info, aad, sealed):
    shared = receiver.exchange(X25519PublicKey.from_public_bytes(enc))
    key, nonce = schedule(shared, enc, raw(receiver.public_key()), info)
    return AESGCM(key).decrypt(nonce, sealed, aad)


# ---- People and messages -------------------------------------------------------------------------


def pad(text):
    data = len(text.encode()).to_bytes(4, "big") + text.encode()
    return data + bytes(-len(data) % PAD)


def unpad(plain):
    length = int.from_bytes(plain[:4], "big")
    text = plain[4 : 4 + length].decode()
    assert pad(text) == plain
    return text


class Person:
    """One session of somebody: an identity, a session key, a name in a room."""

    def __init__(self, name, room="", identity=None, session=None):
        self.name, self.room = name, room
        self.identity = identity or Ed25519PrivateKey.generate()
        self.session = session or X25519PrivateKey.generate()

    def again(self):
        """The same person on a new connection, with a session key of its own."""
        return Person(self.name, self.room, self.identity)

    def keys(self):
        session = raw(self.session.public_key())
        place = self.room.encode() + b"\0" + self.name.encode() + b"\0"
        signature = self.identity.sign(b"ragnarok-v2 session key\0" + place + session)
        return {
            "IdentityKey": raw(self.identity.public_key()).hex(),
            "SessionKey": session.hex(),
            "KeySignature": signature.hex(),
        }

    def prove(self, nonce):
        place = self.room.encode() + b"\0" + self.name.encode()
        return self.identity.sign(b"ragnarok-v2 join\0" + bytes.fromhex(nonce) + place).hex()

    def claim(self, nonce):
        """The four fields of a Join."""
        return {**self.keys(), "Proof": self.prove(nonce)}

    def seal(self, receiver, keys, seq, text, ephemeral=None):
        """The fields of a PrivateMessage to `receiver`, whose keys UserKeys told."""
        info = bound(self.room, self.name, receiver, self.keys(), keys)
        aad = seq.to_bytes(8, "big")
        to = bytes.fromhex(keys["SessionKey"])
        enc, sealed = hpke_seal(to, info, aad, pad(text), ephemeral)
        signature = self.identity.sign(signed(info, aad, enc, sealed))
        return {
            "TgtUser": receiver,
            "Enc": "hpke-v1",
            "Seq": seq,
            "EncKey": enc.hex(),
            **self.keys(),
            "ToKey": keys["SessionKey"],
            "text": sealed.hex(),
            "Sig": signature.hex(),
        }

    def open(self, message):
        """The text of a message, all of it checked but for identity and replay."""
        assert message["Enc"] == "hpke-v1" and message["ToKey"] == self.keys()["SessionKey"]
        assert is_published(message, self.room, message["SrcUser"])
        info = bound(self.room, message["SrcUser"], self.name, message, self.keys())
        aad = message["Seq"].to_bytes(8, "big")
        enc, sealed = bytes.fromhex(message["EncKey"]), bytes.fromhex(message["text"])
        assert verify(message["IdentityKey"], signed(info, aad, enc, sealed), message["Sig"])
        return unpad(hpke_open(self.session, enc, info, aad, sealed))


def bound(room, sender, receiver, sender_keys, receiver_keys):
    """What a message is bound to: the info of HPKE."""
    names = [name.encode() for name in (room, sender, receiver)]
    keys = [
        bytes.fromhex(keys[field])
        for field in ("IdentityKey", "SessionKey")
        for keys in (sender_keys, receiver_keys)
    ]
    return b"".join(map(block, [b"ragnarok-v2 private message", *names, *keys]))


def signed(info, aad, enc, sealed):
    return block(b"ragnarok-v2 private signature") + info + aad + block(enc) + sealed


def verify(identity, data, signature):
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity)).verify(
            bytes.fromhex(signature), data
        )
    except InvalidSignature:
        return False
    return True


def is_published(keys, room, name):
    """Whether KeySignature holds."""
    place = room.encode() + b"\0" + name.encode() + b"\0"
    data = b"ragnarok-v2 session key\0" + place + bytes.fromhex(keys["SessionKey"])
    return verify(keys["IdentityKey"], data, keys["KeySignature"])


def safety_number(one, other):
    both = b"".join(sorted(bytes.fromhex(key) for key in (one, other)))
    digest = hashlib.pbkdf2_hmac("sha512", both, b"ragnarok-v2 safety number", 100_000, 60)
    groups = (int.from_bytes(digest[i : i + 5], "big") % 100_000 for i in range(0, 60, 5))
    return " ".join(f"{group:05}" for group in groups)


# ---- The vector ----------------------------------------------------------------------------------


def fixed(first):
    """32 bytes that nobody would use."""
    return bytes(range(first, first + 32))


def person(name, room, first):
    return Person(
        name,
        room,
        Ed25519PrivateKey.from_private_bytes(fixed(first)),
        X25519PrivateKey.from_private_bytes(fixed(first + 32)),
    )


def described(who, first):
    return {
        "name": who.name,
        "identity_seed": fixed(first).hex(),
        "session_private": fixed(first + 32).hex(),
        **who.keys(),
    }


def once(what):
    """A key pair for the one message of the vector that is called so."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(what.encode()).digest())


def flip(digits):
    return f"{int(digits[0], 16) ^ 1:x}{digits[1:]}"


def outsiders(ana, bob, mallory):
    """Well made, but not by ana for bob, here and now."""
    elsewhere = Person(ana.name, "coffee", ana.identity, ana.session)
    stranger = Person(ana.name, ana.room, mallory.identity, mallory.session)
    cases = {
        "sealed to another session key": ("stale_key", ana, mallory),
        "sealed in another room": ("bad_signature", elsewhere, bob),
        "signed by another identity": ("key_changed", stranger, bob),
    }
    for what, (code, sender, receiver) in cases.items():
        message = sender.seal(bob.name, receiver.keys(), 2, "x", once(what))
        yield what, code, {"SrcUser": ana.name, **message}


def tampered(good):
    """Changed on the way."""
    yield "the same once more", "replayed", good
    yield "another SrcUser", "bad_signature", {**good, "SrcUser": "mallory"}
    yield "another Seq", "bad_signature", {**good, "Seq": 2}
    yield "another ToKey", "stale_key", {**good, "ToKey": flip(good["ToKey"])}
    for field in ("text", "Sig", "KeySignature", "EncKey", "SessionKey", "IdentityKey"):
        yield f"a flipped bit in {field}", "bad_signature", {**good, field: flip(good[field])}


def misshapen(good):
    for field in ("Seq", "EncKey", "IdentityKey", "SessionKey", "KeySignature", "ToKey", "Sig"):
        yield f"no {field}", "malformed", {key: good[key] for key in good if key != field}
    for seq in (0, -1, 1.5, "2", 2**53):
        yield f"Seq is {seq!r}", "malformed", {**good, "Seq": seq}
    yield "capital digits", "malformed", {**good, "EncKey": good["EncKey"].upper()}
    yield "a key too short", "malformed", {**good, "EncKey": good["EncKey"][2:]}
    yield "half a byte of text", "malformed", {**good, "text": good["text"] + "0"}
    yield "no text", "malformed", {**good, "text": ""}
    yield "another Enc", "malformed", {**good, "Enc": "hpke-v2"}


def bad_insides(ana, bob):
    """Sealed and signed by ana as it should be; what is inside is wrong."""
    info = bound(ana.room, ana.name, bob.name, ana.keys(), bob.keys())
    aad = (2).to_bytes(8, "big")
    insides = {
        "padding that is not zero": pad("hi")[:-1] + b"\1",
        "more padding than needed": pad("hi") + bytes(PAD),
        "a length beyond the end": (61).to_bytes(4, "big") + bytes(60),
        "a length of 4 GiB": b"\xff" * 4 + bytes(60),
        "text that is not UTF-8": (1).to_bytes(4, "big") + b"\xff" + bytes(59),
    }
    for what, plain in insides.items():
        sealed = hpke_seal(raw(bob.session.public_key()), info, aad, plain, once(what))
        yield what, "cannot_open", resigned(ana, bob, info, aad, *sealed)
    what = "an EncKey of low order"
    yield what, "cannot_open", resigned(ana, bob, info, aad, bytes(32), bytes(80))


def resigned(ana, bob, info, aad, enc, sealed):
    message = ana.seal(bob.name, bob.keys(), 2, "", once("resigned"))
    signature = ana.identity.sign(signed(info, aad, enc, sealed))
    fields = {"EncKey": enc.hex(), "text": sealed.hex(), "Sig": signature.hex()}
    return {"SrcUser": ana.name, **message, **fields}


def vector():
    """One message with everything that led to it, and messages that are to be refused after it."""
    room = "tea"
    nonce, text = fixed(160).hex(), "Just between us: it's 5 o'clock. \U0001f375"
    ana, bob, mallory = (
        person("ana", room, 0),
        person("Ben \u674e", room, 64),
        person("mallory", room, 192),
    )
    ephemeral = X25519PrivateKey.from_private_bytes(fixed(128))
    message = ana.seal(bob.name, bob.keys(), 1, text, ephemeral)
    good = {"SrcUser": ana.name, **message}
    info = bound(room, ana.name, bob.name, ana.keys(), bob.keys())
    return {
        "source": "tests/sealing.py; the keys are for tests only",
        "room": room,
        "sender": described(ana, 0),
        "receiver": described(bob, 64),
        "nonce": nonce,
        "sender_proof": ana.prove(nonce),
        "receiver_proof": bob.prove(nonce),
        "ephemeral_private": fixed(128).hex(),
        "seq": 1,
        "text": text,
        "plaintext": pad(text).hex(),
        "info": info.hex(),
        "aad": (1).to_bytes(8, "big").hex(),
        "message": good,
        "safety_number": safety_number(ana.keys()["IdentityKey"], bob.keys()["IdentityKey"]),
        "padding": {str(size): len(pad("x" * size)) for size in (0, 1, 59, 60, 61, 124, 125, 1000)},
        "refused": [
            {"what": what, "code": code, "message": refused}
            for what, code, refused in itertools.chain(
                outsiders(ana, bob, mallory), tampered(good), misshapen(good), bad_insides(ana, bob)
            )
        ],
    }


if __name__ == "__main__":
    print(json.dumps(vector(), indent=1, ensure_ascii=False))
