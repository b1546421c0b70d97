// SPDX-License-Identifier: MIT
//
// e2e.js - the bytes of private messages that the server cannot read.
//
// All cryptography is the browser's own (WebCrypto). This file only combines it: HPKE in base mode
// with X25519, HKDF-SHA256 and AES-128-GCM (RFC 9180), Ed25519 (RFC 8032), PBKDF2 for the safety
// number (RFC 8018). seal.js has the layout of the plaintext. private_messages.js decides which
// keys are trusted, and handles messages that do not open.
//
// Keys, signatures and ciphertexts are lower-case hex outside of this file and bytes inside. A key
// pair is {secret, hex, raw}: `secret` is a CryptoKey that scripts cannot read. A card is what a
// member publishes: the six fields of CARD.

const subtle = globalThis.crypto?.subtle;
const TAG = 16; // bytes that AES-GCM adds
const ENC = "hpke-v2"; // the only supported encoding
const LIFETIME = 24 * 3600_000; // ms that our KeySignature is valid
const FURTHEST = 48 * 3600_000; // ms that the expiry of theirs may be in the future
export const CARD = [
  "IdentityKey", "SessionKey", "KeyExpires", "KeyOrigin", "KeyEnc", "KeySignature",
];

// ---- Bytes ----

const utf8 = (text) => new TextEncoder().encode(text);

const DIGITS = Array.from({ length: 256 }, (_, b) => b.toString(16).padStart(2, "0"));

export function hex(bytes) {
  let text = "";
  for (const b of bytes) text += DIGITS[b];
  return text;
}

export const unhex = (text) =>
  new Uint8Array(text.length / 2).map((_, i) => parseInt(text[2 * i] + text[2 * i + 1], 16));

export const randomHex = (size) => hex(crypto.getRandomValues(new Uint8Array(size)));

const isHex = (value, size) =>
  typeof value === "string" && value.length === 2 * size && /^[0-9a-f]*$/.test(value);

export function join(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A whole number below 2^64, big-endian, in `size` bytes. */
export function number(value, size) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes.slice(8 - size);
}

const block = (bytes) => join(number(bytes.length, 2), bytes);
const blocks = (...parts) => join(...parts.map(block));

// ---- Keys ----

async function newPair(algorithm, uses) {
  const pair = await subtle.generateKey({ name: algorithm }, false, uses);
  const raw = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  return { secret: pair.privateKey, raw, hex: hex(raw) };
}

/** An identity key pair, one per device. */
export const newIdentity = () => newPair("Ed25519", ["sign", "verify"]);

/** A session key pair for one connection, never stored. */
export const newSession = () => newPair("X25519", ["deriveBits"]);

/** "" if this browser supports all we need, else the obstacle: "insecure" or "browser". */
export async function obstacle() {
  if (globalThis.isSecureContext === false || !subtle) return "insecure";
  const made = Promise.all([newIdentity(), newSession()]);
  return made.then(
    () => "",
    () => "browser",
  );
}

const sign = async ({ secret }, bytes) =>
  hex(new Uint8Array(await subtle.sign("Ed25519", secret, bytes)));

/** Key and signature are hex. False for an invalid key. */
async function verify(key, signature, bytes) {
  try {
    const imported = await subtle.importKey("raw", unhex(key), "Ed25519", false, ["verify"]);
    return await subtle.verify("Ed25519", imported, unhex(signature), bytes);
  } catch {
    return false;
  }
}

/**
 * Whether this public key is acceptable: canonically encoded (below 2^255-19), and not one of the
 * small-order points, for which anybody can forge a signature (Ed25519) or knows the shared secret
 * (X25519). WebCrypto does not check all of this. `small`: the encodings of those points.
 */
const isKey = (value, small) =>
  isHex(value, 32) && !/^(e[d-f]|f.)f{60}7f$/.test(value) && !small.includes(value);

const ENDS = [`00${"00".repeat(31)}`, `01${"00".repeat(31)}`, `ec${"ff".repeat(30)}7f`]; // 0, 1, -1
const SMALL_ED25519 = [
  ...ENDS,
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
];
const SMALL_X25519 = [
  ...ENDS,
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
];
const hasTopBit = (key) => key[62] > "7";

/** The top bit of an Ed25519 key is the sign of x, so it is masked out of y. */
function isIdentityKey(value) {
  if (!isHex(value, 32)) return false;
  const top = parseInt(value[62], 16) & 7;
  return isKey(`${value.slice(0, 62)}${top}${value[63]}`, SMALL_ED25519);
}

const isSessionKey = (value) => isKey(value, SMALL_X25519) && !hasTopBit(value);

