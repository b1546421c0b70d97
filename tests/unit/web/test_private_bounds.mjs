// SPDX-License-Identifier: MIT
// Private messages: hostile members and servers, and the bounds of what is remembered.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Peer, Peers } from "../../../web/continuity.js";
import { KeyRing, newKey } from "../../../web/keyring.js";
import { NOWHERE, RECEIPT } from "../../../web/seal.js";
import { nextTurn, NOW, until } from "./clock.mjs";
import {
  anotherCard, arrives, contactsOf, craft, hears, HOUR, identityOf, idle, impostor, MINUTE, ORIGIN,
  say, SECOND, stranger, twoPeople,
} from "./private_people.mjs";

// ---- What a hostile member or server tries ----

test("a receipt of a stranger makes nothing, is remembered nowhere, and offers no key", async () => {
  const { server, ana, bob } = await twoPeople();
  const receipt = { kind: RECEIPT, text: "" };
  const before = ana.events.length;
  ana.hear(await craft(await stranger("eve"), ana, 0, receipt));
  ana.hear(await craft(await stranger("bob"), ana, 0, receipt));
  await idle();
  assert.deepEqual(ana.events.slice(before), []);
  assert.equal(await contactsOf(ana, "eve"), undefined);
  assert.equal(await contactsOf(ana, "bob"), undefined);
  await arrives(server, ana, await say(ana, bob, "hi"));
  ana.hear(await craft(await stranger("bob"), ana, 0, receipt));
  await idle();
  assert.deepEqual([ana.state("bob").state, ana.state("bob").offered], ["encrypted", ""]);
  await say(ana, bob, "still open");
  await hears(bob, "hi", "still open");
});

test("nobody who writes to us ends the stream in which we write: a peer in use is never forgotten", () => {
  let forgotten = 0;
  const live = new Set(["now", "before"]);
  const peers = new Peers(() => live, () => forgotten++);
  peers.obtain("bob").writing("now", "r");
  const reads = (key, reader) =>
    peers.obtain(key).read({ writer: key, reader, seq: 0, bits: 0n, told: 0 }, 1, NOWHERE, () => true);
  reads("carl", "before");
  const open = { isOpen: true };
  peers.obtain("dora").writing("old", "r").texts.set(1, open);
  for (let n = 0; n < 3000; n++) peers.obtain(`m${n}`);
  for (const key of ["bob", "carl", "dora"]) assert.ok(peers.find(key), key);
  assert.equal([...peers.values()].length, 2048);
  assert.equal(forgotten, 0); // of those that are gone nothing was known
  peers.clear();
  for (let n = 0; n < 2048; n++) reads(`m${n}`, "before");
  assert.equal(peers.obtain("one more"), null);
  assert.ok(peers.obtain("m0") && peers.find("m2047"));
  live.delete("before");
  assert.ok(peers.obtain("one more"));
  assert.equal(forgotten, 1);
  assert.equal(peers.find("m1"), undefined); // m0 was used since
});

test("no place for one more peer: a text is refused with cannot_open, and ours says why", async () => {
  const { server, ana, bob } = await twoPeople();
  const obtain = Peers.prototype.obtain;
  Peers.prototype.obtain = () => null;
  try {
    const id = await say(ana, bob, "hi");
    assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "crowded"]);
    bob.hear(await craft(ana, bob, 1));
    await until(() => bob.notices().length === 1);
    assert.equal(bob.notices()[0].Code, "cannot_open");
    assert.deepEqual(bob.texts(), []);
  } finally {
    Peers.prototype.obtain = obtain;
  }
  bob.hear(await craft(ana, bob, 1)); // the place in the stream was not taken
  await hears(bob, "made");
  assert.ok(server);
});

test("one more name and back: nobody is told that messages did not arrive", async () => {
  const { server, ana, bob } = await twoPeople();
  const ids = [];
  for (const text of ["one", "two", "three"]) ids.push(await say(ana, bob, text));
  await arrives(server, ana, ...ids);
  for (const name of ["bobby", "bob"]) {
    server.leave(bob);
    bob.name = name;
    await server.join(bob);
  }
  await say(ana, bob, "four");
  await hears(bob, "one", "two", "three", "four");
  assert.deepEqual(bob.gaps(), []);
});

