// SPDX-License-Identifier: MIT
//
// The messages of one place (the room, or one person) in order: settled items, followed by our own
// pending ones. An item's number is its position: it stays when the oldest items are dropped, and
// gets lower when items are inserted after it. Pure: the view, if there is one, is notified of every
// change.

const MOST = 6000; // settled items kept
const FORGET = 1000; // the oldest items dropped at once beyond that
export const SAVED_MOST = 500; // items that save() returns
export const SAVED_LENGTH = 256 << 10; // UTF-16 units of them as JSON; older ones are left out
const LAST_TIME = 8.64e15; // ms since 1970; the range of a Date (ECMA-262, "Time Values")

/** A time from a server, or now if a Date cannot hold it. */
export function validTime(time) {
  return Number.isFinite(time) && Math.abs(time) <= LAST_TIME ? time : Date.now();
}

export class Messages {
  #items = [];
  #pending = [];
  #most;
  #forget;
  first = 0; // the number of the oldest item kept
  view = null; // { added(number, live), inserted(number, items), posted(item), changed(item),
  //   gone(item), forgot(), truncated() }

  /** `most` settled items are kept; the oldest `forget` are dropped at once beyond that. `isLive`:
   *  whether its end is the newest message. */
  constructor({ most = MOST, forget = FORGET, isLive = true } = {}) {
    [this.#most, this.#forget, this.isLive] = [most, forget, isLive];
  }

  /** How many settled items there are. */
  get size() {
    return this.#items.length;
  }

  /** The number of the next item. */
  get end() {
    return this.first + this.#items.length;
  }

  get pending() {
    return this.#pending;
  }

  at(number) {
    return this.#items[number - this.first];
  }

  /** Appends an item; `live` unless it is from the history. All times from servers pass through
   *  here and are checked. */
  add(item, live) {
    item.time = validTime(item.time);
    this.#items.push(item);
    this.view?.added(this.end - 1, live);
    if (this.#items.length > this.#most) this.forgetBefore(this.first + this.#forget);
  }

  /** Puts items before the one of this number, which keeps it; those before them get lower ones. */
  insert(number, items) {
    for (const item of items) item.time = validTime(item.time);
    this.#items.splice(number - this.first, 0, ...items);
    this.first -= items.length;
    this.view?.inserted(number, items);
  }

  /** Drops the items before a number. */
  forgetBefore(number) {
    this.#items.splice(0, number - this.first);
    this.first = number;
    this.view?.forgot();
  }

  /** Drops the newest items beyond `most`. */
  truncate(most) {
    if (this.#items.length <= most) return;
    this.#items.length = most;
    this.view?.truncated();
  }

  // ---- Ids. They count within one epoch: a "restart" notice ends the one before ----

  /** The number of the first item of the newest epoch. */
  get epochFirst() {
    return this.first + this.#items.findLastIndex(({ notice }) => notice === "restart") + 1;
  }

  /** The lowest Id from a number on, or undefined. */
  lowestId(from = this.epochFirst) {
    return this.#items.slice(from - this.first).find(({ id }) => id !== undefined)?.id;
  }

  /** The highest Id, or undefined. */
  get highestId() {
    return this.#items.slice(this.epochFirst - this.first).findLast(({ id }) => id !== undefined)?.id;
  }

  /** The number of the item with an Id, or undefined. */
  numberOfId(wanted) {
    const from = this.epochFirst;
    const index = this.#items.slice(from - this.first).findIndex(({ id }) => id === wanted);
    return index < 0 ? undefined : from + index;
  }

  /** The number of a settled item, or undefined. */
  numberOf(item) {
    const index = this.#items.indexOf(item);
    return index < 0 ? undefined : this.first + index;
  }

  // ---- Own pending ones ----

  /** Adds an own pending item, which `key` finds. */
  post(item) {
    this.#pending.push(item);
    this.view?.posted(item);
  }

  /** Finds an own item that is pending or was settled recently. */
  find(key) {
    const same = (item) => item.key === key;
    return this.#pending.find(same) ?? this.#items.findLast(same);
  }

  /** Settles an own item: it moves to the end. Returns it, or undefined. */
  settle(key, changes, live) {
    const item = this.discard(key);
    if (item) this.add(Object.assign(item, changes), live);
    return item;
  }

  change(key, changes) {
    const item = this.find(key);
    if (item) this.alter(item, changes);
  }

  /** Changes an item. */
  alter(item, changes) {
    Object.assign(item, changes);
    this.view?.changed(item);
  }

  /** The newest items that fit, and the pending ones, for restore(). */
  save() {
    const items = [];
    let left = SAVED_LENGTH;
    for (const item of this.#items.slice(-SAVED_MOST).reverse()) {
      left -= JSON.stringify(item).length;
      if (left < 0) break;
      items.unshift(item);
    }
    return { items, pending: this.#pending };
  }

  /** Puts saved items into an empty list. None of them is new to the reader. */
  restore({ items = [], pending = [] }) {
    for (const item of items) this.add({ ...item, fresh: false }, false);
    for (const item of pending) this.post({ ...item, time: validTime(item.time) });
  }

  /** Removes an own item that did not arrive. */
  discard(key) {
    const index = this.#pending.findIndex((item) => item.key === key);
    if (index < 0) return undefined;
    const [item] = this.#pending.splice(index, 1);
    this.view?.gone(item);
    return item;
  }
}
