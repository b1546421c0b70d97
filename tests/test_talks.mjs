// SPDX-License-Identifier: MIT
// Private conversations: members of one room, and a server between them that can be told to cheat.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fold } from "../web/conversation.js";
import * as e2e from "../web/e2e.js";
import { openTalks } from "../web/talks.js";
import { memoryVault, openVault } from "../web/vault.js";

const NONCE = "5a".repeat(32);
const ORIGIN = "https://chat.example";

const PATIENCE = 20000; // milliseconds that any single thing may take

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Lets all else go on until something is so. Time in which the machine stood still is not counted. */
async function until(condition, what = condition) {
  let left = PATIENCE;
  for (let before = performance.now(); !condition();) {
    if (left < 0) assert.fail(`never: ${what}`);
    await nextTurn();
    const now = performance.now();
    left -= Math.min(now - before, 100);
    before = now;
  }
}

/**
 * A server for one room. `cheat` gets what a member says and returns what to make of it; `forge`
 * likewise with the keys that it hands out.
 */
class Server {
  members = new Map();
  cheat = (message) => [message];
  forge = (answer) => answer;

  find(name) {
    return [...this.members.values()].find((member) => fold(member.name) === fold(name));
  }

  announce() {
    const Users = [...this.members.keys()].sort();
    for (const member of this.members.values()) member.hear({ msgType: "OnlineUsers", Users });
  }

  async join(member, room = "") {
    const joined = await member.talks.joinFields(NONCE, room, member.name);
    member.keys = joined;
    this.members.set(member.name, member);
    member.online = true;
    const MaxMessageBytes = member.max ?? 65536;
    member.hear({ msgType: "Joined", Room: room, Name: member.name, MaxMessageBytes });
    this.announce();
    await nextTurn(); // now it was heard
  }

  leave(member) {
    this.members.delete(member.name);
    member.online = false;
    member.talks.lost();
    this.announce();
  }

  async rejoin(member) {
    this.leave(member);
    await this.join(member);
  }

  take(from, message) {
    assert.ok(from.online, "nothing may be sent while the link is down");
    assert.ok(
      Buffer.byteLength(JSON.stringify(message)) <= (from.max ?? 65536),
      "too long a frame",
    );
    from.said.push(structuredClone(message));
    for (const passed of this.cheat(structuredClone(message))) this.handle(from, passed);
  }

  handle(from, message) {
    const { msgType, TgtUser, Ref } = message;
    const target = this.find(TgtUser);
    const echo = Ref === undefined ? {} : { Ref };
    if (!target)
      return from.hear({
        msgType: "Error",
        Code: "unknown_user",
        TgtUser,
        text: "",
        ...echo,
      });
    if (msgType === "GetKeys") {
      const { IdentityKey, SessionKey, KeySignature } = target.keys;
      const keys = IdentityKey && !target.keyless ? { IdentityKey, SessionKey, KeySignature } : {};
      const answer = { msgType: "UserKeys", User: target.name, ...echo, ...keys };
      return from.hear(this.forge(answer));
    }
    target.hear({ ...message, SrcUser: from.name, Time: 1767225600000 });
    if (Ref !== undefined) from.hear({ msgType: "Delivered", TgtUser, Ref });
  }
}

/** A member: what was told to the person, and what was said to the server. */
async function person(server, name, vault = memoryVault()) {
  const member = { name, vault, events: [], said: [], got: [] };
  member.hear = (message) => {
    member.got.push(message);
    setImmediate(() => member.online && member.talks.feed(message));
  };
  const send = (message) => server.take(member, message);
  const tell = (event) => member.events.push(event);
  member.talks = await openTalks({ vault, origin: ORIGIN, send, tell });
  member.of = (type) => member.events.filter((event) => event.type === type);
  member.texts = () => member.of("text").map(({ text }) => text);
  member.state = (of) => member.of("state").findLast((event) => event.name === of);
  member.own = (id) => member.of("own").findLast((event) => event.id === id);
  member.notices = () => member.said.filter((message) => message.Notice);
  member.sealed = () => member.said.filter((message) => message.Enc);
  return member;
}

