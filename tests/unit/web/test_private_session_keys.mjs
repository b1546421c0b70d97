// SPDX-License-Identifier: MIT
// Private messages: session keys, confirmations, and messages that the page sends by itself.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as e2e from "../../../web/e2e.js";
import { keepStream, KeyRing, newKey } from "../../../web/keyring.js";
import { RECEIPT, unpack } from "../../../web/seal.js";
import { memoryKeystore } from "../../../web/keystore.js";
import { Clock, NOW, until } from "./clock.mjs";
import {
  anotherCard, arrives, contactsOf, craft, hears, HOUR, identityOf, idle, MINUTE, neverInPlain,
  NONCE, opens, ORIGIN, person, published, say, SECOND, Server, subtle, twoPeople,
} from "./private_people.mjs";

test("a session key is replaced after 50 messages, on the same line, and not before 10 s", async () => {
  const { server, ana, bob } = await twoPeople();
  const [card, first] = [{ name: "ana", ...ana.keys }, { ...bob.keys }];
  await opens(bob, ana, 49);
  server.clock.pass(20 * SECOND);
  await idle();
  assert.equal(published(bob).length, 0);
  await opens(bob, ana, 1, 50);
  server.clock.pass(0);
  await until(() => published(bob).length === 1);
  const { SessionKey, IdentityKey, KeyExpires, KeySignature, Ref } = published(bob)[0];
  assert.notEqual(SessionKey, first.SessionKey);
  assert.equal(IdentityKey, first.IdentityKey);
  assert.equal(KeyExpires, server.clock.now() + 24 * HOUR);
  assert.ok(await e2e.checkCard("", "bob", published(bob)[0]) && KeySignature && Ref);
  await until(() => bob.keys.SessionKey === SessionKey); // the server has it
  for (let seq = 1; seq <= 60; seq++) bob.hear(await craft(ana, bob, seq, {}, card));
  await until(() => bob.texts().length === 110);
  server.clock.pass(9 * SECOND);
  await idle();
  assert.equal(published(bob).length, 1);
  server.clock.pass(SECOND);
  await until(() => published(bob).length === 2);
});

test("a session key that opened something is replaced after an hour, any after 12 hours", async () => {
  const { server, ana, bob } = await twoPeople();
  await opens(bob, ana, 1);
  server.clock.pass(HOUR - SECOND);
  await idle();
  assert.deepEqual([published(ana).length, published(bob).length], [0, 0]);
  server.clock.pass(SECOND);
  await until(() => published(bob).length === 1);
  server.clock.pass(11 * HOUR - SECOND);
  await idle();
  assert.deepEqual([published(ana).length, published(bob).length], [0, 1]);
  server.clock.pass(SECOND);
  await until(() => published(ana).length === 1);
  assert.equal(published(bob).length, 1);
});

test("the clock was set, or stood still: a card that ends in less than 12 hours is replaced", async () => {
  const server = new Server();
  const clock = new Clock();
  const ana = await person(server, "ana", memoryKeystore(), clock);
  await server.join(ana);
  clock.pass(20 * SECOND);
  clock.skew = 13 * HOUR;
  const bob = await person(server, "bob");
  await server.join(bob);
  server.clock.skew = 13 * HOUR;
  ana.hear(await craft(bob, ana, 1, {}, await anotherCard(bob, "", NOW + 13 * HOUR)));
  await until(() => ana.texts().length === 1);
  clock.pass(0);
  await until(() => published(ana).length === 1);
  assert.equal(published(ana)[0].KeyExpires, clock.now() + 24 * HOUR);
});

