// SPDX-License-Identifier: MIT
// The parts of the page that need no document: texts, commands, names, words, QR codes, the outbox
// and the list of messages.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mock, test } from "node:test";
import { Messages, validTime } from "../../../web/messages.js";
import { actionOf, inOneLine, readTyped } from "../../../web/command.js";
import { countDown } from "../../../web/countdown.js";
import { secondsOf } from "../../../web/connection.js";
import { beginning, completion, completions, problem, sorted } from "../../../web/names.js";
import { Doubles, MOST_WAITING, Outbox } from "../../../web/outbox.js";
import { modules, qrCode, versionFor } from "../../../web/qr.js";
import { pickLanguage, reason, t, TABLE } from "../../../web/strings.js";
import { jsonBytes, mentions, onlyEmoji, parse, shorten } from "../../../web/text.js";

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

test("a link with a user name in it is none: it seems to lead to that", () => {
  for (const text of [
    "https://accounts.google.com@evil.example/",
    "https://accounts.google.com:443@evil.example/",
    "https://bank.example%2Flogin@evil.example",
    "https://@evil.example/",
  ]) {
    assert.deepEqual(kinds(text), [["text", text]]);
  }
  assert.deepEqual(kinds("https://example.org/@ana"), [["link", "https://example.org/@ana"]]);
});

test("a character that changes the direction of writing ends a link", () => {
  for (const control of "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c") {
    const text = `https://evil.example/${control}gro.elpmaxe`;
    assert.deepEqual(kinds(text), [["link", "https://evil.example/"], ["text", `${control}gro.elpmaxe`]]);
  }
});

test("where the host is not the one that is written, a link says which it is", () => {
  const hostOf = (text) => parse(text)[0].host;
  for (const [text, host] of [
    ["https://раураl.com/login", "xn--l-7sba6dbr.com"],
    ["https://例え.jp/", "xn--r8jz45g.jp"],
    ["http://0x7f.1/", "127.0.0.1"],
    ["https://exa%6dple.org/", "example.org"],
    ["https://example。org/", "example.org"],
    ["https:///evil.example/", "evil.example"],
  ]) {
    assert.equal(hostOf(text), host, text);
  }
  const same = ["https://EXAMPLE.org:443/", "http://example.org:80", "https://example.org:8443/x?y#z", "http://[::1]/"];
  for (const text of same) {
    assert.equal(parse(text)[0].kind, "link");
    assert.equal(hostOf(text), undefined, text);
  }
});

test("code is left as it is, emphasis needs words, and nothing is lost", () => {
  assert.deepEqual(kinds("a `*b*` c"), [["text", "a "], ["code", "*b*"], ["text", " c"]]);
  assert.deepEqual(kinds("```js\nlet x;\n*y*\n```"), [["block", "let x;\n*y*"]]);
  assert.deepEqual(kinds("```\nx\n```\n\ny"), [["block", "x"], ["text", "\ny"]], "a block ends its line");
  assert.deepEqual(kinds("*very* good"), [["emphasis", "very"], ["text", " good"]]);
  assert.deepEqual(kinds("这是*重点*吗"), [["text", "这是*重点*吗"]]);
  for (const text of ["2*3*4", "a * b * c", "**", "`", "``", "<b>x</b>", ""]) {
    assert.equal(parse(text).map((token) => token.text).join(""), text);
    assert.ok(parse(text).every(({ kind }) => kind === "text"));
  }
});

test("an @ and the name of somebody here is marked, the longest one", () => {
  const here = ["ana", "ana maría", "bo", "小明", "o'neil"];
  const marks = (text) => parse(text, (name) => here.includes(name)).filter(({ kind }) => kind === "mention")
    .map((token) => token.text);
  for (const [text, names] of [
    ["@ana, and @bo!", ["@ana", "@bo"]], ["@ana maría is here", ["@ana maría"]], ["@ana mar", ["@ana"]],
    ["找@小明吗", ["@小明"]], ["(@o'neil)", ["@o'neil"]], ["*@bo*", []],
    ["@anatomy", []], ["x@ana", []], ["@@bo", ["@bo"]], ["`@bo`", []], ["@", []], ["@ana\nmaría", ["@ana"]],
  ]) {
    assert.deepEqual(marks(text), names, text);
  }
  assert.deepEqual(kinds("@ana"), [["text", "@ana"]]);
});

