// SPDX-License-Identifier: MIT
// The past of the room: questions to the server, pages of it, results of a search, what was missed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Messages } from "../../../web/messages.js";
import { PAST, Questions } from "../../../web/questions.js";
import { RoomPast } from "../../../web/room_past.js";
import { excerpt } from "../../../web/search_dialog.js";

const EPOCH = "e1";
const broadcast = (Id) => ({ msgType: "Broadcast", SrcUser: "bo", text: `line ${Id}`, Id, Time: Id });
const itemOf = ({ SrcUser, text, Id, Time }) => ({ kind: "message", author: SrcUser, own: false, text, id: Id, time: Time });
const turns = async (count = 20) => { for (let n = 0; n < count; n++) await null; };

/** A room on a server that has the Ids from `oldest` to `newest`, and a page that has the last `shown`.
 *  `list` is where the reader is. */
function room({ oldest = 1, newest = 100, shown = 5 } = {}) {
  const live = new Messages();
  const asked = [];
  const told = [];
  const server = { oldest, newest, epoch: EPOCH, fails: null, gone: new Set() };
  const ask = async ({ Before = server.newest + 1, Count }) => {
    asked.push(Before);
    await null;
    if (server.fails) throw { code: server.fails };
    const from = Math.max(server.oldest, Before - Count);
    const ids = Array.from({ length: Math.max(0, Math.min(Before, server.newest + 1) - from) }, (_, n) => from + n);
    const messages = ids.filter((id) => !server.gone.has(id)).map(broadcast);
    return { messages, epoch: server.epoch, from, more: from > server.oldest };
  };
  const list = {
    messages: null, place: { id: 1, offset: 0 }, pointed: null, elsewhere: 0, checks: 0,
    show(messages, place) { [this.messages, this.at, messages.view] = [messages, place, null]; },
    point(messages, id) { this.show(messages); this.pointed = id; },
    heardElsewhere() { this.elsewhere++; },
    check() { this.checks++; },
  };
  const past = new RoomPast(live, list, ask, itemOf, {
    busy: (code) => told.push(code),
    begins: () => ({ kind: "notice", notice: "begin", text: "" }),
    mended: (item) => live.alter(item, { notice: "away" }),
  });
  list.show(live);
  past.joined(EPOCH, oldest);
  const say = (id) => live.add({ ...itemOf(broadcast(id)), fresh: true }, true);
  for (let id = newest - shown + 1; id <= newest; id++) say(id);
  return { live, past, list, server, asked, told, say };
}

const idsOf = (messages) =>
  Array.from({ length: messages.size }, (_, n) => messages.at(messages.first + n).id).filter((id) => id !== undefined);
const range = (from, to) => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const noticesOf = (messages) =>
  Array.from({ length: messages.size }, (_, n) => messages.at(messages.first + n).notice).filter(Boolean);

// ---- The lists ----

test("items are inserted before a number, which keeps its item", () => {
  const messages = new Messages();
  for (const id of [7, 8, 9]) messages.add({ id, time: 0 }, true);
  const told = [];
  messages.view = { inserted: (number, items) => told.push([number, items.length]) };
  messages.insert(0, [{ id: 5, time: 0 }, { id: 6, time: NaN }]);
  assert.deepEqual([messages.first, messages.end, messages.at(0).id, messages.at(-1).id], [-2, 3, 7, 6]);
  assert.ok(Number.isFinite(messages.at(-1).time));
  messages.insert(1, [{ id: 7.5, time: 0 }]);
  assert.deepEqual(idsOf(messages), [5, 6, 7, 7.5, 8, 9]);
  assert.deepEqual([messages.at(1).id, messages.at(0).id, messages.numberOfId(5)], [8, 7.5, -3]);
  assert.deepEqual(told, [[0, 2], [1, 1]]);
});

