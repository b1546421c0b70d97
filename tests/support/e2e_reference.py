#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A second implementation of the Keys section of docs/PROTOCOL.md. The tests compare with it.

It shares only the document with the C files and the page's scripts: the primitives come from
`cryptography`, and HPKE (RFC 9180, base mode, single-shot) is built here from HMAC and AES-GCM.
As a program it prints tests/vectors/private-message.json.

Person    one session of somebody: card, proof, sealing, and the checks of a receiver
Received  the counts of one receiver for one identity: replays, missing messages, confirmations
Sent      the counts of one sender: Seq, the previous stream, what arrived, what is sent again
Receipts  when a confirmation needs a message of its own
"""
import collections
import dataclasses
import functools
import hashlib
import hmac
import itertools
import json
import os
import time

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ENC = "hpke-v2"
PAD = 64
HOUR = 3600 * 1000
DAY = 24 * HOUR
TEXT, RECEIPT = 1, 2
CARD = ("IdentityKey", "SessionKey", "KeyExpires", "KeyOrigin", "KeyEnc", "KeySignature")
EXACT = 2**53  # the first integer that a double cannot distinguish from the next


def raw(public_key):
    return public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def block(data):
    """Bytes, preceded by their length."""
    return len(data).to_bytes(2, "big") + data


def blocks(*parts):
    """Joins texts and bytes; bytes may be given as hexadecimal digits."""
    return b"".join(block(part.encode() if isinstance(part, str) else part) for part in parts)


def u64(number):
    return number.to_bytes(8, "big")


def flip(digits):
    return f"{int(digits[0], 16) ^ 1:x}{digits[1:]}"


def wall():
    """Milliseconds since 1970."""
    return int(time.time() * 1000)


# ---- HPKE ----------------------------------------------------------------------------------------

KEM = b"KEM" + (0x20).to_bytes(2, "big")
SUITE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x20, 1, 1))


def extract(suite, salt, label, data):
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + data, "sha256")


def expand(suite, key, label, info, length):
    """HKDF (RFC 5869) with one block, which is enough here."""
    data = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\x01"
    return hmac.digest(key, data, "sha256")[:length]


def schedule(shared, enc, receiver, info):
    """The AES key and nonce, from the result of X25519."""
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


# ---- Public keys ---------------------------------------------------------------------------------

P = 2**255 - 19


def inverse(number):
    return pow(number, P - 2, P)


def root(square):
    """A square root modulo P (RFC 8032 §5.1.3), or None."""
    for factor in (1, pow(2, (P - 1) // 4, P)):
        candidate = pow(square, (P + 3) // 8, P) * factor % P
        if candidate * candidate % P == square % P:
            return candidate
    return None


@functools.cache
def small_y():
    """y of the points of edwards25519 whose order divides 8. Doubled, those of order 8 have y = 0:
    then x^2 = -y^2, and the equation of the curve is d y^4 + 2 y^2 - 1 = 0."""
    d = -121665 * inverse(121666) % P
    squares = [(-1 + sign * root(1 + d)) * inverse(d) % P for sign in (1, -1)]
    y = next(filter(None, map(root, squares)))
    return {0, 1, P - 1, y, P - y}


@functools.cache
def small_u():
    """u of the points of Curve25519 whose order divides 8: u = (1 + y) / (1 - y) of the above. That
    of y = 1 is the point at infinity; -1 is of order 4 on the twist."""
    return {(1 + y) * inverse(1 - y) % P for y in small_y() - {1}} | {0, 1, P - 1}


def is_public(kind, digits):
    """Whether these digits are a valid "identity" or "session" key."""
    number = int.from_bytes(bytes.fromhex(digits), "little")
    if kind == "identity":
        number &= ~(1 << 255)
    return number < P and number not in (small_y() if kind == "identity" else small_u())


def identity_from_seed(seed, server, room, fold):
    """The identity key of one (server, room, folded name): HKDF-SHA256 (RFC 5869) of the seed."""
    key = hmac.digest(b"ragnarok-v2 identity", seed, "sha256")
    derived = hmac.digest(key, blocks(server, room, fold) + b"\x01", "sha256")
    return Ed25519PrivateKey.from_private_bytes(derived)


def keyhash(digits):
    """The hash that names a session key inside sealed messages; digits in, digits out."""
    return hashlib.sha256(bytes.fromhex(digits)).hexdigest()[:16]


# ---- Sealed content ------------------------------------------------------------------------------

NOBODY = "0" * 16
Mark = collections.namedtuple("Mark", ["writer", "reader", "seq"])  # two keyhashes, and a Seq
NOWHERE = Mark(NOBODY, NOBODY, 0)


@dataclasses.dataclass
class Inside:
    """The plaintext of a sealed message."""

    text: str = ""
    kind: int = TEXT
    id: str = dataclasses.field(default_factory=lambda: os.urandom(16).hex())
    sent_at: int = dataclasses.field(default_factory=wall)
    previous: Mark = NOWHERE
    opened: Mark = NOWHERE
    opened_mask: int = 0

    def head(self, length):
        data = bytes([self.kind]) + bytes.fromhex(self.id) + u64(self.sent_at)
        for mark in (self.previous, self.opened):
            data += bytes.fromhex(mark.writer + mark.reader) + u64(mark.seq)
        return data + u64(self.opened_mask) + length.to_bytes(4, "big")

    def pack(self):
        text = self.text.encode()
        data = self.head(len(text)) + text
        return data + bytes(-len(data) % PAD)

    @classmethod
    def unpack(cls, plain, seq):
        """Raises ValueError for bytes that pack does not produce."""
        numbers = [int.from_bytes(plain[at : at + 8], "big") for at in (17, 41, 65, 73)]
        digits = [plain[at : at + 8].hex() for at in (25, 33, 49, 57)]
        length = int.from_bytes(plain[81:85], "big")
        inside = cls(
            text=plain[85 : 85 + length].decode(),
            kind=plain[0] if plain else 0,
            id=plain[1:17].hex(),
            sent_at=numbers[0],
            previous=Mark(digits[0], digits[1], numbers[1]),
            opened=Mark(digits[2], digits[3], numbers[2]),
            opened_mask=numbers[3],
        )
        if len(plain) < 85 or inside.pack() != plain or max(numbers[:3]) >= EXACT:
            raise ValueError("layout")
        if inside.kind == RECEIPT and (seq, inside.text) != (0, ""):
            raise ValueError("a receipt that is counted, or says something")
        if inside.kind != RECEIPT and seq == 0:
            raise ValueError("a text that is not counted")
        return inside


# ---- People and messages -------------------------------------------------------------------------


def verify(identity, data, signature):
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(identity)).verify(
            bytes.fromhex(signature), data
        )
    except (InvalidSignature, ValueError):
        return False
    return True


def signed_card(card, room, name):
    """The bytes that KeySignature signs."""
    data = blocks("ragnarok-v2 session key", card["KeyOrigin"], room, name)
    data += block(bytes.fromhex(card["SessionKey"])) + u64(card["KeyExpires"])
    return data + blocks(card["KeyEnc"])


def signed_join(card, nonce, room, name):
    """The bytes that Proof signs."""
    data = blocks("ragnarok-v2 join", card["KeyOrigin"], bytes.fromhex(nonce), room, name)
    return data + blocks(bytes.fromhex(card["SessionKey"]), bytes.fromhex(card["KeySignature"]))


def is_published(card, room, name):
    """Whether KeySignature is valid."""
    return verify(card["IdentityKey"], signed_card(card, room, name), card["KeySignature"])


def bound(room, sender, receiver, sender_card, receiver_card):
    """The info of HPKE, which binds a message to its context."""
    keys = [
        bytes.fromhex(card[field])
        for field in ("IdentityKey", "SessionKey")
        for card in (sender_card, receiver_card)
    ]
    return blocks("ragnarok-v2 hpke-v2 message", room, sender, receiver, *keys)


def signed(info, aad, enc, sealed):
    """The bytes that Sig signs."""
    return blocks("ragnarok-v2 hpke-v2 signature") + info + aad + block(enc) + sealed


def is_hex(value, digits=None):
    good = isinstance(value, str) and not set(value) - set("0123456789abcdef")
    return good and (len(value) == digits if digits else len(value) >= 32 and len(value) % 2 == 0)


def is_whole(value, least):
    return type(value) is int and least <= value < EXACT


def is_card(card):
    """Whether all six fields are present and well formed."""
    origin, enc = card.get("KeyOrigin"), card.get("KeyEnc")
    return (
        is_hex(card.get("IdentityKey"), 64)
        and is_public("identity", card["IdentityKey"])
        and is_hex(card.get("SessionKey"), 64)
        and is_public("session", card["SessionKey"])
        and is_hex(card.get("KeySignature"), 128)
        and is_whole(card.get("KeyExpires"), 1)
        and isinstance(origin, str)
        and 1 <= len(origin) <= 269
        and all(" " <= c <= "~" and c not in '"\\' for c in origin)
        and isinstance(enc, str)
        and 1 <= len(enc) <= 64
        and not set(enc) - set("abcdefghijklmnopqrstuvwxyz0123456789 -")
    )


def is_well_formed(message):
    return (
        message.get("Enc") == ENC
        and is_whole(message.get("Seq"), 0)
        and is_card(message)
        and all(is_hex(message.get(key), 64) for key in ("ToKey", "EncKey"))
        and all(is_public("session", message[key]) for key in ("ToKey", "EncKey"))
        and is_hex(message.get("Sig"), 128)
        and is_hex(message.get("text"))
    )


class Refused(Exception):
    """Its text is the error code."""


class Person:
    """One session of a person: an identity, a session key, a name in a room of a server."""

    def __init__(self, name, room="", identity=None, session=None, **changes):
        self.name, self.room = name, room
        self.identity = identity or Ed25519PrivateKey.generate()
        self.session = session or X25519PrivateKey.generate()
        self.origin, self.enc, self.expires = "https://127.0.0.1", ENC, wall() + DAY
        self.known = {}  # name: identity keys that are accepted
        self.received = collections.defaultdict(Received)
        self.sent = collections.defaultdict(Sent)
        self.__dict__.update(changes)
        self.had = {keyhash(self.session_key)}

    @property
    def session_key(self):
        return raw(self.session.public_key()).hex()

    @property
    def identity_key(self):
        return raw(self.identity.public_key()).hex()

    def again(self):
        """The same person with another session key, and without accepted keys of others."""
        return Person(self.name, self.room, self.identity, origin=self.origin)

    def renew(self):
        """Replaces the session key; messages to the former one cannot be opened any more."""
        self.session, self.expires = X25519PrivateKey.generate(), wall() + DAY
        self.had.add(keyhash(self.session_key))

    def keys(self, **changes):
        """The card. Changed fields are signed, too."""
        card = {
            "IdentityKey": self.identity_key,
            "SessionKey": self.session_key,
            "KeyExpires": self.expires,
            "KeyOrigin": self.origin,
            "KeyEnc": self.enc,
            **changes,
        }
        signature = self.identity.sign(signed_card(card, self.room, self.name))
        return {**card, "KeySignature": signature.hex()}

    def prove(self, nonce, card=None):
        data = signed_join(card or self.keys(), nonce, self.room, self.name)
        return self.identity.sign(data).hex()

    def claim(self, nonce, **changes):
        """The seven fields of a Join."""
        card = self.keys(**changes)
        return {**card, "Proof": self.prove(nonce, card)}

    def seal_bytes(self, receiver, card, seq, plain, ephemeral=None):
        """The fields of a PrivateMessage to `receiver`, whose card came in UserKeys."""
        info = bound(self.room, self.name, receiver, self.keys(), card)
        to = bytes.fromhex(card["SessionKey"])
        return self.sign(receiver, card, seq, *hpke_seal(to, info, u64(seq), plain, ephemeral))

    def sign(self, receiver, card, seq, enc, sealed):
        info = bound(self.room, self.name, receiver, self.keys(), card)
        return {
            "TgtUser": receiver,
            "Enc": ENC,
            "Seq": seq,
            "EncKey": enc.hex(),
            **self.keys(),
            "ToKey": card["SessionKey"],
            "text": sealed.hex(),
            "Sig": self.identity.sign(signed(info, u64(seq), enc, sealed)).hex(),
        }

    def seal(self, receiver, card, seq, text, ephemeral=None, **inside):
        """A message with that Seq. Other sealed fields are as given, or those of Inside."""
        plain = Inside(text, **inside).pack()
        return self.seal_bytes(receiver, card, seq, plain, ephemeral)

    def check(self, message, now=None):
        """Steps 1 to 4 of a receiver that keeps no former session keys; `message` has SrcUser."""
        now = wall() if now is None else now
        if not is_well_formed(message):
            raise Refused("malformed")
        if message["ToKey"] != self.session_key:
            raise Refused("stale_key")
        info = bound(self.room, message["SrcUser"], self.name, message, self.keys())
        enc, sealed = bytes.fromhex(message["EncKey"]), bytes.fromhex(message["text"])
        data = signed(info, u64(message["Seq"]), enc, sealed)
        if not is_published(message, self.room, message["SrcUser"]) or not verify(
            message["IdentityKey"], data, message["Sig"]
        ):
            raise Refused("bad_signature")
        if not now < message["KeyExpires"] <= now + 2 * DAY:
            raise Refused("expired")

    def look(self, message):
        """Step 7: the sealed content."""
        info = bound(self.room, message["SrcUser"], self.name, message, self.keys())
        enc, sealed = bytes.fromhex(message["EncKey"]), bytes.fromhex(message["text"])
        try:
            plain = hpke_open(self.session, enc, info, u64(message["Seq"]), sealed)
            return Inside.unpack(plain, message["Seq"])
        except (InvalidTag, ValueError):
            raise Refused("cannot_open") from None

    def open(self, message):
        """The text of a message. Identity and replay are not checked."""
        self.check(message)
        return self.look(message).text

    def write(self, receiver, card, text, **inside):
        """Seals a text as the next one to that identity, with its continuity fields."""
        sent, received = self.sent[card["IdentityKey"]], self.received[card["IdentityKey"]]
        sent.learn(card["SessionKey"], card["KeyExpires"], 0, asked=True)
        numbers = sent.prepare(self.session_key)
        opened, mask = received.confirmation()
        inside = Inside(
            text, previous=numbers["previous"], opened=opened, opened_mask=mask, **inside
        )
        message = self.seal_bytes(receiver, card, numbers["mark"].seq, inside.pack())
        sent.note(numbers["mark"], inside.id)
        return message

    def read(self, message, now=None):
        """All steps, with trust on first use: the content, and the result of Received.note."""
        self.check(message, now)
        identity, name = message["IdentityKey"], message["SrcUser"]
        if identity not in self.known.setdefault(name, {identity}):
            raise Refused("key_changed")
        received = self.received[identity]
        stream = (keyhash(message["SessionKey"]), keyhash(message["ToKey"]))
        if received.is_replay(stream, message["Seq"]):
            raise Refused("replayed")
        inside = self.look(message)
        news = received.note(stream, message["Seq"], inside, self.had)
        self.sent[identity].confirm(inside.opened, inside.opened_mask)
        return inside, news

    def receipt(self, sender, message):
        """Confirms the messages opened so far from the sender of that message."""
        opened, mask = self.received[message["IdentityKey"]].confirmation()
        return self.seal(sender, message, 0, "", kind=RECEIPT, opened=opened, opened_mask=mask)


def safety_number(one, other):
    both = b"".join(sorted(bytes.fromhex(key) for key in (one, other)))
    digest = hashlib.pbkdf2_hmac("sha512", both, b"ragnarok-v2 safety number", 100_000, 60)
    groups = (int.from_bytes(digest[i : i + 5], "big") % 100_000 for i in range(0, 60, 5))
    return " ".join(f"{group:05}" for group in groups)


# ---- Continuity ----------------------------------------------------------------------------------


class Received:
    """The messages of one identity that were opened. A stream is a pair of keyhashes."""

    def __init__(self):
        self.opened = collections.defaultdict(set)  # stream: the Seqs
        self.told = collections.defaultdict(int)  # stream: gaps are reported up to this Seq
        self.ids, self.latest = set(), None

    def last(self, stream):
        return max(self.opened[stream], default=0)

    def is_replay(self, stream, seq):
        return 0 < seq <= self.last(stream)

    def tell(self, stream, seq):
        """The number of missing messages up to `seq` that are not reported yet."""
        known = max(self.last(stream), self.told[stream])
        self.told[stream] = max(known, seq)
        return max(0, seq - known)

    def note(self, stream, seq, inside, had=()):
        """Counts a message; `had`: keyhashes of the receiver's session keys since its start."""
        if seq == 0:
            return {"missing": 0, "shown_before": False}
        missing = 0
        before = inside.previous[:2]
        if not self.opened[stream] and before[0] != NOBODY and before != stream:
            if self.opened.get(before) or before in self.told or before[1] in had:
                missing += self.tell(before, inside.previous.seq)
        missing += self.tell(stream, seq - 1)
        self.opened[stream].add(seq)
        self.latest = stream
        shown, _ = inside.id in self.ids, self.ids.add(inside.id)
        return {"missing": missing, "shown_before": shown}

    def confirmation(self):
        """The confirmation in the next message: a mark and a mask."""
        if not self.latest:
            return NOWHERE, 0
        last = self.last(self.latest)
        mask = sum(1 << i for i in range(64) if last - 1 - i in self.opened[self.latest])
        return Mark(*self.latest, last), mask


