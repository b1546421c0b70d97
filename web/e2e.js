// SPDX-License-Identifier: MIT
//
// e2e.js - the bytes of private messages that the server cannot read.
//
// All cryptography is the browser's own (WebCrypto). What stands here only joins its parts: HPKE in
// base mode with X25519, HKDF-SHA256 and AES-128-GCM (RFC 9180), Ed25519 (RFC 8032), PBKDF2 for the
// safety number (RFC 8018). Which key is to be trusted, and what becomes of a message that does not
// open, is the matter of talks.js.
//
// Keys, signatures and ciphertexts are lower-case hex outside of this file and bytes within it. A
// pair of keys is {secret, hex, raw}: `secret` is a CryptoKey that no script can read.

const subtle = globalThis.crypto?.subtle;
const PAD = 64; // the length of a text shows in steps of so many bytes only
const TAG = 16; // what AES-GCM adds

// ---- Bytes ----

const utf8 = (text) => new TextEncoder().encode(text);

export const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, "0")).join("");

export const unhex = (text) =>
  new Uint8Array(text.length / 2).map((_, i) => parseInt(text.slice(2 * i, 2 * i + 2), 16));

export const randomHex = (size) => hex(crypto.getRandomValues(new Uint8Array(size)));

const isHex = (value, size) =>
  typeof value === "string" && value.length === 2 * size && /^[0-9a-f]*$/.test(value);

function join(...parts) {
  const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** A whole number below 2^53, big-endian, in `size` bytes. */
function number(value, size) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value));
  return bytes.slice(8 - size);
}

const withLength = (bytes) => join(number(bytes.length, 2), bytes);

// ---- Keys ----

async function newPair(algorithm, uses) {
  const pair = await subtle.generateKey({ name: algorithm }, false, uses);
  const raw = new Uint8Array(await subtle.exportKey("raw", pair.publicKey));
  return { secret: pair.privateKey, raw, hex: hex(raw) };
}

/** Who somebody is on this device. */
export const newIdentity = () => newPair("Ed25519", ["sign", "verify"]);

/** For one connection, never to be stored. */
export const newSession = () => newPair("X25519", ["deriveBits"]);

/** "" if this browser can do all that is needed, else what is missing: "insecure" or "browser". */
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

/** Key and signature in hex. What is no key verifies nothing. */
async function verify(key, signature, bytes) {
  try {
    const imported = await subtle.importKey("raw", unhex(key), "Ed25519", false, ["verify"]);
    return await subtle.verify("Ed25519", imported, unhex(signature), bytes);
  } catch {
    return false;
  }
}

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

/** The secret of Encap and Decap, RFC 9180 §4.1. WebCrypto refuses one of zeros (§7.1.4). */
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

/** SealBase, RFC 9180 §6.1: {enc, ciphertext}. The key pair is fresh each time, and gone after. */
export async function seal(receiver, info, aad, plaintext) {
  const pair = await newSession();
  const shared = await sharedSecret(pair.secret, receiver, pair.raw, receiver);
  const [algorithm, key] = await cipher(shared, info, aad);
  const ciphertext = new Uint8Array(await subtle.encrypt(algorithm, key, plaintext));
  return { enc: pair.raw, ciphertext };
}

/** OpenBase, RFC 9180 §6.1: the plaintext; throws if anything is not as it was sealed. */
export async function open(session, enc, info, aad, ciphertext) {
  const shared = await sharedSecret(session.secret, enc, enc, session.raw);
  const [algorithm, key] = await cipher(shared, info, aad);
  return new Uint8Array(await subtle.decrypt(algorithm, key, ciphertext));
}

// ---- Joining ----

const sessionClaim = (room, name, session) =>
  join(utf8(`ragnarok-v2 session key\0${room}\0${name}\0`), unhex(session));

/** What others need to know of us: the fields that a Join and each sealed message carry. */
export async function publish(identity, session, room, name) {
  const KeySignature = await sign(identity, sessionClaim(room, name, session.hex));
  return { IdentityKey: identity.hex, SessionKey: session.hex, KeySignature };
}