async function twoPeople() {
  const server = new Server();
  const [ana, bob] = [await person(server, "ana"), await person(server, "bob")];
  await server.join(ana);
  await server.join(bob);
  return { server, ana, bob };
}

async function say(from, to, text) {
  const id = from.talks.send(to.name, text);
  await until(() => ["sent", "failed"].includes(from.own(id).status), `${text} is sent or not`);
  return id;
}

async function hears(member, ...texts) {
  await until(() => member.texts().length >= texts.length, `${member.name} hears ${texts}`);
  assert.deepEqual(member.texts(), texts);
}

/** Somebody else, with keys of their own, comes under the same name. */
async function impostor(server, name) {
  server.leave(server.find(name));
  const other = await person(server, name);
  await server.join(other);
  return other;
}

/** Nothing of the texts is in what was said to the server. */
function neverInPlain(members, ...texts) {
  const said = JSON.stringify(members.map((member) => member.said));
  for (const text of texts) assert.ok(!said.includes(text), `${text} went out in plain`);
}

test("two people talk: encrypted, delivered, both ways", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.talks.open("bob");
  await until(() => ana.state("bob")?.state === "encrypted");
  const id = await say(ana, bob, "hello, bob 🍵");
  await hears(bob, "hello, bob 🍵");
  assert.deepEqual(
    ana.of("own").map(({ status }) => status),
    ["sending", "sent"],
  );
  assert.equal(ana.own(id).sealed, true);
  const { name, time, sealed, known } = bob.of("text")[0];
  assert.deepEqual([name, time, sealed, known], ["ana", 1767225600000, true, true]);
  await say(bob, ana, "hello, ana");
  await hears(ana, "hello, ana");
  neverInPlain([ana, bob], "hello");
  assert.equal(ana.said.filter(({ msgType }) => msgType === "GetKeys").length, 1);
  assert.deepEqual(bob.notices(), []);
  assert.equal(server.members.size, 2);
});

test("what is typed in one go arrives in that order, with Seq 1, 2, 3", async () => {
  const { ana, bob } = await twoPeople();
  const texts = Array.from({ length: 50 }, (_, n) => `${n} ${"x".repeat((n * 997) % 5000)}`);
  for (const text of texts) ana.talks.send("bob", text);
  await hears(bob, ...texts);
  assert.deepEqual(
    ana.sealed().map(({ Seq }) => Seq),
    texts.map((_, n) => n + 1),
  );
});

test("a cheating server is caught, whatever field it changes, and both sides are told", async () => {
  const { server, ana, bob } = await twoPeople();
  const flip = (hex) => (parseInt(hex[0], 16) ^ 1).toString(16) + hex.slice(1);
  const changes = {
    Enc: [() => "hpke-v2", "malformed"],
    Seq: [(seq) => seq + 1, "bad_signature"],
    EncKey: [flip, "bad_signature"],
    IdentityKey: [flip, "bad_signature"],
    SessionKey: [flip, "bad_signature"],
    KeySignature: [flip, "bad_signature"],
    ToKey: [flip, "stale_key"],
    text: [flip, "bad_signature"],
    Sig: [flip, "bad_signature"],
  };
  let count = 0;
  for (const [field, [change, code]] of Object.entries(changes)) {
    server.cheat = (message) => [
      message.Enc ? { ...message, [field]: change(message[field]) } : message,
    ];
    const id = ana.talks.send("bob", `secret ${field}`);
    count += code === "stale_key" ? 2 : 1; // that one goes a second time
    await until(() => ana.own(id).status === "unread", `ana hears of ${field}`);
    assert.equal(ana.own(id).reason, code, field);
    assert.equal(bob.of("unreadable").length, count, field);
    assert.equal(bob.of("unreadable").at(-1).code, code, field);
  }
  for (const field of Object.keys(changes)) {
    server.cheat = ({ ...message }) => [message.Enc && delete message[field] ? message : message];
    const id = ana.talks.send("bob", `secret without ${field}`);
    await until(() => ana.own(id).reason === "malformed", `without ${field}`);
    assert.equal(bob.of("unreadable").length, ++count);
  }
  assert.deepEqual(bob.texts(), []);
  assert.equal(bob.notices().length, count);
  neverInPlain([ana, bob], "secret");
  server.cheat = (message) => [message];
  await say(ana, bob, "and now honestly");
  await hears(bob, "and now honestly");
  assert.equal(bob.of("gap").at(-1).count, ana.sealed().length - 1);
});