class Sent:
    """Our texts to one identity, known by their ids."""

    MOST, MOVED = 4, 5000  # attempts to seal a text; ms until it is sealed again for a new card

    def __init__(self):
        self.streams = {}  # pair of keyhashes: the last Seq, in the order in which they began
        self.final = collections.defaultdict(int)  # of each stream
        self.previous = {}  # of each stream: a mark
        self.texts = {}  # id: its marks; in the order in which they were sent first
        self.due, self.handed, self.stale_in = set(), set(), {}  # ids; id: stream
        self.arrived = []
        self.card, self.expires, self.since = None, 0, 0

    def learn(self, session_key, expires, now, asked=False):
        """Notes a card: requested, or contained in a message."""
        if self.card and not asked and expires < self.expires:
            return
        if self.card != session_key:
            self.since = now
        self.card, self.expires = session_key, expires

    def prepare(self, own_session_key):
        """The mark of the next text, and its fields about the stream before."""
        stream = (keyhash(own_session_key), keyhash(self.card))
        if not self.streams.get(stream):
            older = [other for other in self.streams if self.final[other] and other != stream]
            last = Mark(*older[-1], self.final[older[-1]]) if older else NOWHERE
            self.previous[stream] = last
        return {
            "mark": Mark(*stream, self.streams.get(stream, 0) + 1),
            "previous": self.previous[stream],
        }

    def note(self, mark, text_id):
        """Notes that the text was sent."""
        self.streams[mark[:2]] = mark.seq
        self.texts.setdefault(text_id, []).append(mark)
        self.handed.discard(text_id)

    def finish(self, mark):
        self.final[mark[:2]] = max(self.final[mark[:2]], mark.seq)

    def forget(self, text_id):
        self.due.discard(text_id)
        self.handed.discard(text_id)
        return self.texts.pop(text_id)

    def waiting(self):
        """The texts that were sent and are not known to have arrived."""
        return [text_id for text_id in self.texts if text_id not in self.due | self.handed]

    def confirm(self, opened, mask):
        """Applies the confirmation in a message of theirs."""
        behind = [opened.seq - 1 - i for i in range(64)]
        good = {opened.seq} | {seq for i, seq in enumerate(behind) if mask >> i & 1}
        for text_id, marks in list(self.texts.items()):
            there = [mark for mark in marks if mark[:2] == opened[:2] and mark.seq in good]
            for mark in there:
                self.finish(mark)
            if there:
                self.forget(text_id)
                self.arrived.append(text_id)
            elif text_id in self.waiting() and marks[-1][:2] == opened[:2]:
                if marks[-1].seq in behind:
                    self.due.add(text_id)

    def reconnected(self):
        self.due.update(self.waiting())

    def stale(self, text_id):
        stream = self.texts.get(text_id, [None])[-1]
        if stream is None or self.stale_in.get(text_id) == stream[:2]:
            return False
        self.stale_in[text_id] = stream[:2]
        if text_id in self.waiting():
            self.due.add(text_id)
        return True

    def drop(self, text_id):
        if text_id in self.texts:
            self.finish(self.forget(text_id)[-1])

    def events(self, now):
        """The fate of texts, and the next actions: pairs of a word and an id."""
        found = [("arrived", text_id) for text_id in self.arrived]
        self.arrived = []
        if self.card and now >= self.since + self.MOVED:
            moved = [i for i in self.waiting() if self.texts[i][-1].reader != keyhash(self.card)]
            self.due.update(moved)
        for text_id in [text_id for text_id in self.texts if text_id in self.due]:
            if len(self.texts[text_id]) >= self.MOST:
                self.drop(text_id)
                found.append(("given_up", text_id))
            else:
                self.due.discard(text_id)
                self.handed.add(text_id)
                found.append(("again", text_id))
        return found


