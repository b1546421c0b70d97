// SPDX-License-Identifier: MIT
//
// Renders texts as DOM nodes: links (http and https only), `code`, fenced code, *emphasis*, and the
// @names of people.
// parse() is pure and returns tokens; render() builds nodes from them with textContent, so no text
// can become markup. Line breaks are left to the style sheet.
//
// A link must lead where it seems to lead. A character that changes the writing direction ends it.
// A URL with a user name ("https://bank.example@evil.example/") is not a link. If the browser goes
// to another host than the written one (IDN, other forms of digits and dots), both are shown.

import { fold } from "./conversation.js";
import { icon, make, setLabel } from "./dom.js";
import { t } from "./strings.js";

const LINK = /https?:\/\/[^\s<>"\u0060\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]+/giu;
const AUTHORITY = /^https?:\/\/([^/?#\\]*)/iu;
const CODE = /```[^\n`]*\n([\s\S]+?)\n?```\n?|`([^`\n]+)`/gu; // a block ends its line
const EMPHASIS = /(?<![\p{L}\p{N}*])\*(?![\s*])([^*\n]*[^*\s])\*(?![\p{L}\p{N}*])/gu;
const CLOSING = { ")": "(", "]": "[", "}": "{", "）": "（", "】": "【", "》": "《", "」": "「" };
const TRAILING = /[.,;:!?'"*_。，、；：！？”’…]/u;
const MENTION = /[@＠][^\s@＠][^@＠\n]{0,40}/gu; // an @, a name, and what follows
const ONE_EMOJI = String.raw`(?:\p{RI}\p{RI}|[\d#*]\uFE0F?\u20E3|\p{Extended_Pictographic}[\uFE0F\u{1F3FB}-\u{1F3FF}]?` +
  String.raw`[\u{E0020}-\u{E007F}]*(?:\u200D\p{Extended_Pictographic}[\uFE0F\u{1F3FB}-\u{1F3FF}]?)*)`;
const EMOJI = new RegExp(ONE_EMOJI, "gu");
const ONLY_EMOJI = new RegExp(`^\\s*(?:${ONE_EMOJI}\\s*){1,3}$`, "u");
const JOINED = /[\p{L}\p{N}]/u;
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;

/** Cuts trailing punctuation, and closing brackets that the link did not open. */
function trimLink(link) {
  const count = {};
  for (const character of link) count[character] = (count[character] ?? 0) + 1;
  const closesForeign = (last) => CLOSING[last] && count[last] > (count[CLOSING[last]] ?? 0);
  let end = link.length;
  while (TRAILING.test(link[end - 1]) || closesForeign(link[end - 1])) count[link[--end]]--;
  return link.slice(0, end);
}

/** The target: { href, host? }, with the host if it differs from the written one. Null: no link. */
function target(link) {
  try {
    const { protocol, username, password, host, hostname, href } = new URL(link);
    const written = AUTHORITY.exec(link)[1].toLowerCase().replace(protocol === "https:" ? /:443$/u : /:80$/u, "");
    if (!["http:", "https:"].includes(protocol) || !hostname) return null;
    if (username || password || written.includes("@")) return null;
    return written === host ? { href } : { href, host };
  } catch {
    return null;
  }
}

/** Splits `text` at each match; `make` returns [token, length it covers of the match] or null. */
function cut(text, pattern, make, rest) {
  const tokens = [];
  let done = 0;
  for (const match of text.matchAll(pattern)) {
    const made = make(match);
    if (!made || match.index < done) continue;
    if (match.index > done) tokens.push(...rest(text.slice(done, match.index)));
    tokens.push(made[0]);
    done = match.index + made[1];
  }
  if (done < text.length) tokens.push(...rest(text.slice(done)));
  return tokens;
}

/** Whether a name may end between two characters; the second one may be missing. */
function isEnd(last, next) {
  return !next || !JOINED.test(next) || !JOINED.test(last) || UNSPACED.test(last) || UNSPACED.test(next);
}

/** Whether an @ behind this character, which may be missing, is no part of a word (a@b.c). */
function mayBegin(before) {
  return !before || !JOINED.test(before) || UNSPACED.test(before);
}

const plain = (text) => [{ kind: "text", text }];

/** The longest beginning of "@ana maría and" that is an @ and a name. */
function mention(found, isName) {
  for (let end = found.length; end > 1; end--) {
    const whole = isEnd(found[end - 1], found[end]) && found[end - 1] !== " ";
    if (whole && isName(found.slice(1, end))) return found.slice(0, end);
  }
  return "";
}

const mentionsIn = (isName) => (text) =>
  cut(text, MENTION, (m) => {
    const found = mayBegin(m.input[m.index - 1]) ? mention(m[0], isName) : "";
    return found && [{ kind: "mention", text: found }, found.length];
  }, plain);

const emphasis = (rest) => (text) =>
  cut(text, EMPHASIS, (m) => [{ kind: "emphasis", text: m[1] }, m[0].length], rest);

const links = (rest) => (text) =>
  cut(text, LINK, (m) => {
    const shown = trimLink(m[0]);
    const found = target(shown);
    return found && [{ kind: "link", text: shown, ...found }, shown.length];
  }, rest);

/** The tokens of a text: {kind, text, href?, host?}, where kind is "text", "link", "code", "block",
 *  "emphasis", or "mention": an @ and a name for which `isName` is true. */
export function parse(text, isName = () => false) {
  return cut(text, CODE, (m) => {
    const token = m[1] === undefined ? { kind: "code", text: m[2] } : { kind: "block", text: m[1] };
    return [token, m[0].length];
  }, links(emphasis(mentionsIn(isName))));
}

/** The number of emoji of a text that holds one to three of them and nothing else; otherwise 0. */
export const onlyEmoji = (text) => (ONLY_EMOJI.test(text) ? text.match(EMOJI).length : 0);

const TAGS = { link: "a", code: "code", block: "pre", emphasis: "em", mention: "mark" };

/** A block of code, with a button that copies it where the browser lets pages do that. If it
 *  refuses, the code is selected, to be copied by hand. */
function withCopy(block) {
  if (!navigator.clipboard) return block; // needs https
  const button = make("button", { type: "button", className: "copy" }, icon("copy"));
  setLabel(button, t.copyCode);
  const isCopied = () => {
    setLabel(button, t.copied);
    button.replaceChildren(icon("sent"));
  };
  const select = () => getSelection().selectAllChildren(block);
  button.onclick = () => navigator.clipboard.writeText(block.textContent).then(isCopied, select);
  return make("div", { className: "block" }, block, button);
}

function node(token) {
  if (token.kind === "text") return document.createTextNode(token.text);
  const element = document.createElement(TAGS[token.kind]);
  element.textContent = token.text;
  if (token.kind === "block") {
    element.tabIndex = 0; // it scrolls sideways, also by keyboard
    return withCopy(element);
  }
  if (token.kind !== "link") return element;
  element.href = token.href;
  element.dir = "ltr"; // otherwise right-to-left letters could be shown in place of the host
  if (token.host) element.dataset.host = token.host; // the style sheet shows it
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
  return element;
}

/** A text as a DocumentFragment. */
export function render(text, isName) {
  const fragment = document.createDocumentFragment();
  fragment.append(...parse(text, isName).map(node));
  return fragment;
}

/** The first `most` UTF-16 units of a text, or `lines` lines; never splits a character. */
export function shorten(text, most, lines) {
  let end = text.length <= most ? text.length : most;
  let newline = -1;
  for (let n = 0; n < lines && newline < end; n++) {
    newline = text.indexOf("\n", newline + 1);
    if (newline < 0) break;
  }
  if (newline >= 0 && newline < end) end = newline;
  const head = text.slice(0, end);
  return end < text.length && /[\uD800-\uDBFF]$/.test(head) ? head.slice(0, -1) : head;
}

/** Whether a text mentions @name: as a whole name, and not within a word (a@b.c). */
export function mentions(text, name) {
  const where = fold(text);
  const what = `@${fold(name)}`;
  if (what === "@") return false;
  for (let at = where.indexOf(what); at >= 0; at = where.indexOf(what, at + 1)) {
    const before = [...where.slice(Math.max(0, at - 2), at)].at(-1) ?? "";
    const after = [...where.slice(at + what.length, at + what.length + 2)][0];
    if (mayBegin(before) && isEnd([...what].at(-1), after)) return true;
  }
  return false;
}

/** The bytes of a value as JSON in UTF-8, which count against MaxMessageBytes. */
export const jsonBytes = (value) => new TextEncoder().encode(JSON.stringify(value)).length;
