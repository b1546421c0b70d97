// SPDX-License-Identifier: MIT
// Faces and colours: letters, who has which colour, and what the style sheet makes of it.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Colours, COLOURS, initials } from "../../../web/names.js";

test("a face has one or two letters", () => {
  for (const [name, letters] of [
    ["ana", "An"], ["Grandma Rose", "GR"], ["b0", "B0"], ["x", "X"], ["李雷", "李"], ["李 雷", "李雷"], ["(bo)", "Bo"],
    ["😀", "😀"], ["éva-łucja", "ÉŁ"], ["~", "~"], ["a 😀", "A"],
  ]) {
    assert.equal(initials(name), letters, name);
  }
});

test("a colour is the same for each spelling, and no two of those present share one", () => {
  const crowd = Array.from({ length: COLOURS }, (_, number) => `b${number}`);
  assert.equal(new Colours().of("Ana"), new Colours().of("ＡＮＡ"));
  const colours = new Colours();
  assert.equal(new Set(crowd.map((name) => colours.of(name))).size, COLOURS);
  const before = crowd.map((name) => colours.of(name));
  assert.equal(colours.setPresent(crowd), false);
  assert.deepEqual(crowd.map((name) => colours.of(name)), before, "they stay as they are");
});

test("names of the history give way to those present", () => {
  const colours = new Colours();
  const all = Array.from({ length: 5 * COLOURS }, (_, number) => `someone ${number}`);
  all.forEach((name) => colours.of(name));
  for (let from = 0; from < all.length; from += 7) {
    const here = all.slice(from, from + COLOURS);
    colours.setPresent(here);
    assert.equal(new Set(here.map((name) => colours.of(name))).size, here.length);
    assert.equal(colours.setPresent(here), false, "settled");
  }
});

test("in a crowd each colour is taken about as often as any other", () => {
  const colours = new Colours();
  const crowd = Array.from({ length: 10 * COLOURS }, (_, number) => `b${number}`);
  colours.setPresent(crowd);
  const times = new Array(COLOURS).fill(0);
  for (const name of crowd) times[colours.of(name)]++;
  assert.deepEqual(times, new Array(COLOURS).fill(10));
  for (let number = 0; number < 2000; number++) colours.of(`stranger ${number}`);
  const kept = crowd.map((name) => colours.of(name));
  colours.setPresent(crowd);
  assert.deepEqual(crowd.map((name) => colours.of(name)), kept, "the present are not forgotten");
});

// ---- The style sheet ----

const css = readFileSync(new URL("../../../web/style.css", import.meta.url), "utf8");
const [light, dark] = [...css.matchAll(/:root \{\s*([^}]*--ground[^}]*)\}/gu)].map(([, rules]) =>
  Object.fromEntries([...rules.matchAll(/--([\w-]+): (#[\da-f]{6});/gu)].map(([, name, value]) => [name, value])));
const SCHEMES = { light, dark };

/** The linear red, green and blue of "#rrggbb" (WCAG 2.2, relative luminance). */
const linear = (colour) => [1, 3, 5].map((at) => {
  const part = parseInt(colour.slice(at, at + 2), 16) / 255;
  return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
});

function luminance(colour) {
  const [red, green, blue] = linear(colour);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one, other) {
  const [less, more] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (more + 0.05) / (less + 0.05);
}

/** A colour in Oklab, where distances are as large as they look. */
function oklab(colour) {
  const [r, g, b] = linear(colour);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [
    0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s,
    1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s,
    0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s,
  ];
}

const difference = (one, other) => Math.hypot(...oklab(one).map((part, axis) => part - oklab(other)[axis]));

test("each name can be read on each bubble, and the letters on each face", () => {
  for (const [scheme, values] of Object.entries(SCHEMES)) {
    for (let number = 0; number < COLOURS; number++) {
      const colour = values[`c${number}`];
      for (const ground of ["ground", "surface", "raised", "own", "mention", "on-face"]) {
        assert.ok(contrast(colour, values[ground]) >= 4.5, `${scheme}: c${number} on ${ground}`);
      }
    }
  }
});

test("no two colours of names look alike", () => {
  for (const [scheme, values] of Object.entries(SCHEMES)) {
    for (let one = 0; one < COLOURS; one++) {
      for (let other = 0; other < one; other++) {
        const apart = difference(values[`c${one}`], values[`c${other}`]);
        assert.ok(apart > 0.09, `${scheme}: c${one} and c${other} differ by ${apart.toFixed(3)}`);
      }
    }
    assert.equal(values[`c${COLOURS}`], undefined, "and there are no more than the page uses");
  }
});

test("in the dark the side list, the ground and the bubbles are told apart", () => {
  assert.ok(contrast(dark.raised, dark.ground) >= 1.2, "list and log");
  assert.ok(contrast(dark.surface, dark.ground) >= 1.4, "bubbles and log");
  assert.ok(contrast(dark.surface, dark.raised) >= 1.15, "bubbles and the private pane");
  assert.ok(contrast(dark.line, dark.raised) >= 1.6, "the line between");
});