class Receipts:
    """Unsent confirmations to all identities, and when each needs a message of its own."""

    RIDE, MOST, SECOND = 200, 10, 1000  # ms; in that many ms

    def __init__(self):
        self.owed = {}  # (identity, stream): since when, oldest first
        self.latest = {}  # of each identity: a stream
        self.times = []

    def opened(self, identity, stream, now):
        """Notes that a text was opened."""
        self.owed.setdefault((identity, stream), now)
        self.latest[identity] = stream

    def sent(self, identity):
        """Notes that a text to them was sent, with a confirmation."""
        self.owed.pop((identity, self.latest.get(identity)), None)

    def due(self, now):
        """The pairs that need a receipt now."""
        found = []
        for (identity, stream), since in list(self.owed.items()):
            waits = stream == self.latest[identity] and now < since + self.RIDE
            full = len(self.times) >= self.MOST and now < self.times[-self.MOST] + self.SECOND
            if not waits and not full:
                del self.owed[identity, stream]
                self.times.append(now)
                found.append((identity, stream))
        return found


# ---- The vectors: keys and messages --------------------------------------------------------------

NOW = 1_800_000_000_000  # the time of everything in the vectors
ORIGIN = "https://chat.example:8443"


def fixed(first):
    """32 bytes that are used nowhere else."""
    return bytes(range(first, first + 32))


