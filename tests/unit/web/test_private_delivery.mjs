// SPDX-License-Identifier: MIT
// Private messages over lost connections, at their limits, and without a keystore.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fold } from "../../../web/conversation.js";
import * as e2e from "../../../web/e2e.js";
import { memoryKeystore, openKeystore } from "../../../web/keystore.js";
import { nextTurn, NOW, until } from "./clock.mjs";
import {
  arrives, craft, hears, identityOf, MINUTE, NONCE, ORIGIN, person, say, Server, twoPeople,
} from "./private_people.mjs";

test("a lost connection: what is not confirmed goes again, and what was shown is not shown twice", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "one"));
  const hear = ana.hear;
  ana.hear = (message) => message.msgType === "Delivered" || hear(message); // these get lost
  const arrived = ana.privateMessages.send("bob", "two");
  await hears(bob, "one", "two");
  server.cheat = (message) => (message.Seq ? [] : [message]);
  const vanished = ana.privateMessages.send("bob", "three");
  await until(() => ana.sealed().length === 3);
  ana.hear = hear;
  server.leave(ana);
  const offline = ana.privateMessages.send("bob", "four");
  server.cheat = (message) => [message];
  await server.join(ana);
  await hears(bob, "one", "two", "three", "four");
  await arrives(server, ana, arrived, vanished, offline);
  assert.deepEqual(bob.gaps(), []);
  assert.equal(bob.of("unreadable").length, 0);
  assert.equal(ana.own(offline).text, "four");
  assert.deepEqual(ana.sealed().slice(3).map(({ Seq }) => Seq), [1, 2, 3]);
});

test("a message that the server swallowed, and then the sender's line: it goes again (finding C2)", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "one"));
  server.cheat = (message) => {
    if (message.Seq) ana.hear({ msgType: "Delivered", TgtUser: "bob", Ref: message.Ref });
    return message.Seq ? [] : [message];
  };
  const id = await say(ana, bob, "two: it is a trap");
  assert.equal(ana.own(id).status, "sent");
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  await hears(bob, "one", "two: it is a trap");
  await arrives(server, ana, id);
  assert.deepEqual([bob.gaps(), bob.of("unreadable")], [[], []]);
});

test("a message that the server swallowed, and then the reader's line: it goes again after 5 s (finding C2)", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "one"));
  const swallow = (message) => {
    if (message.Seq) ana.hear({ msgType: "Delivered", TgtUser: "bob", Ref: message.Ref });
    return message.Seq ? [] : [message];
  };
  server.cheat = swallow;
  const id = await say(ana, bob, "two");
  server.cheat = (message) => [message];
  await server.rejoin(bob);
  await until(() => ana.said.filter(({ msgType }) => msgType === "GetKeys").length === 2); // by itself
  await until(() => server.clock.isSet(5000));
  server.clock.pass(4999);
  for (let n = 0; n < 50; n++) await nextTurn();
  assert.equal(ana.sealed().length, 2);
  server.clock.pass(1);
  await hears(bob, "one", "two");
  await arrives(server, ana, id);
  assert.deepEqual(bob.gaps(), []);
});

test("a message that was given up leaves a gap, also across session keys, and is said once (finding C2)", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "one"));
  server.cheat = (message) => (message.Seq ? [] : [message]);
  const id = ana.privateMessages.send("bob", "two");
  for (let sealings = 1; sealings <= 4; sealings++) {
    await until(() => ana.sealed().length === 1 + sealings);
    assert.equal(ana.own(id).status, "sending");
    await server.rejoin(ana);
  }
  await server.clock.passUntil(() => ana.own(id).status === "unconfirmed");
  assert.equal(ana.own(id).reason, "never_confirmed");
  assert.equal(ana.sealed().length, 5);
  server.cheat = (message) => [message];
  await say(ana, bob, "three");
  await hears(bob, "one", "three");
  assert.deepEqual(bob.gaps(), [1]);
  await server.rejoin(ana);
  await arrives(server, ana, await say(ana, bob, "four"));
  assert.deepEqual(bob.gaps(), [1]);
  assert.equal(ana.of("own").filter(({ status }) => status === "unconfirmed").length, 1);
});