test("Ids count from the last restart on", () => {
  const messages = new Messages();
  for (const item of [{ id: 7 }, { notice: "restart" }, {}, { id: 1 }, { id: 2 }]) messages.add({ ...item, time: 0 }, true);
  assert.deepEqual([messages.lowestId(), messages.highestId, messages.numberOfId(7)], [1, 2, undefined]);
  assert.equal(messages.numberOfId(2), 4);
  messages.truncate(3);
  assert.deepEqual([messages.end, messages.lowestId(), messages.highestId], [3, undefined, undefined]);
});

// ---- Scrolling ----

test("pages come before the oldest message until there is none, and then a notice", async () => {
  const { live, past, told, asked } = room({ newest: 112 });
  for (let n = 0; n < 6; n++) await past.older();
  assert.deepEqual(idsOf(live), range(1, 112));
  assert.deepEqual(asked, [108, 58, 8], "nothing is asked for at the beginning");
  assert.deepEqual(noticesOf(live), ["begin"]);
  assert.equal(live.at(live.first).notice, "begin");
  assert.deepEqual(told, [true, false, true, false, true, false]);
});

test("two questions about the same page are one", async () => {
  const { live, past, asked } = room();
  await Promise.all([past.older(), past.older(), past.older()]);
  assert.deepEqual([asked.length, idsOf(live)], [1, range(46, 100)]);
});

test("nothing is asked for where the server keeps nothing", async () => {
  const { past, asked } = room();
  past.joined(EPOCH, undefined);
  await past.older();
  past.joined(EPOCH, 96);
  await past.older();
  assert.deepEqual(asked, []);
});

test("pages without a message are passed over", async () => {
  const { live, past, server, asked } = room({ newest: 300 });
  server.gone = new Set(range(101, 295));
  await past.older();
  assert.deepEqual([idsOf(live)[0], idsOf(live).length], [96, 10], "96 to 100, and what was shown");
  assert.deepEqual(asked, [296, 246, 196, 146]);
});

test("a failure is told, and the next time it is asked again", async () => {
  const { live, past, server, told } = room();
  server.fails = "unavailable";
  await past.older();
  assert.deepEqual([told, live.size], [[true, "unavailable"], 5]);
  server.fails = null;
  await past.older();
  assert.equal(live.size, 55);
});

test("pages of another epoch are not mixed in, and none is put above one", async () => {
  const { live, past, server, say, asked } = room();
  server.epoch = "e2";
  await past.older();
  assert.equal(live.size, 5);
  past.joined("e2", 1);
  live.add({ kind: "notice", notice: "restart", time: 0 }, true);
  say(1);
  asked.length = 0;
  await past.older();
  assert.deepEqual([live.size, asked], [7, []]);
});

test("an answer for a list that is not shown any more changes nothing", async () => {
  const { live, past } = room({ newest: 1000 });
  await past.jump(500);
  const older = past.older();
  past.toNewest();
  await older;
  assert.deepEqual(idsOf(live), range(996, 1000));
});

test("a long way up stays within bounds, and leads back to the newest without a gap", async () => {
  const { live, past, list, say } = room({ newest: 6000 });
  let most = 0;
  for (let n = 0; n < 100; n++) {
    await past.older();
    list.place = { id: list.messages.lowestId(), offset: 0 };
    most = Math.max(most, list.messages === live ? 0 : list.messages.size);
  }
  assert.ok(live.size <= 3100 && most <= 1000, `${live.size}, ${most}`);
  assert.notEqual(list.messages, live);
  const ids = idsOf(list.messages);
  assert.deepEqual(ids, range(ids[0], ids.at(-1)), "no gap in the other list");
  say(6001);
  assert.equal(list.elsewhere, 1, "what is said meanwhile is counted");
  for (let n = 0; n < 100 && list.messages !== live; n++) {
    list.place = { id: list.messages.highestId, offset: 0 };
    await past.newer();
  }
  assert.equal(list.messages, live);
  const all = idsOf(live);
  assert.deepEqual(all, range(all[0], 6001));
  assert.ok(live.numberOfId(list.at.id) !== undefined, "the reader is where they were");
});

