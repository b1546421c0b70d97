// SPDX-License-Identifier: MIT
//
// conversation.js - one private conversation: its trusted keys, and what is allowed.
//
// State and rules only, nothing asynchronous: private_messages.js asks, sends, receives and stores.
// A person may have several keys, one per device; all accepted keys are equal, and none raises a
// warning.

const KNOWN_MAX = 8; // keys of one person; no more can be accepted
const BAD_CARDS = ["forged", "outdated", "foreign"]; // foreign: unknown encryption
const WAITING_MAX = 1 << 20; // bytes waiting for a key to be accepted; more is refused

/** Maps all spellings of a name to one: case folding after NFKC, with JavaScript's means. */
export function fold(name) {
  const foldCase = (part) => part.toLowerCase().toUpperCase().toLowerCase();
  return name.normalize("NFKC").replace(/[^ı]+/g, foldCase).normalize("NFKC"); // ı is not i
}

// A person's known keys are a list of {key, verified}; these return a new list, or the same one.

/** Trust on first use: the first key seen of a person is trusted. */
export const firstUse = (key) => (known) =>
  known?.length ? known : [{ key, verified: false }];

export const accepted = (key) => (known = []) =>
  known.length >= KNOWN_MAX || known.some((one) => one.key === key)
    ? known
    : [...known, { key, verified: false }];

export const compared = (key, verified) => (known = []) =>
  known.map((one) => (one.key === key ? { key, verified } : one));

export class Conversation {
  id; // the folded name
  name; // as the other side spells it now
  able; // whether we have keys of our own
  known = []; // [{key, verified}]: the keys that were accepted
  card = null; // {name, IdentityKey, ...}, "none", one of BAD_CARDS, or null: not asked yet
  offered = ""; // a new identity key until it is accepted
  plain = false; // whether plaintext was chosen
  answered = false; // whether we ever wrote
  gone = false; // whether the server said last that nobody of this name is here
  asked = null; // the answer to our key request, until it may be out of date
  asking = false; // whether that request is still queued
  shown = ""; // the other side's latest session key
  stop = null; // cancels the timer set when that key changed
  waiting = []; // {message, size}: sealed by a key not yet accepted
  #lines;
  #jobs = 0;

  /** `load` returns a promise that is awaited before anything is received. */
  constructor(name, able, load) {
    [this.id, this.name, this.able] = [fold(name), name, able];
    this.#lines = { inbox: load(this), outbox: Promise.resolve() };
  }

  /**
   * Runs a job after the earlier ones of its line, even if one of them failed. `inbox` is for
   * received messages and changes of trust, `outbox` for sending.
   */
  then(line, job) {
    const work = async () => {
      try {
        return await job();
      } finally {
        this.#jobs--;
      }
    };
    this.#jobs++;
    return (this.#lines[line] = this.#lines[line].then(work, work));
  }

  /** Whether there are unfinished jobs. */
  get isBusy() {
    return this.#jobs > 0;
  }

  accepts(key) {
    return this.known.some((one) => one.key === key);
  }

  /** The known key that we write to, or the latest one: {key, verified}, or undefined. */
  get trusted() {
    const { known, card } = this;
    return known.find(({ key }) => key === card?.IdentityKey) ?? known.at(-1);
  }

  get state() {
    if (!this.able) return "none";
    if (BAD_CARDS.includes(this.card)) return this.card;
    if (this.offered) return "changed";
    if (this.card === "none") return "none";
    if (!this.trusted) return "asking";
    return this.trusted.verified ? "verified" : "encrypted";
  }

  /** The state to show to the user. */
  describe() {
    const { name, state, known, offered, plain, gone } = this;
    const verified = known.some((one) => one.verified);
    const waiting = this.waiting.length;
    return { name, state, known: known.length > 0, verified, offered, waiting, plain, gone };
  }

  /** A correctly signed key was seen, and `known` is up to date. Returns whether it is trusted. */
  meet(key) {
    this.offered = this.accepts(key) ? "" : key;
    return !this.offered;
  }

  /** The trust in a key: "verified", "encrypted", or "" if it is not accepted. */
  markOf(key) {
    const found = this.known.find((one) => one.key === key);
    return found ? (found.verified ? "verified" : "encrypted") : "";
  }

  /**
   * A verified message of a trusted key carried this card. Returns whether it is used from now on.
   * Only cards of the same identity can be compared by age.
   */
  adopt(card) {
    const { card: inUse } = this;
    if (inUse === "forged") return false;
    const isSame = inUse?.IdentityKey === card.IdentityKey;
    if (isSame && card.KeyExpires < inUse.KeyExpires) return false;
    [this.card, this.plain] = [card, false];
    return true;
  }

  /** Why a text must not be sent now; "" if it may. A sealed text keeps its recipient, and plaintext
   *  must have been chosen when it was written and still be. */
  blocks({ plain, sealedTo }) {
    const { card, offered } = this;
    if (BAD_CARDS.includes(card)) return card;
    if (offered) return "key_changed";
    if (card === "none") return plain && this.plain ? "" : "no_keys";
    if (!this.accepts(card.IdentityKey)) return "key_changed";
    return sealedTo && card.IdentityKey !== sealedTo ? "other_key" : "";
  }

  /** False if the queue is full. */
  keepWaiting(message, size) {
    const sum = this.waiting.reduce((bytes, one) => bytes + one.size, size);
    return sum <= WAITING_MAX && this.waiting.push({ message, size }) > 0;
  }

  /** Returns the waiting messages of keys that are trusted by now. */
  takeWaiting() {
    const isReady = ({ message }) => this.accepts(message.IdentityKey);
    const ready = this.waiting.filter(isReady);
    this.waiting = this.waiting.filter((one) => !isReady(one));
    return ready.map(({ message }) => message);
  }
}