test("one to three emoji and nothing else are counted", () => {
  for (const [text, count] of [
    ["🎉", 1], [" 👍🏽 😀\n", 2], ["👩‍👩‍👧‍👦🏳️‍🌈🇺🇳", 3], ["❤️", 1], ["1️⃣", 1], ["🏴󠁧󠁢󠁥󠁮󠁧󠁿", 1],
    ["😀😀😀😀", 0], ["ok 👍", 0], ["123", 0], ["#", 0], ["", 0], [" ", 0], ["🇺", 0],
  ]) {
    assert.equal(onlyEmoji(text), count, text);
  }
});

test("no text of 64 kB takes long to read", () => {
  const texts = ["https://a/" + ")".repeat(65e3), "```\n".repeat(16e3), "*a ".repeat(2e4), "`a".repeat(3e4), "@a ".repeat(2e4)];
  const started = performance.now();
  for (const text of texts) parse(text, (name) => name.normalize("NFKC") === "ana");
  onlyEmoji("👍".repeat(16e3));
  assert.ok(performance.now() - started < 3000);
});

test("a long text is cut by length or by lines, never within a character", () => {
  assert.equal(shorten("short", 10, 3), "short");
  assert.equal(shorten("0123456789", 4, 3), "0123");
  assert.equal(shorten("012😀", 4, 3), "012");
  assert.equal(shorten("a\nb\nc\nd", 100, 2), "a\nb");
});

test("a mention needs an @ before the name, and an end behind it", () => {
  const good = ["hello @ANA!", "@ana, hi", "(@ana)", "＠ａｎａ", "@ana", "x@ana.org @ana"];
  const bad = ["hello ana", "it may rain, @anatomy", "banana", "x@ana.org", "@an", "", "@"];
  for (const text of good) assert.ok(mentions(text, "ana"), text);
  for (const text of bad) assert.ok(!mentions(text, "ana"), text);
  assert.ok(!mentions("it may rain", "May") && mentions("will you, @may?", "May"));
  assert.ok(mentions("找@小明吗", "小明") && !mentions("找小明吗", "小明"));
  assert.ok(mentions("@Ana María is here", "ana maría") && !mentions("anything", ""));
});

test("bytes are those of the frame's payload", () => {
  assert.equal(jsonBytes({ text: 'é"\n😀' }), Buffer.byteLength('{"text":"é\\"\\n😀"}'));
});

// ---- Commands ----

test("a text that begins with a slash and a letter is never a text for the room", () => {
  for (const slash of ["/", " /", "\n\t/", "\u200b/", "／"]) {
    assert.deepEqual(readTyped(`${slash}msg bob my secret`), { verb: "msg", name: "bob", text: "my secret" });
  }
  for (const text of ["/quit", "/w", "/etc/passwd is mine", "/constructor", "/密码", " /me2 x"]) {
    assert.equal(readTyped(text).verb, "unknown", text);
  }
  for (const text of ["hello", "/", "/ me", "/1", "a /msg bob x", "http://example.org/"]) {
    assert.deepEqual(readTyped(text), { verb: "text", text });
  }
});

test("two slashes say one", () => {
  assert.deepEqual(readTyped("//msg is a command"), { verb: "text", text: "/msg is a command" });
  assert.deepEqual(readTyped(" //x"), { verb: "text", text: " /x" });
  assert.deepEqual(readTyped("///"), { verb: "text", text: "//" });
});

