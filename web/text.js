// SPDX-License-Identifier: MIT
//
// What people write, as DOM nodes: links (http and https only), `code`, fenced code and *emphasis*.
// parse() is pure and gives tokens; render() builds nodes of them with textContent, so nothing that
// anybody says can become markup. Line breaks stay as they are: the style sheet keeps them.

const LINK = /https?:\/\/[^\s<>"`]+/giu;
const CODE = /```[^\n`]*\n([\s\S]+?)\n?```|`([^`\n]+)`/gu;
const EMPHASIS = /(?<![\p{L}\p{N}*])\*(?![\s*])([^*\n]*[^*\s])\*(?![\p{L}\p{N}*])/gu;
const CLOSING = { ")": "(", "]": "[", "}": "{", "）": "（", "】": "【", "》": "《", "」": "「" };
const TRAILING = /[.,;:!?'"*_。，、；：！？”’…]/u;
const JOINED = /[\p{L}\p{N}]/u;
const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}]/u;

/** Where a link ends: punctuation behind it, and a bracket that it did not open, are not part of it. */
function trimLink(link) {
  const count = {};
  for (const character of link) count[character] = (count[character] ?? 0) + 1;
  const closesForeign = (last) => CLOSING[last] && count[last] > (count[CLOSING[last]] ?? 0);
  let end = link.length;
  while (TRAILING.test(link[end - 1]) || closesForeign(link[end - 1])) count[link[--end]]--;
  return link.slice(0, end);
}

/** The address of a link, or null if the browser would take it for something else. */
function address(link) {
  try {
    const url = new URL(link);
    return ["http:", "https:"].includes(url.protocol) && url.hostname ? url.href : null;
  } catch {
    return null;
  }
}

/** Cuts `text` at each match; `make` gives [token, length of the match that it covers] or null. */
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

const plain = (text) => [{ kind: "text", text }];

const emphasis = (text) =>
  cut(text, EMPHASIS, (m) => [{ kind: "emphasis", text: m[1] }, m[0].length], plain);

const links = (text) =>
  cut(text, LINK, (m) => {
    const shown = trimLink(m[0]);
    const href = address(shown);
    return href && [{ kind: "link", text: shown, href }, shown.length];
  }, emphasis);

/** The tokens of a text: {kind: "text"|"link"|"code"|"block"|"emphasis", text, href?}. */
export function parse(text) {
  return cut(text, CODE, (m) => {
    const token = m[1] === undefined ? { kind: "code", text: m[2] } : { kind: "block", text: m[1] };
    return [token, m[0].length];
  }, links);
}

const TAGS = { link: "a", code: "code", block: "pre", emphasis: "em" };

function node(token) {
  if (token.kind === "text") return document.createTextNode(token.text);
  const element = document.createElement(TAGS[token.kind]);
  element.textContent = token.text;
  if (token.kind !== "link") return element;
  element.href = token.href;
  element.target = "_blank";
  element.rel = "noopener noreferrer nofollow";
  return element;
}

/** A text as a fragment of the document. */
export function render(text) {
  const fragment = document.createDocumentFragment();
  fragment.append(...parse(text).map(node));
  return fragment;
}

/** The first `most` UTF-16 units of a text, or up to `lines` lines; never half a character. */
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

/** Whether a text names somebody: as a word of its own, where the script has such words. */
export function mentions(text, name) {
  const [where, what] = [text.normalize("NFKC").toLowerCase(), name.normalize("NFKC").toLowerCase()];
  const free = (outer, inner) =>
    !outer || !JOINED.test(outer) || !JOINED.test(inner) || UNSPACED.test(inner) || UNSPACED.test(outer);
  const inside = [...what];
  for (let at = where.indexOf(what); what && at >= 0; at = where.indexOf(what, at + 1)) {
    const before = [...where.slice(Math.max(0, at - 2), at)].at(-1);
    const after = [...where.slice(at + what.length, at + what.length + 2)][0];
    if (free(before, inside[0]) && free(after, inside.at(-1))) return true;
  }
  return false;
}

/** Bytes of a value as JSON in UTF-8: what counts against MaxMessageBytes. */
export const jsonBytes = (value) => new TextEncoder().encode(JSON.stringify(value)).length;
