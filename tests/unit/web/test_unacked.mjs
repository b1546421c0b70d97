// SPDX-License-Identifier: MIT
// Our own private texts, and the confirmations of theirs, by the project's own vectors.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Peer } from "../../../web/continuity.js";
import { Conversation } from "../../../web/conversation.js";
import * as e2e from "../../../web/e2e.js";
import { Unacked } from "../../../web/unacked.js";
import { unpack } from "../../../web/seal.js";
import { Clock, NOW, until } from "./clock.mjs";

const VECTORS = new URL("../../vectors/private-message.json", import.meta.url);
const { continuity } = JSON.parse(readFileSync(VECTORS));

const cardOf = async (identity, pair, name, changes) => ({
  name,
  ...(await e2e.makeCard(identity, pair, { origin: "https://chat.example", room: "", name, now: NOW })),
  ...changes,
});

/** A session key of our own for each that the vectors name: they tell the public halves only. */
class Keys {
  #pairs = new Map();
  #hashes = new Map(); // theirs -> ours, and ours -> theirs

  async get(name) {
    if (this.#pairs.has(name)) return this.#pairs.get(name);
    const pair = await e2e.newSession();
    const [ours, theirs] = [await e2e.keyHash(pair.hex), await e2e.keyHash(name)];
    this.#hashes.set(ours, theirs).set(theirs, ours);
    this.#pairs.set(name, pair).set(pair.hex, pair);
    return pair;
  }

  /** The hash by the other side's names. */
  swap(hash) {
    return this.#hashes.get(hash) ?? hash;
  }
}

/** ana's texts to bob: the test decides when a text may go, and looks into what goes. */
class Desk {
  clock = new Clock();
  keys = new Keys();
  line = { room: "" };
  key = null;
  frames = [];
  due = 0;
  events = []; // [status, id of the vectors]
  #peer = new Peer();
  #held = []; // texts that may not go yet
  #ids = new Map(); // ours -> the vectors'
  #refs = new Map(); // the vectors' id -> the Ref of its last sending
  pace = { turn: async () => true };
  kept = async () => true;

  async start() {
    [this.identity, this.bob] = [await e2e.newIdentity(), await e2e.newIdentity()];
    this.talk = new Conversation("bob", true, async () => {});
    this.talk.known = [{ key: this.bob.hex, verified: false }];
    this.post = new Unacked(this);
  }

  // What Post asks of it

  ask = () => new Promise((resolve) => this.#held.push(() => resolve("")));
  peer = () => this.#peer;
  told = () => {};
  send = (frame) => this.frames.push(frame);
  tell = (talk, type, { id, text, status }) => {
    this.#ids.set(id, text);
    this.events.push([status, text]);
  };

  // What the steps of the vectors are

  async session({ key }) {
    const pair = await this.keys.get(key);
    const me = await cardOf(this.identity, pair, "ana");
    this.key = { me, hash: await e2e.keyHash(pair.hex) };
  }

  async card({ key, expires, now, asked }) {
    this.clock.pass(now - this.clock.elapsed());
    const card = await cardOf(this.bob, await this.keys.get(key), "bob", { KeyExpires: expires });
    if (asked) this.talk.card = card;
    if (asked || this.talk.adopt(card)) this.post.shown(this.talk);
  }

  /** Lets what is held go on, one by one, until something is so. */
  async release(condition) {
    await this.#rest();
    while (!condition() && this.#held.length) {
      this.#held.shift()();
      await this.#rest();
    }
  }

  /** Until the first text is held, or there is none. */
  #rest() {
    return until(() => this.#held.length || !this.talk.isBusy);
  }

  async text({ id, mark, previous }) {
    const count = this.frames.length;
    if (!this.#refs.has(id)) this.post.add(this.talk, id);
    const isSent = () => this.frames.length > count;
    await this.release(isSent);
    if (!isSent()) this.#hurry(); // the vectors send it before it has to go
    await this.release(isSent);
    const frame = this.frames[count];
    this.#refs.set(id, frame.Ref);
    const to = { name: "bob", IdentityKey: this.bob.hex, SessionKey: frame.ToKey };
    const pair = await this.keys.get(frame.ToKey);
    const content = unpack(await e2e.openMessage(pair, "", this.key.me, to, frame), frame.Seq);
    const place = { writer: this.key.hash, reader: await e2e.keyHash(frame.ToKey), seq: frame.Seq };
    assert.deepEqual([content.text, this.#ids.get(content.id)], [id, id]);
    assert.deepEqual([this.#named(place), this.#named(content.previous)], [mark, previous]);
  }

  #hurry() {
    this.clock.pass(5000);
    this.due = Infinity; // others are due by then, too
  }

  #named({ writer, reader, seq }) {
    return { from: this.keys.swap(writer), to: this.keys.swap(reader), seq };
  }

  async confirm({ opened: { from, to, seq }, opened_mask: mask }) {
    const [writer, reader] = [this.keys.swap(from), this.keys.swap(to)];
    this.post.confirmed(this.#peer, { writer, reader, seq, bits: BigInt(`0x${mask}`) });
  }

  async reconnected() {
    this.line = { room: "" };
    this.post.restart();
  }

  async stale({ id }) {
    this.post.reported(this.talk, this.#refs.get(id), "stale_key");
  }

  async refused({ id }) {
    assert.ok(this.post.refused(this.#refs.get(id), "room_full"));
  }

  async look({ now, arrived, again, given_up: lost }) {
    const of = (wanted) => this.events.filter(([status]) => status === wanted).map(([, id]) => id);
    this.clock.pass(Math.max(0, now - this.clock.elapsed()));
    await this.release(() => of("unconfirmed").length >= lost.length);
    assert.deepEqual([of("arrived").sort(), of("unconfirmed")], [arrived.sort(), lost]);
    assert.ok(this.#held.length > 0 || !again.length, `${again} go again`);
    this.events = [];
    this.due = Math.max(this.due === Infinity ? Infinity : 0, again.length);
  }

  /** Nothing goes any more that the vectors do not have. */
  async end() {
    const count = this.frames.length;
    await this.release(() => false);
    assert.ok(this.frames.length - count <= this.due, "no more texts go");
  }
}

for (const { what, steps } of continuity.sending)
  test(`sending, by the vectors: ${what}`, async () => {
    const desk = new Desk();
    await desk.start();
    for (const step of steps) await desk[step.op === "events" ? "look" : step.op](step);
    await desk.end();
  });
