// SPDX-License-Identifier: MIT
// The connection of the page: joining, coming back, renaming, against a socket of the test.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { backoff, decode, Connection, pauseAfter } from "../../../web/connection.js";
import { reason } from "../../../web/strings.js";

class FakeSocket {
  static OPEN = 1;
  static made = [];
  readyState = 1;
  said = [];
  constructor(url, protocol) {
    Object.assign(this, { url, protocol });
    FakeSocket.made.push(this);
  }
  send(text) {
    this.said.push(JSON.parse(text));
  }
  close(code) {
    this.closedWith = code;
  }
  hear(...messages) {
    for (const message of messages) this.onmessage({ data: JSON.stringify(message) });
  }
}

const HELLO = { msgType: "Hello", ServerName: "Ks", PasswordRequired: true, Nonce: "00", Version: 2 };
const JOINED = { msgType: "Joined", ServerName: "Ks", Room: "", Name: "ana", Epoch: "e1", Resumed: false };
const ONLINE = { msgType: "OnlineUsers", Users: ["ana"] };
const heard = (Id, more) => ({ msgType: "Broadcast", SrcUser: "bob", text: `${Id}`, Id, ...more });

const lastSocket = () => FakeSocket.made.at(-1);
const settle = async () => {
  for (let n = 0; n < 5; n++) await Promise.resolve();
};

function makeLink() {
  const log = [];
  const link = new Connection("wss://chat.example/", {
    hello: async () => ({ Proof: "p" }),
    state: (state, { code } = {}) => log.push(code ? `${state} ${code}` : state),
    refused: (code) => log.push(`refused ${code}`),
    joined: ({ SameEpoch }, again) => log.push(`joined ${again} ${SameEpoch}`),
    message: ({ msgType, Id }) => log.push(Id ? `${msgType} ${Id}` : msgType),
  });
  return { link, log };
}

async function comeIn(link, log) {
  link.join("ana", "963");
  lastSocket().hear(HELLO);
  await settle();
  lastSocket().hear(JOINED, heard(7, { History: true }), ONLINE);
  log.length = 0;
}

beforeEach(() => {
  FakeSocket.made = [];
  Object.assign(globalThis, { WebSocket: FakeSocket, location: { pathname: "/" } });
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout"] });
});

test("waiting doubles up to half a minute, and half of it is left to chance", () => {
  assert.deepEqual([0, 1, 2, 20].map((n) => backoff(n, 1)), [500, 1000, 2000, 30000]);
  assert.equal(backoff(20, 0), 15000);
});

test("half a surrogate pair, which no JSON may hold, is sent as U+FFFD", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  link.send({ msgType: "GetUsers", Prefix: "\ud83d", Deep: [{ of: "a\ude00\ud83d\ude00" }] });
  const [, { Prefix, Deep }] = lastSocket().said;
  assert.deepEqual([Prefix, Deep], ["\ufffd", [{ of: "a\ufffd\ud83d\ude00" }]]);
  const { link: other } = makeLink();
  other.join("a\ud83d", "963\ude00");
  lastSocket().hear(HELLO);
  await settle();
  assert.deepEqual([lastSocket().said[0].Name, lastSocket().said[0].Password], ["a\ufffd", "963\ufffd"]);
});

test("what is not a message is passed over", () => {
  for (const data of ["", "{", "null", "[]", '"x"', "{}", '{"msgType":1}']) assert.equal(decode(data), null);
  assert.equal(decode('{"msgType":"X"}').msgType, "X");
});

test("who joins says who they are, and is online after the history", async () => {
  const { link, log } = makeLink();
  link.join("ana", "963");
  lastSocket().hear(HELLO);
  await settle();
  assert.deepEqual(lastSocket().said, [{ msgType: "Join", Password: "963", Name: "ana", Proof: "p" }]);
  assert.equal(link.send({ msgType: "Broadcast" }), false);
  lastSocket().hear(JOINED, heard(7, { History: true }), ONLINE);
  assert.deepEqual(log, ["connecting", "joined false false", "Broadcast 7", "OnlineUsers", "online"]);
  assert.equal(link.send({ msgType: "Broadcast" }), true);
});

test("Hello is answered once on each line, whoever asks again", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  lastSocket().hear(HELLO, { ...HELLO, Nonce: "11" });
  await settle();
  assert.equal(lastSocket().said.length, 1);
  link.leave();
  link.join("ana", "963");
  lastSocket().hear(HELLO, { ...HELLO, Nonce: "11" });
  await settle();
  assert.equal(lastSocket().said.length, 1);
  lastSocket().hear(JOINED, ONLINE);
  const { second } = await rename(link);
  second.hear(HELLO);
  await settle();
  assert.equal(second.said.length, 1);
});