test("a message that comes twice is shown once; one that never comes leaves a gap", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Enc ? [message, message] : [message]);
  await say(ana, bob, "one");
  await until(() => bob.of("unreadable").length === 1);
  assert.equal(bob.of("unreadable")[0].code, "replayed");
  server.cheat = (message) => (message.Enc ? [] : [message]);
  ana.talks.send("bob", "two");
  ana.talks.send("bob", "three");
  await until(() => ana.sealed().length === 3);
  server.cheat = (message) => [message];
  await say(ana, bob, "four");
  await hears(bob, "one", "four");
  assert.deepEqual(
    bob.of("gap").map(({ count }) => count),
    [2],
  );
  assert.equal(bob.of("unreadable").length, 1);
});

test("of two that change places the later is shown and the earlier is not", async () => {
  const { server, ana, bob } = await twoPeople();
  const held = [];
  server.cheat = (message) =>
    message.Enc && held.push(message) < 2 ? [] : message.Enc ? held.reverse() : [message];
  ana.talks.send("bob", "first");
  ana.talks.send("bob", "second");
  await until(() => bob.of("unreadable").length === 1);
  assert.deepEqual(bob.texts(), ["second"]);
  assert.equal(bob.of("unreadable")[0].code, "replayed");
  assert.deepEqual(
    bob.of("gap").map(({ count }) => count),
    [1],
  );
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
  const identity = await bob.vault.get("identity");
  const session = await e2e.newSession();
  const elsewhere = await e2e.publish(identity, session, "tea", "bob"); // bob himself, in another room
  const to = { name: "ana", ...ana.keys };
  const fields = await e2e.sealText(identity, "tea", { name: "bob", ...elsewhere }, to, 1, "tea?");
  give(ana, "bob", { msgType: "PrivateMessage", ...fields });
  await until(() => ana.of("unreadable").length === 1);
  assert.equal(ana.of("unreadable")[0].code, "bad_signature");
  assert.deepEqual([...carol.texts(), ...ana.texts()], []);
});

test("notices are never answered, and only mark what was sent to that person", async () => {
  const { server, ana, bob } = await twoPeople();
  const carol = await person(server, "carol");
  await server.join(carol);
  const id = await say(ana, bob, "hello");
  await hears(bob, "hello");
  const Ref = ana.sealed()[0].Ref;
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
  ana.hear({ ...notice, SrcUser: "dave", Enc: "hpke-v1" });
  await nextTurn();
  assert.equal(ana.own(id).status, "sent");
  ana.hear({ ...notice, SrcUser: "bob", About: Ref, Code: "<b>own words</b>" });
  await until(() => ana.own(id).status === "unread");
  assert.equal(ana.own(id).reason, "unreadable");
  assert.equal(ana.said.length, before);
});

test("a notice does not bring a failed message back", async () => {
  const { ana, bob } = await twoPeople();
  const id = await say(ana, bob, "hello");
  const [{ Ref }] = ana.sealed();
  ana.talks.feed({ msgType: "Error", Code: "throttled", TgtUser: "bob", Ref, text: "" });
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "throttled"]);
  const notice = { msgType: "PrivateMessage", SrcUser: "bob", text: "", Notice: "unreadable" };
  ana.talks.feed({ ...notice, Code: "stale_key", About: Ref, Time: 1 });
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

test("stale_key: what was for an earlier connection goes once more by itself", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  const announce = server.announce;
  server.announce = () => {}; // ana is not told that bob came anew
  await server.rejoin(bob);
  const id = ana.talks.send("bob", "two");
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
  assert.deepEqual(bob.of("gap"), []);
  server.announce = announce;
});