def person(name, room, first):
    return Person(
        name,
        room,
        Ed25519PrivateKey.from_private_bytes(fixed(first)),
        X25519PrivateKey.from_private_bytes(fixed(first + 32)),
        origin=ORIGIN,
        expires=NOW + DAY,
    )


def described(who, first, nonce):
    return {
        "name": who.name,
        "identity_seed": fixed(first).hex(),
        "session_private": fixed(first + 32).hex(),
        **who.keys(),
        "keyhash": keyhash(who.session_key),
        "card_signed": signed_card(who.keys(), who.room, who.name).hex(),
        "join_signed": signed_join(who.keys(), nonce, who.room, who.name).hex(),
    }


def once(what):
    """A key pair for the one message of the vector with this name."""
    return X25519PrivateKey.from_private_bytes(hashlib.sha256(what.encode()).digest())


def once_id(what):
    return hashlib.sha256(f"id {what}".encode()).hexdigest()[:32]


def little(number):
    return number.to_bytes(32, "little").hex()


def bad_identities():
    """Points of small order with either sign, and y of at least P."""
    top = 1 << 255
    for y in sorted(small_y()):
        yield from (little(y), little(y | top))
    for y in (P, P + 1, P + 2, (1 << 255) - 1):
        yield from (little(y), little(y | top))


def bad_sessions():
    for u in sorted(small_u()):
        yield from (little(u), little(u | 1 << 255))
    yield from (little(P), little(P + 1), little((1 << 255) - 1), little(9 | 1 << 255))


def public_keys():
    """Whether bytes are a valid key. The valid ones are next to the bounds."""
    top = 1 << 255
    return {
        "identity": {
            "good": [little(y) for y in (2, P - 2, 2 | top, (P - 2) | top)],
            "bad": list(bad_identities()),
        },
        "session": {
            "good": [little(u) for u in (2, 9, P - 2)],
            "bad": list(bad_sessions()),
        },
    }