test("a key that was replaced on a living line is understood for 60 s; a message brings the new one", async () => {
  const { server, ana, bob } = await twoPeople();
  const first = { ...bob.keys };
  await arrives(server, ana, await say(ana, bob, "one"));
  await opens(bob, ana, 50, 2);
  server.clock.pass(10 * SECOND);
  await until(() => published(bob).length === 1);
  const former = { name: "bob", keys: first };
  bob.hear(await craft(ana, former, 60));
  await until(() => bob.texts().length === 52);
  server.clock.pass(MINUTE);
  bob.hear(await craft(ana, former, 61));
  await until(() => bob.of("unreadable").length === 1);
  assert.equal(bob.of("unreadable")[0].code, "stale_key");
  const asked = () => ana.said.filter(({ msgType }) => msgType === "GetKeys").length;
  const before = asked();
  await say(bob, ana, "here I am");
  await hears(ana, "here I am");
  await arrives(server, ana, await say(ana, bob, "two"));
  assert.equal(ana.sealed().at(-1).ToKey, bob.keys.SessionKey);
  assert.equal(asked(), before);
  assert.equal(bob.of("unreadable").length, 1);
});

test("the server does not take a new key: that is said, and its error is not the room's", async () => {
  const { server, ana, bob } = await twoPeople();
  await opens(bob, ana, 50);
  server.cheat = (message) => {
    if (message.msgType === "PublishKeys") {
      const error = { msgType: "Error", Code: "bad_proof", text: "", Ref: message.Ref };
      assert.equal(bob.privateMessages.feed(error), true);
    }
    return [];
  };
  server.clock.pass(10 * SECOND);
  await until(() => bob.of("trouble").length === 2);
  assert.equal(bob.of("trouble")[1].trouble, "unpublished");
});

test("4096 streams to one session key; one more is stale_key, and the key is replaced", async () => {
  const { server, ana, bob } = await twoPeople();
  const ring = new KeyRing(server.clock, () => (ring.isAsked = true));
  const key = await newKey(await identityOf(bob), { origin: ORIGIN, room: "", name: "bob" }, server.clock);
  ring.replace(key);
  for (let n = 0; n < 4096; n++) {
    assert.ok(ring.hasRoom(key));
    keepStream(key, { IdentityKey: ana.keys.IdentityKey, SessionKey: `${n}` }, { seq: 1 });
  }
  server.clock.pass(10 * SECOND);
  assert.equal(ring.isAsked, undefined);
  assert.equal(ring.hasRoom(key), false);
  server.clock.pass(0);
  assert.equal(ring.isAsked, true);
});

test("eight former session keys are kept at most, each for 60 s", async () => {
  const { server, bob } = await twoPeople();
  const ring = new KeyRing(server.clock, () => {});
  const make = async () => newKey(await identityOf(bob), { origin: ORIGIN, room: "", name: "bob" }, server.clock);
  const keys = [];
  for (let n = 0; n < 10; n++) {
    keys.push(await make());
    ring.replace(keys[n]);
    server.clock.pass(SECOND);
  }
  const found = () => keys.map((key) => (ring.find(key.pair.hex) ? 1 : 0)).join("");
  assert.equal(found(), "0111111111");
  server.clock.pass(50 * SECOND); // 60 s after the first of them was replaced
  server.clock.pass(2 * SECOND);
  assert.equal(found(), "0011111111");
  server.clock.pass(MINUTE);
  assert.equal(found(), "0000000001");
  assert.ok(keys.every(({ hash }) => ring.had(hash)) && !ring.had("0123456789abcdef"));
  const other = await newKey(await identityOf(bob), { origin: ORIGIN, room: "", name: "Bob" }, server.clock);
  ring.replace(await make());
  ring.replace(other); // under another name nothing of the former one is read
  assert.equal(ring.find(keys[9].pair.hex), undefined);
});

