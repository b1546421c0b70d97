// SPDX-License-Identifier: MIT
// Private messages: changed, accepted and verified keys, several tabs, forged keys, and plaintext.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryKeystore } from "../../../web/keystore.js";
import { nextTurn, until } from "./clock.mjs";
import {
  arrives, contactsOf, craft, hears, identityOf, impostor, MINUTE, neverInPlain, NONCE, person,
  say, Server, twoPeople,
} from "./private_people.mjs";

test("a changed key: shown at once, nothing is sent to it until it is accepted", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.privateMessages.open("bob");
  await say(ana, bob, "one");
  const first = bob.keys.IdentityKey;
  const other = await impostor(server, "bob");
  await until(() => ana.state("bob").state === "changed");
  const { offered, known, verified } = ana.state("bob");
  assert.deepEqual([offered, known, verified], [other.keys.IdentityKey, true, false]);
  assert.deepEqual(await contactsOf(ana, "bob"), [{ key: first, verified: false }]);
  const blocked = await say(ana, other, "secret two");
  assert.deepEqual([ana.own(blocked).status, ana.own(blocked).reason], ["failed", "key_changed"]);
  assert.equal(await ana.privateMessages.accept("bob", first), false);
  assert.equal(await ana.privateMessages.accept("bob", ""), false);
  assert.equal(await ana.privateMessages.setVerified("bob", offered, true), false);
  const before = await ana.privateMessages.safetyNumber("bob");
  assert.deepEqual([before.key, before.offered], [offered, true]);
  assert.equal(await ana.privateMessages.accept("bob", offered), true);
  assert.equal(ana.state("bob").state, "encrypted");
  await say(ana, other, "three");
  await hears(other, "three");
  neverInPlain([ana], "secret");
});

test("what a changed key sent waits, at most 1 MiB, and is read once it is accepted", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(bob, ana, "one");
  await hears(ana, "one");
  const other = await impostor(server, "bob");
  const texts = Array.from({ length: 20 }, (_, n) => `${n} ${"x".repeat(30_000)}`); // 60 kB each in hex
  for (const text of texts) other.privateMessages.send("ana", text);
  await server.clock.passUntil(() => ana.of("unreadable").length === 20 && ana.notices().length === 20);
  assert.deepEqual(ana.texts(), ["one"]);
  const codes = ana.notices().map(({ Code }) => Code);
  const { state, waiting, offered } = ana.state("bob");
  assert.equal(state, "changed");
  const size = Buffer.byteLength(JSON.stringify(ana.got.find(({ Enc, SrcUser }) => Enc && SrcUser === "bob" )));
  assert.ok(waiting * 61_000 < 2 ** 20 && (waiting + 1) * 62_000 > 2 ** 20, `${waiting} of ${size}`);
  assert.deepEqual(codes, texts.map((_, n) => (n < waiting ? "key_changed" : "cannot_open")));
  assert.equal(ana.of("refused").length, 20 - waiting);
  assert.equal(ana.of("refused")[0].reason, "waiting_full");
  server.clock.pass(MINUTE); // the session key that they were sealed to is kept for them
  assert.equal(await ana.privateMessages.accept("bob", offered), true);
  assert.deepEqual(ana.texts(), ["one", ...texts.slice(0, waiting)]);
  assert.equal(ana.state("bob").waiting, 0);
  await say(other, ana, "later");
  await until(() => ana.texts().includes("later"));
  assert.deepEqual(ana.gaps(), [20 - waiting]);
  await server.clock.passUntil(() => ana.texts().length === 22); // the rest goes again
  assert.deepEqual(new Set(ana.texts()), new Set(["one", ...texts, "later"]));
});