/** Shows the server that who joins has the identity key, now. Nonce: the hex of Hello. */
export function proveJoin(identity, nonce, room, name) {
  return sign(identity, join(utf8("ragnarok-v2 join\0"), unhex(nonce), utf8(`${room}\0${name}`)));
}

const hasKeys = (keys) =>
  isHex(keys.IdentityKey, 32) && isHex(keys.SessionKey, 32) && isHex(keys.KeySignature, 64);

/** Whether the keys belong together, and to this name in this room. */
export async function checkKeys(room, name, keys) {
  const { IdentityKey, SessionKey, KeySignature } = keys;
  return hasKeys(keys) && verify(IdentityKey, KeySignature, sessionClaim(room, name, SessionKey));
}

// ---- One private message ----
// `from` and `to` are {name, IdentityKey, SessionKey}; `from` of sealText has KeySignature, too.

function infoOf(room, from, to) {
  const names = ["ragnarok-v2 private message", room, from.name, to.name];
  const keys = [from.IdentityKey, to.IdentityKey, from.SessionKey, to.SessionKey];
  return join(...[...names.map(utf8), ...keys.map(unhex)].map(withLength));
}

const signedPart = (info, aad, enc, ciphertext) =>
  join(withLength(utf8("ragnarok-v2 private signature")), info, aad, withLength(enc), ciphertext);

/** What signedPart takes, from a message. */
function partsOf(room, from, to, { Seq, EncKey, text }) {
  return [infoOf(room, from, to), number(Seq, 8), unhex(EncKey), unhex(text)];
}

const paddedSize = (size) => Math.ceil((4 + size) / PAD) * PAD;

/** How many bytes of text fit into a ciphertext of so many hex digits. */
export const roomForText = (digits) => Math.max(0, Math.floor((digits / 2 - TAG) / PAD) * PAD - 4);

function pad(bytes) {
  const padded = new Uint8Array(paddedSize(bytes.length));
  padded.set(join(number(bytes.length, 4), bytes));
  return padded;
}

/** The text; throws unless it was padded in the one way that is right, and is UTF-8. */
function unpad(padded) {
  const size = new DataView(padded.buffer).getUint32(0);
  const rest = padded.subarray(4 + size);
  if (padded.length !== paddedSize(size) || rest.some((b) => b !== 0)) throw new Error("padding");
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }); // a BOM is text, too
  return decoder.decode(padded.subarray(4, 4 + size));
}

/** The fields that a sealed message has more than a plain one, and `text`. */
export async function sealText(identity, room, from, to, Seq, text) {
  const info = infoOf(room, from, to);
  const aad = number(Seq, 8);
  const { enc, ciphertext } = await seal(unhex(to.SessionKey), info, aad, pad(utf8(text)));
  const Sig = await sign(identity, signedPart(info, aad, enc, ciphertext));
  const { IdentityKey, SessionKey, KeySignature } = from;
  const keys = { IdentityKey, SessionKey, KeySignature, ToKey: to.SessionKey };
  return { Enc: "hpke-v1", Seq, EncKey: hex(enc), ...keys, text: hex(ciphertext), Sig };
}

/** Whether everything is there and of the right shape; nothing else may be asked of it before. */
export function wellFormed(message) {
  const { Enc, Seq, EncKey, ToKey, Sig, text } = message;
  if (Enc !== "hpke-v1" || !Number.isSafeInteger(Seq) || Seq < 1) return false;
  if (!hasKeys(message) || !isHex(EncKey, 32) || !isHex(ToKey, 32) || !isHex(Sig, 64)) return false;
  return typeof text === "string" && isHex(text, text.length >> 1) && text.length >= 2 * TAG;
}

/** Whether the sender's identity key signed it, for us. */
export async function checkMessage(room, from, to, message) {
  if (!(await checkKeys(room, from.name, message))) return false;
  return verify(from.IdentityKey, message.Sig, signedPart(...partsOf(room, from, to, message)));
}

/** The text of a checked message; throws if it does not open. */
export async function openText(session, room, from, to, message) {
  const [info, aad, enc, ciphertext] = partsOf(room, from, to, message);
  return unpad(await open(session, enc, info, aad, ciphertext));
}

/** 12 groups of 5 digits that two people compare: the same on both sides. */
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
