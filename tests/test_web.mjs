// SPDX-License-Identifier: MIT
// What of the page needs no document: texts, names, words, the outbox, the book, and the line.
import assert from "node:assert/strict";
import { beforeEach, mock, test } from "node:test";
import { Book } from "../web/book.js";
import { backoff, decode, Link } from "../web/link.js";
import { beginning, completions, hue, problem } from "../web/names.js";
import { Doubles, MOST_WAITING, Outbox } from "../web/outbox.js";
import { pickLanguage, reason, t, TABLE } from "../web/strings.js";
import { jsonBytes, mentions, parse, shorten } from "../web/text.js";

// ---- Texts ----

const kinds = (text) => parse(text).map(({ kind, text: part }) => [kind, part]);

test("only http and https become links, without what stands around them", () => {
  for (const [text, link] of [
    ["see https://example.org/a_(b).", "https://example.org/a_(b)"],
    ["(http://example.org/x)", "http://example.org/x"],
    ["看 https://example.org/路。好", "https://example.org/路。好"],
    ["https://example.org/?a=1&b=2#c!!", "https://example.org/?a=1&b=2#c"],
    ['"https://example.org"', "https://example.org"],
  ]) {
    assert.deepEqual(parse(text).filter(({ kind }) => kind === "link").map((one) => one.text), [link]);
  }
  for (const text of ["javascript:alert(1)", "ftp://example.org", "https://", "data:text/html,x", "www.example.org"]) {
    assert.deepEqual(kinds(text), [["text", text]]);
  }
});

test("code is left as it is, emphasis needs words, and nothing is lost", () => {
  assert.deepEqual(kinds("a `*b*` c"), [["text", "a "], ["code", "*b*"], ["text", " c"]]);
  assert.deepEqual(kinds("```js\nlet x;\n*y*\n```"), [["block", "let x;\n*y*"]]);
  assert.deepEqual(kinds("*very* good"), [["emphasis", "very"], ["text", " good"]]);
  assert.deepEqual(kinds("这是*重点*吗"), [["text", "这是*重点*吗"]]);
  for (const text of ["2*3*4", "a * b * c", "**", "`", "``", "<b>x</b>", ""]) {
    assert.equal(parse(text).map((token) => token.text).join(""), text);
    assert.ok(parse(text).every(({ kind }) => kind === "text"));
  }
});

test("no text of 64 kB takes long to read", () => {
  const texts = ["https://a/" + ")".repeat(65e3), "```\n".repeat(16e3), "*a ".repeat(2e4), "`a".repeat(3e4)];
  const started = performance.now();
  for (const text of texts) parse(text);
  assert.ok(performance.now() - started < 3000);
});

test("a long text is cut by length or by lines, never within a character", () => {
  assert.equal(shorten("short", 10, 3), "short");
  assert.equal(shorten("0123456789", 4, 3), "0123");
  assert.equal(shorten("012😀", 4, 3), "012");
  assert.equal(shorten("a\nb\nc\nd", 100, 2), "a\nb");
});

test("a mention is a word of its own, in scripts that have such words", () => {
  assert.ok(mentions("hello ANA!", "ana") && mentions("@ana, hi", "ana") && mentions("找小明吗", "小明"));
  assert.ok(!mentions("banana", "ana") && !mentions("anatomy", "ana") && !mentions("", "ana"));
});

test("bytes are those of the frame's payload", () => {
  assert.equal(jsonBytes({ text: 'é"\n😀' }), Buffer.byteLength('{"text":"é\\"\\n😀"}'));
});

// ---- Names ----

test("names are looked at before the server says no", () => {
  assert.equal(problem("Ana María 😀"), null);
  assert.deepEqual(problem(""), ["nameEmpty"]);
  assert.deepEqual(problem("n".repeat(33)), ["nameLong", 33]);
  assert.equal(problem("😀".repeat(32)), null);
  for (const hidden of ["\u200b", "\u202e", "\0", "\u2028", "\ufeff", "\u3164"]) {
    assert.deepEqual(problem(`a${hidden}b`), ["nameInvisible"]);
  }
});

test("Tab completes what was begun, whatever its case", () => {
  assert.deepEqual(beginning("hi @An"), { at: 3, letters: "An" });
  assert.deepEqual(beginning("hi an"), { at: 3, letters: "an" });
  assert.deepEqual(beginning("@"), { at: 0, letters: "" });
  assert.equal(beginning("hi "), null);
  assert.deepEqual(completions(["Ana", "bob", "ＡＮＮ"], "an"), ["Ana", "ＡＮＮ"]);
  assert.equal(hue("Ana"), hue("ana"));
});

// ---- Words ----