test("all together 16 MiB wait; then the newest is refused", async () => {
  const { server, ana } = await twoPeople();
  const people = [];
  for (let n = 0; n < 18; n++) {
    people.push(await person(server, `p${n}`));
    await server.join(people[n]);
    const first = await craft(people[n], ana, 1);
    ana.hear(first);
  }
  await until(() => ana.texts().length === 18);
  const text = "y".repeat(490_000); // nearly 1 MiB in hex
  for (const old of people) {
    const other = await person(server, old.name);
    other.keys = await other.privateMessages.joinFields(NONCE, "", other.name);
    ana.hear(await craft(other, ana, 1, { text }));
    await until(() => ana.of("unreadable").filter(({ name }) => name === old.name).length === 1);
  }
  assert.deepEqual(
    people.map(({ name }) => ana.state(name).waiting),
    people.map((_, n) => (n < 17 ? 1 : 0)),
  );
  assert.deepEqual(ana.of("refused").map(({ name, reason }) => [name, reason]), [["p17", "waiting_full"]]);
});

test("a changed key that a message told of before OnlineUsers: after accepting it, one can answer", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  server.announce = () => {};
  const other = await impostor(server, "bob");
  await say(other, ana, "new here");
  await until(() => ana.state("bob").state === "changed");
  await ana.privateMessages.accept("bob", ana.state("bob").offered);
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
  assert.equal(await ana.privateMessages.accept("bob", other.keys.IdentityKey), false);
});

test("a verified key stays verified beside others that are accepted", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.privateMessages.open("bob");
  bob.privateMessages.open("ana");
  await until(
    () => ana.state("bob")?.state === "encrypted" && bob.state("ana")?.state === "encrypted",
  );
  const [mine, theirs] = [await ana.privateMessages.safetyNumber("bob"), await bob.privateMessages.safetyNumber("ana")];
  assert.deepEqual(mine.groups, theirs.groups);
  assert.equal(mine.qr, `ragnarok-verify:${mine.groups.join("")}`);
  assert.equal(mine.key, bob.keys.IdentityKey);
  assert.equal(await ana.privateMessages.setVerified("bob", ana.keys.IdentityKey, true), false);
  assert.equal(await ana.privateMessages.setVerified("BOB", mine.key, true), true);
  assert.equal(ana.state("bob").state, "verified");
  await server.rejoin(bob);
  await say(ana, bob, "still you");
  assert.equal(ana.state("bob").state, "verified");
  const other = await impostor(server, "bob");
  await until(() => ana.state("bob").state === "changed");
  assert.equal(ana.state("bob").verified, true);
  await ana.privateMessages.accept("bob", other.keys.IdentityKey);
  assert.deepEqual([ana.state("bob").state, ana.state("bob").verified], ["encrypted", true]);
  const number = await ana.privateMessages.safetyNumber("bob");
  assert.notDeepEqual(number.groups, mine.groups);
  await ana.privateMessages.setVerified("bob", number.key, true);
  await ana.privateMessages.setVerified("bob", number.key, false);
  assert.equal(ana.state("bob").state, "encrypted");
  assert.deepEqual(await contactsOf(ana, "bob"), [
    { key: mine.key, verified: true },
    { key: number.key, verified: false },
  ]);
  server.leave(other);
  await server.join(bob);
  await until(() => ana.state("bob").state === "verified");
});

test("phone and laptop: two accepted keys are no alarm in any order, a third one is (finding M10)", async () => {
  const { server, ana, bob: phone } = await twoPeople();
  ana.privateMessages.open("bob");
  await say(phone, ana, "from the phone");
  server.leave(phone);
  const laptop = await person(server, "bob");
  await server.join(laptop);
  await until(() => ana.state("bob").state === "changed");
  await ana.privateMessages.accept("bob", laptop.keys.IdentityKey);
  const before = ana.of("state").length;
  for (let visit = 0; visit < 2; visit++)
    for (const device of [phone, laptop]) {
      server.leave(server.find("bob"));
      await server.join(device);
      await say(device, ana, `visit ${visit}`);
      await until(() => ana.texts().at(-1) === `visit ${visit}`);
      const id = await say(ana, device, `to ${visit}`);
      await arrives(server, ana, id);
    }
  assert.deepEqual(ana.of("state").slice(before).filter(({ state }) => state === "changed"), []);
  await impostor(server, "bob");
  await until(() => ana.state("bob").state === "changed");
});