test("a new connection makes nobody say that messages did not arrive (finding C1)", async () => {
  const { server, ana, bob } = await twoPeople();
  for (const text of ["1", "2", "3"]) await say(ana, bob, text);
  await server.rejoin(ana);
  await say(ana, bob, "4");
  await server.rejoin(bob);
  await say(ana, bob, "5");
  await hears(bob, "1", "2", "3", "4", "5");
  assert.deepEqual([bob.gaps(), bob.of("unreadable")], [[], []]);
});

test("a Ref decides nothing: a message with another one's Ref is shown (finding B)", async () => {
  const { server, ana, bob } = await twoPeople();
  let first;
  server.cheat = (message) => [message.Seq ? { ...message, Ref: (first ??= message.Ref) } : message];
  for (const text of ["one", "two: DO NOT COME", "three", "yes", "yes"]) ana.privateMessages.send("bob", text);
  await hears(bob, "one", "two: DO NOT COME", "three", "yes", "yes");
  assert.deepEqual(bob.gaps(), []);
});

test("a text that the server refuses fails at once and does not go again", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => {
    if (message.Seq) ana.hear({ msgType: "Error", Code: "room_full", text: "", Ref: message.Ref });
    return message.Seq ? [] : [message];
  };
  const id = ana.privateMessages.send("bob", "hello");
  await until(() => ana.own(id).status === "failed");
  assert.equal(ana.own(id).reason, "room_full");
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  await server.rejoin(bob);
  server.clock.pass(MINUTE);
  await say(ana, bob, "later");
  await hears(bob, "later");
  assert.deepEqual(bob.gaps(), [1]); // it will not come
});

test("the line breaks again while texts wait for their turn to go again: nothing hangs", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Seq ? [] : [message]);
  const texts = Array.from({ length: 15 }, (_, n) => `${n}`);
  const ids = texts.map((text) => ana.privateMessages.send("bob", text));
  await until(() => ana.sealed().length === 15);
  for (let n = 0; n < 3; n++) {
    const before = ana.sealed().length;
    await server.rejoin(ana); // keys and some texts go, and the others wait for the next second
    await until(() => ana.sealed().length > before);
  }
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  await server.clock.passUntil(() => ids.every((id) => ana.own(id).status !== "sending"));
  const fates = ids.map((id) => ana.own(id).status);
  assert.ok(fates.every((status) => ["sent", "arrived", "unconfirmed"].includes(status)), `${fates}`);
  assert.ok(fates.filter((status) => status !== "unconfirmed").length > 4);
  await arrives(server, ana, await say(ana, bob, "later"));
});

test("a lost connection: plaintext is not sent again by itself", async () => {
  const { server, ana, bob } = await twoPeople();
  bob.keyless = true;
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  ana.privateMessages.allowPlain("bob");
  server.cheat = (message) => (message.msgType === "PrivateMessage" ? [] : [message]);
  const id = ana.privateMessages.send("bob", "plain");
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
  const id = ana.privateMessages.send("bob", "hello");
  await until(() => ana.said.length === 1);
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  await until(() => ana.own(id).status === "sent");
  await hears(bob, "hello");
});

test("the line breaks just as keys come in: nothing hangs", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.msgType === "GetKeys" ? [] : [message]);
  const id = ana.privateMessages.send("bob", "hello");
  await until(() => ana.said.length === 1);
  server.cheat = (message) => [message];
  ana.privateMessages.feed({ msgType: "UserKeys", User: "bob", Ref: ana.said[0].Ref, ...bob.keys });
  await server.rejoin(ana);
  await until(() => ana.own(id).status === "sent");
  await hears(bob, "hello");
});