test("stale_key for ever: once more, and that is all", async () => {
  const { server, ana, bob } = await twoPeople();
  const old = { ...bob.keys };
  await server.rejoin(bob);
  server.forge = (answer) => ({ ...answer, ...old, Proof: undefined }); // an old, well signed key
  const id = ana.talks.send("bob", "hello");
  await until(() => ana.own(id).status === "unread");
  assert.equal(ana.sealed().length, 2);
  assert.equal(ana.own(id).reason, "stale_key");
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
    const id = ana.talks.send("bob", "secret two");
    await until(() => ana.own(id).status === "failed");
    assert.equal(ana.own(id).reason, reason);
    assert.equal(ana.sealed().length, 2);
    assert.deepEqual(other.texts(), []);
    neverInPlain([ana], "secret");
  }
});

test("a changed key: shown at once, nothing is sent to it until it is accepted", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.talks.open("bob");
  await say(ana, bob, "one");
  const first = bob.keys.IdentityKey;
  const other = await impostor(server, "bob");
  await until(() => ana.state("bob").state === "changed");
  const { offered, known, verified } = ana.state("bob");
  assert.deepEqual([offered, known, verified], [other.keys.IdentityKey, true, false]);
  const blocked = await say(ana, other, "secret two");
  assert.deepEqual([ana.own(blocked).status, ana.own(blocked).reason], ["failed", "key_changed"]);
  assert.equal(await ana.talks.accept("bob", first), false);
  assert.equal(await ana.talks.accept("bob", ""), false);
  assert.equal(await ana.talks.setVerified("bob", offered, true), false);
  const before = await ana.talks.safetyNumber("bob");
  assert.deepEqual([before.key, before.offered], [offered, true]);
  assert.equal(await ana.talks.accept("bob", offered), true);
  assert.equal(ana.state("bob").state, "encrypted");
  await say(ana, other, "three");
  await hears(other, "three");
  neverInPlain([ana], "secret");
});

test("what a changed key sent waits, 100 messages at the most, and is read once it is accepted", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(bob, ana, "one");
  await hears(ana, "one");
  const other = await impostor(server, "bob");
  const texts = Array.from({ length: 102 }, (_, n) => `new ${n}`);
  for (const text of texts) other.talks.send("ana", text);
  await until(() => ana.of("unreadable").length === 102);
  assert.deepEqual(ana.texts(), ["one"]);
  await until(() => other.of("own").filter(({ status }) => status === "unread").length === 102);
  const { state, waiting, offered } = ana.state("bob");
  assert.deepEqual([state, waiting], ["changed", 100]);
  assert.equal(await ana.talks.accept("bob", offered), true);
  assert.deepEqual(ana.texts(), ["one", ...texts.slice(0, 100)]);
  assert.equal(ana.notices().length, 102); // once per message
  assert.equal(ana.state("bob").waiting, 0);
  await say(other, ana, "later");
  await until(() => ana.texts().at(-1) === "later");
  assert.deepEqual(
    ana.of("gap").map(({ count }) => count),
    [2],
  );
});

test("a changed key that a message told of before OnlineUsers: after accepting it, one can answer", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  server.announce = () => {};
  const other = await impostor(server, "bob");
  await say(other, ana, "new here");
  await until(() => ana.state("bob").state === "changed");
  await ana.talks.accept("bob", ana.state("bob").offered);
  await hears(ana, "new here");
  await say(ana, other, "welcome");
  await hears(other, "welcome");
});

test("when the remembered key is back, so is the conversation, and the other's messages stay unread", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(bob, ana, "one");
  const other = await impostor(server, "bob");
  await say(other, ana, "it is me, bob");
  await until(() => ana.state("bob").state === "changed");
  server.leave(other);
  await server.join(bob);
  await say(bob, ana, "two");
  await hears(ana, "one", "two");
  assert.equal(ana.state("bob").state, "encrypted");
  assert.equal(await ana.talks.accept("bob", other.keys.IdentityKey), false);
});

