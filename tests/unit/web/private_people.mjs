// SPDX-License-Identifier: MIT
// Private messages in tests: members of one room, and a server between them that can cheat.
import assert from "node:assert/strict";
import { fold } from "../../../web/conversation.js";
import * as e2e from "../../../web/e2e.js";
import { NOWHERE, pack, TEXT } from "../../../web/seal.js";
import { openPrivateMessages } from "../../../web/private_messages.js";
import { Roster } from "../../../web/roster.js";
import { memoryKeystore } from "../../../web/keystore.js";
import { Clock, nextTurn, NOW, until } from "./clock.mjs";

export const { subtle } = crypto;
export const NONCE = "5a".repeat(32);
export const ORIGIN = "https://chat.example";
export const [SECOND, MINUTE, HOUR] = [1000, 60_000, 3600_000];

/**
 * A server for one room. `cheat` gets what a member says and returns what to make of it; `forge`
 * the same for the keys that it hands out.
 */
export class Server {
  members = new Map();
  clock = new Clock();
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
    const joined = await member.privateMessages.joinFields(NONCE, room, member.name);
    member.keys = joined;
    if (member.isRefused) member.privateMessages.withoutKeys();
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
    member.privateMessages.lost();
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
    const echo = Ref === undefined ? {} : { Ref };
    if (msgType === "PublishKeys") {
      for (const field of e2e.CARD) from.keys[field] = message[field];
      return from.hear({ msgType: "KeysPublished", ...echo });
    }
    const target = this.find(TgtUser);
    if (!target)
      return from.hear({
        msgType: "Error",
        Code: "unknown_user",
        TgtUser,
        text: "",
        ...echo,
      });
    if (msgType === "GetKeys") {
      const { Proof, ...card } = target.keys;
      const keys = target.keyless || target.isRefused ? {} : card;
      const answer = { msgType: "UserKeys", User: target.name, ...echo, ...keys };
      return from.hear(this.forge(answer));
    }
    target.hear({ ...message, SrcUser: from.name, Time: this.clock.now() });
    if (Ref !== undefined) from.hear({ msgType: "Delivered", TgtUser, Ref });
  }
}

/** A member: what was told to the person, and what was said to the server. */
export async function person(server, name, keystore = memoryKeystore(), clock = server.clock, origin = ORIGIN, kept = undefined) {
  const member = { name, keystore, events: [], said: [], got: [], roster: new Roster() };
  const take = (message) => {
    const isPresence = ["OnlineUsers", "Presence"].includes(message.msgType);
    const change = isPresence && member.roster.take(message);
    if (change) member.privateMessages.present(member.roster, change);
    if (!isPresence) member.privateMessages.feed(message);
  };
  member.hear = (message) => {
    member.got.push(message);
    setImmediate(() => member.online && take(message));
  };
  const send = (message) => server.take(member, message);
  const tell = (event) => member.events.push(event);
  member.privateMessages = await openPrivateMessages({ keystore, origin, send, tell, clock, kept });
  member.of = (type) => member.events.filter((event) => event.type === type);
  member.texts = () => member.of("text").map(({ text }) => text);
  member.state = (of) => member.of("state").findLast((event) => event.name === of);
  member.own = (id) => member.of("own").findLast((event) => event.id === id);
  member.notices = () => member.said.filter((message) => message.Notice);
  member.sealed = () => member.said.filter(({ Seq }) => Seq > 0);
  member.receipts = () => member.said.filter(({ Seq }) => Seq === 0);
  member.gaps = () => member.of("gap").map(({ count }) => count);
  return member;
}

/** The identity key of a member, as the keystore has it. */
export const identityOf = ({ keystore, name }, room = "") =>
  keystore.get(JSON.stringify(["identity", room, fold(name)]));

export const contactsOf = ({ keystore }, name, room = "") =>
  keystore.get(JSON.stringify(["contacts", ORIGIN, room, fold(name)]));

/** A card of a member by another session key than the one that is in use. */
export async function anotherCard(member, room = "", now = NOW) {
  const session = await e2e.newSession();
  const place = { origin: ORIGIN, room, name: member.name, now };
  return { name: member.name, ...(await e2e.makeCard(await identityOf(member, room), session, place)) };
}

/** What a member could seal if its client did as it likes. */
export async function craft(from, to, seq, content = {}, card = { name: from.name, ...from.keys }) {
  const target = { name: to.name, ...to.keys };
  const id = e2e.randomHex(16);
  const whole = { kind: TEXT, id, at: NOW, previous: NOWHERE, opened: NOWHERE, text: "made", ...content };
  const identity = await identityOf(from);
  const fields = await e2e.sealMessage(identity, "", card, target, seq, pack(whole));
  return { msgType: "PrivateMessage", SrcUser: from.name, Time: NOW, ...fields };
}

export async function twoPeople() {
  const server = new Server();
  const [ana, bob] = [await person(server, "ana"), await person(server, "bob")];
  await server.join(ana);
  await server.join(bob);
  return { server, ana, bob };
}

export async function say(from, to, text) {
  const id = from.privateMessages.send(to.name, text);
  await until(() => ["sent", "failed"].includes(from.own(id).status), `${text} is sent or not`);
  return id;
}

export async function hears(member, ...texts) {
  await until(() => member.texts().length >= texts.length, `${member.name} hears ${texts}`);
  assert.deepEqual(member.texts(), texts);
}

/** Somebody else, with keys of their own, comes under the same name. */
export async function impostor(server, name) {
  server.leave(server.find(name));
  const other = await person(server, name);
  await server.join(other);
  return other;
}

/** Lets the time pass after which a confirmation goes by itself, and waits until it has arrived. */
export async function arrives(server, from, ...ids) {
  const all = () => ids.every((id) => from.own(id).status === "arrived");
  await server.clock.passUntil(all, `${from.name} hears that it arrived`);
}

/** Nothing of the texts is in what was said to the server. */
export function neverInPlain(members, ...texts) {
  const said = JSON.stringify(members.map((member) => member.said));
  for (const text of texts) assert.ok(!said.includes(text), `${text} went out in plain`);
}

export const idle = async () => {
  for (let n = 0; n < 100; n++) await nextTurn();
};

export const published = (member) => member.said.filter(({ msgType }) => msgType === "PublishKeys");

/** Lets a member open so many messages that somebody else makes, by one session key of theirs. */
export async function opens(member, from, count, first = 1) {
  const already = member.texts().length;
  for (let seq = first; seq < first + count; seq++) member.hear(await craft(from, member, seq));
  await until(() => member.texts().length === already + count);
}

/** An identity with keys that never came in: enough to craft messages in its name. */
export async function stranger(name) {
  const keystore = memoryKeystore();
  const me = await e2e.newIdentity();
  await keystore.keep(JSON.stringify(["identity", "", name]), me);
  const place = { origin: ORIGIN, room: "", name, now: NOW };
  return { name, keystore, keys: await e2e.makeCard(me, await e2e.newSession(), place) };
}
