// SPDX-License-Identifier: MIT
// The cryptography of the page, against the RFC's vectors, the project's own, and every flipped bit.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as e2e from "../web/e2e.js";

const { subtle } = crypto;
const vectors = (name) => JSON.parse(readFileSync(new URL(`vectors/${name}`, import.meta.url)));
const bytes = (text) => Uint8Array.from(Buffer.from(text, "hex"));
const ascii = (text) => Buffer.from(text, "latin1").toString("hex");

const PKCS8 = {
  X25519: "302e020100300506032b656e04220420",
  Ed25519: "302e020100300506032b657004220420",
};

/** A pair of keys of which the vectors tell the private one. */
async function pairOf(algorithm, secret, uses) {
  const key = await subtle.importKey(
    "pkcs8",
    bytes(PKCS8[algorithm] + secret),
    algorithm,
    true,
    uses,
  );
  const { x } = await subtle.exportKey("jwk", key);
  const raw = Uint8Array.from(Buffer.from(x, "base64url"));
  return { secret: key, raw, hex: e2e.hex(raw) };
}
const sessionOf = (secret) => pairOf("X25519", secret, ["deriveBits"]);
const identityOf = (secret) => pairOf("Ed25519", secret, ["sign"]);

/** Lets the next key pair that WebCrypto makes be this one: e2e.js itself takes none from outside. */
async function withEphemeral(secret, work) {
  const { secret: privateKey, raw } = await sessionOf(secret);
  const publicKey = await subtle.importKey("raw", raw, "X25519", true, []);
  const original = subtle.generateKey;
  subtle.generateKey = async () => ({ privateKey, publicKey });
  try {
    return await work();
  } finally {
    subtle.generateKey = original;
  }
}

async function member(name, room = "") {
  const [identity, session] = [await e2e.newIdentity(), await e2e.newSession()];
  return { name, identity, session, ...(await e2e.publish(identity, session, room, name)) };
}

/** ana, bob, and a message of hers to him. */
async function letter(text = "attack at dawn", room = "tea") {
  const [ana, bob] = [await member("ana", room), await member("bob", room)];
  return { ana, bob, room, message: await e2e.sealText(ana.identity, room, ana, bob, 1, text) };
}

/** What bob reads, or why not; in the order that the protocol page demands. */
async function read({ room, bob }, message, sender = "ana") {
  if (!e2e.wellFormed(message)) return "malformed";
  if (message.ToKey !== bob.SessionKey) return "stale_key";
  const from = { name: sender, IdentityKey: message.IdentityKey, SessionKey: message.SessionKey };
  if (!(await e2e.checkMessage(room, from, bob, message))) return "bad_signature";
  try {
    return [await e2e.openText(bob.session, room, from, bob, message)];
  } catch {
    return "cannot_open";
  }
}

test("RFC 9180 A.1.1: seals and opens the first message of the vectors", async () => {
  const { setup, encryptions } = vectors("hpke-rfc9180-a1.json");
  const [{ pt, aad, ct }] = encryptions;
  const info = bytes(setup.info);
  const sealed = await withEphemeral(setup.skEm, () =>
    e2e.seal(bytes(setup.pkRm), info, bytes(aad), bytes(pt)),
  );
  assert.equal(e2e.hex(sealed.enc), setup.enc);
  assert.equal(e2e.hex(sealed.ciphertext), ct);
  const receiver = await sessionOf(setup.skRm);
  assert.equal(receiver.hex, setup.pkRm);
  assert.equal(
    e2e.hex(await e2e.open(receiver, bytes(setup.enc), info, bytes(aad), bytes(ct))),
    pt,
  );
});

test("RFC 9180 §7.1.4: keys of small order are refused", async () => {
  const low = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
  const receiver = await e2e.newSession();
  for (const key of ["00".repeat(32), "01" + "00".repeat(31), low]) {
    await assert.rejects(e2e.seal(bytes(key), bytes(""), bytes(""), bytes("00")));
    await assert.rejects(
      e2e.open(receiver, bytes(key), bytes(""), bytes(""), bytes("00".repeat(17))),
    );
  }
});

