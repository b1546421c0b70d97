// SPDX-License-Identifier: MIT
// Private messages between members and a server that cheats: what arrives, once and in order.
import assert from "node:assert/strict";
import { test } from "node:test";
import * as e2e from "../../../web/e2e.js";
import { NOWHERE, pack, TEXT } from "../../../web/seal.js";
import { nextTurn, NOW, until } from "./clock.mjs";
import {
  arrives, hears, identityOf, impostor, MINUTE, neverInPlain, NONCE, ORIGIN, person, say, SECOND,
  twoPeople,
} from "./private_people.mjs";

test("two people talk: encrypted, delivered, confirmed, both ways", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "encrypted");
  const id = await say(ana, bob, "hello, bob 🍵");
  await hears(bob, "hello, bob 🍵");
  assert.equal(ana.own(id).status, "sent"); // that is the server's word
  await arrives(server, ana, id);
  assert.deepEqual(
    ana.of("own").map(({ status }) => status),
    ["sending", "sent", "arrived"],
  );
  assert.equal(ana.own(id).sealed, true);
  const { name, time, sealed, known } = bob.of("text")[0];
  assert.deepEqual([name, time, sealed, known], ["ana", NOW, true, true]);
  await say(bob, ana, "hello, ana");
  await hears(ana, "hello, ana");
  neverInPlain([ana, bob], "hello");
  assert.equal(ana.said.filter(({ msgType }) => msgType === "GetKeys").length, 1);
  assert.deepEqual(bob.notices(), []);
  assert.equal(bob.receipts().length, 1);
  assert.match(ana.sealed()[0].Ref, /^[0-9a-f]{32}$/);
});

test("what is typed in one go arrives in that order, with Seq 1, 2, 3", async () => {
  const { ana, bob } = await twoPeople();
  const texts = Array.from({ length: 50 }, (_, n) => `${n} ${"x".repeat((n * 997) % 5000)}`);
  for (const text of texts) ana.privateMessages.send("bob", text);
  await hears(bob, ...texts);
  assert.deepEqual(
    ana.sealed().map(({ Seq }) => Seq),
    texts.map((_, n) => n + 1),
  );
  assert.equal(new Set(ana.sealed().map(({ Ref }) => Ref)).size, 50);
});

test("a cheating server is caught, whatever field it changes, and both sides are told", async () => {
  const { server, ana, bob } = await twoPeople();
  const flip = (hex) => (parseInt(hex[0], 16) ^ 1).toString(16) + hex.slice(1);
  const changes = {
    Enc: [() => "hpke-v1", "malformed"],
    Seq: [(seq) => seq + 1, "bad_signature"],
    EncKey: [flip, "bad_signature"],
    IdentityKey: [flip, "bad_signature"],
    SessionKey: [flip, "bad_signature"],
    KeyExpires: [(time) => time + 1, "bad_signature"],
    KeyOrigin: [() => "https://evil.example", "bad_signature"],
    KeyEnc: [() => "hpke-v1", "bad_signature"],
    KeySignature: [flip, "bad_signature"],
    ToKey: [flip, "stale_key"],
    text: [flip, "bad_signature"],
    Sig: [flip, "bad_signature"],
  };
  let count = 0;
  const said = [];
  for (const [field, [change, code]] of Object.entries(changes)) {
    server.cheat = (message) => [
      message.Enc ? { ...message, [field]: change(message[field]) } : message,
    ];
    const id = ana.privateMessages.send("bob", said[said.push(`secret ${field}`) - 1]);
    count += code === "stale_key" ? 2 : 1; // that one goes a second time
    await server.clock.passUntil(() => ana.own(id).status === "unread", `ana hears of ${field}`);
    assert.equal(ana.own(id).reason, code === "stale_key" ? "stale_again" : code, field);
    assert.equal(bob.of("unreadable").length, count, field);
    assert.equal(bob.of("unreadable").at(-1).code, code, field);
  }
  for (const field of Object.keys(changes)) {
    server.cheat = ({ ...message }) => [message.Enc && delete message[field] ? message : message];
    const id = ana.privateMessages.send("bob", said[said.push(`secret without ${field}`) - 1]);
    await server.clock.passUntil(() => ana.own(id).reason === "malformed", `without ${field}`);
    assert.equal(bob.of("unreadable").length, ++count);
  }
  assert.deepEqual(bob.texts(), []);
  assert.equal(bob.notices().length, count);
  neverInPlain([ana, bob], "secret");
  server.cheat = (message) => [message];
  const gap = ana.sealed().length;
  await say(ana, bob, "and now honestly");
  await hears(bob, "and now honestly");
  assert.deepEqual(bob.gaps(), [gap]);
  await server.clock.passUntil(() => bob.texts().length === said.length + 1, "all goes again");
  assert.deepEqual(bob.texts().slice(1), said);
});