test("a text stays sent if its reader left before the confirmation, and goes again when they are back", async () => {
  const { server, ana, bob } = await twoPeople();
  const hear = bob.hear;
  bob.hear = (message) => message.Seq || hear(message);
  const id = await say(ana, bob, "bye");
  server.leave(bob);
  await server.rejoin(ana);
  await until(() => ana.said.filter(({ msgType }) => msgType === "GetKeys").length === 2);
  for (let n = 0; n < 50; n++) await nextTurn();
  assert.equal(ana.own(id).status, "sent");
  bob.hear = hear;
  await server.join(bob);
  await server.clock.passUntil(() => bob.texts().length === 1);
  await arrives(server, ana, id);
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
  const origin = `https://${"x".repeat(261)}`; // 269 bytes
  const [ana, bob] = [
    await person(server, "\u{1f375}".repeat(32), memoryKeystore(), server.clock, origin),
    await person(server, name),
  ];
  for (const max of [4096, 65536]) {
    for (const member of [ana, bob]) member.max = max;
    await server.join(ana);
    await server.join(bob);
    const length = ana.privateMessages.limit();
    assert.ok(length > max / 2 - 1000 && length < max / 2, `${length} of ${max}`);
    await say(ana, bob, "y".repeat(length));
    assert.equal(ana.own(await say(ana, bob, "y".repeat(length + 1))).reason, "too_long");
    await until(() => bob.texts().at(-1)?.length === length);
  }
  bob.keyless = true;
  server.announce();
  ana.privateMessages.open(name);
  await until(() => ana.state(name).state === "none");
  ana.privateMessages.allowPlain(name);
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
  for (let n = 0; n < 200; n++) ana.privateMessages.send("bob", `${n}`);
  const id = ana.privateMessages.send("bob", "one more");
  assert.deepEqual([ana.own(id).status, ana.own(id).reason], ["failed", "too_many"]);
  server.cheat = (message) => [message];
  await server.rejoin(ana);
  await server.clock.passUntil(() => bob.texts().length === 200);
  assert.deepEqual(bob.texts(), Array.from({ length: 200 }, (_, n) => `${n}`));
  const arrived = () => ana.of("own").filter(({ status }) => status === "arrived");
  await server.clock.passUntil(() => arrived().length === 200);
  await say(ana, bob, "now it may");
  await until(() => bob.texts().length === 201);
});

test("of 200 texts that nobody confirms the oldest is given up for one more", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Seq === 0 ? [] : [message]); // no confirmation comes through
  const ids = Array.from({ length: 200 }, (_, n) => ana.privateMessages.send("bob", `${n}`));
  await until(() => ana.of("own").length === 400, "all are sent");
  await say(ana, bob, "one more");
  assert.deepEqual([ana.own(ids[0]).status, ana.own(ids[0]).reason], ["unconfirmed", "too_many"]);
  assert.equal(ana.own(ids[1]).status, "sent");
});

test("the session keys of others do not stand in each other's way", async () => {
  const { server, ana, bob } = await twoPeople();
  const eve = await person(server, "eve");
  await server.join(eve);
  await say(ana, bob, "one");
  const identity = await identityOf(eve); // claims ana's session key, and a Seq without end
  const borrowed = { hex: ana.keys.SessionKey };
  const place = { origin: ORIGIN, room: "", name: "eve", now: NOW };
  const card = { name: "eve", ...(await e2e.makeCard(identity, borrowed, place)) };
  bob.hear(await craft(eve, bob, 2 ** 53 - 1, { text: "ha" }, card));
  await hears(bob, "one", "ha");
  await say(ana, bob, "two");
  await hears(bob, "one", "ha", "two");
});

test("keys are asked for again only for the conversation in view", async () => {
  const { server, ana, bob } = await twoPeople();
  const carol = await person(server, "carol");
  await server.join(carol);
  ana.privateMessages.open("bob");
  ana.privateMessages.open("carol");
  await until(
    () => ana.state("carol")?.state === "encrypted" && ana.state("bob")?.state === "encrypted",
  );
  const asked = () =>
    ana.said.filter(({ msgType }) => msgType === "GetKeys").map(({ TgtUser }) => TgtUser);
  assert.deepEqual(asked(), ["bob", "carol"]);
  server.announce();
  await until(() => asked().length === 3);
  assert.equal(asked()[2], "carol");
  ana.privateMessages.open(null);
  server.announce();
  await nextTurn();
  const id = await say(ana, bob, "hello");
  assert.deepEqual(asked().slice(3), ["bob"]);
  server.announce(); // a text to bob is not confirmed: bob may have reconnected
  await until(() => asked().length === 5);
  assert.equal(asked()[4], "bob");
  await arrives(server, ana, id);
  server.announce();
  for (let n = 0; n < 50; n++) await nextTurn();
  assert.equal(asked().length, 5);
});