test("of streams that were forgotten nothing is said to be missing", async () => {
  const { server, bob } = await twoPeople();
  const ring = new KeyRing(server.clock, () => {});
  const make = async () => newKey(await identityOf(bob), { origin: ORIGIN, room: "", name: "bob" }, server.clock);
  const keys = [await make(), await make(), await make()];
  for (const key of keys) {
    ring.replace(key);
    server.clock.pass(50 * SECOND);
  }
  ring.forgetFormer();
  assert.deepEqual(keys.map(({ hash }) => ring.had(hash)), [false, true, true]);
  assert.deepEqual([...ring.live], [keys[2].hash, keys[1].hash]);
  ring.forgetAll();
  assert.equal(ring.had(keys[2].hash), false);
  const peer = new Peer();
  const begin = (n, previous = NOWHERE) =>
    peer.read({ writer: `w${n}`, reader: "r", seq: 0, bits: 0n, told: 0 }, 1, previous, () => true);
  for (let n = 0; n < 64; n++) begin(n);
  assert.equal(begin(64, { writer: "x", reader: "r", seq: 3 }), 0); // it may be one that was forgotten
});

test("a message by an accepted key that was not compared says so, and so does the state", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(bob, ana, "I am bob");
  await hears(ana, "I am bob");
  assert.equal(ana.of("text").at(-1).mark, "encrypted");
  await ana.privateMessages.setVerified("bob", bob.keys.IdentityKey, true);
  await say(bob, ana, "compared");
  await hears(ana, "I am bob", "compared");
  assert.equal(ana.of("text").at(-1).mark, "verified");
  const phone = await impostor(server, "bob");
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob").state === "changed");
  assert.ok(await ana.privateMessages.accept("bob", phone.keys.IdentityKey));
  server.leave(phone);
  await server.join(bob);
  await until(() => ana.state("bob").state === "verified");
  const card = await anotherCard(phone, "", NOW - 23 * HOUR); // ends before that of the compared key
  ana.hear(await craft(phone, ana, 1, { text: "send the money" }, card));
  await until(() => ana.texts().includes("send the money"));
  assert.equal(ana.of("text").at(-1).mark, "encrypted");
  assert.deepEqual([ana.state("bob").state, ana.state("bob").verified], ["encrypted", true]);
});

test("nothing is sealed to a card that ended while the page stayed open (finding M8)", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "one"));
  server.cheat = (m) => (m.msgType === "PublishKeys" || m.TgtUser === "ana" ? [] : [m]);
  server.clock.pass(60 * HOUR);
  await nextTurn();
  const before = ana.sealed().length;
  const id = await say(ana, bob, "secret");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "outdated"]);
  assert.equal(ana.state("bob").state, "outdated");
  assert.equal(ana.sealed().length, before);
  server.cheat = (message) => [message];
  const { name, ...card } = await anotherCard(bob, "", server.clock.now());
  Object.assign(bob.keys, card); // nobody is told, but the next text asks
  await say(ana, bob, "two");
  assert.deepEqual([ana.state("bob").state, ana.sealed().length], ["encrypted", before + 1]);
});

test("what waits cannot be opened 60 s after its session key was replaced: it is asked for again", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(bob, ana, "I am bob");
  await hears(ana, "I am bob");
  const phone = await impostor(server, "bob");
  await say(phone, ana, "waits");
  await until(() => ana.state("bob").waiting === 1);
  const old = ana.keys.SessionKey;
  const { announce } = server;
  server.announce = () => {}; // the phone does not learn that ana reconnected
  await server.rejoin(ana);
  server.clock.pass(MINUTE);
  const count = ana.notices().length;
  await ana.privateMessages.accept("bob", phone.keys.IdentityKey);
  assert.deepEqual(ana.texts(), ["I am bob"]);
  await until(() => ana.notices().length > count);
  assert.equal(ana.notices().at(-1).Code, "stale_key");
  assert.equal(ana.of("unreadable").at(-1).code, "stale_key");
  await server.clock.passUntil(() => ana.texts().length === 2);
  assert.equal(ana.texts()[1], "waits");
  assert.notEqual(phone.sealed().at(-1).ToKey, old);
  server.announce = announce;
});

test("a text that was sealed and handed over is never called not sent; a late confirmation counts", async () => {
  const { server, ana, bob } = await twoPeople();
  const handle = server.handle;
  server.handle = (from, message) => { // passes on, and neither says so nor brings the confirmation
    if (message.Seq > 0) bob.hear({ ...message, SrcUser: from.name, Time: NOW });
    else if (message.msgType !== "PrivateMessage") handle.call(server, from, message);
  };
  const id = ana.privateMessages.send("bob", "the code is 4711");
  await hears(bob, "the code is 4711");
  await server.clock.passUntil(() => bob.receipts().length === 1);
  const receipt = bob.receipts()[0];
  server.handle = handle;
  server.leave(bob);
  await server.rejoin(ana);
  await until(() => ana.own(id).status !== "sending");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["unconfirmed", "unknown_user"]);
  ana.hear({ ...receipt, SrcUser: "bob", Time: NOW });
  await until(() => ana.own(id).status === "arrived");
});