// ---- Results of a search ----

test("a result is shown in its surroundings, and scrolling down leads to the newest", async () => {
  const { live, past, list, server } = room({ newest: 400 });
  server.gone = new Set(range(130, 250));
  let closed = 0;
  assert.equal(await past.jump(100, () => closed++), undefined);
  assert.deepEqual([list.pointed, closed], [100, 1]);
  assert.deepEqual(idsOf(list.messages), range(76, 125));
  for (let n = 0; n < 20 && list.messages !== live; n++) {
    list.place = { id: list.messages.highestId, offset: 0 };
    await past.newer();
  }
  assert.equal(list.messages, live);
  assert.deepEqual(idsOf(live).slice(-160), [...range(120, 129), ...range(251, 400)].slice(-160));
});

test("a result that is shown already is only looked at", async () => {
  const { live, past, list, asked } = room();
  await past.jump(98);
  assert.deepEqual([list.messages, list.pointed, asked], [live, 98, []]);
});

test("a result that is gone, or cannot be read, is told", async () => {
  const { live, past, list, server } = room();
  server.gone.add(10);
  assert.equal(await past.jump(10), "gone");
  server.fails = "unavailable";
  assert.equal(await past.jump(20), "unavailable");
  assert.equal(list.messages, live);
});

test("an own message, and another epoch, lead back to the newest", async () => {
  const { live, past, list } = room();
  await past.jump(10);
  live.post({ key: "k", own: true, text: "", time: 0 });
  assert.equal(list.messages, live);
  await past.jump(10);
  past.joined("e2", 1);
  assert.equal(list.messages, live);
});

// ---- What was missed ----

/** The page has seen 20; the server says 41 to 43 after it comes back. */
function returned(newest) {
  const all = room({ newest: 20 });
  const item = { kind: "notice", notice: "missed", time: 0 };
  all.live.add(item, true);
  all.past.missed(item, 20);
  all.server.newest = newest;
  for (const id of [newest - 2, newest - 1, newest]) all.say(id);
  return { ...all, item };
}

test("what was missed is put where it belongs, page by page", async () => {
  const { live, past, item, asked, say } = returned(343);
  past.online();
  await turns(4);
  say(344);
  await turns(60);
  assert.deepEqual(idsOf(live), range(16, 344));
  assert.equal(item.notice, "away");
  assert.deepEqual(asked, [341, 241, 141, 41]);
  assert.equal(live.numberOf(item), live.numberOfId(21) - 1);
  assert.ok(live.at(live.numberOfId(100)).fresh);
});

test("if the server has only a part of it, the notice stays", async () => {
  const { live, past, item, server } = returned(100);
  server.oldest = 90;
  past.joined(EPOCH, 90);
  past.online();
  await turns(60);
  assert.deepEqual(idsOf(live), [...range(16, 20), ...range(90, 100)]);
  assert.equal(item.notice, "missed");
});

test("if too much was missed, what is before it is loaded by scrolling", async () => {
  const { live, past } = returned(5000);
  past.online();
  await turns(200);
  assert.deepEqual(idsOf(live), range(3998, 5000));
  await past.older();
  assert.equal(idsOf(live)[0], 3948);
});

test("a loss of the connection meanwhile is made up for", async () => {
  const { live, past, item, server } = returned(60);
  server.fails = "lost";
  past.online();
  await turns();
  assert.equal(live.size, 9);
  server.fails = null;
  past.joined(EPOCH, 1);
  past.online();
  await turns();
  assert.deepEqual([item.notice, idsOf(live)], ["away", range(16, 60)]);
});

// ---- Questions ----

function line() {
  const sent = [];
  const timers = [];
  const state = { open: true };
  const questions = new Questions(PAST, (message) => state.open && sent.push(message) > 0, (job, ms) => timers.push({ job, ms }) - 1,
    (index) => (timers[index] = null));
  const answer = (more) => questions.feed({ msgType: "History", Ref: sent.at(-1).Ref, Epoch: EPOCH, Messages: [], From: 1, More: false, ...more });
  return { questions, sent, timers, state, answer };
}