test("a message that comes twice is shown once; one that never comes leaves a gap, and goes again", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Seq ? [message, message] : [message]);
  await say(ana, bob, "one");
  await until(() => bob.of("unreadable").length === 1);
  assert.equal(bob.of("unreadable")[0].code, "replayed");
  server.cheat = (message) => (message.Seq ? [] : [message]);
  const lost = [ana.privateMessages.send("bob", "two"), ana.privateMessages.send("bob", "three")];
  await until(() => ana.sealed().length === 3);
  server.cheat = (message) => [message];
  const id = await say(ana, bob, "four");
  await hears(bob, "one", "four");
  assert.deepEqual(bob.gaps(), [2]);
  assert.equal(bob.of("unreadable").length, 1);
  await arrives(server, ana, id, ...lost);
  assert.deepEqual(bob.texts(), ["one", "four", "two", "three"]);
  assert.deepEqual(bob.gaps(), [2]);
});

test("of two that change places the later is shown, and the earlier after it went again", async () => {
  const { server, ana, bob } = await twoPeople();
  const held = [];
  server.cheat = (message) =>
    message.Seq && held.length < 2 && held.push(message) < 2 ? [] : message.Seq === 2 ? [...held].reverse() : [message];
  const first = ana.privateMessages.send("bob", "first");
  ana.privateMessages.send("bob", "second");
  await until(() => bob.of("unreadable").length === 1);
  assert.deepEqual(bob.texts(), ["second"]);
  assert.equal(bob.of("unreadable")[0].code, "replayed");
  assert.deepEqual(bob.gaps(), [1]);
  await arrives(server, ana, first);
  assert.deepEqual(bob.texts(), ["second", "first"]);
});

test("a message for another, from another, or from another room is not shown", async () => {
  const { server, ana, bob } = await twoPeople();
  const carol = await person(server, "carol");
  await server.join(carol);
  await say(ana, bob, "for bob");
  await hears(bob, "for bob");
  const stolen = { ...ana.sealed()[0], Seq: 1, Ref: undefined };
  const give = (to, SrcUser, message) => to.hear({ ...message, SrcUser, Time: 1 });
  give(carol, "ana", stolen);
  give(carol, "ana", { ...stolen, ToKey: carol.keys.SessionKey });
  await until(() => carol.of("unreadable").length === 2);
  assert.deepEqual(
    carol.of("unreadable").map(({ code }) => code),
    ["stale_key", "bad_signature"],
  );
  give(bob, "carol", stolen);
  await until(() => bob.of("unreadable").length === 1);
  assert.equal(bob.of("unreadable")[0].code, "bad_signature");
  assert.notEqual(bob.state("carol")?.state, "encrypted"); // nothing is remembered of a forger
  await bob.privateMessages.joinFields(NONCE, "tea", "bob"); // bob himself, in another room
  const identity = await identityOf(bob, "tea");
  const place = { origin: ORIGIN, room: "tea", name: "bob", now: NOW };
  const elsewhere = await e2e.makeCard(identity, await e2e.newSession(), place);
  const to = { name: "ana", ...ana.keys };
  const content = { kind: TEXT, id: e2e.randomHex(16), at: NOW, previous: NOWHERE, opened: NOWHERE };
  const from = { name: "bob", ...elsewhere };
  const fields = await e2e.sealMessage(identity, "tea", from, to, 1, pack({ ...content, text: "tea?" }));
  give(ana, "bob", { msgType: "PrivateMessage", ...fields });
  await until(() => ana.of("unreadable").length === 1);
  assert.equal(ana.of("unreadable")[0].code, "bad_signature");
  assert.deepEqual([...carol.texts(), ...ana.texts()], []);
});

test("notices are never answered, and only mark what was sent to that person", async () => {
  const { server, ana, bob } = await twoPeople();
  const carol = await person(server, "carol");
  await server.join(carol);
  await say(ana, carol, "hello");
  const id = await say(ana, bob, "hello");
  await hears(bob, "hello");
  const Ref = ana.sealed()[1].Ref;
  const before = ana.said.length;
  const notice = {
    msgType: "PrivateMessage",
    text: "",
    Notice: "unreadable",
    Code: "cannot_open",
    Time: 1,
  };
  ana.hear({ ...notice, SrcUser: "carol", About: Ref });
  ana.hear({ ...notice, SrcUser: "bob", About: "no such message" });
  ana.hear({ ...notice, SrcUser: "bob" });
  ana.hear({ ...notice, SrcUser: "bob", Notice: "something new", Code: "x", About: 17 });
  ana.hear({ ...notice, SrcUser: "dave", Enc: "hpke-v2" });
  await nextTurn();
  assert.equal(ana.own(id).status, "sent");
  ana.hear({ ...notice, SrcUser: "bob", About: Ref, Code: "<b>own words</b>" });
  await until(() => ana.own(id).status === "unread");
  assert.equal(ana.own(id).reason, "unreadable");
  assert.equal(ana.said.length, before);
  await arrives(server, ana, id); // it was read after all, by a word that counts
  assert.equal(ana.state("dave"), undefined); // a notice makes no conversation
});

