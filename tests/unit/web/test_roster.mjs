// SPDX-License-Identifier: MIT
// Who is here: states, changes of them, and rooms that are only counted.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Roster } from "../../../web/roster.js";

const state = (Version, Users, more) => ({ msgType: "OnlineUsers", Version, Count: Users.length, Users, ...more });
const counted = (Version, Count) => ({ msgType: "OnlineUsers", Version, Count });
const change = (Since, Version, more) => ({ msgType: "Presence", Since, Version, Count: 0, ...more });

function rosterOf(...messages) {
  const roster = new Roster();
  for (const message of messages) roster.take(message);
  return roster;
}

const told = ({ isState, joined, left }) => [isState, [...joined], [...left]];

test("a state replaces all, in natural order", () => {
  const roster = new Roster();
  assert.deepEqual([roster.isListed, roster.count, roster.has("ana")], [true, 0, false]);
  assert.deepEqual(told(roster.take(state(5, ["b10", "Zoë", "b2", "ana"]))), [true, [], []]);
  assert.deepEqual(roster.names, ["ana", "b2", "b10", "Zoë"]);
  assert.deepEqual([roster.count, roster.has("zoë"), roster.spelling("ANA"), roster.has("b1")], [4, true, "ana", false]);
  roster.take(state(2, ["cem"])); // of another server: versions begin again
  assert.deepEqual(roster.names, ["cem"]);
});

test("a change takes Left off, then adds Joined, and tells who it is about", () => {
  const roster = rosterOf(state(1, ["Ana", "bo", "cem"]));
  assert.deepEqual(told(roster.take(change(1, 2, { Joined: ["dora"], Left: ["bo"] }))), [false, ["dora"], ["bo"]]);
  assert.deepEqual(roster.names, ["Ana", "cem", "dora"]);
  assert.deepEqual(told(roster.take(change(2, 3, { Joined: ["ANA"], Left: ["Ana"] }))), [false, ["ana"], ["ana"]]);
  assert.deepEqual([roster.names, roster.count], [["ANA", "cem", "dora"], 3]);
  roster.take(change(3, 4, { Left: ["nobody"], Joined: ["cem"] }));
  assert.deepEqual(roster.names, ["ANA", "cem", "dora"]);
});

test("many changes give what a list would", () => {
  const roster = rosterOf(state(0, []));
  const here = new Set();
  let number = 1;
  for (let version = 1; version <= 500; version++) {
    number = (number * 48271) % 2147483647;
    const name = `n${number % 60}`;
    const list = here.has(name) ? "Left" : "Joined";
    if (list === "Left") here.delete(name);
    else here.add(name);
    assert.ok(roster.take(change(version - 1, version, { [list]: [name] })));
    assert.deepEqual(roster.names, rosterOf(state(1, [...here])).names);
  }
});

test("a change that is in the list already is passed over", () => {
  const roster = rosterOf(state(7, ["ana"]));
  for (const version of [3, 7]) assert.equal(roster.take(change(1, version, { Joined: ["bo"] })), null);
  assert.ok(roster.take(change(5, 8, { Joined: ["bo"] })));
  assert.equal(roster.take(change(5, 8, { Joined: ["cem"] })), null);
  assert.deepEqual(roster.names, ["ana", "bo"]);
});

test("in a large room only the number is known", () => {
  const roster = rosterOf(counted(9, 5000));
  assert.deepEqual([roster.isListed, roster.count, roster.names], [false, 5000, []]);
  assert.deepEqual([roster.has("ana"), roster.spelling("ana")], [undefined, undefined]);
  assert.deepEqual(told(roster.take(change(9, 10, { Count: 5001 }))), [false, [], []]);
  assert.equal(roster.take(change(9, 10, { Count: 7 })), null);
  assert.equal(roster.count, 5001);
  roster.take(state(11, ["ana"]));
  assert.deepEqual([roster.isListed, roster.has("ana"), roster.count], [true, true, 1]);
});

test("a room that grows too large drops its list", () => {
  const roster = rosterOf(state(1, ["ana", "bo"]), change(1, 2, { Count: 2001 }));
  assert.deepEqual([roster.isListed, roster.count, roster.has("ana"), roster.names], [false, 2001, undefined, []]);
  roster.take(change(2, 3, { Count: 2002, Joined: ["cem"] })); // a list that begins with a change is none
  assert.deepEqual([roster.isListed, roster.count], [false, 2002]);
});

test("no server makes the page keep names without end", () => {
  const many = Array.from({ length: 10_001 }, (_, number) => `n${number}`);
  assert.deepEqual([rosterOf(state(1, many)).isListed, rosterOf(state(1, many)).count], [false, 10_001]);
  const roster = rosterOf(state(1, many.slice(1)));
  assert.equal(roster.isListed, true);
  roster.take(change(1, 2, { Joined: ["one more"] }));
  assert.deepEqual([roster.isListed, roster.names.length], [false, 0]);
});

test("names of a change are counted before they are inserted, each of which costs a step for all", () => {
  const roster = rosterOf(state(1, ["ana"]));
  assert.ok(roster.take(change(1, 2, { Count: 3, Joined: new Array(10_001).fill("bo") })));
  assert.deepEqual([roster.isListed, roster.count], [false, 3]);
});

test("what is no message of these is passed over", () => {
  const roster = rosterOf(state(1, ["ana"]));
  for (const wrong of [{ Users: "ana" }, { Users: null }, { Count: "3" }, { Count: -1 }, { Count: 1.5 }, {}]) {
    assert.equal(roster.take({ msgType: "OnlineUsers", Version: 2, ...wrong }), null);
  }
  for (const Version of [undefined, "9", -1, 1.5, null]) {
    assert.equal(roster.take(change(1, Version, { Joined: ["bo"] })), null);
  }
  assert.equal(roster.take(change(1, 9, { Count: "1", Joined: "bo" })), null);
  assert.ok(roster.take(change(1, 2, { Joined: [7, "bo", null], Left: {} })));
  assert.deepEqual(roster.names, ["ana", "bo"]);
  assert.equal(new Roster().take(change(0, 1, { Joined: ["bo"] })), null, "before the first state");
});