test("one question is asked at a time", async () => {
  const { questions, sent, answer } = line();
  const answers = [questions.ask({ msgType: "GetHistory", Before: 9 }), questions.ask({ msgType: "Search", text: "abc" })];
  await turns();
  assert.equal(sent.length, 1);
  answer({ Messages: [broadcast(2), broadcast(1), { Id: "3" }, null, { Id: 4, SrcUser: "x" }] });
  assert.deepEqual((await answers[0]).messages.map(({ Id }) => Id), [1, 2]);
  await turns();
  assert.equal(sent.length, 2);
  assert.notEqual(sent[0].Ref, sent[1].Ref);
  answer({ From: 5, More: true });
  assert.deepEqual(await answers[1], { messages: [], epoch: EPOCH, from: 5, more: true });
});

test("an answer that makes no progress is the last one", async () => {
  for (const wrong of [{ From: 9 }, { From: 12 }, { From: "1" }, { From: undefined }, { Messages: null }]) {
    const { questions, answer } = line();
    const asked = questions.ask({ msgType: "GetHistory", Before: 9 });
    await turns();
    answer({ From: 9, ...wrong, More: true });
    assert.equal((await asked).more, false);
  }
});

test("only answers to our questions are taken", async () => {
  const { questions } = line();
  assert.equal(questions.feed({ msgType: "Error", Code: "too_fast" }), false);
  assert.equal(questions.feed({ msgType: "Error", Ref: "0123" }), false);
  assert.equal(questions.feed({ msgType: "History", Ref: 1 }), false);
  assert.equal(questions.feed({ msgType: "History", Ref: "past-77" }), true, "of one that was given up");
});

test("a question that came too early is asked again, a few times", async () => {
  const { questions, sent, timers } = line();
  const asked = questions.ask({ msgType: "GetHistory" });
  for (let n = 1; n <= 5; n++) {
    await turns();
    assert.equal(sent.length, n);
    questions.feed({ msgType: "Error", Ref: sent.at(-1).Ref, Code: "too_fast" });
    await turns();
    if (n < 5) timers.findLast((one) => one?.ms === 1000).job();
  }
  await assert.rejects(asked, { code: "too_fast" });
});

test("a lost connection, a refusal and silence end a question, and the next one is asked", async () => {
  const { questions, sent, timers, state, answer } = line();
  for (const [end, code] of [
    [() => questions.lost(), "lost"],
    [() => timers.findLast((one) => one).job(), "lost"],
    [() => questions.feed({ msgType: "Error", Ref: sent.at(-1).Ref, Code: "no_history" }), "no_history"],
  ]) {
    const asked = questions.ask({ msgType: "GetHistory" });
    await turns();
    end();
    await assert.rejects(asked, { code });
  }
  state.open = false;
  await assert.rejects(questions.ask({ msgType: "GetHistory" }), { code: "lost" });
  state.open = true;
  const asked = questions.ask({ msgType: "GetHistory" });
  await turns();
  answer();
  assert.equal((await asked).from, 1);
});

// ---- What a result shows ----

test("a result shows the text around what was found", () => {
  assert.deepEqual(excerpt("Tea is at FOUR.", "at four"), { head: "Tea is ", found: "at FOUR", tail: "." });
  assert.deepEqual(excerpt("die STRASSE", "straße"), { head: "die STRASSE", found: "", tail: "" });
  const long = excerpt(`${"a".repeat(500)}needle${"b".repeat(500)}`, "NEEDLE");
  assert.deepEqual([long.head, long.found], [`…${"a".repeat(60)}`, "needle"]);
  assert.ok(long.tail.endsWith("b…") && long.tail.length < 240);
  assert.deepEqual(excerpt("İneedle", "needle"), { head: "İneedle", found: "", tail: "" }, "lengths differ in lower case");
});
