// SPDX-License-Identifier: MIT
// What the page keeps in the browser: of a tab, of private conversations, of the sign-in.
import assert from "node:assert/strict";
import { test } from "node:test";
import { KEPT_MOST, openDeviceStore } from "../../../web/device_store.js";
import { KeptTalks } from "../../../web/kept_talks.js";
import { memoryKeystore } from "../../../web/keystore.js";
import { Messages, SAVED_LENGTH, SAVED_MOST } from "../../../web/messages.js";
import { forgetTab, ReloadNote, sessionId, SessionStore } from "../../../web/session_store.js";
import { SignIn } from "../../../web/sign_in.js";

const DAY = 24 * 3600_000;

/** A Storage that holds so many characters. */
class FakeStorage {
  #kept = new Map();
  constructor(most = Infinity) {
    this.most = most;
  }
  get length() {
    return this.#kept.size;
  }
  key(index) {
    return [...this.#kept.keys()][index] ?? null;
  }
  getItem(key) {
    return this.#kept.get(key) ?? null;
  }
  setItem(key, value) {
    const others = [...this.#kept].filter(([one]) => one !== key).flat().join("").length;
    if (others + key.length + value.length > this.most) throw new Error("QuotaExceededError");
    this.#kept.set(key, value);
  }
  removeItem(key) {
    this.#kept.delete(key);
  }
}

const RECORD = {
  name: "ana", password: "963", place: { epoch: "e", last: 7 }, items: [{ text: "i".repeat(500) }],
  pending: [], unsent: [{ message: { Ref: "r", text: "u".repeat(100) }, written: false }], draft: "d",
  format: 1, since: "d",
};

function saved(storage, record = RECORD) {
  const store = new SessionStore(storage, "tea", "d");
  store.follow(() => record);
  store.save();
  return new SessionStore(storage, "tea", "d").load();
}

// ---- The tab ------------------------------------------------------------------------------------

test("the record of a tab comes back in its room only, and is gone when it is forgotten", () => {
  const storage = new FakeStorage();
  assert.deepEqual(saved(storage), RECORD);
  assert.equal(new SessionStore(storage, "", "d").load(), null);
  const store = new SessionStore(storage, "tea", "d");
  store.follow(() => RECORD);
  store.forget();
  store.save();
  assert.equal(store.load(), null);
});

test("in a full storage other rooms go first, then what is shown, then what is unsent", () => {
  const whole = JSON.stringify(RECORD).length + 100;
  const storage = new FakeStorage(whole);
  storage.setItem("ragnarok.tab.other", "x".repeat(90));
  assert.deepEqual(saved(storage), RECORD);
  assert.equal(storage.getItem("ragnarok.tab.other"), null);
  assert.deepEqual(saved(new FakeStorage(whole - 400)), { ...RECORD, items: [] });
  const bare = { ...RECORD, items: [], unsent: [], draft: "" };
  assert.deepEqual(saved(new FakeStorage(whole - 700)), bare);
  assert.equal(saved(new FakeStorage(10)), null);
});

test("a record from before everything was forgotten does not come back", () => {
  const storage = new FakeStorage();
  saved(storage);
  assert.equal(new SessionStore(storage, "tea", "e").load(), null);
});

test("without storage, or with nonsense in it, there is no record", () => {
  assert.equal(saved(null), null);
  const storage = new FakeStorage();
  for (const text of ["{", "null", "7", '{"name":"x","since":"d","format":2}']) {
    storage.setItem("ragnarok.tab.tea", text);
    assert.equal(new SessionStore(storage, "tea", "d").load(), null, text);
  }
});

test("changes are written at once, and further ones a second later together", () => {
  const jobs = [];
  let count = 0;
  const store = new SessionStore(new FakeStorage(), "", "d", (job, ms) => jobs.push([job, ms]));
  store.follow(() => ({ name: "", password: "", count: ++count }));
  for (let i = 0; i < 5; i++) store.touch();
  assert.equal(count, 1);
  assert.equal(jobs[0][1], 1000);
  jobs.shift()[0]();
  assert.equal(count, 2);
  jobs.shift()[0]();
  assert.equal(count, 2);
  store.touch();
  assert.equal(count, 3);
});

test("a change before there is a record does not delay the first one", () => {
  const [data, jobs] = [new FakeStorage(), []];
  const store = new SessionStore(data, "tea", "d", (job) => jobs.push(job));
  store.touch();
  let record = null;
  store.follow(() => record);
  store.touch();
  assert.ok(store.load() === null && jobs.length === 0);
  record = { name: "ana" };
  store.touch();
  assert.equal(store.load().name, "ana");
  assert.equal(jobs.length, 1);
});

test("what changed before there was something to gather is written then", () => {
  const data = new FakeStorage();
  const store = new SessionStore(data, "tea", "d", () => {});
  store.touch();
  store.follow(() => ({ name: "ana" }));
  assert.equal(store.load().name, "ana");
});

test("the secret of a tab stays the same until everything is forgotten", () => {
  const storage = new FakeStorage();
  const first = sessionId(storage);
  assert.match(first, /^[0-9a-f]{32}$/u);
  assert.equal(sessionId(storage), first);
  forgetTab(storage);
  assert.equal(storage.length, 0);
  assert.notEqual(sessionId(storage), first);
  assert.notEqual(sessionId(null), sessionId(null));
});

test("a book saves its newest items, by number and by length, and all that is pending", () => {
  const book = new Messages();
  for (let n = 0; n < SAVED_MOST + 5; n++) book.add({ kind: "message", text: `${n}`, time: 1 }, true);
  book.post({ key: "k", text: "mine", time: 2 });
  assert.equal(book.save().items.length, SAVED_MOST);
  assert.equal(book.save().items[0].text, "5");
  book.add({ kind: "message", text: "x".repeat(SAVED_LENGTH), time: 1 }, true);
  assert.deepEqual(book.save().items, []);
  book.add({ kind: "message", text: "last", fresh: true, time: 1 }, true);
  const other = new Messages();
  other.restore(JSON.parse(JSON.stringify(book.save())));
  assert.deepEqual([other.at(0).text, other.at(0).fresh], ["last", false]);
  assert.equal(other.find("k").text, "mine");
});

// ---- The device ---------------------------------------------------------------------------------

/** Records as IndexedDB has them, which two pages can share. */
function memoryRecords() {
  const kept = new Map();
  return {
    kept,
    all: async (prefix = "") => [...kept].filter(([key]) => key.startsWith(prefix)),
    async write({ owner, puts = [], removes = [] }) {
      if (owner && kept.get(owner[0])?.id !== owner[1]) return false;
      if (this.isDead && puts.length) throw new DOMException("full", "QuotaExceededError");
      if (this.isFull && puts.some(([, { bytes }]) => bytes)) throw new DOMException("full", "QuotaExceededError");
      for (const key of removes) kept.delete(key);
      for (const [key, record] of puts) kept.set(key, record);
      return true;
    },
  };
}

const keystore = { ...memoryKeystore(), lasting: true };

function deviceWith(records, now = () => 0, keys = keystore) {
  return openDeviceStore(keys, async () => records, now);
}

const HOW = { secret: "s", lifetime: DAY };

test("a record is opened by its secret and its device only, and nothing of it is in the clear", async () => {
  const records = memoryRecords();
  const device = await deviceWith(records);
  await device.save([["talk 1", { text: "eagle" }]], HOW);
  assert.ok(!JSON.stringify([...records.kept], (_, v) => (v instanceof ArrayBuffer ? [...new Uint8Array(v)] : v)).includes("eagle"));
  assert.deepEqual([...(await device.load("talk ", "s"))], [["1", { text: "eagle" }]]);
  assert.deepEqual([...(await device.load("talk ", "other"))], []);
  const stranger = await deviceWith(records, () => 0, { ...memoryKeystore(), lasting: true });
  assert.deepEqual([...(await stranger.load("talk ", "s"))], []);
  records.kept.set("talk 2", records.kept.get("talk 1"));
  assert.deepEqual([...(await device.load("talk ", "s")).keys()], ["1"], "a record holds in its place");
});

test("a record is deleted at the start after its time", async () => {
  const records = memoryRecords();
  await (await deviceWith(records)).save([["a", 1]], HOW);
  await deviceWith(records, () => DAY - 1);
  assert.equal(records.kept.size, 1);
  await deviceWith(records, () => DAY);
  assert.equal(records.kept.size, 0);
});

test("above the bound the records used least recently go, never one that is just written", async () => {
  let time = 0;
  const records = memoryRecords();
  const device = await deviceWith(records, () => time++);
  const quarter = "x".repeat(KEPT_MOST / 4);
  for (const key of ["a", "b", "c", "a", "d"]) await device.save([[key, quarter]], HOW);
  assert.deepEqual([...records.kept.keys()].sort(), ["a", "c", "d"]);
});

test("conversations that were never answered go first, however new they are", async () => {
  let time = 0;
  const records = memoryRecords();
  const device = await deviceWith(records, () => time++);
  const third = "x".repeat(KEPT_MOST / 3);
  for (const [key, rank] of [["friend", 1], ["stranger", 0], ["other", 0], ["third", 0]]) {
    await device.save([[key, third, rank]], HOW);
  }
  assert.deepEqual([...records.kept.keys()], ["friend", "third"]);
});

test("a full storage makes room once, and then says so", async () => {
  const records = memoryRecords();
  const device = await deviceWith(records);
  records.isFull = true;
  await assert.rejects(device.save([["a", 1]], HOW));
});

test("no keystore that lasts, or no IndexedDB: nothing is kept", async () => {
  assert.equal(await deviceWith(memoryRecords(), () => 0, memoryKeystore()), null);
  assert.equal(await openDeviceStore(keystore), null);
});

test("a sign-in is kept for its room while the user wishes it", async () => {
  const device = await deviceWith(memoryRecords());
  const signIn = new SignIn(device, "tea");
  await signIn.joined({ name: "ana", password: "963" });
  assert.equal(await new SignIn(device, "tea").load(), null, "it is off by default");
  signIn.isOn = true;
  await signIn.joined({ name: "ana", password: "963" });
  const next = new SignIn(device, "tea");
  assert.deepEqual(await next.load(), { name: "ana", password: "963" });
  assert.equal(next.isOn, true);
  assert.equal(await new SignIn(device, "teapot").load(), null);
  await next.forget();
  assert.equal(await signIn.load(), null);
  assert.equal(await new SignIn(null, "tea").load(), null);
});

// ---- Private conversations ----------------------------------------------------------------------

/** A page with one conversation, `talk`. */
async function page(records, { mode = "session", secret = "s".repeat(32), id, now, tab: own = new FakeStorage() } = {}) {
  const made = { talk: [], isTaken: false, fullTold: 0 };
  const device = await deviceWith(records, now);
  const tab = { id: id ?? `${Math.random()}`, secret, note: new ReloadNote(own) };
  made.kept = new KeptTalks(device, tab, mode, {
    state: () => ({ n: made.talk.length }), view: () => ({ draft: made.draft }),
    talk: (name) => (name === "bo" ? [...made.talk] : undefined), ids: () => ["bo"],
    taken: () => (made.isTaken = true), full: () => made.fullTold++,
  });
  made.found = await made.kept.open("", "Ana");
  made.say = (text) => {
    made.talk.push(text);
    made.kept.touch("bo");
    return made.kept.saved();
  };
  return made;
}

test("what was said is there after a reload, with the state of the same moment", async () => {
  const records = memoryRecords();
  const before = await page(records);
  assert.deepEqual(before.found.conversations, []);
  before.draft = "dr";
  assert.equal(await before.say("one"), true);
  before.say("two");
  assert.equal(await before.kept.saved(), true);
  const after = await page(records);
  assert.deepEqual(after.found, { state: { n: 2 }, view: { draft: "dr" }, conversations: [["one", "two"]] });
});

/** A tab whose device never finished writing "two" before the page was gone. */
async function hurried(records, mode = "session") {
  const tab = new FakeStorage();
  const before = await page(records, { mode, tab });
  await before.say("one");
  const { write } = records;
  records.write = () => new Promise(() => {});
  before.say("two");
  before.kept.handOver();
  records.write = write;
  return tab;
}

test("what a page had no time to write is there in the next one, and then written", async () => {
  const records = memoryRecords();
  const tab = await hurried(records);
  const said = { state: { n: 2 }, view: {}, conversations: [["one", "two"]] };
  for (let count = 0; count < 2; count++) {
    assert.deepEqual((await page(records, { tab })).found, said);
    assert.equal(tab.length, 0, "nothing stays in the clear");
  }
});

test("what a page had no time to write is dropped when another tab went on, or nothing is kept", async () => {
  const records = memoryRecords();
  const tab = await hurried(records, "week");
  await page(records, { mode: "week" });
  assert.deepEqual((await page(records, { mode: "week", tab })).found.conversations, [["one"]]);
  assert.equal(tab.length, 0);
  const other = await hurried(records);
  assert.equal((await page(records, { mode: "off", tab: other })).found, null);
  assert.equal(other.length, 0);
});

test("a page hands over nothing that is written", async () => {
  const [records, tab] = [memoryRecords(), new FakeStorage()];
  const before = await page(records, { tab });
  before.say("one");
  before.kept.handOver();
  assert.equal(tab.length, 1);
  await before.kept.saved();
  assert.equal(tab.length, 0, "it went on after all");
  before.kept.handOver();
  assert.equal(tab.length, 0);
});

test("this session: another tab does not see it; a week: it does", async () => {
  for (const [mode, texts] of [["session", []], ["week", [["one"]]]]) {
    const records = memoryRecords();
    await (await page(records, { mode })).say("one");
    const other = await page(records, { mode, secret: "t".repeat(32) });
    assert.deepEqual(other.found.conversations, texts, mode);
  }
});

test("a week is over after a week", async () => {
  const records = memoryRecords();
  await (await page(records, { mode: "week" })).say("one");
  const late = await page(records, { mode: "week", now: () => 7 * DAY });
  assert.deepEqual(late.found.conversations, []);
});

test("off keeps nothing, and deletes what all tabs had kept", async () => {
  const records = memoryRecords();
  await (await page(records, { mode: "week" })).say("old");
  const device = await deviceWith(records);
  await device.save([["signin x", 1]], HOW);
  const one = await page(records);
  await one.say("one");
  await one.kept.setMode("off");
  assert.equal(await one.say("two"), true);
  assert.deepEqual([...records.kept.keys()], ["signin x"]);
  await one.kept.setMode("week");
  assert.deepEqual((await page(records, { mode: "week" })).found.conversations, [["one", "two"]]);
});

test("only the tab that came last writes; the other one hears of it and confirms nothing", async () => {
  const records = memoryRecords();
  const [first, second] = [await page(records), await page(records)];
  assert.equal(await first.say("late"), false);
  assert.equal(first.isTaken, true);
  assert.equal(await second.say("ours"), true);
  assert.deepEqual((await page(records)).found.conversations, [["ours"]]);
  assert.equal(await second.kept.isOurs(), false);
});

test("leaving deletes our conversations, not those of another name", async () => {
  const records = memoryRecords();
  const other = await page(records, { mode: "week" });
  await other.kept.rename("Bea");
  await other.say("bea's");
  const ours = await page(records, { mode: "week" });
  await ours.say("ana's");
  await ours.kept.forget();
  await ours.say("after");
  const bea = await page(records, { mode: "week" });
  assert.deepEqual(bea.found.conversations, []);
  await bea.kept.rename("Bea");
  assert.ok([...records.kept.keys()].some((key) => key.includes('"bea"')));
});

test("a full storage is told, and the conversation goes on", async () => {
  const records = memoryRecords();
  const one = await page(records);
  records.isFull = true;
  assert.equal(await one.say("one"), true);
  assert.equal(one.fullTold, 1);
});

test("a storage that takes nothing at all does not keep anybody out of the room", async () => {
  const records = memoryRecords();
  records.isDead = true;
  const one = await page(records);
  assert.deepEqual([one.found, one.fullTold, await one.kept.isOurs()], [null, 1, true]);
  assert.equal(await one.say("one"), true);
});