test("a verified contact stays verified, and falls back with a changed key", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.talks.open("bob");
  bob.talks.open("ana");
  await until(
    () => ana.state("bob")?.state === "encrypted" && bob.state("ana")?.state === "encrypted",
  );
  const [mine, theirs] = [await ana.talks.safetyNumber("bob"), await bob.talks.safetyNumber("ana")];
  assert.deepEqual(mine.groups, theirs.groups);
  assert.equal(mine.qr, `ragnarok-verify:${mine.groups.join("")}`);
  assert.equal(mine.key, bob.keys.IdentityKey);
  assert.equal(await ana.talks.setVerified("bob", ana.keys.IdentityKey, true), false);
  assert.equal(await ana.talks.setVerified("BOB", mine.key, true), true);
  assert.equal(ana.state("bob").state, "verified");
  await server.rejoin(bob);
  await say(ana, bob, "still you");
  assert.equal(ana.state("bob").state, "verified");
  const other = await impostor(server, "bob");
  await until(() => ana.state("bob").state === "changed");
  assert.equal(ana.state("bob").verified, true);
  await ana.talks.accept("bob", other.keys.IdentityKey);
  assert.deepEqual([ana.state("bob").state, ana.state("bob").verified], ["encrypted", false]);
  const number = await ana.talks.safetyNumber("bob");
  assert.notDeepEqual(number.groups, mine.groups);
  await ana.talks.setVerified("bob", number.key, true);
  await ana.talks.setVerified("bob", number.key, false);
  assert.equal(ana.state("bob").state, "encrypted");
});

test("a key is remembered by server, room and folded name, beyond the tab", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  const later = await person(server, "ana", ana.vault);
  server.leave(ana);
  await server.join(later);
  assert.equal(later.keys.IdentityKey, ana.keys.IdentityKey);
  assert.notEqual(later.keys.SessionKey, ana.keys.SessionKey);
  const other = await person(server, "BOB");
  server.leave(bob);
  await server.join(other);
  later.talks.open("BOB");
  await until(() => later.state("BOB")?.state === "changed");
  await server.join(later, "tea"); // the same name elsewhere is somebody else
  await server.join(other, "tea");
  later.talks.open("BOB");
  await until(() => later.state("BOB").state === "encrypted");
  assert.deepEqual((await bob.vault.get("identity")).hex, bob.keys.IdentityKey);
});

test("forged keys block sending: a bad signature, another's keys, keys by halves", async () => {
  const { server, ana, bob } = await twoPeople();
  const carol = await person(server, "carol");
  await server.join(carol);
  const { IdentityKey, SessionKey, KeySignature } = carol.keys;
  const forgeries = {
    "the server's own identity": (answer) => ({ ...answer, IdentityKey }),
    "the server's own session": (answer) => ({ ...answer, SessionKey }),
    "carol's keys under bob's name": (answer) => ({
      ...answer,
      IdentityKey,
      SessionKey,
      KeySignature,
    }),
    "carol's keys under her name": () => ({
      User: "carol",
      IdentityKey,
      SessionKey,
      KeySignature,
    }),
    "no signature": ({ KeySignature: _, ...answer }) => answer,
    "no name": (answer) => ({ ...answer, User: 17 }),
  };
  for (const [what, forge] of Object.entries(forgeries)) {
    server.forge = (answer) => ({ ...forge(answer), msgType: "UserKeys", Ref: answer.Ref });
    server.announce();
    ana.talks.open("bob");
    await until(() => ana.state("bob")?.state === "forged", what);
    const id = await say(ana, bob, `secret ${what}`);
    assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "forged"], what);
    server.forge = (answer) => answer;
    server.announce();
    await until(() => ana.state("bob").state === "encrypted", `after ${what}`);
  }
  assert.equal(ana.sealed().length, 0);
  neverInPlain([ana], "secret");
});

