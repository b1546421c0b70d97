// SPDX-License-Identifier: MIT
//
// Our unacknowledged broadcasts. A broadcast is done when the server returns it with its Ref. After
// a reconnect the history tells which ones arrived (Resumed); the others are sent again in order
// with the same Ref, so that none is lost or duplicated. If the history cannot tell, a broadcast
// that was already sent fails, and the user decides. Pure: no socket, no clock, no document.

export const MOST_WAITING = 100;

export class Outbox {
  #entries = new Map(); // Ref -> { message, written }

  get size() {
    return this.#entries.size;
  }

  /** Adds a message with a Ref. False if the queue is full. */
  add(message) {
    if (this.#entries.size >= MOST_WAITING) return false;
    this.#entries.set(message.Ref, { message, written: false });
    return true;
  }

  /** Calls `write` with each unsent message, oldest first, until it returns false. */
  flush(write) {
    for (const entry of this.#entries.values()) {
      if (entry.written) continue;
      if (!write(entry.message)) return;
      entry.written = true;
    }
  }

  /** Removes a message that was returned or refused. Returns it, or undefined. */
  settle(ref) {
    const entry = this.#entries.get(ref);
    this.#entries.delete(ref);
    return entry?.message;
  }

  /** Reconnected, and the history has been read. Removes and returns the messages that may have
   *  arrived. The next flush sends all others. */
  restart(resumed) {
    const lost = [];
    for (const [ref, entry] of this.#entries) {
      if (entry.written && !resumed) {
        this.#entries.delete(ref);
        lost.push(entry.message);
      }
      entry.written = false;
    }
    return lost;
  }

  /** The messages, for restore(). */
  save() {
    return [...this.#entries.values()];
  }

  /** Puts saved messages into an empty queue. After a reload, too, the history tells which ones
   *  arrived. */
  restore(saved = []) {
    for (const { message, written } of saved) this.#entries.set(message.Ref, { message, written });
  }

  /** The longest sent message: a `too_long` without a Ref must be about it. */
  longest() {
    const length = (entry) => entry.message.text.length;
    const written = [...this.#entries.values()].filter((entry) => entry.written);
    return written.sort((a, b) => length(b) - length(a))[0]?.message;
  }
}

const LONG_REF = 16; // characters; shorter Refs may be counters that restart
const REMEMBERED = 1000; // broadcasts; the oldest is forgotten

/** Detects duplicate broadcasts: a message written to a dying connection may still arrive after its
 *  author has sent it again. Only Refs too long to collide count, and only with the same text, so that
 *  copying somebody's Ref cannot hide their messages. */
export class Doubles {
  #seen = new Map(); // author and Ref -> text

  /** Whether this author sent this Ref with this text before; records it. */
  has(author, ref, text) {
    if (typeof ref !== "string" || ref.length < LONG_REF) return false;
    const key = `${author}\n${ref}`;
    if (this.#seen.get(key) === text) return true;
    this.#seen.set(key, text);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value);
    return false;
  }
}