test("the project's own vectors: when a confirmation goes by itself", async () => {
  const { continuity } = JSON.parse(readFileSync(new URL("../../vectors/private-message.json", import.meta.url)));
  const { server, ana, bob } = await twoPeople();
  const people = { ana, eve: await person(server, "eve") };
  await server.join(people.eve);
  const streams = new Map(); // "who key" -> {session, card, seq, name}
  const sessions = new Map(); // public key -> session
  let heard = 0;
  server.cheat = (message) => (message.msgType === "PrivateMessage" ? [] : [message]);
  const streamFor = async (who, from) => {
    const session = await e2e.newSession();
    const where = { origin: ORIGIN, room: "", name: who, now: server.clock.now() };
    const card = { name: who, ...(await e2e.makeCard(await identityOf(people[who]), session, where)) };
    sessions.set(session.hex, session);
    return { card, seq: 0, hash: await e2e.keyHash(session.hex), named: await e2e.keyHash(from) };
  };
  /** Which streams the receipts tell of, by the vectors' names. */
  const receipts = () =>
    Promise.all(bob.receipts().map(async (frame) => {
      const from = { name: "bob", IdentityKey: frame.IdentityKey, SessionKey: frame.SessionKey };
      const { TgtUser: who, ToKey: SessionKey } = frame;
      const to = { name: who, IdentityKey: people[who].keys.IdentityKey, SessionKey };
      const plain = await e2e.openMessage(sessions.get(SessionKey), "", from, to, frame);
      const { opened } = unpack(plain, 0);
      return `${who} ${[...streams.values()].find(({ hash }) => hash === opened.writer).named}`;
    }));
  const wanted = [];
  for (const { op, who, now, from, receipts: due } of continuity.confirming) {
    server.clock.pass(Math.max(0, (now ?? 0) - server.clock.elapsed()));
    if (op === "opened") {
      const name = `${who} ${from}`;
      if (!streams.has(name)) streams.set(name, await streamFor(who, from));
      const stream = streams.get(name);
      bob.hear(await craft(people[who], bob, ++stream.seq, {}, stream.card));
      await until(() => bob.texts().length === heard + 1);
      heard++;
    } else if (op === "text") {
      const sealed = () => bob.sealed().filter(({ TgtUser }) => TgtUser === who).length;
      const before = sealed();
      bob.privateMessages.send(who, "it rides");
      await until(() => sealed() > before);
    } else if (due.length) {
      wanted.push(...due.map((one) => `${one.who} ${one.from}`));
      await until(() => bob.receipts().length >= wanted.length, `${wanted.length} receipts at ${now}`);
      assert.deepEqual(await receipts(), wanted);
    } else if (now < 30_000) {
      await idle();
      assert.equal(bob.receipts().length, wanted.length, `at ${now}`);
    }
  }
});

test("receipts are not confirmed, not answered, and not said, whatever is wrong with them", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "hello"));
  const said = () => [ana, bob].map((member) => member.said.length);
  const before = said();
  server.clock.pass(MINUTE);
  await idle();
  assert.deepEqual(said(), before);
  const [receipt] = bob.receipts();
  const give = (changes) => ana.hear({ ...receipt, SrcUser: "bob", Time: NOW, ...changes });
  give({}); // a second time it says nothing new
  give({ ToKey: (await e2e.newSession()).hex });
  const other = await person(server, "bob");
  other.keys = await other.privateMessages.joinFields(NONCE, "", "bob");
  ana.hear(await craft(other, ana, 0, { kind: RECEIPT, text: "" }));
  ana.hear(await craft(bob, ana, 0, { kind: RECEIPT, text: "" }, await anotherCard(bob, "", NOW - 25 * HOUR)));
  await idle();
  assert.deepEqual(ana.of("unreadable"), []);
  give({ Sig: "ab".repeat(64) });
  await until(() => ana.of("unreadable").length === 1);
  await idle();
  assert.deepEqual(said(), before);
});

test("whatever others do, the page sends ten messages a second by itself, keys before notices", async () => {
  const { server, ana, bob } = await twoPeople();
  for (let n = 0; n < 400; n++) bob.hear({ msgType: "PrivateMessage", SrcUser: "ana", Enc: "?", Ref: n, text: "" });
  await until(() => bob.of("unreadable").length === 400);
  assert.equal(bob.said.length, 10);
  bob.privateMessages.open("ana");
  server.clock.pass(999);
  await idle();
  assert.equal(bob.said.length, 10);
  server.clock.pass(1);
  await until(() => bob.said.length === 20);
  assert.equal(bob.said[10].msgType, "GetKeys");
  server.clock.pass(MINUTE);
  await until(() => bob.notices().length === 10 + 256); // those beyond were not kept
  await idle();
  assert.equal(bob.said.length, 1 + 10 + 256);
});