test("somebody without keys: plaintext by explicit choice only, and not for ever", async () => {
  const { server, ana, bob } = await twoPeople();
  bob.keyless = true;
  ana.talks.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  const refused = await say(ana, bob, "secret");
  assert.deepEqual([ana.own(refused).status, ana.own(refused).reason], ["failed", "no_keys"]);
  ana.talks.allowPlain("bob");
  assert.equal(ana.state("bob").plain, true);
  const id = await say(ana, bob, "not secret");
  assert.deepEqual([ana.own(id).status, ana.own(id).sealed], ["sent", false]);
  await hears(bob, "not secret");
  assert.deepEqual([bob.of("text")[0].sealed, bob.of("text")[0].known], [false, false]);
  server.leave(bob);
  await until(() => ana.state("bob").plain === false);
  await server.join(bob);
  assert.equal(ana.own(await say(ana, bob, "secret again")).reason, "no_keys");
  neverInPlain([ana], "secret again");
});

test("an allowance for plaintext ends when keys appear, and what was typed under it is sealed", async () => {
  const { server, ana, bob } = await twoPeople();
  bob.keyless = true;
  ana.talks.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  ana.talks.allowPlain("bob");
  bob.keyless = false;
  server.announce();
  await nextTurn(); // ana has heard that something changed, and not what
  const id = await say(ana, bob, "typed in plain");
  assert.equal(ana.own(id).sealed, true);
  assert.equal(ana.state("bob").plain, false);
  neverInPlain([ana], "typed");
  ana.talks.allowPlain("bob");
  assert.equal(ana.state("bob").plain, false);
});

test("who had keys and has none now: no fallback, and the state says that they were known", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  bob.keyless = true;
  server.announce();
  ana.talks.open("bob");
  await until(() => ana.state("bob").state === "none");
  assert.equal(ana.state("bob").known, true);
  const id = await say(ana, bob, "secret");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "no_keys"]);
  neverInPlain([ana], "secret");
});

test("plaintext of somebody whose key is known is marked, and a stripped seal is no plaintext", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(bob, ana, "sealed");
  await hears(ana, "sealed");
  server.handle(bob, { msgType: "PrivateMessage", TgtUser: "ana", text: "really bob" });
  await hears(ana, "sealed", "really bob");
  const { sealed, known } = ana.of("text")[1];
  assert.deepEqual([sealed, known], [false, true]);
  const { Enc, ...stripped } = bob.sealed()[0];
  server.handle(bob, stripped);
  await until(() => ana.of("unreadable").length === 1);
  assert.equal(ana.of("unreadable")[0].code, "malformed");
});

test("a lost connection: what did not arrive goes again, and what did is not shown twice", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  const hear = ana.hear;
  ana.hear = (message) => message.msgType === "Delivered" || hear(message); // these get lost
  const arrived = ana.talks.send("bob", "two");
  await hears(bob, "one", "two");
  server.cheat = (message) => (message.Enc ? [] : [message]);
  const vanished = ana.talks.send("bob", "three");
  await until(() => ana.sealed().length === 3);
  ana.hear = hear;
  server.leave(ana);
  const offline = ana.talks.send("bob", "four");
  server.cheat = (message) => [message];
  await server.join(ana);
  await hears(bob, "one", "two", "three", "four");
  for (const id of [arrived, vanished, offline]) await until(() => ana.own(id).status === "sent");
  assert.deepEqual(bob.of("gap"), []);
  assert.equal(bob.of("unreadable").length, 0);
  assert.equal(ana.own(offline).text, "four");
});

test("a lost connection: plaintext is not sent again by itself", async () => {
  const { server, ana, bob } = await twoPeople();
  bob.keyless = true;
  ana.talks.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  ana.talks.allowPlain("bob");
  server.cheat = (message) => (message.msgType === "PrivateMessage" ? [] : [message]);
  const id = ana.talks.send("bob", "plain");
  await until(() => ana.said.some(({ text }) => text === "plain"));
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "lost"]);
  await say(ana, bob, "later");
  assert.deepEqual(bob.texts(), []);
});

test("the line breaks while keys are awaited: nothing hangs", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.msgType === "GetKeys" ? [] : [message]);
  const id = ana.talks.send("bob", "hello");
  await until(() => ana.said.length === 1);
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  await until(() => ana.own(id).status === "sent");
  await hears(bob, "hello");
});

