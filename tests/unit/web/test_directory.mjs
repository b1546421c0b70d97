// SPDX-License-Identifier: MIT
// Names on demand: pages, beginnings, and a server that answers late, wrongly or not at all.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Directory } from "../../../web/directory.js";
import { Questions, USERS } from "../../../web/questions.js";
import { Clock, until } from "./clock.mjs";

const name = (number) => `n${String(number).padStart(5, "0")}`;
const range = (from, to) => Array.from({ length: to - from }, (_, index) => name(from + index));

/** A directory of a room with so many members, whose answers wait for answer(). */
function room(count) {
  const clock = new Clock();
  const waiting = [];
  const asked = [];
  let changes = 0;
  const members = range(0, count);
  const ask = (question) => {
    asked.push(question);
    return new Promise((resolve, reject) => waiting.push({ question, resolve, reject }));
  };
  const directory = new Directory(ask, () => changes++, clock);
  const answer = async (more) => {
    const { question: { Prefix = "", After = "", Limit }, resolve } = waiting.shift();
    const found = members.filter((one) => one.startsWith(Prefix) && one > After);
    resolve({ names: found.slice(0, Limit), more: found.length > Limit, ...more });
    await turns();
  };
  const refuse = async (code) => {
    waiting.shift().reject({ code });
    await turns();
  };
  return { directory, clock, asked, waiting, members, answer, refuse, changes: () => changes };
}

const turns = async () => {
  for (let n = 0; n < 10; n++) await Promise.resolve();
};

test("pages follow each other, one question at a time", async () => {
  const { directory, asked, answer } = room(250);
  assert.deepEqual([directory.hasMore, directory.isBegun, directory.names], [true, false, []]);
  directory.more();
  directory.more();
  assert.deepEqual(asked, [{ msgType: "GetUsers", Limit: 100 }]);
  assert.equal(directory.isAsking, true);
  await answer();
  assert.deepEqual([directory.names, directory.isAsking, directory.hasMore], [range(0, 100), false, true]);
  directory.more();
  assert.deepEqual(asked[1], { msgType: "GetUsers", Limit: 100, After: name(99) });
  await answer();
  directory.more();
  await answer();
  assert.deepEqual([directory.names, directory.hasMore], [range(0, 250), false]);
  directory.more();
  assert.equal(asked.length, 3);
});

test("a beginning is looked for after a pause in typing, and only the last one", async () => {
  const { directory, clock, asked, answer } = room(250);
  for (const prefix of ["n", "n0", "n001"]) {
    directory.search(prefix);
    clock.pass(200);
  }
  directory.more(); // the end of the list came into view meanwhile
  assert.equal(asked.length, 0);
  clock.pass(100);
  assert.deepEqual(asked, [{ msgType: "GetUsers", Limit: 100, Prefix: "n001" }]);
  await answer();
  assert.deepEqual(directory.names, range(100, 200));
  directory.search("");
  clock.pass(300);
  await answer();
  assert.deepEqual([asked[1].Prefix, directory.names], [undefined, range(0, 100)]);
});

test("an answer to what is not wanted any more is dropped", async () => {
  const { directory, clock, asked, answer, waiting } = room(250);
  directory.more();
  directory.search("n0024");
  clock.pass(300);
  assert.equal(waiting.length, 1, "the second question waits for the first answer");
  await answer();
  assert.deepEqual(directory.names, []);
  await answer();
  assert.deepEqual([directory.names, asked.length], [range(240, 250), 2]);
  directory.search("n0023");
  clock.pass(300);
  directory.clear();
  await answer();
  assert.deepEqual([directory.names, directory.isBegun, directory.hasMore], [[], false, true]);
});

test("names are found in any spelling", async () => {
  const { directory, answer } = room(0);
  directory.more();
  await answer({ names: ["Ana", "bo"], more: false });
  assert.deepEqual([directory.spelling("ANA"), directory.has("bo"), directory.has("cem")], ["Ana", true, false]);
  directory.clear();
  assert.equal(directory.has("bo"), false);
});