test("commands have a name, a text, or lack one", () => {
  assert.deepEqual(readTyped('/msg "Ana María" a\n b'), { verb: "msg", name: "Ana María", text: "a\n b" });
  assert.deepEqual(readTyped("/MSG bob how are you"), { verb: "msg", name: "bob", text: "how are you" });
  assert.deepEqual(readTyped('/msg "bob secret'), { verb: "msg", name: '"bob', text: "secret" });
  assert.deepEqual(readTyped("/msg bob"), { verb: "msg", name: "bob", text: "" });
  assert.deepEqual(readTyped("/nick Ana María "), { verb: "nick", name: "Ana María" });
  assert.deepEqual(readTyped('/nick "Ana"'), { verb: "nick", name: "Ana" });
  assert.deepEqual(readTyped("/help"), { verb: "help" });
  for (const text of ["/me", "/msg", '/msg ""', "/nick", '/nick ""']) assert.equal(readTyped(text).verb, "lacks", text);
});

test("what somebody does travels as it is typed, and is told in a line", () => {
  assert.deepEqual(readTyped("/me  waves "), { verb: "text", text: "/me waves" });
  assert.equal(actionOf("/me waves\nat @bob"), "waves\nat @bob");
  for (const text of ["/me", "/me ", "/mean", " /me x", "me", "x /me y"]) assert.equal(actionOf(text), undefined, text);
  assert.deepEqual([inOneLine("ana", "/me waves"), inOneLine("ana", "hi")], ["* ana waves", "hi"]);
});

// ---- QR codes ----

const CAPACITY = [14, 26, 42, 62, 84, 106, 122, 152, 180, 213, 251, 287, 331, 362, 412, 450, 504, 560];
const utf8 = (text) => new TextEncoder().encode(text);
const textOf = (length) => "https://192.168.1.5:12345/rooms/tea#geheim ".repeat(14).slice(0, length);