test("the line breaks just as keys come in: nothing hangs", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.msgType === "GetKeys" ? [] : [message]);
  const id = ana.talks.send("bob", "hello");
  await until(() => ana.said.length === 1);
  server.cheat = (message) => [message];
  ana.talks.feed({ msgType: "UserKeys", User: "bob", Ref: ana.said[0].Ref, ...bob.keys });
  await server.rejoin(ana);
  await until(() => ana.own(id).status === "sent");
  await hears(bob, "hello");
});

test("who is not here gets nothing, and the next try asks again", async () => {
  const { server, ana, bob } = await twoPeople();
  server.leave(bob);
  const id = await say(ana, bob, "hello?");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "unknown_user"]);
  await server.join(bob);
  await say(ana, bob, "hello!");
  await hears(bob, "hello!");
});

test("the longest text that limit() allows goes through; one byte more does not leave", async () => {
  const server = new Server();
  const name = '"'.repeat(32); // takes most room in JSON
  const [ana, bob] = [await person(server, "\u{1f375}".repeat(32)), await person(server, name)];
  for (const max of [4096, 65536]) {
    for (const member of [ana, bob]) member.max = max;
    await server.join(ana);
    await server.join(bob);
    const length = ana.talks.limit();
    assert.ok(length > max / 2 - 700 && length < max / 2, `${length} of ${max}`);
    await say(ana, bob, "y".repeat(length));
    assert.equal(ana.own(await say(ana, bob, "y".repeat(length + 1))).reason, "too_long");
    await until(() => bob.texts().at(-1)?.length === length);
  }
  bob.keyless = true;
  server.announce();
  ana.talks.open(name);
  await until(() => ana.state(name).state === "none");
  ana.talks.allowPlain(name);
  const id = await say(ana, bob, "\u0001".repeat(20000)); // six bytes each in JSON
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "too_long"]);
});

test("a lone surrogate is shown to its author as it will arrive", async () => {
  const { ana, bob } = await twoPeople();
  const id = await say(ana, bob, "a\ud800b\ufeff");
  assert.equal(ana.own(id).text, "a\ufffdb\ufeff");
  await hears(bob, "a\ufffdb\ufeff");
});

test("200 own messages may be on their way; one more fails at once", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.msgType === "GetKeys" ? [] : [message]);
  for (let n = 0; n < 200; n++) ana.talks.send("bob", `${n}`);
  const id = ana.talks.send("bob", "one more");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "too_many"]);
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  await until(() => bob.texts().length === 200);
  await until(() => ana.of("own").filter(({ status }) => status === "sent").length === 200);
  await say(ana, bob, "now it may");
  await until(() => bob.texts().length === 201);
});

test("the session keys of others do not stand in each other's way", async () => {
  const { server, ana, bob } = await twoPeople();
  const eve = await person(server, "eve");
  await server.join(eve);
  await say(ana, bob, "one");
  const identity = await eve.vault.get("identity"); // claims ana's session key, and a Seq without end
  const borrowed = { hex: ana.keys.SessionKey };
  const from = { name: "eve", ...(await e2e.publish(identity, borrowed, "", "eve")) };
  const fields = await e2e.sealText(
    identity,
    "",
    from,
    { name: "bob", ...bob.keys },
    2 ** 53 - 1,
    "ha",
  );
  server.handle(eve, { msgType: "PrivateMessage", TgtUser: "bob", ...fields });
  await hears(bob, "one", "ha");
  await say(ana, bob, "two");
  await hears(bob, "one", "ha", "two");
});

test("keys are asked for anew only for the conversation in view", async () => {
  const { server, ana, bob } = await twoPeople();
  const carol = await person(server, "carol");
  await server.join(carol);
  ana.talks.open("bob");
  ana.talks.open("carol");
  await until(
    () => ana.state("carol")?.state === "encrypted" && ana.state("bob")?.state === "encrypted",
  );
  const asked = () =>
    ana.said.filter(({ msgType }) => msgType === "GetKeys").map(({ TgtUser }) => TgtUser);
  assert.deepEqual(asked(), ["bob", "carol"]);
  server.announce();
  await until(() => asked().length === 3);
  assert.equal(asked()[2], "carol");
  ana.talks.open(null);
  server.announce();
  await say(ana, bob, "hello");
  assert.deepEqual(asked().slice(3), ["bob"]);
});