test("wrong_origin: comes in without keys, on the same line, once, and says so", async () => {
  const log = [];
  const link = new Connection("wss://chat.example/", {
    hello: async () => ({ IdentityKey: "k", Proof: "p" }),
    withoutKeys: () => log.push("without keys"),
    state: (state) => log.push(state),
    refused: (code) => log.push(`refused ${code}`),
    joined: () => log.push("joined"),
    message: () => {},
  });
  const refusal = { ...ERROR, Code: "wrong_origin" };
  link.join("ana", "963");
  lastSocket().hear(refusal); // before Hello there is nothing to do without
  assert.deepEqual(log.splice(0), ["connecting", "idle", "refused wrong_origin"]);
  link.join("ana", "963");
  lastSocket().hear(HELLO);
  await settle();
  lastSocket().hear(refusal);
  assert.deepEqual(lastSocket().said, [
    { msgType: "Join", Password: "963", Name: "ana", IdentityKey: "k", Proof: "p" },
    { msgType: "Join", Password: "963", Name: "ana" },
  ]);
  lastSocket().hear(JOINED, ONLINE);
  assert.deepEqual(log.splice(0), ["connecting", "without keys", "joined", "online"]);
  const { second } = await rename(link);
  second.hear(refusal);
  assert.deepEqual([second.said.length, "IdentityKey" in second.said[1]], [2, false]);
  second.hear(refusal);
  assert.deepEqual([log, second.closedWith], [["without keys"], 1000]);
});

test("a first refusal is told, and ends the try", async () => {
  const { link, log } = makeLink();
  link.join("ana", "369");
  lastSocket().hear({ msgType: "Error", Code: "wrong_password", text: "no" });
  assert.deepEqual(log, ["connecting", "idle", "refused wrong_password"]);
  assert.equal(lastSocket().closedWith, 1000);
});

test("a lost line comes back with Resume, and nothing is shown twice", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  lastSocket().onclose({ code: 1006 });
  assert.deepEqual(log, ["waiting 1006"]);
  assert.equal(link.send({ msgType: "Broadcast" }), false);
  mock.timers.tick(500);
  assert.equal(FakeSocket.made.length, 2);
  lastSocket().hear(HELLO);
  await settle();
  assert.deepEqual(lastSocket().said[0].Resume, { Epoch: "e1", After: 7 });
  lastSocket().hear({ ...JOINED, Resumed: true }, heard(7), heard(8), ONLINE);
  assert.deepEqual(log.slice(1), ["connecting", "joined true true", "Broadcast 8", "OnlineUsers", "online"]);
});

test("in another epoch numbers begin again", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  lastSocket().onclose({ code: 1001 });
  link.wake();
  lastSocket().hear(HELLO);
  await settle();
  lastSocket().hear({ ...JOINED, Epoch: "e2" }, heard(1), ONLINE);
  assert.ok(log.includes("joined true false") && log.includes("Broadcast 1"));
});

test("a line that was taken over, or broke a rule, waits for its owner", async () => {
  for (const [code, state] of [[4001, "taken"], [1008, "stopped 1008"]]) {
    const { link, log } = makeLink();
    await comeIn(link, log);
    lastSocket().onclose({ code });
    const made = FakeSocket.made.length;
    mock.timers.tick(120_000);
    assert.deepEqual([log, FakeSocket.made.length], [[state], made]);
    link.retry();
    assert.equal(FakeSocket.made.length, made + 1);
  }
});

test("too fast is not final: pauses grow from 10 s to 5 min, and ten minutes of being in make them short", async () => {
  assert.deepEqual([0, 1, 2, 3, 4, 5, 50].map(pauseAfter), [10, 20, 40, 80, 160, 300, 300]);
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { link, log } = makeLink();
  await comeIn(link, log);
  for (const [stays, seconds] of [[0, 10], [599_999, 20], [1, 40], [600_000, 10]]) {
    log.length = 0;
    mock.timers.tick(stays);
    lastSocket().onclose({ code: 1008, reason: "too fast: over the rate for too long" });
    link.wake(); // a tab that comes to the front cuts no pause short
    const made = FakeSocket.made.length;
    mock.timers.tick(seconds * 1000 - 1);
    assert.deepEqual([log, FakeSocket.made.length], [["waiting too_fast"], made]);
    mock.timers.tick(1);
    assert.equal(FakeSocket.made.length, made + 1);
    lastSocket().hear(HELLO);
    await settle();
    assert.deepEqual(lastSocket().said[0].Resume, { Epoch: "e1", After: 7 });
    lastSocket().hear({ ...JOINED, Resumed: true }, ONLINE);
  }
  lastSocket().onclose({ code: 1008, reason: "too many fragments" });
  assert.equal(log.at(-1), "stopped 1008");
});