/** The name of a session key in streams: the first 8 bytes of its SHA-256, in hex. */
export const keyHash = async (key) =>
  hex(new Uint8Array(await subtle.digest("SHA-256", unhex(key))).slice(0, 8));

// ---- HPKE, single-shot, base mode (RFC 9180) ----

const KEM = utf8("KEM\0\x20"); // DHKEM(X25519, HKDF-SHA256)
const SUITE = utf8("HPKE\0\x20\0\x01\0\x01"); // with HKDF-SHA256 and AES-128-GCM
const BASE_MODE = number(0, 1);
const NO_SALT = new Uint8Array(32); // RFC 5869 §2.2; WebCrypto takes no empty key

async function hmac(key, bytes) {
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const imported = await subtle.importKey("raw", key, algorithm, false, ["sign"]);
  return new Uint8Array(await subtle.sign("HMAC", imported, bytes));
}

/** LabeledExtract, RFC 9180 §4. */
const extract = (suite, salt, label, bytes) =>
  hmac(salt, join(utf8("HPKE-v1"), suite, utf8(label), bytes));

/** LabeledExpand, RFC 9180 §4, for up to 32 bytes: the first block of HKDF-Expand is enough. */
async function expand(suite, secret, label, info, size) {
  const labeled = join(number(size, 2), utf8("HPKE-v1"), suite, utf8(label), info);
  return (await hmac(secret, join(labeled, number(1, 1)))).slice(0, size);
}

/** The shared secret of Encap and Decap, RFC 9180 §4.1. WebCrypto rejects all zeros (§7.1.4). */
async function sharedSecret(secret, theirs, enc, receiver) {
  const imported = await subtle.importKey("raw", theirs, "X25519", false, []);
  const bits = await subtle.deriveBits({ name: "X25519", public: imported }, secret, 256);
  const prk = await extract(KEM, NO_SALT, "eae_prk", new Uint8Array(bits));
  return expand(KEM, prk, "shared_secret", join(enc, receiver), 32);
}

/** KeySchedule, RFC 9180 §5.1. The first message's nonce is the base nonce itself. */
async function cipher(shared, info, aad) {
  const idHash = await extract(SUITE, NO_SALT, "psk_id_hash", utf8(""));
  const infoHash = await extract(SUITE, NO_SALT, "info_hash", info);
  const context = join(BASE_MODE, idHash, infoHash);
  const secret = await extract(SUITE, shared, "secret", utf8(""));
  const raw = await expand(SUITE, secret, "key", context, 16);
  const iv = await expand(SUITE, secret, "base_nonce", context, 12);
  const key = await subtle.importKey("raw", raw, "AES-GCM", false, ["encrypt", "decrypt"]);
  return [{ name: "AES-GCM", iv, additionalData: aad }, key];
}

/** SealBase, RFC 9180 §6.1: {enc, ciphertext}. Each call uses a fresh ephemeral key pair. */
export async function seal(receiver, info, aad, plaintext) {
  const pair = await newSession();
  const shared = await sharedSecret(pair.secret, receiver, pair.raw, receiver);
  const [algorithm, key] = await cipher(shared, info, aad);
  const ciphertext = new Uint8Array(await subtle.encrypt(algorithm, key, plaintext));
  return { enc: pair.raw, ciphertext };
}

/** OpenBase, RFC 9180 §6.1: the plaintext; throws if any input was altered. */
export async function open(session, enc, info, aad, ciphertext) {
  const shared = await sharedSecret(session.secret, enc, enc, session.raw);
  const [algorithm, key] = await cipher(shared, info, aad);
  return new Uint8Array(await subtle.decrypt(algorithm, key, ciphertext));
}

// ---- Joining ----

const sessionClaim = (room, name, card) =>
  join(
    blocks(...["ragnarok-v2 session key", card.KeyOrigin, room, name].map(utf8)),
    block(unhex(card.SessionKey)),
    number(card.KeyExpires, 8),
    block(utf8(card.KeyEnc)),
  );

/** Makes our card, which a Join and each sealed message carry. */
export async function makeCard(identity, session, { origin, room, name, now }) {
  const card = {
    IdentityKey: identity.hex, SessionKey: session.hex, KeyExpires: now + LIFETIME,
    KeyOrigin: origin, KeyEnc: ENC,
  };
  return { ...card, KeySignature: await sign(identity, sessionClaim(room, name, card)) };
}

/**
 * Proves to the server that a Join is fresh, from the owner of the identity key, and for this
 * server: a server that relays it has another origin. `nonce`: the hex of Hello.
 */