def sealed(what, sender, receiver, card, text="x", seq=2, **inside):
    """The message of `sender` to `receiver` in that case."""
    inside = {"id": once_id(what), "sent_at": NOW, **inside}
    message = sender.seal(receiver, card, seq, text, once(what), **inside)
    return {"SrcUser": sender.name, **message}


def outsiders(ana, bob, mallory):
    """Well formed, but not from ana to bob in this room, on this server and connection."""
    elsewhere = Person(ana.name, "coffee", ana.identity, ana.session, origin=ORIGIN)
    elsewhere.expires = ana.expires
    stranger = Person(ana.name, ana.room, mallory.identity, mallory.session, origin=ORIGIN)
    stranger.expires = ana.expires
    nobody = {**bob.keys(), "IdentityKey": mallory.identity_key}
    cases = {
        "sealed to another session key": ("stale_key", ana, mallory.keys()),
        "sealed in another room": ("bad_signature", elsewhere, bob.keys()),
        "sealed to another identity": ("bad_signature", ana, nobody),
        "signed by another identity": ("key_changed", stranger, bob.keys()),
    }
    for what, (code, sender, card) in cases.items():
        yield what, code, sealed(what, sender, bob.name, card)
    what = "another receiver's name"
    yield what, "bad_signature", sealed(what, ana, "Bob", bob.keys())
    what = "another identity that replays"
    yield what, "key_changed", sealed(what, stranger, bob.name, bob.keys(), seq=1)


def at_other_times(ana, bob):
    """Signed by ana, with an expiry of her session key that bob refuses, or just accepts."""
    for what, code, ends in (
        ("KeyExpires is a millisecond past", "expired", NOW - 1),
        ("KeyExpires is a day past", "expired", NOW - DAY),
        ("KeyExpires is 1", "expired", 1),
        ("KeyExpires lies 48 hours and 1 ms ahead", "expired", NOW + 2 * DAY + 1),
        ("KeyExpires is 2^53-1", "expired", EXACT - 1),
        ("KeyExpires lies 48 hours ahead, and the Seq is old", "replayed", NOW + 2 * DAY),
        ("KeyExpires is 1 ms ahead, and the Seq is old", "replayed", NOW + 1),
    ):
        other = Person(ana.name, ana.room, ana.identity, ana.session, origin=ORIGIN, expires=ends)
        yield what, code, sealed(what, other, bob.name, bob.keys(), seq=1)


def tampered(good):
    """Changed in transit."""
    yield "the same once more", "replayed", good
    yield "another SrcUser", "bad_signature", {**good, "SrcUser": "mallory"}
    yield "another Seq", "bad_signature", {**good, "Seq": 2}
    yield "a receipt's Seq", "bad_signature", {**good, "Seq": 0}
    yield "a later KeyExpires", "bad_signature", {**good, "KeyExpires": good["KeyExpires"] + 1}
    yield "another KeyOrigin", "bad_signature", {**good, "KeyOrigin": "https://evil.example"}
    yield "another KeyEnc", "bad_signature", {**good, "KeyEnc": "hpke-v2 hpke-v3"}
    yield "another ToKey", "stale_key", {**good, "ToKey": flip(good["ToKey"])}
    for field in ("text", "Sig", "KeySignature", "EncKey", "SessionKey", "IdentityKey"):
        yield f"a flipped bit in {field}", "bad_signature", {**good, field: flip(good[field])}


def misshapen(good):
    for field in ("Enc", "Seq", "EncKey", "ToKey", "text", "Sig", *CARD):
        yield f"no {field}", "malformed", {key: good[key] for key in good if key != field}
    for seq in (-1, 1.5, "2", 2**53, None):
        yield f"Seq is {seq!r}", "malformed", {**good, "Seq": seq}
    for ends in (0, -1, 1.5, str(NOW), 2**53, None):
        yield f"KeyExpires is {ends!r}", "malformed", {**good, "KeyExpires": ends}
    for origin in ("", "https://x" + "y" * 261, 'https://a"b', "https://a\\b", "https://\u00e4", 1):
        yield f"KeyOrigin is {origin!r}", "malformed", {**good, "KeyOrigin": origin}
    for enc in ("", "h" * 65, "HPKE-v2", "hpke_v2", "hpke-v2,hpke-v3", 2):
        yield f"KeyEnc is {enc!r}", "malformed", {**good, "KeyEnc": enc}
    yield "capital digits", "malformed", {**good, "EncKey": good["EncKey"].upper()}
    yield "a key too short", "malformed", {**good, "EncKey": good["EncKey"][2:]}
    yield "half a byte of text", "malformed", {**good, "text": good["text"] + "0"}
    yield "no ciphertext", "malformed", {**good, "text": ""}
    yield "less than a tag", "malformed", {**good, "text": good["text"][:30]}
    yield "another Enc", "malformed", {**good, "Enc": "hpke-v1"}


def bad_keys(good):
    """Of small order, or not canonical: some for each field of a key. public_keys has them all."""
    for key in (little(0), little(1 | 1 << 255), max(map(little, small_y())), little(P + 2)):
        yield f"IdentityKey is {key}", "malformed", {**good, "IdentityKey": key}
    for field in ("SessionKey", "EncKey", "ToKey"):
        for key in (little(0), max(map(little, small_u())), little(P + 2), little(9 | 1 << 255)):
            yield f"{field} is {key}", "malformed", {**good, field: key}