test("coming back, a taken name is waited for, and a changed password is not", async () => {
  for (const [Code, state] of [["name_taken", "waiting name_taken"], ["wrong_password", "stopped wrong_password"]]) {
    const { link, log } = makeLink();
    await comeIn(link, log);
    lastSocket().onclose({ code: 1006 });
    link.wake();
    lastSocket().hear({ msgType: "Error", Code, text: "no" });
    assert.equal(log.at(-1), state);
  }
});

test("without a sign of life the line is taken for lost; any word is one", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  link.check();
  lastSocket().hear({ msgType: "UserKeys", User: "ana", Ref: lastSocket().said.at(-1).Ref });
  mock.timers.tick(60_000);
  assert.deepEqual(log, []);
  link.check();
  mock.timers.tick(60_000);
  assert.equal(log[0], "waiting 1006");
});

const ERROR = { msgType: "Error", text: "no" };

test("a first refusal tells for how long the server refuses", async () => {
  const refused = [];
  const link = new Connection("wss://chat.example/", {
    hello: async () => ({}), state: () => {}, joined: () => {}, message: () => {},
    refused: (...what) => refused.push(what),
  });
  for (const RetryAfter of [15, undefined, 1e9]) {
    link.join("ana", "369");
    lastSocket().hear({ ...ERROR, Code: "throttled", RetryAfter });
  }
  assert.deepEqual(refused, [["throttled", "no", 15], ["throttled", "no", 0], ["throttled", "no", 0]]);
});

test("coming back, the line waits for as long as the server refuses", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  lastSocket().onclose({ code: 1006 });
  link.wake();
  lastSocket().hear({ ...ERROR, Code: "throttled", RetryAfter: 60 });
  const made = FakeSocket.made.length;
  mock.timers.tick(59_999);
  assert.equal(FakeSocket.made.length, made);
  mock.timers.tick(1);
  assert.equal(FakeSocket.made.length, made + 1);
});

async function rename(link) {
  const result = link.rename("anna");
  const [first, second] = FakeSocket.made.slice(-2);
  second.hear(HELLO);
  await settle();
  return { result, first, second };
}

test("another name is asked for on a second line, which then is the first", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  const { result, first, second } = await rename(link);
  assert.deepEqual(second.said[0], {
    msgType: "Join", Password: "963", Name: "anna", Resume: { Epoch: "e1", After: 7 }, Proof: "p",
  });
  first.hear(heard(8));
  assert.deepEqual([link.state, first.closedWith, log], ["online", undefined, ["Broadcast 8"]]);
  second.hear({ ...JOINED, Name: "anna", Resumed: true }, heard(8), heard(9), ONLINE);
  assert.equal(await result, null);
  assert.equal(first.closedWith, 1000);
  assert.deepEqual(log.slice(1), ["joined true true", "Broadcast 9", "OnlineUsers", "online"]);
  assert.equal(link.send({ msgType: "Broadcast" }), true);
  assert.equal(second.said.length, 2);
});

test("a refused name leaves all as it was", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  for (const end of [
    (second) => second.hear({ ...ERROR, Code: "name_taken" }),
    (second) => second.onclose({ code: 1006 }),
    () => mock.timers.tick(10_000),
  ]) {
    const { result, first, second } = await rename(link);
    end(second);
    assert.ok((await result).code);
    assert.deepEqual([link.state, first.closedWith, second.closedWith], ["online", undefined, 1000]);
    FakeSocket.made = [first];
  }
  assert.deepEqual(log, []);
});

test("a line that is lost takes the wish for another name with it, and comes back as before", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  const { result, first } = await rename(link);
  first.onclose({ code: 1006 });
  assert.deepEqual(await result, { code: "lost" });
  mock.timers.tick(500);
  lastSocket().hear(HELLO);
  await settle();
  assert.equal(lastSocket().said[0].Name, "ana");
});

test("the first line, taken over by the second, is not missed; by somebody else, it is", async () => {
  const answers = [[{ ...JOINED, Name: "Ana" }, "connecting"], [{ ...ERROR, Code: "name_taken" }, "taken"]];
  for (const [answer, state] of answers) {
    const { link, log } = makeLink();
    await comeIn(link, log);
    const { first, second } = await rename(link);
    first.onclose({ code: 4001 });
    second.hear(answer);
    assert.equal(link.state, state);
  }
});

test("who leaves does not come back", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  link.leave();
  mock.timers.tick(120_000);
  link.retry();
  assert.deepEqual([log, FakeSocket.made.length], [["idle"], 1]);
});