test("UserKeys that nobody asked for are not even remembered", async () => {
  const { ana, bob } = await twoPeople();
  const { Proof, ...card } = bob.keys;
  for (const Ref of [undefined, "keys-1", "keys-99"]) ana.hear({ msgType: "UserKeys", User: "bob", Ref, ...card });
  await idle();
  assert.equal(await contactsOf(ana, "bob"), undefined);
  assert.equal(ana.state("bob"), undefined);
});

test("a message by a card that ended, or lasts too long, is expired; such keys are not written to", async () => {
  const { server, ana, bob } = await twoPeople();
  for (const now of [NOW - 24 * HOUR, NOW + 24 * HOUR + SECOND]) {
    ana.hear(await craft(bob, ana, 1, {}, await anotherCard(bob, "", now)));
    const count = ana.of("unreadable").length;
    await until(() => ana.of("unreadable").length === count + 1);
  }
  assert.deepEqual(ana.of("unreadable").map(({ code }) => code), ["expired", "expired"]);
  await until(() => ana.notices().length === 2);
  assert.equal(ana.notices()[0].Code, "expired");
  assert.equal(await contactsOf(ana, "bob"), undefined);
  const { name, ...old } = await anotherCard(bob, "", NOW - 25 * HOUR); // a session key that leaked (finding M8)
  server.forge = (answer) => ({ ...answer, ...old });
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob").state === "outdated");
  const id = await say(ana, bob, "secret");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "outdated"]);
  server.forge = (answer) => answer;
  server.announce();
  await until(() => ana.state("bob").state === "encrypted");
  neverInPlain([ana], "secret");
});

test("nothing is sealed to a card that names no encoding of ours", async () => {
  const { server, ana, bob } = await twoPeople();
  const original = subtle.sign;
  server.forge = (answer) => answer;
  const identity = await identityOf(bob);
  const card = { ...bob.keys, KeyEnc: "hpke-v9" };
  const part = (bytes) => Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
  const expires = Buffer.alloc(8);
  expires.writeBigUInt64BE(BigInt(card.KeyExpires));
  const claim = Buffer.concat([
    ...["ragnarok-v2 session key", ORIGIN, "", "bob"].map((text) => part(Buffer.from(text))),
    part(Buffer.from(card.SessionKey, "hex")), expires, part(Buffer.from("hpke-v9")),
  ]);
  card.KeySignature = e2e.hex(new Uint8Array(await original.call(subtle, "Ed25519", identity.secret, claim)));
  bob.keys = card;
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "foreign");
  ana.privateMessages.allowPlain("bob"); // was not offered, and changes nothing
  assert.equal(ana.own(await say(ana, bob, "secret")).reason, "foreign");
  assert.equal(ana.state("bob").plain, false);
  neverInPlain([ana], "secret");
});

test("the time that is shown is the writer's, unless it is ahead of our clock, and no time breaks anything", async () => {
  const { ana, bob } = await twoPeople();
  const cases = [
    [NOW - HOUR, NOW, NOW - HOUR],
    [NOW - 30 * 24 * HOUR, NOW, NOW - 30 * 24 * HOUR],
    [NOW, NOW + 30 * 24 * HOUR, NOW], // the server cannot change it
    [NOW + 2 * MINUTE, NOW, NOW + 2 * MINUTE],
    [NOW + 2 * MINUTE + 1, NOW - HOUR, NOW - HOUR],
    [2 ** 53 - 1, NOW, NOW],
    [0, NOW, NOW],
  ];
  for (const [n, [at, Time, shown]] of cases.entries()) {
    ana.hear({ ...(await craft(bob, ana, n + 1, { at })), Time });
    await until(() => ana.texts().length === n + 1);
    assert.equal(ana.of("text").at(-1).time, shown);
  }
  for (const Time of [1e300, -1e300, "now", null, undefined, {}]) {
    ana.hear({ msgType: "PrivateMessage", SrcUser: "bob", text: "plain", Time });
    const count = ana.texts().length;
    await until(() => ana.texts().length === count + 1);
    new Date(ana.of("text").at(-1).time).toISOString();
    ana.hear({ ...(await craft(bob, ana, 100 + count)), Time });
    await until(() => ana.texts().length === count + 2);
    new Date(ana.of("text").at(-1).time).toISOString();
  }
});

