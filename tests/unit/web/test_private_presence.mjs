// SPDX-License-Identifier: MIT
// What private conversations do when members come and go, and in rooms that are only counted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { hears, idle, impostor, person, say, Server, twoPeople } from "./private_people.mjs";
import { until } from "./clock.mjs";

const asksFor = (member, name) => member.said.filter(({ msgType, TgtUser }) => msgType === "GetKeys" && TgtUser === name).length;

/** From now on the members hear only of changes, which a test tells them. */
function quiet(server) {
  server.announce = () => {};
  const versions = new Map();
  return (member, more) => {
    const Since = versions.get(member) ?? 1;
    versions.set(member, Since + 1);
    member.hear({ msgType: "Presence", Since, Version: Since + 1, Count: 3000, ...more });
  };
}

/** ana and bob in a room whose members are listed, or only counted. */
async function room({ isListed }) {
  const server = new Server();
  const presence = quiet(server);
  const [ana, bob] = [await person(server, "ana"), await person(server, "bob")];
  for (const member of [ana, bob]) {
    await server.join(member);
    member.hear({ msgType: "OnlineUsers", Version: 1, Count: 3000, ...(isListed ? { Users: ["ana", "bob"] } : {}) });
  }
  await idle();
  return { server, ana, bob, presence };
}

test("keys are asked for again only of those whom a change is about", async () => {
  const { ana, bob, presence } = await room({ isListed: true });
  await say(ana, bob, "one");
  ana.privateMessages.open("bob");
  await idle();
  const before = asksFor(ana, "bob");
  presence(ana, { Joined: ["cem"], Left: ["dora"] });
  await say(ana, bob, "two");
  assert.equal(asksFor(ana, "bob"), before);
  presence(ana, { Joined: ["bob"], Left: ["bob"] }); // came back, or has another key
  await until(() => asksFor(ana, "bob") === before + 1);
  presence(ana, { Left: ["bob"] });
  await idle();
  assert.equal(asksFor(ana, "bob"), before + 1, "nobody of this name is here");
  presence(ana, { Joined: ["bob"] });
  await until(() => asksFor(ana, "bob") === before + 2);
});

test("a choice of plaintext ends when the other one leaves, also if somebody is back at once", async () => {
  for (const change of [{ Left: ["bob"] }, { Left: ["bob"], Joined: ["bob"] }]) {
    const { ana, bob, presence } = await room({ isListed: true });
    bob.keyless = true;
    ana.privateMessages.open("bob");
    await until(() => ana.state("bob")?.state === "none");
    ana.privateMessages.allowPlain("bob");
    presence(ana, { Joined: ["cem"] });
    await idle();
    assert.equal(ana.state("bob").plain, true);
    presence(ana, change);
    await until(() => !ana.state("bob").plain);
  }
});

test("in a room that is only counted, a text asks first whether its receiver is the same", async () => {
  const { server, ana, bob, presence } = await room({ isListed: false });
  await say(ana, bob, "one");
  await hears(bob, "one");
  const before = asksFor(ana, "bob");
  presence(ana);
  await idle();
  assert.equal(asksFor(ana, "bob"), before, "a change alone asks nothing");
  await say(ana, bob, "two");
  assert.equal(asksFor(ana, "bob"), before + 1);
  await impostor(server, "bob");
  presence(ana);
  await idle();
  const id = ana.privateMessages.send("bob", "for the former bob");
  await until(() => ana.own(id).status === "failed");
  assert.deepEqual([ana.own(id).reason, ana.state("bob").state], ["key_changed", "changed"]);
});

test("who is not there is known only from an answer", async () => {
  const { server, ana, bob, presence } = await room({ isListed: false });
  await say(ana, bob, "one");
  assert.equal(ana.state("bob").gone, false);
  server.leave(bob);
  presence(ana);
  await idle();
  assert.equal(ana.state("bob").gone, false);
  const id = ana.privateMessages.send("bob", "two");
  await until(() => ana.own(id).status === "failed");
  assert.deepEqual([ana.own(id).reason, ana.state("bob").gone], ["unknown_user", true]);
  await server.join(bob);
  bob.hear({ msgType: "OnlineUsers", Version: 1, Count: 3000 });
  await say(bob, ana, "back");
  await until(() => !ana.state("bob").gone);
});