test("eight keys of one person are accepted, and a ninth is not", async () => {
  const { server, ana, bob } = await twoPeople();
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "encrypted");
  const keys = [bob.keys.IdentityKey];
  for (let n = 2; n <= 9; n++) {
    const { IdentityKey } = (await impostor(server, "bob")).keys;
    await until(() => ana.state("bob").offered === IdentityKey);
    assert.equal(await ana.privateMessages.accept("bob", IdentityKey), n < 9, `key ${n}`);
    if (n < 9) keys.push(IdentityKey);
  }
  assert.deepEqual((await contactsOf(ana, "bob")).map(({ key }) => key), keys);
  assert.deepEqual(ana.of("refused").map(({ reason }) => reason), ["too_many_keys"]);
  assert.equal(ana.state("bob").state, "changed");
});

test("a second tab never replaces a key, and never makes it less than verified (finding D)", async () => {
  const keystore = memoryKeystore();
  const server = new Server();
  const listener = await person(server, "ana", keystore); // has never met bob, and is there since the morning
  await server.join(listener);
  server.leave(listener);
  const [tab, bob] = [await person(server, "ana", keystore), await person(server, "bob")];
  await server.join(tab);
  await server.join(bob);
  await say(tab, bob, "hello");
  await tab.privateMessages.setVerified("bob", bob.keys.IdentityKey, true);
  server.leave(tab);
  await server.join(listener);
  const mallory = await impostor(server, "bob");
  const id = await say(mallory, listener, "hello, it is me");
  await until(() => listener.of("unreadable").length === 1);
  assert.equal(listener.of("unreadable")[0].code, "key_changed");
  assert.deepEqual(await contactsOf(tab, "bob"), [{ key: bob.keys.IdentityKey, verified: true }]);
  assert.equal(listener.own(await say(listener, mallory, "secret")).reason, "key_changed");
  await until(() => mallory.own(id).status === "unread");
  assert.deepEqual([listener.texts(), mallory.texts()], [[], []]);
});

test("two tabs that meet somebody at the same time agree on one key", async () => {
  const keystore = memoryKeystore();
  const server = new Server();
  const bob = await person(server, "bob");
  await server.join(bob);
  const tabs = [await person(server, "ana", keystore), await person(server, "anna", keystore)];
  for (const tab of tabs) await server.join(tab);
  const other = await person(server, "bob");
  other.keys = await other.privateMessages.joinFields(NONCE, "", "bob");
  tabs[0].hear(await craft(bob, tabs[0], 1));
  tabs[1].hear(await craft(other, tabs[1], 1));
  await until(() => tabs.every((tab) => tab.state("bob")?.state));
  await until(() => tabs.some((tab) => tab.of("unreadable").length) && tabs.some((tab) => tab.texts().length));
  assert.equal((await contactsOf(tabs[0], "bob")).length, 1);
});

test("a key that was accepted in one tab is known in the other at once", async () => {
  const keystore = memoryKeystore();
  const watchers = [];
  const shared = () => ({
    ...keystore,
    update: async (key, change) => {
      const made = await keystore.update(key, change);
      for (const listener of watchers) listener(key);
      return made;
    },
    watch: (listener) => watchers.push(listener),
  });
  const server = new Server();
  const [ana, anna, bob] = [
    await person(server, "ana", shared()), await person(server, "anna", shared()), await person(server, "bob"),
  ];
  for (const member of [ana, anna, bob]) await server.join(member);
  await say(bob, ana, "one");
  await say(bob, anna, "one");
  const other = await impostor(server, "bob");
  await say(other, ana, "new phone");
  await say(other, anna, "new phone");
  await until(() => ana.state("bob").state === "changed" && anna.state("bob").state === "changed");
  await ana.privateMessages.accept("bob", other.keys.IdentityKey);
  await hears(anna, "one", "new phone");
  assert.equal(anna.state("bob").state, "encrypted");
  await ana.privateMessages.setVerified("bob", other.keys.IdentityKey, true);
  await until(() => anna.state("bob").state === "verified");
});