test("the server refuses what was sealed before: not confirmed, for nobody knows whether it was read", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Seq ? [] : [message]);
  const id = ana.privateMessages.send("bob", "x");
  await until(() => ana.sealed().length === 1);
  server.cheat = (message) => {
    if (message.Seq) ana.hear({ msgType: "Error", Code: "room_full", text: "", Ref: message.Ref });
    return message.Seq ? [] : [message];
  };
  await server.rejoin(ana);
  await until(() => ana.own(id).status !== "sending");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["unconfirmed", "room_full"]);
  assert.ok(bob);
});

test("a second stale_key for a text is not said to be sent again", async () => {
  const { server, ana } = await twoPeople();
  server.cheat = (message) => (message.Seq > 0 ? [] : [message]);
  const id = ana.privateMessages.send("bob", "x");
  for (const count of [1, 2]) {
    await server.clock.passUntil(() => ana.sealed().length === count);
    const notice = { msgType: "PrivateMessage", SrcUser: "bob", text: "", Notice: "unreadable" };
    ana.hear({ ...notice, Code: "stale_key", About: ana.sealed().at(-1).Ref });
  }
  await until(() => ana.own(id).status === "unread");
  assert.equal(ana.own(id).reason, "stale_again");
});

// ---- Bounds ----

test("1024 conversations; one more takes the place of the oldest idle one, rather one without a word of ours", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "hello");
  const plain = (n) => ana.hear({ msgType: "PrivateMessage", SrcUser: `n${n}`, text: "." });
  for (let n = 0; n < 1023; n++) plain(n);
  await until(() => ana.texts().length === 1023);
  ana.privateMessages.open("n1");
  await until(() => ana.state("n1"));
  await arrives(server, ana, ana.sealed() && ana.of("own")[0].id);
  assert.deepEqual(ana.of("evicted"), []);
  for (const n of [2000, 2001, 2002]) plain(n);
  await until(() => ana.texts().length === 1026);
  assert.deepEqual(ana.of("evicted").map(({ name }) => name), ["n0", "n2", "n3"]);
  await say(bob, ana, "still here");
  await until(() => ana.texts().at(-1) === "still here");
});

test("no place for a conversation: the sender gets cannot_open, it is said once, and we may still write", async () => {
  const { server, ana, bob } = await twoPeople();
  const talk = (n) => `n${n}`;
  ana.isRefused = true;
  server.leave(ana);
  await server.join(ana); // without keys, every conversation can be one in plain
  for (let n = 0; n < 1024; n++) {
    ana.hear({ msgType: "PrivateMessage", SrcUser: talk(n), text: "." });
    ana.privateMessages.allowPlain(talk(n));
  }
  await until(() => ana.texts().length === 1024);
  const { Proof, ...card } = bob.keys;
  for (const Ref of ["r1", "r2"])
    ana.hear({ msgType: "PrivateMessage", SrcUser: "bob", Enc: "hpke-v2", text: "00", Ref, ...card });
  await until(() => ana.notices().length === 2);
  assert.deepEqual(ana.notices().map(({ Code, About, TgtUser }) => [Code, About, TgtUser]), [
    ["cannot_open", "r1", "bob"], ["cannot_open", "r2", "bob"],
  ]);
  assert.equal(ana.of("trouble").filter(({ trouble }) => trouble === "too_many_talks").length, 1);
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  assert.deepEqual(ana.of("evicted").map(({ name }) => name), ["n0"]);
});

test("a notice or an answer makes no conversation", async () => {
  const { ana } = await twoPeople();
  ana.hear({ msgType: "PrivateMessage", SrcUser: "eve", text: "", Notice: "unreadable", Code: "x", About: "y" });
  ana.hear({ msgType: "Delivered", TgtUser: "eve", Ref: "z" });
  await idle();
  assert.deepEqual(ana.events.filter(({ name }) => name === "eve"), []);
});

test("what is remembered of streams and ids has an end", () => {
  const peer = new Peer();
  for (let n = 0; n < 2000; n++) peer.hasShown(`${n}`);
  assert.deepEqual([peer.hasShown("975"), peer.hasShown("976"), peer.hasShown("1999")], [false, false, true]);
  const place = (n) => ({ writer: `w${n}`, reader: "r", seq: 3 });
  for (let n = 0; n < 100; n++) {
    const stream = { writer: `w${n}`, reader: "r", seq: 0, bits: 0n, told: 0 };
    peer.read(stream, 1, NOWHERE, () => false);
  }
  const tells = (n) => peer.read({ writer: `x${n}`, reader: "r", seq: 0, bits: 0n, told: 0 }, 1, place(n), () => false);
  assert.deepEqual([tells(0), tells(99), tells(99)], [0, 2, 0]);
  for (let n = 0; n < 100; n++) peer.writing(`w${n}`, "r").seq = 7;
  assert.deepEqual([peer.writing("w99", "r").seq, peer.writing("w0", "r").seq], [7, 0]);
});
