// SPDX-License-Identifier: MIT
//
// What was said and has not come back yet. A broadcast is done when the server returns it, found by
// its Ref. After a lost line the history tells which ones arrived (Resumed), and the others are
// written again, in their order and with the same Ref, so that nothing is lost and nothing comes
// twice. Without that knowledge, what was already written is not written again by itself: it fails,
// and its author decides. Pure: no socket, no clock, no document.

export const MOST_WAITING = 100;

export class Outbox {
  #entries = new Map(); // Ref -> { message, written }

  get size() {
    return this.#entries.size;
  }

  /** Takes a message that has a Ref. False if too many wait already. */
  add(message) {
    if (this.#entries.size >= MOST_WAITING) return false;
    this.#entries.set(message.Ref, { message, written: false });
    return true;
  }

  /** Hands each message that is not on its way to `write`, oldest first, until that says false. */
  flush(write) {
    for (const entry of this.#entries.values()) {
      if (entry.written) continue;
      if (!write(entry.message)) return;
      entry.written = true;
    }
  }

  /** Forgets a message: it came back, or was refused. Gives it back, or undefined. */
  settle(ref) {
    const entry = this.#entries.get(ref);
    this.#entries.delete(ref);
    return entry?.message;
  }

  /** The line is new, and the history has been read. Gives the messages that may or may not have
   *  arrived; they are not kept. All others will be written by the next flush. */
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

  /** The longest of those that were written: the one that a `too_long` without a Ref must mean. */
  longest() {
    const length = (entry) => entry.message.text.length;
    const written = [...this.#entries.values()].filter((entry) => entry.written);
    return written.sort((a, b) => length(b) - length(a))[0]?.message;
  }
}

const LONG_REF = 16; // characters; shorter ones may be counters that begin anew
const REMEMBERED = 1000;

/** Tells a broadcast that came before: the ghost of a lost line may still have said what its owner
 *  then said again. Only Refs that nobody else would choose count. */
export class Doubles {
  #seen = new Set();

  /** Whether this author sent this Ref before; from now on it did. */
  has(author, ref) {
    if (typeof ref !== "string" || ref.length < LONG_REF) return false;
    const key = `${author}\n${ref}`;
    if (this.#seen.has(key)) return true;
    this.#seen.add(key);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.values().next().value);
    return false;
  }
}