/** What a reader finds in pictures of these codes, each a list of rows. */
function readCodes(codes) {
  const folder = mkdtempSync(join(tmpdir(), "qr-"));
  const scale = 4;
  const files = codes.map((rows, number) => {
    const side = (rows.length + 8) * scale;
    const picture = Buffer.alloc(side * side, 255);
    rows.forEach((row, y) => row.forEach((dark, x) => {
      for (let line = 0; dark && line < scale; line++) {
        const at = ((y + 4) * scale + line) * side + (x + 4) * scale;
        picture.fill(0, at, at + scale);
      }
    }));
    const file = join(folder, `${number}.pgm`);
    writeFileSync(file, Buffer.concat([Buffer.from(`P5\n${side} ${side}\n255\n`), picture]));
    return file;
  });
  const options = ["--nodbus", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", "-Sbinary"];
  const found = files.map((file) => execFileSync("zbarimg", [...options, file]).toString().replace(/\n$/u, ""));
  rmSync(folder, { recursive: true });
  return found;
}

test("a reader finds the text in a code of every version with every mask", () => {
  const cases = CAPACITY.flatMap((length, n) => Array.from({ length: 8 }, (_, mask) => [textOf(length), n + 1, mask]));
  const codes = cases.map(([text, version, mask]) => modules(utf8(text), version, mask));
  const found = readCodes(codes);
  cases.forEach(([text, version, mask], n) => assert.equal(found[n], text, `version ${version}, mask ${mask}`));
});

test("level M: a reader finds the text though 1 codeword in 9 is wrong", () => {
  const damaged = [1, 5, 6, 7, 10, 14, 18].map((version) => {
    const rows = modules(utf8(textOf(CAPACITY[version - 1])), version);
    const side = Math.floor(rows.length / 4); // of a square in the middle that is light
    const start = Math.floor((rows.length - side) / 2);
    for (let y = start; y < start + side; y++) rows[y].fill(false, start, start + side);
    return rows;
  });
  assert.deepEqual(readCodes(damaged), [1, 5, 6, 7, 10, 14, 18].map((version) => textOf(CAPACITY[version - 1])));
});

test("a code is as small as can be, and 560 bytes are the most", () => {
  CAPACITY.forEach((length, n) => {
    assert.equal(versionFor(length), n + 1);
    assert.equal(versionFor(length + 1), n === 17 ? 0 : n + 2);
  });
  assert.equal(qrCode("x".repeat(560)).size, 4 * 18 + 17);
  assert.equal(qrCode("x".repeat(561)), null);
  assert.equal(qrCode("é".repeat(281)), null);
});

test("whatever the text, a mask is taken that balances dark and light", () => {
  for (const text of ["", "\0".repeat(150), "\xff".repeat(70), textOf(512)]) {
    const rows = modules(utf8(text), versionFor(utf8(text).length));
    const dark = rows.flat().filter(Boolean).length / rows.length ** 2;
    assert.ok(Math.abs(dark - 0.5) < 0.06, `${dark}`);
  }
});

test("the path covers the dark modules, each once", () => {
  const text = "ragnarok-verify:" + "0123456789".repeat(6);
  const { size, path } = qrCode(text);
  const rows = Array.from({ length: size }, () => new Array(size).fill(false));
  const rest = path.replace(/M(\d+) (\d+)h(\d+)v1h-(\d+)z/gu, (all, x, y, right, left) => {
    assert.equal(right, left);
    for (let at = Number(x); at < Number(x) + Number(right); at++) {
      assert.equal(rows[y][at], false);
      rows[y][at] = true;
    }
    return "";
  });
  assert.equal(rest, "");
  assert.deepEqual(rows, modules(utf8(text), versionFor(text.length)));
  assert.deepEqual(readCodes([rows]), [text]);
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
});

test("Tab puts a name as it is taken there", () => {
  assert.equal(completion("hi ", "Ana María"), "@Ana María ");
  assert.equal(completion("/msg ", "Ana"), "Ana ");
  assert.equal(completion(" /msg  ", "Ana María"), '"Ana María" ');
});

test("names sort as people expect, and not by code point", () => {
  const names = ["Zoë", "ana", "Grandma", "Łukasz", "kate", "x", "Émile", "Ana", "b10", "b2"];
  assert.deepEqual(sorted(names), ["ana", "Ana", "b2", "b10", "Émile", "Grandma", "kate", "Łukasz", "x", "Zoë"]);
  assert.deepEqual(sorted([...names].reverse()), sorted(names));
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

test("for how long a room is kept is told in days, or in hours", () => {
  const { en, "zh-Hans": zh } = TABLE;
  assert.equal(en.keptRoom(168, 10000),
    "The server keeps on its disk what is said in this room for 7 days (at most the newest 10,000 messages).");
  assert.match(en.keptRoom(24, 0), / for 1 day\.$/u);
  assert.match(en.keptRoom(36, 500), / for 36 hours \(at most the newest 500 messages\)\.$/u);
  assert.match(en.keptRoom(0, 0), /room\.$/u);
  assert.match(zh.keptRoom(48, 10000), /，保留 2 天，最多 10,000 条。$/u);
});

test("the language is the first one that the table has", () => {
  assert.equal(pickLanguage(["de-DE", "zh-CN", "en"]).language, "zh-Hans");
  assert.deepEqual(pickLanguage(["en-GB", "zh"]), { locale: "en-GB", language: "en" });
  assert.equal(pickLanguage(["en-US@posix", "eno"]).locale, "en");
  assert.equal(pickLanguage([]).language, "en");
});

test("colours need no light-dark(), and each has a value for the dark", () => {
  const folder = new URL("../../../web/", import.meta.url);
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".css"))) {
    const css = readFileSync(new URL(name, folder), "utf8").replace(/\/\*[^]*?\*\//gu, "");
    assert.doesNotMatch(css, /light-dark\(/u, name);
    const [light, dark] = [...css.matchAll(/:root \{\s*([^}]*--[^}]*)\}/gu)].map(([, rules]) => rules);
    const colours = (rules) => [...rules.matchAll(/(--[\w-]+): [^;]*(#|\d%? \d)/gu)].map(([, variable]) => variable);
    assert.ok(colours(light).length >= 5);
    assert.deepEqual(colours(dark), colours(light), name);
  }
});

test("every code has words, also one that nobody knows", () => {
  for (const code of [
    "malformed", "stale_key", "bad_signature", "expired", "key_changed", "replayed", "cannot_open",
    "unknown_kind", "other_key", "other_name", "never_confirmed", "too_many_keys", "waiting_full",
    "outdated", "forged", "foreign", "stale_again", "crowded", "no_keys", "wrong_origin", "unpublished", "too_many_talks", "memory",
  ]) {
    for (const table of Object.values(TABLE)) assert.equal(typeof table[code], "string", code);
  }
  assert.equal(reason("wrong_password"), t.wrong_password);
  assert.equal(reason("throttled"), t.throttled);
  assert.equal(reason("throttled", "try again in 15 seconds"), "try again in 15 seconds");
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
  assert.ok(!doubles.has("ana", ref, "hi") && doubles.has("ana", ref, "hi"));
  assert.ok(!doubles.has("bob", ref, "hi"));
  for (const other of ["1", 17, undefined, { n: 1 }]) {
    assert.ok(!doubles.has("ana", other, "hi") && !doubles.has("ana", other, "hi"));
  }
});

test("a Ref that somebody else used up makes no other text vanish (finding E)", () => {
  const doubles = new Doubles();
  const refs = Array.from({ length: 20 }, (_, n) => `0123456789abcdef${n}`);
  for (const ref of refs) assert.ok(!doubles.has("bob", ref, "used up by mallory"));
  for (const ref of refs) assert.ok(!doubles.has("bob", ref, "HELP, call the police"));
  for (let n = 0; n < 1000; n++) doubles.has("eve", `${n}`.padStart(32, "0"), "");
  assert.ok(!doubles.has("bob", refs[19], "HELP, call the police")); // a thousand are remembered
});

// ---- The list of messages ----

test("an own item waits behind the others until it arrives, and can be found and forgotten", () => {
  const messages = new Messages();
  messages.post({ key: "a", state: "sending" });
  messages.add({ text: "somebody else" }, true);
  messages.change("a", { state: "failed" });
  assert.equal(messages.find("a").state, "failed");
  assert.equal(messages.end, 1);
  assert.equal(messages.settle("a", { state: "sent" }, true).state, "sent");
  assert.deepEqual([messages.pending.length, messages.at(1).key, messages.find("a").state], [0, "a", "sent"]);
  assert.equal(messages.discard("a"), undefined);
});

test("the oldest items are forgotten, and numbers stay", () => {
  const messages = new Messages();
  for (let n = 0; n <= 6000; n++) messages.add({ n }, false);
  assert.deepEqual([messages.first, messages.end, messages.at(1000).n, messages.at(999)], [1000, 6001, 1000, undefined]);
});

test("a time that no Date can hold is never kept", () => {
  mock.timers.reset();
  for (const time of [0, -1, 8.64e15, -8.64e15, 1764460800000]) assert.equal(validTime(time), time);
  const messages = new Messages();
  for (const time of [1e300, 8.64e15 + 2, -Infinity, NaN, undefined, null, "1", {}, []]) {
    messages.add({ time }, true);
    assert.ok(Math.abs(messages.at(messages.end - 1).time - Date.now()) < 60_000);
    new Date(messages.at(messages.end - 1).time).toISOString();
  }
  messages.post({ key: "a", time: 1 });
  messages.settle("a", { time: 1e300 }, true);
  new Date(messages.find("a").time).toISOString();
});

// ---- Counting down ----

test("seconds are counted by the clock, at once and with each that passes, until they are over", () => {
  mock.timers.reset();
  mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const told = [];
  countDown(3, (left) => told.push(left), () => told.push("done"));
  mock.timers.tick(1000);
  mock.timers.tick(1000);
  assert.deepEqual(told, [3, 2, 1]);
  mock.timers.tick(1000);
  mock.timers.tick(9000);
  assert.deepEqual(told, [3, 2, 1, "done"]);
  const stop = countDown(3, (left) => told.push(left), () => told.push("never"));
  stop();
  mock.timers.tick(9000);
  assert.deepEqual(told.slice(4), [3]);
});

test("only a sane RetryAfter is waited for", () => {
  assert.deepEqual([1, 15, 2.5, 3600].map(secondsOf), [1, 15, 3, 3600]);
  for (const wrong of [0, -1, 3601, 1e300, NaN, "15", null, undefined, {}]) assert.equal(secondsOf(wrong), 0);
});