test("an unknown kind is counted, confirmed, and said in words", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.hear(await craft(bob, ana, 1, { kind: 77, text: "shown to nobody" }));
  await until(() => ana.of("unreadable").length === 1);
  assert.equal(ana.of("unreadable")[0].code, "unknown_kind");
  server.clock.pass(200);
  await until(() => ana.receipts().length === 1);
  ana.hear(await craft(bob, ana, 2, { text: "a text" }));
  await hears(ana, "a text");
  assert.deepEqual([ana.gaps(), ana.notices()], [[], []]);
});

test("an id that was shown is not shown again, whatever Ref, Seq, and session key it comes with", async () => {
  const { ana, bob } = await twoPeople();
  const id = "ab".repeat(16);
  ana.hear(await craft(bob, ana, 1, { id, text: "once" }));
  ana.hear(await craft(bob, ana, 2, { id, text: "once" }));
  ana.hear(await craft(bob, ana, 1, { id, text: "once" }, await anotherCard(bob)));
  ana.hear(await craft(bob, ana, 3, { text: "end" }));
  await hears(ana, "once", "end");
  assert.deepEqual([ana.gaps(), ana.of("unreadable"), ana.notices()], [[], [], []]);
});

test("an id is known by the key, not by the name: nobody mutes somebody else (finding E)", async () => {
  const { server, ana, bob } = await twoPeople();
  const eve = await person(server, "eve");
  await server.join(eve);
  const id = "ab".repeat(16);
  ana.hear(await craft(eve, ana, 1, { id, text: "from eve" }));
  ana.hear(await craft(bob, ana, 1, { id, text: "from bob" }));
  await until(() => ana.texts().length === 2);
});

test("without the server's consent to our origin: no keys, said once, and plaintext by choice only", async () => {
  const server = new Server();
  const [ana, bob] = [await person(server, "ana"), await person(server, "bob")];
  await server.join(ana);
  await server.join(bob);
  await arrives(server, ana, await say(ana, bob, "sealed"));
  server.leave(ana);
  ana.isRefused = true;
  await server.join(ana);
  assert.equal(ana.privateMessages.trouble, "wrong_origin");
  assert.deepEqual(ana.of("trouble").map(({ trouble }) => trouble), ["memory", "wrong_origin"]);
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob").state === "none");
  assert.equal(ana.own(await say(ana, bob, "secret")).reason, "no_keys");
  neverInPlain([ana], "secret");
  await server.rejoin(ana);
  assert.equal(ana.of("trouble").length, 2);
  server.leave(ana);
  ana.isRefused = false;
  await server.join(ana);
  assert.equal(ana.privateMessages.trouble, "memory");
  await until(() => ana.state("bob").state === "encrypted");
});

test("a second Joined on the same line changes nothing", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "one"));
  ana.privateMessages.feed({ msgType: "Joined", Room: "", Name: "ana", MaxMessageBytes: NaN });
  await say(ana, bob, "two");
  await say(bob, ana, "three");
  await hears(ana, "three");
  assert.equal(ana.privateMessages.limit() > 1000, true);
  assert.equal(ana.sealed().at(-1).Seq, 2);
});

test("under another name nothing of the former one goes on, and nobody is told of missing messages", async () => {
  const { server, ana, bob } = await twoPeople();
  for (const text of ["1", "2", "3"]) await arrives(server, ana, await say(ana, bob, text));
  server.cheat = (message) => (message.Seq ? [] : [message]);
  const lost = ana.privateMessages.send("bob", "4");
  await until(() => ana.sealed().length === 4);
  server.cheat = (message) => [message];
  server.leave(ana);
  ana.name = "anna";
  await server.join(ana);
  assert.deepEqual([ana.own(lost).status, ana.own(lost).reason], ["unconfirmed", "other_name"]);
  await arrives(server, ana, await say(ana, bob, "5"));
  await hears(bob, "1", "2", "3", "5");
  assert.deepEqual(bob.gaps(), []);
});
