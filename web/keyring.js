// SPDX-License-Identifier: MIT
//
// keyring.js - our session keys: the current one, and for a minute those that it replaced. They are
// in memory only. A key is replaced on every connection, and regularly while connected. This gives
// forward secrecy: nobody can open what was sealed to an old key, whatever is stolen later.

import { putLast } from "./continuity.js";
import * as e2e from "./e2e.js";

const OPENED_MOST = 50; // messages opened with one key
const USED_LONGEST = 3600_000; // ms that a key is used after it opened a message
const LONGEST = 12 * 3600_000; // ms that any key is used; its signature is valid twice as long
const SHORTEST = 10_000; // ms that every key is used at least
const KEPT = 60_000; // ms that a replaced key is kept
const KEPT_MOST = 8; // replaced keys; the oldest is evicted
const HASHES_MOST = 4096; // hashes of former keys; the oldest is forgotten
const STREAMS_MOST = 4096; // streams to one key; more renews the key

/** A key of ours: {pair, card, me, room, hash, opened, streams, ...}; `me`: card and our name. */
export async function newKey(identity, { origin, room, name }, clock) {
  const pair = await e2e.newSession();
  const card = await e2e.makeCard(identity, pair, { origin, room, name, now: clock.now() });
  return {
    pair, card, identity, room, me: { name, ...card }, hash: await e2e.keyHash(pair.hex),
    made: clock.elapsed(), opened: 0, streams: new Map(), until: Infinity,
  };
}

/** The stream of a message: the remembered one, or a new one for its first message. */
export async function streamOf(key, { IdentityKey, SessionKey }) {
  const known = key.streams.get(`${IdentityKey} ${SessionKey}`);
  if (known) return known;
  const writer = await e2e.keyHash(SessionKey);
  return { writer, reader: key.hash, seq: 0, bits: 0n, told: 0 };
}

/** Remembers a stream; returns the one already remembered, if there is one. */
export function keepStream(key, { IdentityKey, SessionKey }, stream) {
  const name = `${IdentityKey} ${SessionKey}`;
  if (!key.streams.has(name)) key.streams.set(name, stream);
  return key.streams.get(name);
}

export class KeyRing {
  present = null;
  #clock;
  #old = [];
  #hashes = new Map();
  #renew;
  #stop = () => {};

  /** `renew` is called when the current key must be replaced. */
  constructor(clock, renew) {
    [this.#clock, this.#renew] = [clock, renew];
  }

  /** Replaces the current key; without an argument, there is none afterwards. */
  replace(key) {
    const { present } = this;
    const isSame = present && present.room === key?.room && present.me.name === key.me.name &&
      present.me.IdentityKey === key.me.IdentityKey;
    if (isSame) {
      present.until = this.#clock.elapsed() + KEPT;
      this.#old = [present, ...this.#old].slice(0, KEPT_MOST);
      this.#clock.after(KEPT, () => this.#forget());
    } else {
      this.#old = [];
    }
    this.present = key;
    if (key) putLast(this.#hashes, key.hash, true, HASHES_MOST);
    this.check();
  }

  #forget() {
    this.#old = this.#old.filter(({ until }) => until > this.#clock.elapsed());
  }

  /** The key that a message was sealed to, if it is still valid. */
  find(toKey) {
    this.#forget();
    return [this.present, ...this.#old].find((key) => key?.pair.hex === toKey);
  }

  /** Whether this hash is of a session key of ours, and all reading with it is remembered. */
  had(hash) {
    return this.#hashes.has(hash);
  }

  /** The hashes of the keys still valid. */
  get live() {
    this.#forget();
    const keys = [this.present, ...this.#old].filter(Boolean);
    return new Set(keys.map(({ hash }) => hash));
  }

  /** Forgets the hashes of keys out of use, after the record of what they read was lost. */
  forgetFormer() {
    const { live } = this;
    for (const hash of this.#hashes.keys()) if (!live.has(hash)) this.#hashes.delete(hash);
  }

  /** The hashes of our keys, for restore() by the page that is loaded next. */
  save() {
    return [...this.#hashes.keys()];
  }

  restore(hashes) {
    for (const hash of hashes) putLast(this.#hashes, hash, true, HASHES_MOST);
  }

  /** Forgets the hashes of all keys. */
  forgetAll() {
    this.#hashes.clear();
  }

  /** Whether one more stream to this key can be remembered. If not, renews the key. */
  hasRoom(key) {
    if (key.streams.size < STREAMS_MOST) return true;
    key.opened = OPENED_MOST;
    this.check();
    return false;
  }

  /** A message was opened with this key. */
  count(key) {
    key.opened++;
    this.check();
  }

  /** Schedules the renewal of the current key. Must be called regularly. */
  check() {
    this.#stop();
    this.#stop = () => {};
    if (!this.present) return;
    const { made, opened, card } = this.present;
    const age = opened >= OPENED_MOST ? SHORTEST : opened ? USED_LONGEST : LONGEST;
    const isEnding = card.KeyExpires - this.#clock.now() < LONGEST; // the clock was set
    const due = made + (isEnding ? SHORTEST : age) - this.#clock.elapsed();
    this.#stop = this.#clock.after(Math.max(0, due), () => this.#renew());
  }
}