test("a notice does not bring a failed message back", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Seq ? [] : [message]);
  const id = ana.privateMessages.send("bob", "hello");
  await until(() => ana.sealed().length === 1);
  server.cheat = (message) => [message];
  const [{ Ref }] = ana.sealed();
  ana.privateMessages.feed({ msgType: "Error", Code: "throttled", TgtUser: "bob", Ref, text: "" });
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "throttled"]);
  const notice = { msgType: "PrivateMessage", SrcUser: "bob", text: "", Notice: "unreadable" };
  ana.privateMessages.feed({ ...notice, Code: "stale_key", About: Ref, Time: 1 });
  await say(ana, bob, "later");
  assert.equal(ana.own(id).status, "failed");
  assert.equal(ana.sealed().length, 2);
});

test("a notice repeats a short Ref, and not one that would make it too long", async () => {
  const { server, ana, bob } = await twoPeople();
  for (const Ref of [7, { n: [1, "x"] }, "x".repeat(300), undefined])
    server.handle(ana, { msgType: "PrivateMessage", TgtUser: "bob", text: "", Enc: "?", Ref });
  await until(() => bob.notices().length === 4);
  assert.deepEqual(
    bob.notices().map(({ About }) => About),
    [7, { n: [1, "x"] }, undefined, undefined],
  );
});

test("a session key that was replaced is understood for 60 s, and then it is stale_key", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  server.announce = () => {}; // ana is not told that bob reconnected
  await server.rejoin(bob);
  server.clock.pass(59 * SECOND);
  await say(ana, bob, "two");
  await hears(bob, "one", "two");
  assert.deepEqual(bob.notices(), []);
});

test("stale_key: what was for an earlier connection goes once more by itself", async () => {
  const { server, ana, bob } = await twoPeople();
  const one = await say(ana, bob, "one");
  await arrives(server, ana, one);
  const announce = server.announce;
  server.announce = () => {}; // ana is not told that bob reconnected
  await server.rejoin(bob);
  server.clock.pass(MINUTE);
  const id = ana.privateMessages.send("bob", "two");
  await hears(bob, "one", "two");
  await until(() => ana.own(id).status === "sent");
  assert.deepEqual(
    bob.notices().map(({ Code }) => Code),
    ["stale_key"],
  );
  assert.deepEqual(
    ana.sealed().map(({ Seq }) => Seq),
    [1, 2, 1],
  );
  assert.equal(new Set(ana.sealed().map(({ Ref }) => Ref)).size, 3);
  assert.deepEqual(bob.gaps(), []);
  server.announce = announce;
});

test("stale_key each time: the text is sent once more only", async () => {
  const { server, ana, bob } = await twoPeople();
  const old = { ...bob.keys };
  await server.rejoin(bob);
  server.clock.pass(MINUTE);
  server.forge = (answer) => ({ ...answer, ...old, Proof: undefined }); // an old, well signed key
  const id = ana.privateMessages.send("bob", "hello");
  await until(() => ana.own(id).status === "unread");
  assert.equal(ana.sealed().length, 2);
  assert.equal(ana.own(id).reason, "stale_again");
  assert.deepEqual(bob.texts(), []);
});

test("stale_key, and behind it a changed key or none at all: nothing goes out again", async () => {
  for (const [withKeys, reason] of [
    [true, "key_changed"],
    [false, "no_keys"],
  ]) {
    const { server, ana, bob } = await twoPeople();
    await say(ana, bob, "one");
    server.announce = () => {};
    const other = await impostor(server, "bob");
    if (!withKeys) other.keyless = true;
    const id = ana.privateMessages.send("bob", "secret two");
    await until(() => other.of("unreadable").length === 1);
    await until(() => ana.state("bob").state === (withKeys ? "changed" : "none"));
    for (let n = 0; n < 50; n++) await nextTurn();
    assert.equal(ana.own(id).status, "sent"); // it was: nobody but the server says more
    if (withKeys) {
      const again = await say(ana, other, "secret three");
      assert.deepEqual([ana.own(again).status, ana.own(again).reason], ["failed", reason]);
    }
    assert.equal(ana.sealed().length, 2);
    assert.deepEqual(other.texts(), []);
    neverInPlain([ana], "secret");
  }
});

test("an accepted key gets nothing that was written before, however often it is asked for (finding A)", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.privateMessages.open("bob");
  const ids = [await say(ana, bob, "the safe code is 4711"), await say(ana, bob, "under the mat")];
  const refs = ana.sealed().map(({ Ref }) => Ref);
  const mallory = await impostor(server, "bob");
  await say(mallory, ana, "hi, new phone");
  await until(() => ana.state("bob").state === "changed");
  await ana.privateMessages.accept("bob", ana.state("bob").offered);
  const notice = { msgType: "PrivateMessage", TgtUser: "ana", text: "", Notice: "unreadable" };
  for (const About of refs) server.handle(mallory, { ...notice, Code: "stale_key", About });
  await server.clock.passUntil(() => ids.every((id) => ana.own(id).status === "unconfirmed"));
  assert.deepEqual(ids.map((id) => ana.own(id).reason), ["other_key", "other_key"]);
  await server.rejoin(ana);
  const id = await say(ana, mallory, "who are you?");
  await arrives(server, ana, id);
  assert.deepEqual(mallory.texts(), ["who are you?"]);
  assert.deepEqual(mallory.of("unreadable"), []);
});