def bad_insides(ana, bob):
    """Correctly sealed and signed by ana, with wrong content."""
    hi = Inside("hi", id=once_id("hi"), sent_at=NOW)
    good, empty = hi.pack(), Inside("", RECEIPT, once_id("empty"), NOW)
    far = Mark(NOBODY, NOBODY, EXACT)
    changed = functools.partial(dataclasses.replace, hi)
    insides = {
        "padding that is not zero": good[:-1] + b"\1",
        "a byte in the padding": good[:87] + b"!" + good[88:],
        "more padding than needed": good + bytes(PAD),
        "no padding": good[:87],
        "less than the head": good[:64],
        "nothing at all": b"",
        "a length beyond the end": hi.head(44) + bytes(43),
        "a length of 4 GiB": hi.head(2**32 - 1) + bytes(43),
        "text that is not UTF-8": hi.head(1) + b"\xff" + bytes(42),
        "half a character": hi.head(2) + b"\xe6\x9d" + bytes(41),
        "a surrogate": hi.head(3) + b"\xed\xa0\x80" + bytes(40),
        "a receipt that is counted": empty.pack(),
        "a written time of 2^53": changed(sent_at=EXACT).pack(),
        "a previous Seq of 2^53": changed(previous=far).pack(),
        "an opened Seq of 2^53": changed(opened=far).pack(),
    }
    uncounted = {
        "a text that is not counted": hi.pack(),
        "an unknown kind that is not counted": changed(kind=3).pack(),
        "a receipt with a text": changed(kind=RECEIPT).pack(),
    }
    for cases, seq in ((insides, 2), (uncounted, 0)):
        for what, plain in cases.items():
            message = ana.seal_bytes(bob.name, bob.keys(), seq, plain, once(what))
            yield what, "cannot_open", {"SrcUser": ana.name, **message}
    for what, enc, ciphertext in (
        ("sealed with another key", raw(once("x").public_key()), bytes(144)),
        ("a tag alone", raw(once("x").public_key()), bytes(16)),
        ("an EncKey for which no tag is right", bytes.fromhex(little(9)), bytes(144)),
    ):
        message = ana.sign(bob.name, bob.keys(), 2, enc, ciphertext)
        yield what, "cannot_open", {"SrcUser": ana.name, **message}
    what = "that does not open, with an old Seq"
    message = ana.sign(bob.name, bob.keys(), 1, raw(once("x").public_key()), bytes(144))
    yield what, "replayed", {"SrcUser": ana.name, **message}


def mark_of(mark):
    return {"from": mark.writer, "to": mark.reader, "seq": mark.seq}


def inside_of(inside):
    return {
        "kind": inside.kind,
        "id": inside.id,
        "sent_at": inside.sent_at,
        "previous": mark_of(inside.previous),
        "opened": mark_of(inside.opened),
        "opened_mask": f"{inside.opened_mask:016x}",
        "text": inside.text,
    }


def opening(ana, bob):
    """Messages that can be opened, each on its own, and their content."""
    here, there = keyhash(ana.session_key), keyhash(bob.session_key)
    cases = {
        "a receipt": (0, Inside("", RECEIPT, opened=Mark(there, here, 70), opened_mask=2**63 | 1)),
        "an empty text": (1, Inside("")),
        "the greatest Seq": (EXACT - 1, Inside("x")),
        "an unknown kind": (2, Inside("x", kind=200)),
        "kind 0": (2, Inside("", kind=0)),
        "a text with U+0000": (2, Inside("a\0b")),
        "exactly two blocks": (2, Inside("x" * 43)),
        "one byte more": (2, Inside("x" * 44)),
        "the greatest numbers": (
            2,
            Inside("x", 255, previous=Mark("f" * 16, "e" * 16, EXACT - 1), opened_mask=2**64 - 1),
        ),
    }
    newer = Person(ana.name, ana.room, ana.identity, ana.session, expires=ana.expires)
    newer.origin, newer.enc = "https://" + "y" * 261, "hpke-v3 hpke-v2 " + "x" * 48
    cases["the longest KeyOrigin and KeyEnc"] = (2, Inside("x"))
    for what, (seq, inside) in cases.items():
        sender = newer if what.startswith("the longest") else ana
        inside.id, inside.sent_at = once_id(what), NOW - 5
        message = sender.seal_bytes(bob.name, bob.keys(), seq, inside.pack(), once(what))
        yield {
            "what": what,
            "inside": inside_of(inside),
            "message": {"SrcUser": ana.name, **message},
        }


def derived():
    seed, place = fixed(7), ("chat.example:8443", "tea", "ben \u674e")
    key = identity_from_seed(seed, *place)
    names = dict(zip(("server", "room", "fold"), place))
    return {"seed": seed.hex(), **names, "IdentityKey": raw(key.public_key()).hex()}


def first_message(ana, bob):
    """One message with every value that was computed for it."""
    here, there = keyhash(ana.session_key), keyhash(bob.session_key)
    inside = Inside(
        "Just between us: it's 5 o'clock. \U0001f375",
        id=fixed(224)[:16].hex(),
        sent_at=NOW - 1500,
        previous=Mark(keyhash("aa" * 32), there, 7),
        opened=Mark(there, here, 3),
        opened_mask=3,
    )
    ephemeral = X25519PrivateKey.from_private_bytes(fixed(128))
    info = bound(ana.room, ana.name, bob.name, ana.keys(), bob.keys())
    message = ana.seal_bytes(bob.name, bob.keys(), 1, inside.pack(), ephemeral)
    enc, text = bytes.fromhex(message["EncKey"]), bytes.fromhex(message["text"])
    shared = ephemeral.exchange(bob.session.public_key())
    key, nonce = schedule(shared, enc, raw(bob.session.public_key()), info)
    return {
        "ephemeral_private": fixed(128).hex(),
        "seq": 1,
        "text": inside.text,
        "inside": inside_of(inside),
        "plaintext": inside.pack().hex(),
        "info": info.hex(),
        "aad": u64(1).hex(),
        "shared": shared.hex(),
        "aead_key": key.hex(),
        "aead_nonce": nonce.hex(),
        "sig_signed": signed(info, u64(1), enc, text).hex(),
        "message": {"SrcUser": ana.name, **message},
    }


# ---- The vectors: continuity ---------------------------------------------------------------------


def key_called(what):
    """A public session key of that name, in digits."""
    return raw(once(what).public_key()).hex()


def id_called(what):
    return once_id(f"text {what}")


def mark_called(what, reader=None, seq=0):
    """ "a1>b1", 5: the fifth message from session key a1 to b1."""
    if not what:
        return NOWHERE
    writer, _, reader = what.partition(">")
    return Mark(keyhash(key_called(writer)), keyhash(key_called(reader)), seq)