export function proveJoin(identity, nonce, room, name, card) {
  const texts = ["ragnarok-v2 join", card.KeyOrigin].map(utf8);
  const keys = [card.SessionKey, card.KeySignature].map(unhex);
  return sign(identity, blocks(...texts, unhex(nonce), utf8(room), utf8(name), ...keys));
}

const matches = (value, pattern) => typeof value === "string" && pattern.test(value);

const hasCard = (card) =>
  isIdentityKey(card.IdentityKey) && isSessionKey(card.SessionKey) &&
  Number.isSafeInteger(card.KeyExpires) && card.KeyExpires > 0 &&
  matches(card.KeyOrigin, /^[ !#-[\]-~]{1,269}$/) && matches(card.KeyEnc, /^[a-z0-9 -]{1,64}$/) &&
  isHex(card.KeySignature, 64);

/** Whether the card belongs to this name in this room. */
export const checkCard = async (room, name, card) =>
  hasCard(card) && verify(card.IdentityKey, card.KeySignature, sessionClaim(room, name, card));

/** Whether a card is valid now: it has not expired, and its expiry is not too far ahead. */
export const isCurrent = ({ KeyExpires }, now) => KeyExpires > now && KeyExpires <= now + FURTHEST;

/** Whether the owner of the card supports our encoding. */
export const canRead = ({ KeyEnc }) => KeyEnc.split(" ").includes(ENC);

// ---- One private message ----
// `from` and `to` are {name, IdentityKey, SessionKey}; `from` of sealMessage has the whole card.

function infoOf(room, from, to) {
  const names = ["ragnarok-v2 hpke-v2 message", room, from.name, to.name];
  const keys = [from.IdentityKey, to.IdentityKey, from.SessionKey, to.SessionKey];
  return blocks(...names.map(utf8), ...keys.map(unhex));
}

const signedPart = (info, aad, enc, ciphertext) =>
  join(block(utf8("ragnarok-v2 hpke-v2 signature")), info, aad, block(enc), ciphertext);

/** The arguments of signedPart, from a message. */
function partsOf(room, from, to, { Seq, EncKey, text }) {
  return [infoOf(room, from, to), number(Seq, 8), unhex(EncKey), unhex(text)];
}

/** The plaintext size of a ciphertext with this many hex digits. */
export const plainSize = (digits) => Math.floor(digits / 2) - TAG;

/** The additional fields of a sealed message, and `text`. */
export async function sealMessage(identity, room, from, to, Seq, plaintext) {
  const info = infoOf(room, from, to);
  const aad = number(Seq, 8);
  const { enc, ciphertext } = await seal(unhex(to.SessionKey), info, aad, plaintext);
  const Sig = await sign(identity, signedPart(info, aad, enc, ciphertext));
  const card = Object.fromEntries(CARD.map((field) => [field, from[field]]));
  const sealed = { EncKey: hex(enc), ToKey: to.SessionKey, text: hex(ciphertext), Sig };
  return { Enc: ENC, Seq, ...card, ...sealed };
}

/** Whether all fields are present and well-formed. Must be called before any other check. */
export function wellFormed(message) {
  const { Enc, Seq, EncKey, ToKey, Sig, text } = message;
  if (Enc !== ENC || !Number.isSafeInteger(Seq) || Seq < 0 || !hasCard(message)) return false;
  if (!isSessionKey(EncKey) || !isSessionKey(ToKey) || !isHex(Sig, 64)) return false;
  return typeof text === "string" && isHex(text, text.length >> 1) && text.length >= 2 * TAG;
}

/** Whether the sender's identity key signed it for us. */
export async function checkMessage(room, from, to, message) {
  if (!(await checkCard(room, from.name, message))) return false;
  return verify(from.IdentityKey, message.Sig, signedPart(...partsOf(room, from, to, message)));
}

/** The plaintext of a checked message; throws if it does not open. */
export async function openMessage(session, room, from, to, message) {
  const [info, aad, enc, ciphertext] = partsOf(room, from, to, message);
  return open(session, enc, info, aad, ciphertext);
}

/** The safety number: 12 groups of 5 digits, the same on both sides. */
export async function safetyNumber(mine, theirs) {
  const password = unhex([mine, theirs].sort().join(""));
  const key = await subtle.importKey("raw", password, "PBKDF2", false, ["deriveBits"]);
  const salt = utf8("ragnarok-v2 safety number");
  const algorithm = { name: "PBKDF2", hash: "SHA-512", salt, iterations: 100000 };
  const bits = new DataView(await subtle.deriveBits(algorithm, key, 8 * 60));
  return Array.from({ length: 12 }, (_, i) => {
    const group = bits.getUint8(5 * i) * 2 ** 32 + bits.getUint32(5 * i + 1);
    return String(group % 100000).padStart(5, "0");
  });
}
