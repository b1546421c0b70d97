// SPDX-License-Identifier: MIT
//
// The members of the room: OnlineUsers is a state, and each Presence a change of it. In a large room
// the server tells only their number, and then nobody knows who is here without asking. Pure.

import { fold } from "./conversation.js";
import { compareNames, sorted } from "./names.js";

const NAMES_MOST = 10_000; // names of a list; more are only counted

const isNumber = (value) => Number.isSafeInteger(value) && value >= 0;
const textsOf = (list) => (Array.isArray(list) ? list.filter((one) => typeof one === "string") : []);

/** The place of a name in sorted names, or where it belongs. */
function placeOf(names, name) {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareNames(names[middle], name) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

export class Roster {
  #here = new Map(); // folded name -> name; empty while they are only counted
  #names = []; // the same, sorted
  #isListed = true;
  #count = 0;
  #version = Infinity; // of the last message that was taken

  /** Whether the names are known, and not only how many there are. */
  get isListed() {
    return this.#isListed;
  }

  get count() {
    return this.#count;
  }

  /** The names in natural order; empty while they are only counted. */
  get names() {
    return this.#names;
  }

  /** Whether somebody of this name in any spelling is here: true, false, or undefined if unknown. */
  has(name) {
    return this.#isListed ? this.#here.has(fold(name)) : undefined;
  }

  /** A name as its member spells it, or undefined. */
  spelling(name) {
    return this.#here.get(fold(name));
  }

  /**
   * Takes an OnlineUsers or a Presence. Returns null if it is to be passed over; otherwise
   * { isState, joined, left }: whether it replaces all, and the folded names if they are known. A
   * name in both has another connection or other keys now.
   */
  take(message) {
    return message.msgType === "OnlineUsers" ? this.#replace(message) : this.#alter(message);
  }

  #replace({ Users, Count, Version }) {
    const isList = Array.isArray(Users);
    if (!isList && !isNumber(Count)) return null;
    this.#version = isNumber(Version) ? Version : Infinity;
    if (!isList || Users.length > NAMES_MOST) return this.#countOnly(isList ? Users.length : Count, true);
    this.#here = new Map(textsOf(Users).map((name) => [fold(name), name]));
    this.#names = sorted(this.#here.values());
    this.#isListed = true;
    this.#count = this.#here.size;
    return { isState: true, joined: new Set(), left: new Set() };
  }

  #countOnly(count, isState) {
    this.#here = new Map();
    this.#names = [];
    this.#isListed = false;
    this.#count = count;
    return { isState, joined: new Set(), left: new Set() };
  }

  #alter({ Version, Count, Joined, Left }) {
    if (!isNumber(Version) || Version <= this.#version) return null;
    const hasNames = Array.isArray(Joined) || Array.isArray(Left);
    if (!hasNames && !isNumber(Count)) return null;
    this.#version = Version;
    if (!this.#isListed || !hasNames) return this.#countOnly(isNumber(Count) ? Count : this.#count, false);
    const [joined, left] = [textsOf(Joined), textsOf(Left)];
    if (joined.length > NAMES_MOST) return this.#countOnly(isNumber(Count) ? Count : joined.length, false);
    left.forEach((name) => this.#remove(name));
    joined.forEach((name) => this.#add(name));
    this.#count = this.#here.size;
    if (this.#count > NAMES_MOST) return this.#countOnly(this.#count, false);
    return { isState: false, joined: new Set(joined.map(fold)), left: new Set(left.map(fold)) };
  }

  #remove(name) {
    const found = this.spelling(name);
    if (found === undefined) return;
    this.#here.delete(fold(name));
    this.#names.splice(placeOf(this.#names, found), 1);
  }

  #add(name) {
    this.#remove(name); // another spelling
    this.#here.set(fold(name), name);
    this.#names.splice(placeOf(this.#names, name), 0, name);
  }
}