def receive(what, had, *messages):
    """The counts of a receiver. A message: stream, Seq, id, previous stream, its Seq."""
    received, steps = Received(), []
    had_hashes = [keyhash(key_called(key)) for key in had]
    for stream, seq, text, previous, end in messages:
        mark = mark_called(stream, seq=seq)
        inside = Inside("", id=id_called(text), previous=mark_called(previous, seq=end))
        step = {"from": key_called(stream.split(">")[0]), "to": key_called(stream.split(">")[1])}
        step |= {"seq": seq, "id": inside.id, "previous": mark_of(inside.previous)}
        if received.is_replay(mark[:2], seq):
            step["code"] = "replayed"
        else:
            step |= {"code": "good", **received.note(mark[:2], seq, inside, had_hashes)}
        opened, mask = received.confirmation()
        steps.append({**step, "opened": mark_of(opened), "opened_mask": f"{mask:016x}"})
    return {"what": what, "had": had_hashes, "steps": steps}


def receiving():
    yield receive(
        "one stream: what is missing, what came before, what was shown before",
        ["b1"],
        *[("a1>b1", seq, text, "", 0) for seq, text in ((1, "p"), (2, "q"), (5, "r"))],
        *[("a1>b1", seq, text, "", 0) for seq, text in ((4, "s"), (5, "r"), (6, "p"))],
    )
    yield receive(
        "the first message is not Seq 1",
        ["b1"],
        ("a1>b1", 4, "p", "", 0),
    )
    yield receive(
        "the mask: 64 steps back, and further",
        ["b1"],
        *[("a1>b1", seq, str(seq), "", 0) for seq in (1, 2, 64, 65, 66, 67, 131, 200, 263, 264)],
    )
    yield receive(
        "a new stream says where the one before ended: nothing is missing",
        ["b1"],
        *[("a1>b1", seq, str(seq), "", 0) for seq in (1, 2, 3)],
        ("a2>b1", 1, "4", "a1>b1", 3),
        ("a2>b1", 2, "5", "a1>b1", 3),
    )
    yield receive(
        "the end of a stream was dropped",
        ["b1"],
        *[("a1>b1", seq, str(seq), "", 0) for seq in (1, 2, 3)],
        ("a2>b1", 2, "6", "a1>b1", 5),
        ("a2>b1", 3, "7", "a1>b1", 5),
    )
    yield receive(
        "it ends before what was opened: its sender does not know yet",
        ["b1"],
        *[("a1>b1", seq, str(seq), "", 0) for seq in (1, 2, 3)],
        ("a2>b1", 1, "3", "a1>b1", 2),
    )
    yield receive(
        "a whole stream was dropped, to a session key of ours",
        ["b1", "b2"],
        ("a1>b1", 1, "p", "", 0),
        ("a3>b2", 1, "q", "a2>b1", 4),
    )
    yield receive(
        "a stream to a session key that was never ours: the program was started anew",
        ["b2"],
        ("a3>b2", 1, "q", "a2>b1", 4),
    )
    yield receive(
        "what is missing is told once, although two streams say so",
        ["b1", "b2"],
        *[("a1>b1", seq, str(seq), "", 0) for seq in (1, 2)],
        ("a2>b1", 1, "p", "a1>b1", 5),
        ("a3>b1", 1, "p", "a1>b1", 5),
        ("a4>b1", 1, "q", "a0>b1", 3),
        ("a5>b1", 1, "q", "a0>b1", 3),
        ("a6>b1", 1, "q", "a0>b1", 4),
    )
    yield receive(
        "a message that was told to be missing comes late",
        ["b1"],
        ("a1>b1", 1, "p", "", 0),
        ("a2>b1", 1, "s", "a1>b1", 4),
        ("a1>b1", 3, "r", "", 0),
        ("a1>b1", 6, "t", "", 0),
    )
    yield receive(
        "two streams at the same time",
        ["b1", "b2"],
        ("a1>b1", 1, "p", "", 0),
        ("a1>b2", 1, "q", "a1>b1", 1),
        ("a1>b1", 2, "r", "", 0),
        ("a1>b2", 2, "s", "a1>b1", 1),
        ("a1>b1", 2, "r", "", 0),
    )


class Script:
    """The steps of a sender, with the expected result of each."""

    def __init__(self, what, own="a1", card="b1"):
        self.what, self.sent, self.steps = what, Sent(), []
        self.own(own)
        self.card(card)

    def step(self, op, **fields):
        self.steps.append({"op": op, **fields})
        return self

    def own(self, key):
        """We change our session key."""
        self.key = key_called(key)
        return self.step("session", key=self.key)

    def card(self, key, expires=NOW, now=0, asked=True):
        """They show a card."""
        self.sent.learn(key_called(key), expires, now, asked)
        return self.step("card", key=key_called(key), expires=expires, now=now, asked=asked)

    def text(self, *texts):
        """Texts are sealed and sent, for the first time or again."""
        for text in texts:
            numbers = self.sent.prepare(self.key)
            self.sent.note(numbers["mark"], id_called(text))
            marks = {name: mark_of(mark) for name, mark in numbers.items()}
            self.step("text", id=id_called(text), **marks)
        return self

    def confirm(self, stream, seq, mask=0, now=0):
        """A message of theirs has a confirmation."""
        opened = mark_called(stream, seq=seq)
        self.sent.confirm(opened, mask)
        self.step("confirm", opened=mark_of(opened), opened_mask=f"{mask:016x}")
        return self.events(now)

    def reconnected(self, now=0):
        self.sent.reconnected()
        return self.step("reconnected").events(now)

    def stale(self, text, now=0):
        again = self.sent.stale(id_called(text))
        return self.step("stale", id=id_called(text), again=again).events(now)

    def refused(self, text):
        self.sent.drop(id_called(text))
        return self.step("refused", id=id_called(text)).events(0)

    def events(self, now):
        found = {"arrived": [], "again": [], "given_up": []}
        for word, text_id in self.sent.events(now):
            found[word].append(text_id)
        return self.step("events", now=now, **found)

    def done(self):
        return {"what": self.what, "steps": self.steps}