test("a failed question is asked again only when somebody wants to", async () => {
  const { directory, asked, answer, refuse } = room(150);
  directory.more();
  await refuse("lost");
  assert.deepEqual([directory.code, directory.isBegun, directory.hasMore, asked.length], ["lost", false, true, 1]);
  directory.more();
  await answer();
  assert.deepEqual([directory.code, directory.names.length], ["", 100]);
  directory.more();
  await refuse("too_fast");
  assert.deepEqual([directory.code, directory.names.length], ["too_fast", 100]);
  directory.more();
  await answer();
  assert.deepEqual([directory.code, directory.names.length], ["", 150]);
});

test("an answer without a new name is the last one", async () => {
  const { directory, answer } = room(0);
  directory.more();
  await answer({ names: ["a", "b"], more: true });
  directory.more();
  await answer({ names: ["a", "b"], more: true });
  assert.deepEqual([directory.names, directory.hasMore], [["a", "b"], false]);
});

test("only so many names are shown", async () => {
  const { directory, asked, answer } = room(3000);
  for (let page = 0; page < 20; page++) {
    directory.more();
    await answer();
  }
  assert.deepEqual([directory.names.length, directory.hasMore, directory.isFull], [2000, false, true]);
  directory.more();
  assert.equal(asked.length, 20);
});

test("the first page is asked for again when it is old, and after another connection", async () => {
  const { directory, clock, asked, answer, members } = room(150);
  directory.refresh();
  directory.restart();
  assert.equal(asked.length, 0, "nobody has looked yet");
  directory.more();
  await answer();
  clock.pass(59_999);
  directory.refresh();
  assert.equal(asked.length, 1);
  clock.pass(1);
  members.shift();
  directory.refresh();
  assert.deepEqual(directory.names, range(0, 100), "the old names stay until the answer");
  await answer();
  assert.deepEqual(directory.names, range(1, 101));
  directory.more();
  await answer();
  clock.pass(60_000);
  directory.refresh();
  assert.equal(asked.length, 3, "somebody has scrolled");
  directory.restart();
  assert.equal(asked.length, 4);
});

test("a lost connection fails the question, and the next one asks again", async () => {
  const sent = [];
  const questions = new Questions(USERS, (message) => sent.push(message) > 0);
  const directory = new Directory((question) => questions.ask(question), () => {}, new Clock());
  directory.more();
  await until(() => sent.length === 1);
  questions.lost();
  await until(() => directory.code === "lost");
  directory.restart();
  await until(() => sent.length === 2);
  assert.equal(questions.feed({ msgType: "Users", Ref: sent[0].Ref, Users: ["late"] }), true);
  assert.equal(questions.feed({ msgType: "Users", Ref: "past-0", Users: ["other"] }), false);
  const Users = ["ana", 7, "bo", "ana", null];
  assert.equal(questions.feed({ msgType: "Users", Ref: sent[1].Ref, Users, More: false }), true);
  await until(() => directory.isBegun);
  assert.deepEqual([directory.names, directory.hasMore, directory.code], [["ana", "bo"], false, ""]);
});

test("Users are taken as far as they make sense", async () => {
  for (const [answer, expected] of [
    [{ Users: ["a", "b", "c"], More: true }, { names: ["a", "b"], more: true }],
    [{ Users: [], More: true }, { names: [], more: false }],
    [{ Users: ["a"], More: 1 }, { names: ["a"], more: false }],
    [{ Users: "a" }, { names: [], more: false }],
    [{}, { names: [], more: false }],
  ]) {
    const sent = [];
    const questions = new Questions(USERS, (message) => sent.push(message) > 0);
    const asked = questions.ask({ msgType: "GetUsers", Limit: 2 });
    await until(() => sent.length === 1);
    questions.feed({ msgType: "Users", Ref: sent[0].Ref, ...answer });
    assert.deepEqual(await asked, expected);
  }
});
