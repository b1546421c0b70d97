// SPDX-License-Identifier: MIT
//
// session_store.js - what a tab keeps over a reload, a discarded or a crashed tab, in
// sessionStorage: name, password, position, the newest messages of the room, what is not sent yet,
// and the draft. It dies with the tab. One record for each room, so that all of it is of the same
// moment. Private conversations are kept by kept_talks.js; in here is only what it had no time to
// write before the page went (ReloadNote).
//
// sessionStorage may be missing or full. What does not fit is left out in this order: the records
// of other rooms, the messages shown, what is not sent. Without storage, a reload asks again.

const FORMAT = 1; // of a record; one of another format is ignored
const PREFIX = "ragnarok.tab.";
const ID = "ragnarok.session";
const NOTE = "ragnarok.note";
const SAVE_EVERY = 1000; // ms between two records, while there are changes
const ID_BYTES = 16;

/** The browser's sessionStorage, or null if the page may not use it. */
export function tabStorage() {
  try {
    return globalThis.sessionStorage ?? null;
  } catch {
    return null;
  }
}

/** A number for this page; another one after each reload. */
export const newTabId = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(ID_BYTES)), (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A secret number of this tab, the same after a reload; in a duplicate of the tab, too. */
export function sessionId(storage = tabStorage()) {
  try {
    const known = storage.getItem(ID) ?? newTabId();
    storage.setItem(ID, known);
    return known;
  } catch {
    return newTabId();
  }
}

/** Removes all that this tab keeps. */
export function forgetTab(storage = tabStorage()) {
  for (const key of keysOf(storage)) if (key.startsWith("ragnarok.")) storage.removeItem(key);
}

function keysOf(storage) {
  return Array.from({ length: storage?.length ?? 0 }, (_, index) => storage.key(index));
}

/** One value for the page after this one, written in one step, when there is no time to wait. */
export class ReloadNote {
  #storage;

  constructor(storage = tabStorage()) {
    this.#storage = storage;
  }

  /** False if the storage is missing or full. */
  put(value) {
    try {
      this.#storage.setItem(NOTE, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  }

  /** The value, or null. */
  get() {
    try {
      return JSON.parse(this.#storage.getItem(NOTE));
    } catch {
      return null;
    }
  }

  remove() {
    try {
      this.#storage.removeItem(NOTE);
    } catch {
      // Without storage there is nothing to remove.
    }
  }
}

export class SessionStore {
  #storage;
  #key;
  #gather = null; // returns the record, or null while there is none
  #since;
  #later;
  #isResting = false; // for SAVE_EVERY after a record
  #isDue = false;

  /** `since` tells what this device knows from what it knew before everything was forgotten: a
   *  record of a tab that was not open then does not come back. `later(job, ms)` is a setTimeout. */
  constructor(storage, room, since, later = (job, ms) => setTimeout(job, ms)) {
    [this.#storage, this.#key, this.#since, this.#later] = [storage, PREFIX + room, since, later];
  }

  /** The record of this room, or null. */
  load() {
    try {
      const record = JSON.parse(this.#storage.getItem(this.#key));
      return record?.format === FORMAT && record.since === this.#since ? record : null;
    } catch {
      return null;
    }
  }

  /** From now on, save() writes what `gather()` returns. */
  follow(gather) {
    this.#gather = gather;
    if (this.#isDue) this.#begin();
  }

  /** Something has changed: saves it now, or a second after the record before. */
  touch() {
    this.#isDue = true;
    if (!this.#isResting) this.#begin();
  }

  #begin() {
    this.#isResting = this.#isDue && this.save();
    if (this.#isResting) this.#later(() => this.#begin(), SAVE_EVERY);
  }

  /** Writes the record now. False if there is none yet; then the next change does not wait. */
  save() {
    const gathered = this.#gather?.();
    if (!gathered) return false;
    this.#isDue = false;
    const record = { ...gathered, format: FORMAT, since: this.#since };
    const bare = { ...record, items: [] };
    this.#put(record) || this.#makeRoom() && this.#put(record) || this.#put(bare) ||
      this.#put({ ...bare, pending: [], unsent: [], draft: "" });
    return true;
  }

  /** Removes the record, and saves nothing more. */
  forget() {
    this.#gather = null;
    this.#remove(this.#key);
  }

  #put(record) {
    try {
      this.#storage.setItem(this.#key, JSON.stringify(record));
      return true;
    } catch {
      return false;
    }
  }

  #remove(key) {
    try {
      this.#storage.removeItem(key);
    } catch {
      // Without storage there is nothing to remove.
    }
  }

  /** Removes the records of other rooms; true if there were any. */
  #makeRoom() {
    const others = keysOf(this.#storage).filter((key) => key.startsWith(PREFIX) && key !== this.#key);
    for (const key of others) this.#remove(key);
    return others.length > 0;
  }
}