def sending():
    yield Script("Seq counts, texts arrive").text(*"pqr").confirm("a1>b1", 2, 1).confirm(
        "a1>b1", 2, 1
    ).text("s").confirm("a1>b1", 4, 7).text("t").events(99999)
    yield Script("a confirmation of another stream, or of what was never sent, says nothing").text(
        "p"
    ).confirm("a1>b2", 1).confirm("b1>a1", 1).confirm("a1>b1", 70).confirm("", 0)
    yield Script("a hole: its text goes again at once, once").text(*"pqr").confirm(
        "a1>b1", 3, 2
    ).confirm("a1>b1", 3, 2).text("q").confirm("a1>b1", 3, 2).confirm("a1>b1", 4, 5)
    yield Script("no hole beyond 64").text(*[str(i) for i in range(1, 67)]).confirm(
        "a1>b1", 66, 2**63 - 1
    )
    yield Script("a new connection: in order; the stream before is where it was confirmed").text(
        *"pqr"
    ).confirm("a1>b1", 1).own("a2").reconnected().text(*"qrs").confirm("a2>b1", 3, 3).own(
        "a3"
    ).text("t")
    yield Script("nothing is final before it was confirmed").text(*"pq").own(
        "a2"
    ).reconnected().text(*"pq").own("a3").text("r").confirm("a1>b1", 2, 1).text("s").own(
        "a4"
    ).text("t")
    yield Script("a text that arrived is not said to be missing where it was sent again").text(
        "p"
    ).own("a2").reconnected().text("p").confirm("a1>b1", 1).own("a3").text("q")
    yield Script("a refused text fails, and is missing").text(*"pq").confirm("a1>b1", 1).refused(
        "q"
    ).own("a2").text("r").confirm("a2>b1", 1)
    yield Script("another session key of theirs: 5 seconds later").text(*"pq").confirm(
        "a1>b1", 1
    ).card("b2", now=1000).text("r").events(5999).events(6000).text("q").events(99999).confirm(
        "a1>b2", 2, 1
    )
    yield Script("a confirmation in time: it is not sent again").text("p").card(
        "b2", now=1000
    ).confirm("a1>b1", 1, now=4000).events(6000)
    yield Script("an older card is not used, unless it was asked for").card(
        "b2", NOW + 1, asked=False
    ).text("p").card("b1", NOW, asked=False).text("q").card("b3", NOW + 1, asked=False).text(
        "r"
    ).card("b1", NOW).text("s")
    yield Script("stale_key: once for each text and stream").text(*"pq").stale("p").stale("p").text(
        "p"
    ).stale("p").card("b2").text("p").stale("p").stale("never heard of")
    yield Script("a text is sealed four times").text("p").reconnected().text(
        "p"
    ).reconnected().text("p").reconnected().text("p").reconnected().text("q").own("a2").text("r")
    yield Script("the fourth is confirmed").text("p").reconnected().text("p").reconnected().text(
        "p"
    ).reconnected().text("p").confirm("a1>b1", 4)
    yield Script("the first of four is confirmed, late").text("p").reconnected().text("p").own(
        "a2"
    ).reconnected().text("p").confirm("a1>b1", 1, 0)
    yield Script("confirmed while it is about to be sent again").text(*"pq").reconnected().confirm(
        "a1>b1", 1
    ).text("q").confirm("a1>b1", 3, 3)


def confirming():
    """The times of receipts: steps of a receiver with two senders."""
    receipts, steps = Receipts(), []

    def opened(who, stream, now):
        receipts.opened(who, mark_called(stream)[:2], now)
        steps.append({"op": "opened", "who": who, "stream": stream, "now": now})

    def text(who):
        receipts.sent(who)
        steps.append({"op": "text", "who": who})

    def due(now):
        found = [{"who": who, "from": s[0], "to": s[1]} for who, s in receipts.due(now)]
        steps.append({"op": "due", "now": now, "receipts": found})

    opened("ana", "a1>b1", 0)
    due(199)
    due(200)
    due(1000)
    opened("ana", "a1>b1", 2000)
    opened("ana", "a1>b1", 2150)
    due(2200)
    opened("ana", "a1>b1", 3000)
    text("ana")
    due(9000)
    opened("ana", "a1>b1", 10000)
    opened("ana", "a2>b1", 10010)
    due(10020)
    text("ana")
    due(19000)
    opened("ana", "a2>b1", 20000)
    opened("eve", "e1>b1", 20000)
    text("eve")
    due(20200)
    for number in range(12):
        opened("eve", f"e{number + 2}>b1", 30000 + number)
    due(30300)
    due(30700)
    due(31299)
    due(31300)
    keys = {s["stream"]: s["stream"].split(">") for s in steps if "stream" in s}
    for step in steps:
        if "stream" in step:
            writer, reader = keys[step.pop("stream")]
            step |= {"from": key_called(writer), "to": key_called(reader)}
    return steps


def vector():
    """All vectors that the tests in C and of the page compare with."""
    room, nonce = "tea", fixed(160).hex()
    ana, bob, mallory = (
        person("ana", room, 0),
        person("Ben \u674e", room, 64),
        person("mallory", room, 192),
    )
    first = first_message(ana, bob)
    good = first["message"]
    return {
        "source": "tests/support/e2e_reference.py; the keys are for tests only",
        "room": room,
        "now": NOW,
        "sender": described(ana, 0, nonce),
        "receiver": described(bob, 64, nonce),
        "nonce": nonce,
        "sender_proof": ana.prove(nonce),
        "receiver_proof": bob.prove(nonce),
        "derived": derived(),
        "public_keys": public_keys(),
        **first,
        "safety_number": safety_number(ana.identity_key, bob.identity_key),
        "padding": {
            str(size): len(Inside("x" * size).pack())
            for size in (0, 1, 42, 43, 44, 107, 108, 1000)
        },
        "opens": list(opening(ana, bob)),
        "refused": [
            {"what": what, "code": code, "message": refused}
            for what, code, refused in itertools.chain(
                outsiders(ana, bob, mallory),
                at_other_times(ana, bob),
                tampered(good),
                misshapen(good),
                bad_keys(good),
                bad_insides(ana, bob),
            )
        ],
        "continuity": {
            "receiving": list(receiving()),
            "sending": [script.done() for script in sending()],
            "confirming": confirming(),
        },
    }


if __name__ == "__main__":
    print(json.dumps(vector(), indent=1, ensure_ascii=False))
