// SPDX-License-Identifier: MIT
// Private messages over a reload: nothing is missing, shown twice, or sealed to another key.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memoryKeystore } from "../../../web/keystore.js";
import { nextTurn, until } from "./clock.mjs";
import {
  arrives, hears, impostor, neverInPlain, ORIGIN, person, say, SECOND, Server, twoPeople,
} from "./private_people.mjs";

/** The page of a member is loaded again: what save() returned, as JSON has it, is all that is left. */
async function reload(server, member, saved = member.privateMessages.save()) {
  server.leave(member);
  const again = await person(server, member.name, member.keystore);
  again.privateMessages.restore(JSON.parse(JSON.stringify(saved)), "", member.name);
  await server.join(again);
  return again;
}

test("after a reload nothing counts as missing, and what follows is counted as before", async () => {
  let { server, ana, bob } = await twoPeople();
  for (let round = 0; round < 3; round++) {
    const ids = [await say(ana, bob, `a${round}`), await say(ana, bob, `b${round}`)];
    await hears(bob, `a${round}`, `b${round}`);
    await arrives(server, ana, ...ids);
    bob = await reload(server, bob);
    ana = await reload(server, ana);
  }
  const id = ana.privateMessages.send("bob", "the end");
  await arrives(server, ana, id);
  assert.deepEqual([bob.texts(), bob.gaps(), bob.of("unreadable")], [["the end"], [], []]);
});

test("a message that is dropped before a reload of its reader is missed after it", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "one"));
  const lost = bob.privateMessages.save();
  const id = await say(ana, bob, "two");
  await arrives(server, ana, id);
  const again = await reload(server, bob, lost); // as if "two" had never come
  await say(ana, again, "three");
  await hears(again, "three");
  assert.deepEqual(again.gaps(), [1]);
});

test("an unconfirmed text goes again after a reload of its writer, and is shown once", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Seq === 0 ? [] : [message]); // no receipt arrives
  const id = await say(ana, bob, "once");
  await hears(bob, "once");
  server.cheat = (message) => [message];
  const again = await reload(server, ana);
  await server.clock.passUntil(() => again.own(id)?.status === "arrived");
  assert.deepEqual(bob.texts(), ["once"]);
});

test("a text that was shown is not shown again after a reload of its reader", async () => {
  const { server, ana, bob } = await twoPeople();
  server.cheat = (message) => (message.Seq === 0 ? [] : [message]);
  const id = await say(ana, bob, "once");
  await hears(bob, "once");
  server.cheat = (message) => [message];
  const again = await reload(server, bob);
  await arrives(server, ana, id);
  assert.deepEqual(again.texts(), [], "it is in what the page has kept");
  assert.deepEqual([again.gaps(), again.of("unreadable")], [[], []]);
});

test("a text that waits over a reload is never sealed to another key, nor sent in plain", async () => {
  const { server, ana, bob } = await twoPeople();
  await arrives(server, ana, await say(ana, bob, "known"));
  server.cheat = () => [];
  ana.privateMessages.send("bob", "for bob only");
  await until(() => ana.sealed().length === 2);
  server.cheat = (message) => [message];
  const other = await impostor(server, "bob");
  const again = await reload(server, ana);
  await until(() => again.of("own").some(({ reason }) => reason === "key_changed"));
  assert.deepEqual(other.texts(), []);
  other.keyless = true;
  const third = await reload(server, again);
  third.privateMessages.open("bob");
  await until(() => third.state("bob")?.state !== "asking");
  assert.deepEqual(other.texts(), []);
  neverInPlain([ana, again, third], "for bob only");
});

test("plaintext on its way is not sent again after a reload", async () => {
  const { server, ana, bob } = await twoPeople();
  bob.keyless = true;
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  ana.privateMessages.allowPlain("bob");
  server.cheat = () => [];
  const id = ana.privateMessages.send("bob", "in the open");
  await until(() => ana.said.some(({ text }) => text === "in the open"));
  const again = await reload(server, ana);
  assert.deepEqual([again.own(id).status, again.own(id).reason], ["failed", "lost"]);
  assert.ok(!again.said.some(({ text }) => text === "in the open"));
});

test("nothing is confirmed or sent before it is kept", async () => {
  const { server, ana, bob } = await twoPeople();
  const held = [];
  let isKept = false;
  const kept = { touch() {}, saved: () => (isKept ? Promise.resolve(true) : new Promise((go) => held.push(go))) };
  const cem = await person(server, "cem", memoryKeystore(), server.clock, ORIGIN, kept);
  await server.join(cem);
  await say(ana, cem, "hello");
  await hears(cem, "hello");
  server.clock.pass(SECOND);
  await until(() => held.length === 1);
  assert.deepEqual(cem.receipts(), []);
  cem.privateMessages.send("bob", "later");
  await until(() => held.length === 2);
  assert.deepEqual([cem.sealed(), bob.texts()], [[], []]);
  isKept = true;
  for (const go of held) go(true);
  await hears(bob, "later");
  await until(() => cem.receipts().length === 1);
});

test("another tab that owns the conversations leaves this one without confirmations", async () => {
  const server = new Server();
  const ana = await person(server, "ana");
  const kept = { touch() {}, saved: async () => false };
  const bob = await person(server, "bob", memoryKeystore(), server.clock, ORIGIN, kept);
  for (const member of [ana, bob]) await server.join(member);
  await say(ana, bob, "hello");
  await hears(bob, "hello");
  bob.privateMessages.send("ana", "never");
  server.clock.pass(SECOND);
  for (let turn = 0; turn < 200; turn++) await nextTurn();
  assert.deepEqual([bob.receipts(), bob.sealed()], [[], []]);
});
