// SPDX-License-Identifier: MIT
//
// Names of people: which are allowed (before the server says no), what Tab makes of the first letters
// of one, and a colour for each. Pure.

import { fold } from "./conversation.js";

const LONGEST = 32; // characters, as docs/PROTOCOL.md has it
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cn}\p{Cs}\p{Zl}\p{Zp}\u115F\u1160\u3164\uFFA0]/u;

/** What is wrong with a name: null, or the key of a string and its argument. */
export function problem(name) {
  const length = [...name].length;
  if (length === 0) return ["nameEmpty"];
  if (length > LONGEST) return ["nameLong", length];
  return INVISIBLE.test(name) ? ["nameInvisible"] : null;
}

/** A hue from 0 to 359 for a name, always the same one. */
export function hue(name) {
  let hash = 2166136261; // FNV-1a
  for (const character of fold(name)) {
    hash = Math.imul(hash ^ character.codePointAt(0), 16777619) >>> 0;
  }
  return hash % 360;
}

/** The beginning of a name that stands before the caret: where it starts, and its letters. */
export function beginning(before) {
  const found = /@([^\s@]*)$/u.exec(before) ?? /(?<!\S)([^\s@]+)$/u.exec(before);
  return found && { at: found.index, letters: found[1] };
}

/** The names that begin with these letters, in the order of `names`. */
export function completions(names, letters) {
  const folded = fold(letters);
  return names.filter((name) => fold(name).startsWith(folded));
}