test("both languages have the same rows, of the same kind", () => {
  const [en, zh] = [TABLE.en, TABLE["zh-Hans"]];
  assert.deepEqual(Object.keys(zh).sort(), Object.keys(en).sort());
  for (const [key, row] of Object.entries(en)) {
    assert.equal(typeof zh[key], typeof row, key);
    assert.equal(zh[key].length > 0, row.length > 0, key);
  }
});

test("the language is the first one that the table has", () => {
  assert.equal(pickLanguage(["de-DE", "zh-CN", "en"]).language, "zh-Hans");
  assert.deepEqual(pickLanguage(["en-GB", "zh"]), { locale: "en-GB", language: "en" });
  assert.equal(pickLanguage(["en-US@posix", "eno"]).locale, "en");
  assert.equal(pickLanguage([]).language, "en");
});

test("every code has words, also one that nobody knows", () => {
  assert.equal(reason("wrong_password"), t.wrong_password);
  assert.equal(reason("throttled"), t.too_fast);
  assert.equal(reason(1007), t[1002]);
  for (const unknown of ["constructor", "unread", "no_such_code", 4999]) {
    assert.match(reason(unknown, "the server's words"), /the server's words/u);
  }
});

// ---- The outbox, and doubles ----

const said = (Ref, text = Ref) => ({ msgType: "Broadcast", text, Ref });

function filled(...refs) {
  const outbox = new Outbox();
  refs.forEach((ref) => outbox.add(said(ref)));
  return outbox;
}

function flush(outbox, most = Infinity) {
  const written = [];
  outbox.flush((message) => written.length < most && written.push(message.Ref) > 0);
  return written;
}

test("each message is written once, in order, as far as the line goes", () => {
  const outbox = filled("a", "b", "c");
  assert.deepEqual(flush(outbox, 2), ["a", "b"]);
  assert.deepEqual(flush(outbox), ["c"]);
  assert.deepEqual(flush(outbox), []);
});

test("after a lost line, what did not arrive is written again if the history was whole", () => {
  const outbox = filled("a", "b", "c");
  flush(outbox, 2);
  outbox.settle("a");
  assert.deepEqual(outbox.restart(true), []);
  assert.deepEqual(flush(outbox), ["b", "c"]);
});

test("without the whole history, what was written is given up, and the rest is written", () => {
  const outbox = filled("a", "b", "c");
  flush(outbox, 2);
  assert.deepEqual(outbox.restart(false).map(({ Ref }) => Ref), ["a", "b"]);
  assert.deepEqual(flush(outbox), ["c"]);
});

test("the outbox is bounded, and knows the longest that was written", () => {
  const outbox = new Outbox();
  for (let n = 0; n < MOST_WAITING; n++) assert.ok(outbox.add(said(`${n}`)));
  assert.ok(!outbox.add(said("one too many")));
  const two = new Outbox();
  two.add(said("short", "x"));
  two.add(said("long", "xxx"));
  flush(two);
  two.add(said("longer", "xxxxx"));
  assert.equal(two.longest().Ref, "long");
});

test("a Ref counts as a double only from the same author, and if it is long", () => {
  const doubles = new Doubles();
  const ref = "0123456789abcdef";
  assert.ok(!doubles.has("ana", ref) && doubles.has("ana", ref));
  assert.ok(!doubles.has("bob", ref));
  for (const other of ["1", 17, undefined, { n: 1 }]) {
    assert.ok(!doubles.has("ana", other) && !doubles.has("ana", other));
  }
});

// ---- The book ----

test("an own item waits behind the others until it arrives, and can be found and forgotten", () => {
  const book = new Book();
  book.post({ key: "a", state: "sending" });
  book.add({ text: "somebody else" }, true);
  book.change("a", { state: "failed" });
  assert.equal(book.find("a").state, "failed");
  assert.equal(book.end, 1);
  assert.equal(book.settle("a", { state: "sent" }, true).state, "sent");
  assert.deepEqual([book.pending.length, book.at(1).key, book.find("a").state], [0, "a", "sent"]);
  assert.equal(book.discard("a"), undefined);
});

test("the oldest items are forgotten, and numbers stay", () => {
  const book = new Book();
  for (let n = 0; n <= 6000; n++) book.add({ n }, false);
  assert.deepEqual([book.first, book.end, book.at(1000).n, book.at(999)], [1000, 6001, 1000, undefined]);
});

// ---- The line ----

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
  const link = new Link("wss://chat.example/", {
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

test("in another epoch numbers begin anew", async () => {
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

test("who leaves does not come back", async () => {
  const { link, log } = makeLink();
  await comeIn(link, log);
  link.leave();
  mock.timers.tick(120_000);
  link.retry();
  assert.deepEqual([log, FakeSocket.made.length], [["idle"], 1]);
});
