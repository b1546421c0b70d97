// SPDX-License-Identifier: MIT
//
// The names in a room that is too large for a list: asked for page by page, also by their beginning.
// One question at a time; what is wanted meanwhile waits, and only the latest of it is asked. Pure.

import { fold } from "./conversation.js";

const PAGE = 100; // names of an answer
const NAMES_MOST = 2000; // names shown; the others are found by their beginning
const PAUSE = 300; // ms without typing before a beginning is looked for
const STALE = 60_000; // ms after which names that are shown are worth asking for again

export class Directory {
  #ask;
  #changed;
  #clock;
  #names = [];
  #spellings = new Map(); // folded name -> name
  #prefix = "";
  #more = true; // whether the server has more names
  #code = ""; // why the last question failed
  #wanted = 0; // the number of the latest question; the answers to others are dropped
  #next = null; // a question that waits: { number, after }, after undefined for the first page
  #isAsking = false;
  #stop = null; // cancels the pause
  #loaded = -Infinity; // clock.elapsed() of the last first page

  /** `ask(question)` asks the server (Questions), `changed()` is called after each change; `clock` is
   *  that of pace.js. */
  constructor(ask, changed, clock) {
    [this.#ask, this.#changed, this.#clock] = [ask, changed, clock];
  }

  /** The names so far, in the server's order. */
  get names() {
    return this.#names;
  }

  /** Whether this name in any spelling was found. */
  has(name) {
    return this.spelling(name) !== undefined;
  }

  /** A found name as its member spells it, or undefined. */
  spelling(name) {
    return this.#spellings.get(fold(name));
  }

  /** Whether more() would ask for more. */
  get hasMore() {
    return this.#more && !this.isFull;
  }

  /** Whether there are more names than are shown at a time. */
  get isFull() {
    return this.#more && this.#names.length >= NAMES_MOST;
  }

  get isAsking() {
    return this.#isAsking;
  }

  /** Why the last question failed, "" if it did not. */
  get code() {
    return this.#code;
  }

  /** Whether a first page has come. */
  get isBegun() {
    return this.#loaded > -Infinity;
  }

  /** Looks for names with this beginning, after a pause in typing. */
  search(prefix) {
    this.#stop?.();
    this.#wanted++; // what is asked now has another beginning
    this.#prefix = prefix;
    this.#stop = this.#clock.after(PAUSE, () => this.#begin());
  }

  /** Asks for the next page, or again for one that failed. */
  more() {
    if (this.#next || this.#isAsking || this.#stop || !this.hasMore) return;
    this.#want(this.isBegun ? this.#names.at(-1) : undefined);
  }

  /** Asks again for the first page if that is old and all that is shown. */
  refresh() {
    const isOld = this.#clock.elapsed() - this.#loaded >= STALE;
    const isIdle = this.isBegun && !this.#isAsking && !this.#stop;
    if (isOld && isIdle && this.#names.length <= PAGE) this.#begin();
  }

  /** Begins again with the first page, after another connection. */
  restart() {
    if (this.isBegun || this.#code) this.#begin();
  }

  /** Forgets all, and what is still to come. */
  clear() {
    this.#stop?.();
    this.#wanted++;
    [this.#names, this.#spellings, this.#prefix] = [[], new Map(), ""];
    [this.#more, this.#code] = [true, ""];
    [this.#next, this.#stop, this.#loaded] = [null, null, -Infinity];
  }

  #begin() {
    this.#stop?.();
    this.#stop = null;
    this.#want(undefined);
  }

  #want(after) {
    this.#next = { number: ++this.#wanted, after };
    if (!this.#isAsking) this.#work();
  }

  async #work() {
    this.#isAsking = true;
    while (this.#next) {
      const next = this.#next;
      this.#next = null;
      this.#changed();
      await this.#page(next);
    }
    this.#isAsking = false;
    this.#changed();
  }

  async #page({ number, after }) {
    const question = { msgType: "GetUsers", Limit: PAGE };
    if (this.#prefix) question.Prefix = this.#prefix;
    if (after !== undefined) question.After = after;
    try {
      const { names, more } = await this.#ask(question);
      if (number === this.#wanted) this.#take(names, more, after === undefined);
    } catch ({ code }) {
      if (number === this.#wanted) this.#code = code;
    }
  }

  #take(names, more, isFirst) {
    const before = isFirst ? [] : this.#names;
    const known = new Set(before);
    const fresh = names.filter((name) => !known.has(name));
    this.#names = [...before, ...fresh].slice(0, NAMES_MOST);
    this.#spellings = new Map(this.#names.map((name) => [fold(name), name]));
    this.#more = more && fresh.length > 0; // an answer without a new name would come again and again
    this.#code = "";
    if (isFirst) this.#loaded = this.#clock.elapsed();
  }
}