test("a key is remembered by server, room and folded name, beyond the tab", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  const later = await person(server, "ana", ana.keystore);
  server.leave(ana);
  await server.join(later);
  assert.equal(later.keys.IdentityKey, ana.keys.IdentityKey);
  assert.notEqual(later.keys.SessionKey, ana.keys.SessionKey);
  const other = await person(server, "BOB");
  server.leave(bob);
  await server.join(other);
  later.privateMessages.open("BOB");
  await until(() => later.state("BOB")?.state === "changed");
  await server.join(later, "tea"); // the same name elsewhere is somebody else
  await server.join(other, "tea");
  later.privateMessages.open("BOB");
  await until(() => later.state("BOB").state === "encrypted");
  assert.deepEqual((await identityOf(bob)).hex, bob.keys.IdentityKey);
});

test("one identity key for each room and folded name: pseudonyms are not linked (finding M9)", async () => {
  const server = new Server();
  const ana = await person(server, "ana");
  const keyAs = async (room, name) => (await ana.privateMessages.joinFields(NONCE, room, name)).IdentityKey;
  const first = await keyAs("", "ana");
  assert.equal(await keyAs("", "ana"), first);
  assert.equal(await keyAs("", "ANA"), first);
  const others = [await keyAs("press", "ana"), await keyAs("", "whistleblower"), await keyAs("press", "w")];
  assert.equal(new Set([first, ...others]).size, 4);
});

test("forged keys block sending: a bad signature, another's keys, keys by halves", async () => {
  const { server, ana, bob } = await twoPeople();
  const carol = await person(server, "carol");
  await server.join(carol);
  const { IdentityKey, SessionKey, KeySignature } = carol.keys;
  const { Proof: _, ...card } = carol.keys;
  const forgeries = {
    "the server's own identity": (answer) => ({ ...answer, IdentityKey }),
    "the server's own session": (answer) => ({ ...answer, SessionKey }),
    "carol's keys under bob's name": (answer) => ({ ...answer, ...card }),
    "carol's keys under her name": () => ({ User: "carol", ...card }),
    "a later end": (answer) => ({ ...answer, KeyExpires: answer.KeyExpires + 1 }),
    "another encoding": (answer) => ({ ...answer, KeyEnc: "hpke-v1" }),
    "no signature": ({ KeySignature: gone, ...answer }) => answer,
    "no name": (answer) => ({ ...answer, User: 17 }),
  };
  for (const [what, forge] of Object.entries(forgeries)) {
    server.forge = (answer) => ({ ...forge(answer), msgType: "UserKeys", Ref: answer.Ref });
    server.announce();
    ana.privateMessages.open("bob");
    await server.clock.passUntil(() => ana.state("bob")?.state === "forged", what);
    const id = await say(ana, bob, `secret ${what}`);
    assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "forged"], what);
    server.forge = (answer) => answer;
    server.announce();
    await server.clock.passUntil(() => ana.state("bob").state === "encrypted", `after ${what}`);
  }
  assert.equal(ana.sealed().length, 0);
  neverInPlain([ana], "secret");
});

test("somebody without keys: plaintext by explicit choice only, and not for good", async () => {
  const { server, ana, bob } = await twoPeople();
  bob.keyless = true;
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  const refused = await say(ana, bob, "secret");
  assert.deepEqual([ana.own(refused).status, ana.own(refused).reason], ["failed", "no_keys"]);
  ana.privateMessages.allowPlain("bob");
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
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  ana.privateMessages.allowPlain("bob");
  bob.keyless = false;
  server.announce();
  await nextTurn(); // ana has heard that something changed, and not what
  const id = await say(ana, bob, "typed in plain");
  assert.equal(ana.own(id).sealed, true);
  assert.equal(ana.state("bob").plain, false);
  neverInPlain([ana], "typed");
  ana.privateMessages.allowPlain("bob");
  assert.equal(ana.state("bob").plain, false);
});

test("who had keys and has none now: no fallback, and the state says that they were known", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  bob.keyless = true;
  server.announce();
  ana.privateMessages.open("bob");
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