test("plaintext to somebody who may be another one by now asks for keys before", async () => {
  const { ana, bob, presence } = await room({ isListed: false });
  bob.keyless = true;
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  ana.privateMessages.allowPlain("bob");
  presence(ana);
  await idle();
  const before = asksFor(ana, "bob");
  await say(ana, bob, "plain");
  assert.equal(asksFor(ana, "bob"), before + 1);
  await hears(bob, "plain");
  bob.keyless = false;
  presence(ana);
  await idle();
  ana.privateMessages.send("bob", "sealed");
  await hears(bob, "plain", "sealed");
  assert.equal(ana.state("bob").plain, false);
  assert.equal(ana.sealed().length, 1);
});

test("a text in plain that waits for an answer is not for somebody who came meanwhile", async () => {
  const { server, ana, bob, presence } = await room({ isListed: true });
  bob.keyless = true;
  ana.privateMessages.open("bob");
  await until(() => ana.state("bob")?.state === "none");
  ana.privateMessages.allowPlain("bob");
  ana.privateMessages.open(null);
  ana.hear({ msgType: "OnlineUsers", Version: 1, Count: 2, Users: ["ana", "bob"] });
  await idle();
  const held = [];
  server.cheat = (message) => (message.msgType === "GetKeys" ? (held.push(message), []) : [message]);
  const id = ana.privateMessages.send("bob", "for the former bob");
  await until(() => held.length > 0);
  presence(ana, { Left: ["bob"], Joined: ["bob"] });
  await idle();
  server.cheat = (message) => [message];
  for (const message of held) server.handle(ana, message);
  await until(() => ["sent", "failed"].includes(ana.own(id).status));
  assert.equal(ana.own(id).reason, "no_keys");
});

test("where nobody is told who leaves, a choice of plaintext ends when a text finds nobody", async () => {
  for (const change of [{}, undefined]) {
    const { server, ana, bob, presence } = await room({ isListed: false });
    bob.keyless = true;
    ana.privateMessages.open("bob");
    await until(() => ana.state("bob")?.state === "none");
    ana.privateMessages.allowPlain("bob");
    server.leave(bob);
    if (change) presence(ana, change); // then the text asks for keys first
    await idle();
    const lost = ana.privateMessages.send("bob", "are you there?");
    await until(() => ana.own(lost).status === "failed");
    const other = await person(server, "bob");
    other.keyless = true;
    await server.join(other);
    presence(ana);
    await idle();
    const id = ana.privateMessages.send("bob", "for the former bob");
    await until(() => ["sent", "failed"].includes(ana.own(id).status));
    assert.deepEqual([ana.own(id).reason, ana.state("bob").plain], ["no_keys", false]);
  }
});

test("texts that wait ask from time to time, and reach those who are back", async () => {
  const { server, ana, bob, presence } = await room({ isListed: false });
  server.cheat = (message) => (message.Seq === 0 ? [] : [message]); // bob's confirmation is lost
  const id = await say(ana, bob, "one");
  await hears(bob, "one");
  const before = asksFor(ana, "bob");
  for (let n = 0; n < 20; n++) {
    presence(ana);
    await idle();
    server.clock.pass(1000);
  }
  assert.equal(asksFor(ana, "bob"), before);
  server.cheat = (message) => [message];
  await server.rejoin(bob);
  server.clock.pass(30_000);
  presence(ana);
  await until(() => asksFor(ana, "bob") > before);
  await server.clock.passUntil(() => ana.own(id).status === "arrived", "bob confirms it at last");
});

test("a peer of a room that becomes too large is neither here nor gone", async () => {
  const { server, ana, bob } = await twoPeople();
  await say(ana, bob, "one");
  server.announce = () => {};
  ana.hear({ msgType: "OnlineUsers", Version: 1, Count: 2, Users: ["ana", "bob"] });
  ana.hear({ msgType: "Presence", Since: 1, Version: 2, Count: 2001 });
  await idle();
  assert.deepEqual([ana.roster.has("bob"), ana.state("bob").gone, ana.state("bob").state], [undefined, false, "encrypted"]);
  await say(ana, bob, "two");
  await hears(bob, "one", "two");
});
