// SPDX-License-Identifier: MIT
//
// User names: validity (checked before the server does), sort order, completion with Tab, initials,
// and a colour for each. Pure.

import { fold } from "./conversation.js";
import { locale } from "./strings.js";

const LONGEST = 32; // characters, see docs/PROTOCOL.md
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cn}\p{Cs}\p{Zl}\p{Zp}\u115F\u1160\u3164\uFFA0]/u;

/** The problem with a name: null, or the key of a string and its argument. */
export function problem(name) {
  const length = [...name].length;
  if (length === 0) return ["nameEmpty"];
  if (length > LONGEST) return ["nameLong", length];
  return INVISIBLE.test(name) ? ["nameInvisible"] : null;
}

const LETTER = /[\p{L}\p{N}]/u;
const WIDE = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/u;
const STEP = 5; // to the next colour that is tried: far from the first, and in time to each

const collator = new Intl.Collator(locale, { numeric: true });

/** The natural order of two names: "ana" before "Zoë", and "b2" before "b10". */
export function compareNames(a, b) {
  return collator.compare(a, b) || (a < b ? -1 : Number(a > b));
}

export function sorted(names) {
  return [...names].sort(compareNames);
}

/** One or two letters for a face: "AM" for "ana maría", "Bo" for "bo", "李" for "李雷". */
export function initials(name) {
  const [first = "", second] = name.trim().split(/[\s._-]+/u).filter((word) => LETTER.test(word));
  const [one = [...name][0], two = ""] = [...first].filter((letter) => LETTER.test(letter));
  if (second) return one.toUpperCase() + [...second].find((letter) => LETTER.test(letter)).toUpperCase();
  return WIDE.test(one + two) ? one : one.toUpperCase() + two;
}

export const COLOURS = 12; // in the style sheet
const NAMES_MOST = 500; // names whose colour is kept; beyond that the absent ones are forgotten

/** A colour for each name: a number below COLOURS. A name prefers always the same one, and takes
 *  another while somebody else has that. */
export class Colours {
  #taken = new Map(); // folded name -> colour

  of(name) {
    const key = fold(name);
    if (!this.#taken.has(key)) this.#taken.set(key, this.#pick(key, this.#taken.values()));
    return this.#taken.get(key);
  }

  /** Resolves collisions among these names. Returns whether a colour changed. */
  setPresent(names) {
    const here = new Set(names.map(fold));
    if (this.#taken.size > NAMES_MOST) {
      for (const key of this.#taken.keys()) if (!here.has(key)) this.#taken.delete(key);
    }
    const used = new Map(); // colour -> the one who keeps it
    for (const key of here) {
      const colour = this.#taken.get(key);
      if (colour !== undefined && !used.has(colour)) used.set(colour, key);
    }
    let changed = false;
    for (const key of here) {
      const colour = this.#taken.get(key);
      if (used.get(colour) === key || (colour !== undefined && used.size === COLOURS)) continue;
      changed ||= colour !== undefined;
      this.#taken.set(key, this.#pick(key, used.size < COLOURS ? used.keys() : this.#taken.values()));
      used.set(this.#taken.get(key), key);
    }
    return changed;
  }

  /** The preferred colour of a name, or the next one that is taken least often. */
  #pick(key, taken) {
    const times = new Array(COLOURS).fill(0);
    for (const colour of taken) times[colour]++;
    const least = Math.min(...times);
    let colour = hash(key) % COLOURS;
    while (times[colour] > least) colour = (colour + STEP) % COLOURS;
    return colour;
  }
}

/** FNV-1a with a final mixing, so that the last letter reaches all bits. */
function hash(text) {
  let sum = 2166136261;
  for (const character of text) sum = Math.imul(sum ^ character.codePointAt(0), 16777619);
  sum = Math.imul(sum ^ (sum >>> 15), 0x2c1b3c6d);
  return (sum ^ (sum >>> 13)) >>> 0;
}

/** The partial name before the caret: its start and its letters. */
export function beginning(before) {
  const found = /@([^\s@]*)$/u.exec(before) ?? /(?<!\S)([^\s@]+)$/u.exec(before);
  return found && { at: found.index, letters: found[1] };
}

/** The completion: "@name ", or after "/msg " the name as that command parses it. */
export function completion(before, name) {
  if (!/^\s*\/msg\s+$/u.test(before)) return `@${name} `;
  return /\s/u.test(name) ? `"${name}" ` : `${name} `;
}

/** The names with this prefix, in the order of `names`. */
export function completions(names, letters) {
  const folded = fold(letters);
  return names.filter((name) => fold(name).startsWith(folded));
}
