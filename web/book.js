// SPDX-License-Identifier: MIT
//
// What was said in one place (the room, or with one person), in order: the items that have their
// place for good, and behind them our own that are still on their way. An item's number is its place
// since the beginning and never changes, even when the oldest items are forgotten. Pure: the view, if
// one shows this book, is told of every change.

const MOST = 6000; // items that are kept
const FORGET = 1000; // so many go at once when there are more

export class Book {
  #items = [];
  #pending = [];
  first = 0; // the number of the oldest item that is still here
  view = null; // { added(number, live), posted(item), changed(item), gone(item), forgot() }

  /** The number that the next item will have. */
  get end() {
    return this.first + this.#items.length;
  }

  get pending() {
    return this.#pending;
  }

  at(number) {
    return this.#items[number - this.first];
  }

  /** Puts an item at the end; `live` if it was said just now, and not read from the history. */
  add(item, live) {
    this.#items.push(item);
    this.view?.added(this.end - 1, live);
    if (this.#items.length <= MOST) return;
    this.#items.splice(0, FORGET);
    this.first += FORGET;
    this.view?.forgot();
  }

  /** Takes an own item that is on its way; `key` finds it again. */
  post(item) {
    this.#pending.push(item);
    this.view?.posted(item);
  }

  /** An own item that is on its way, or arrived lately. */
  find(key) {
    const same = (item) => item.key === key;
    return this.#pending.find(same) ?? this.#items.findLast(same);
  }

  /** An own item arrived: it gets its place at the end. Gives it back, or undefined. */
  settle(key, changes, live) {
    const item = this.discard(key);
    if (item) this.add(Object.assign(item, changes), live);
    return item;
  }

  change(key, changes) {
    const item = this.find(key);
    if (!item) return;
    Object.assign(item, changes);
    this.view?.changed(item);
  }

  /** Forgets an own item that did not arrive. */
  discard(key) {
    const index = this.#pending.findIndex((item) => item.key === key);
    if (index < 0) return undefined;
    const [item] = this.#pending.splice(index, 1);
    this.view?.gone(item);
    return item;
  }
}