test("without cryptography the page goes on, and says why", async () => {
  const server = new Server();
  globalThis.isSecureContext = false;
  const ana = await person(server, "ana");
  delete globalThis.isSecureContext;
  const bob = await person(server, "bob");
  assert.equal(ana.privateMessages.trouble, "insecure");
  assert.equal(bob.privateMessages.trouble, "memory");
  assert.deepEqual(await ana.privateMessages.joinFields(NONCE, "", "ana"), {});
  await server.join(ana);
  await server.join(bob);
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  assert.equal(ana.own(await say(ana, bob, "hello")).reason, "no_keys");
  ana.privateMessages.allowPlain("bob");
  await say(ana, bob, "hello");
  await hears(bob, "hello");
  assert.equal(await ana.privateMessages.safetyNumber("bob"), null);
  bob.privateMessages.open("ana");
  await until(() => bob.state("ana")?.state === "none");
  ana.hear({ msgType: "PrivateMessage", SrcUser: "bob", Enc: "hpke-v2", text: "00", Time: 1 });
  await until(() => ana.of("unreadable").length === 1);
});

test("a keystore that fails: keys live in memory, and that is said", async () => {
  assert.equal((await openKeystore()).lasting, false); // Node.js has no IndexedDB
  const broken = async () => {
    throw new DOMException("private window", "DataCloneError");
  };
  const server = new Server();
  const parts = { lasting: true, get: broken, keep: broken, update: broken, watch: () => {} };
  const ana = await person(server, "ana", parts);
  const full = { ...memoryKeystore(), lasting: true };
  const bob = await person(server, "bob", full);
  await server.join(ana);
  assert.equal(ana.privateMessages.trouble, "memory");
  await server.join(bob);
  assert.equal(bob.privateMessages.trouble, "");
  full.update = broken;
  await say(ana, bob, "hello");
  await hears(bob, "hello");
  assert.equal(bob.privateMessages.trouble, "memory");
  for (const member of [ana, bob]) {
    await server.rejoin(member);
    assert.deepEqual(member.of("trouble"), [{ type: "trouble", trouble: "memory" }]); // once
  }
});

test("two tabs that start at once agree on one identity", async () => {
  const keystore = memoryKeystore();
  const server = new Server();
  const [one, two] = await Promise.all([
    person(server, "ana", keystore),
    person(server, "ana", keystore),
  ]);
  const keys = await Promise.all([one, two].map((tab) => tab.privateMessages.joinFields(NONCE, "", "ana")));
  assert.equal(keys[0].IdentityKey, keys[1].IdentityKey);
});

test("feed takes for itself what is about private conversations only", async () => {
  const { ana } = await twoPeople();
  const { privateMessages } = ana;
  assert.equal(privateMessages.feed({ msgType: "Broadcast", SrcUser: "bob", text: "hi" }), false);
  assert.equal(privateMessages.feed({ msgType: "OnlineUsers", Users: ["ana", "bob"] }), false);
  assert.equal(privateMessages.feed({ msgType: "Error", Code: "too_long", text: "" }), false);
  assert.equal(
    privateMessages.feed({ msgType: "Error", Code: "bad_json", text: "", Ref: "the page's" }),
    false,
  );
  assert.equal(privateMessages.feed({ msgType: "UserKeys", User: "bob", Ref: "unasked" }), true);
  assert.equal(privateMessages.feed({ msgType: "KeysPublished", Ref: "x" }), true);
  for (const SrcUser of [17, null, {}, undefined])
    assert.equal(privateMessages.feed({ msgType: "PrivateMessage", SrcUser, text: "hi" }), true);
  assert.equal(privateMessages.feed({ msgType: "constructor" }), false);
  assert.equal(privateMessages.feed({ msgType: "PrivateMessage", SrcUser: "bob", text: "hi" }), true);
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