test("keys cannot be read by scripts, and every one is new", async () => {
  for (const make of [e2e.newIdentity, e2e.newSession]) {
    const [one, two] = [await make(), await make()];
    assert.notEqual(one.hex, two.hex);
    assert.equal(one.secret.extractable, false);
    for (const format of ["pkcs8", "jwk"])
      await assert.rejects(subtle.exportKey(format, one.secret));
  }
  const { ana, bob, message } = await letter();
  const again = await e2e.sealText(ana.identity, "tea", ana, bob, 1, "attack at dawn");
  assert.notEqual(again.EncKey, message.EncKey);
});

test("what is in the way of keys has a name", async () => {
  assert.equal(await e2e.obstacle(), "");
  globalThis.isSecureContext = false;
  assert.equal(await e2e.obstacle(), "insecure");
  delete globalThis.isSecureContext;
  const original = subtle.generateKey;
  subtle.generateKey = async (algorithm) => {
    throw new DOMException(algorithm.name, "NotSupportedError");
  };
  assert.equal(await e2e.obstacle(), "browser");
  subtle.generateKey = original;
});

test("RFC 8032 §7.1: the signatures of a Join are plain Ed25519 over the bytes of the page", async () => {
  const identity = await identityOf(
    "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
  );
  assert.equal(identity.hex, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
  const session = await e2e.newSession();
  const nonce = "ab".repeat(32);
  const [room, name] = ["tea", "Zoë"];
  const { KeySignature } = await e2e.publish(identity, session, room, name);
  const proof = await e2e.proveJoin(identity, nonce, room, name);
  const inHex = (text) => Buffer.from(text).toString("hex");
  const verify = async (signature, message) => {
    const key = await subtle.importKey("raw", identity.raw, "Ed25519", false, ["verify"]);
    return subtle.verify("Ed25519", key, bytes(signature), bytes(message));
  };
  const claim = `${ascii("ragnarok-v2 session key")}00${ascii(room)}00${inHex(name)}00${session.hex}`;
  assert.ok(await verify(KeySignature, claim));
  assert.ok(
    await verify(proof, `${ascii("ragnarok-v2 join")}00${nonce}${ascii(room)}00${inHex(name)}`),
  );
});

test("a KeySignature holds for one name in one room only", async () => {
  const ana = await member("ana", "tea");
  assert.ok(await e2e.checkKeys("tea", "ana", ana));
  const other = await member("ana", "tea");
  for (const [room, name, changes] of [
    ["", "ana", {}],
    ["tea", "Ana", {}],
    ["tea\0ana", "", {}],
    ["tea", "ana", { SessionKey: other.SessionKey }],
    ["tea", "ana", { IdentityKey: other.IdentityKey }],
    ["tea", "ana", { KeySignature: other.KeySignature }],
    ["tea", "ana", { KeySignature: undefined }],
    ["tea", "ana", { IdentityKey: ana.IdentityKey.toUpperCase() }],
    ["tea", "ana", { IdentityKey: "00".repeat(31) }],
    ["tea", "ana", { SessionKey: 17 }],
  ])
    assert.equal(
      await e2e.checkKeys(room, name, { ...ana, ...changes }),
      false,
      JSON.stringify(changes),
    );
});

test("every kind of text comes back as it was", async () => {
  const texts = [
    "",
    "x",
    "x".repeat(59),
    "x".repeat(60),
    "x".repeat(61),
    "\0\0",
    "\ufeffBOM",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "مرحبا\u200fעולם",
  ];
  texts.push("長".repeat(20000), "x".repeat(60000));
  for (const text of texts) {
    const all = await letter(text);
    assert.deepEqual(await read(all, all.message), [text]);
  }
});

test("a thousand random texts come back; the length shows in steps of 64 bytes only", async () => {
  const all = await letter();
  for (let n = 1; n <= 1000; n++) {
    const points = Array.from(crypto.getRandomValues(new Uint32Array(n % 97)), (r) => {
      const point = r % [0x80, 0x800, 0xd800, 0x110000][r % 4];
      return point >= 0xd800 && point < 0xe000 ? 0xfffd : point;
    });
    const text = String.fromCodePoint(...points);
    const message = await e2e.sealText(all.ana.identity, all.room, all.ana, all.bob, n, text);
    assert.deepEqual(await read(all, message), [text]);
    const size = Buffer.byteLength(text);
    assert.equal(message.text.length / 2, Math.ceil((4 + size) / 64) * 64 + 16);
    assert.ok(e2e.roomForText(message.text.length) >= size);
    assert.ok(e2e.roomForText(message.text.length - 1) < size || size % 64 !== 60);
  }
});

test("a lone surrogate, which no UTF-8 can hold, arrives as U+FFFD", async () => {
  const all = await letter("a\ud800b\udc00");
  assert.deepEqual(await read(all, all.message), ["a\ufffdb\ufffd"]);
});

test("one flipped bit, in whatever field, and nothing is read", async () => {
  const all = await letter();
  const fields = ["EncKey", "IdentityKey", "SessionKey", "KeySignature", "ToKey", "text", "Sig"];
  const found = {};
  for (const field of fields) {
    for (let bit = 0; bit < all.message[field].length * 4; bit++) {
      const flipped = bytes(all.message[field]);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      const code = await read(all, { ...all.message, [field]: e2e.hex(flipped) });
      assert.equal(typeof code, "string", `${field}, bit ${bit}`);
      (found[field] ??= new Set()).add(code);
    }
  }
  for (let bit = 0; bit < 53; bit++) {
    const Seq = Number(BigInt.asUintN(53, 1n ^ (1n << BigInt(bit))));
    assert.equal(await read(all, { ...all.message, Seq }), Seq ? "bad_signature" : "malformed");
  }
  for (const [field, codes] of Object.entries(found))
    assert.deepEqual([...codes], [field === "ToKey" ? "stale_key" : "bad_signature"], field);
  assert.deepEqual(await read(all, all.message), ["attack at dawn"]);
});

test("what the sender signed but sealed wrongly does not open", async () => {
  const all = await letter();
  const { message, ana, bob, room } = all;
  const labels = ["ragnarok-v2 private message", room, "ana", "bob"].map((text) =>
    Buffer.from(text),
  );
  const keys = [ana.IdentityKey, bob.IdentityKey, ana.SessionKey, bob.SessionKey].map(bytes);
  const lp = (part) => [Buffer.from([part.length >> 8, part.length & 255]), part];
  const info = Buffer.concat([...labels, ...keys].flatMap(lp));
  const aad = bytes("0000000000000001");
  const signed = async (enc, ciphertext) => {
    const label = Buffer.from("ragnarok-v2 private signature");
    const part = Buffer.concat([...lp(label), info, aad, ...lp(enc), ciphertext]);
    const Sig = e2e.hex(new Uint8Array(await subtle.sign("Ed25519", ana.identity.secret, part)));
    return { ...message, EncKey: e2e.hex(enc), text: e2e.hex(ciphertext), Sig };
  };
  const sealed = async (plaintext) => {
    const { enc, ciphertext } = await e2e.seal(bob.session.raw, info, aad, plaintext);
    return signed(enc, ciphertext);
  };
  const plain = (length, text, size) => {
    const padded = Buffer.alloc(size);
    padded.writeUInt32BE(length);
    padded.write(text, 4, "latin1");
    return padded;
  };
  assert.deepEqual(await read(all, await sealed(plain(2, "hi", 64))), ["hi"]); // these bytes are right
  const wrong = {
    "a byte in the padding": plain(2, "hi!", 64),
    "more padding than needed": plain(2, "hi", 128),
    "no padding": plain(2, "hi", 6),
    "a length beyond the end": plain(0xffffffff, "hi", 64),
    "a length one too long": plain(61, "x".repeat(60), 64),
    "no UTF-8": plain(2, "\xc3\x28", 64),
    "an empty plaintext": Buffer.alloc(0),
    "three bytes": Buffer.alloc(3),
  };
  for (const [why, plaintext] of Object.entries(wrong))
    assert.equal(await read(all, await sealed(plaintext)), "cannot_open", why);
  const flipped = bytes(message.text);
  flipped[0] ^= 1;
  assert.equal(await read(all, await signed(bytes(message.EncKey), flipped)), "cannot_open");
  assert.equal(await read(all, await signed(bytes("00".repeat(32)), flipped)), "cannot_open");
});

test("a message is for one room, one sender and one receiver", async () => {
  const all = await letter();
  const { ana, bob, message } = all;
  assert.equal(await read({ ...all, room: "" }, message), "bad_signature");
  assert.equal(await read(all, message, "Ana"), "bad_signature");
  assert.equal(await read({ ...all, bob: { ...bob, name: "Bob" } }, message), "bad_signature");
  const carol = await member("carol", "tea");
  assert.equal(await read({ ...all, bob: carol }, message), "stale_key");
  const readdressed = { ...message, ToKey: carol.SessionKey };
  assert.equal(await read({ ...all, bob: carol }, readdressed), "bad_signature");
  const eve = await member("ana", "tea"); // signs herself what ana sealed
  const keys = {
    IdentityKey: eve.IdentityKey,
    SessionKey: eve.SessionKey,
    KeySignature: eve.KeySignature,
  };
  assert.equal(await read(all, { ...message, ...keys }), "bad_signature");
  assert.deepEqual(await read(all, message), ["attack at dawn"]);
  assert.equal(ana.IdentityKey, message.IdentityKey);
});

test("what is not of the right shape is malformed", async () => {
  const { message } = await letter();
  assert.ok(e2e.wellFormed(message));
  for (const field of Object.keys(message))
    for (const value of [undefined, null, "", "zz", 1.5, {}, [], true, `${message[field]} `]) {
      const name = `${field}: ${JSON.stringify(value)}`;
      assert.equal(e2e.wellFormed({ ...message, [field]: value }), false, name);
    }
  for (const Seq of [0, -1, 2 ** 53, "1", NaN])
    assert.equal(e2e.wellFormed({ ...message, Seq }), false, `Seq: ${Seq}`);
  assert.ok(e2e.wellFormed({ ...message, Seq: 2 ** 53 - 1 }));
  for (const changes of [
    { Enc: "hpke-v2" },
    { text: message.text.toUpperCase() },
    { text: message.text.slice(1) },
    { Sig: message.Sig.slice(2) },
    { EncKey: message.EncKey + "00" },
  ])
    assert.equal(e2e.wellFormed({ ...message, ...changes }), false, Object.keys(changes)[0]);
});

test("the project's own vectors: keys, proofs, sealing, opening, and all that is refused", async () => {
  const given = vectors("private-message.json");
  const member = async ({ name, identity_seed, session_private }, proof) => {
    const [identity, session] = [await identityOf(identity_seed), await sessionOf(session_private)];
    const keys = await e2e.publish(identity, session, given.room, name);
    assert.equal(await e2e.proveJoin(identity, given.nonce, given.room, name), proof);
    return { name, identity, session, ...keys };
  };
  const ana = await member(given.sender, given.sender_proof);
  const bob = await member(given.receiver, given.receiver_proof);
  for (const field of ["IdentityKey", "SessionKey", "KeySignature"]) {
    assert.equal(ana[field], given.sender[field]);
    assert.equal(bob[field], given.receiver[field]);
  }
  const sealed = await withEphemeral(given.ephemeral_private, () =>
    e2e.sealText(ana.identity, given.room, ana, bob, given.seq, given.text),
  );
  assert.deepEqual({ SrcUser: ana.name, TgtUser: bob.name, ...sealed }, given.message);
  const all = { room: given.room, bob };
  assert.deepEqual(await read(all, given.message), [given.text]);
  const groups = await e2e.safetyNumber(ana.IdentityKey, bob.IdentityKey);
  assert.equal(groups.join(" "), given.safety_number);
  for (const [size, padded] of Object.entries(given.padding)) {
    const { text } = await e2e.sealText(ana.identity, "", ana, bob, 1, "x".repeat(size));
    assert.equal(text.length / 2, padded + 16);
  }
  const ofTrust = ["key_changed", "replayed"]; // talks.js looks at these: the bytes are right
  assert.ok(given.refused.length > 20);
  for (const { what, code, message } of given.refused) {
    const found = await read(all, message, message.SrcUser);
    if (ofTrust.includes(code)) assert.ok(Array.isArray(found), what);
    else assert.equal(found, code, what);
  }
});

test("the safety number is the same on both sides, and another for every other pair", async () => {
  const [one, two] = ["00".repeat(31) + "ff", "ff".repeat(32)];
  const groups = await e2e.safetyNumber(one, two);
  assert.equal(groups.length, 12);
  for (const group of groups) assert.match(group, /^[0-9]{5}$/);
  assert.deepEqual(await e2e.safetyNumber(two, one), groups);
  assert.notDeepEqual(await e2e.safetyNumber(one, "fe" + "ff".repeat(31)), groups);
});