test("without cryptography the page goes on, and says why", async () => {
  const server = new Server();
  globalThis.isSecureContext = false;
  const ana = await person(server, "ana");
  delete globalThis.isSecureContext;
  const bob = await person(server, "bob");
  assert.equal(ana.talks.trouble, "insecure");
  assert.equal(bob.talks.trouble, "memory");
  assert.deepEqual(await ana.talks.joinFields(NONCE, "", "ana"), {});
  await server.join(ana);
  await server.join(bob);
  ana.talks.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  assert.equal(ana.own(await say(ana, bob, "hello")).reason, "no_keys");
  ana.talks.allowPlain("bob");
  await say(ana, bob, "hello");
  await hears(bob, "hello");
  assert.equal(await ana.talks.safetyNumber("bob"), null);
  bob.talks.open("ana");
  await until(() => bob.state("ana")?.state === "none");
  ana.hear({ msgType: "PrivateMessage", SrcUser: "bob", Enc: "hpke-v1", text: "00", Time: 1 });
  await until(() => ana.of("unreadable").length === 1);
});

test("a vault that fails: keys live in memory, and that is said", async () => {
  assert.equal((await openVault()).lasting, false); // Node.js has no IndexedDB
  const broken = async () => {
    throw new DOMException("private window", "DataCloneError");
  };
  const server = new Server();
  const ana = await person(server, "ana", {
    lasting: true,
    get: broken,
    put: broken,
    keep: broken,
  });
  assert.equal(ana.talks.trouble, "memory");
  const full = { ...memoryVault(), lasting: true };
  const bob = await person(server, "bob", full);
  assert.equal(bob.talks.trouble, "");
  full.put = broken;
  await server.join(ana);
  await server.join(bob);
  await say(ana, bob, "hello");
  await hears(bob, "hello");
  assert.equal(bob.talks.trouble, "memory");
  assert.deepEqual(bob.of("trouble"), [{ type: "trouble", trouble: "memory" }]);
});

test("two tabs that start at once agree on one identity", async () => {
  const vault = memoryVault();
  const server = new Server();
  const [one, two] = await Promise.all([
    person(server, "ana", vault),
    person(server, "ana", vault),
  ]);
  const keys = await Promise.all([one, two].map((tab) => tab.talks.joinFields(NONCE, "", "ana")));
  assert.equal(keys[0].IdentityKey, keys[1].IdentityKey);
});

test("feed takes for itself what is about private conversations only", async () => {
  const { ana } = await twoPeople();
  const { talks } = ana;
  assert.equal(talks.feed({ msgType: "Broadcast", SrcUser: "bob", text: "hi" }), false);
  assert.equal(talks.feed({ msgType: "OnlineUsers", Users: ["ana", "bob"] }), false);
  assert.equal(talks.feed({ msgType: "Error", Code: "too_long", text: "" }), false);
  assert.equal(
    talks.feed({ msgType: "Error", Code: "bad_json", text: "", Ref: "the page's" }),
    false,
  );
  assert.equal(talks.feed({ msgType: "UserKeys", User: "bob", Ref: "unasked" }), true);
  assert.equal(talks.feed({ msgType: "PrivateMessage", SrcUser: "bob", text: "hi" }), true);
});

test("names fold as the server folds them", () => {
  const same = [
    ["Ana", "ａｎａ"],
    ["STRASSE", "straße", "STRAẞE"],
    ["Σίσυφος", "ΣΊΣΥΦΟΣ"],
    ["K", "\u212a"],
  ];
  for (const names of same) assert.equal(new Set(names.map(fold)).size, 1, names[0]);
  assert.notEqual(fold("ı"), fold("i"));
  assert.notEqual(fold("ana"), fold("anna"));
});
