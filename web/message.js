// SPDX-License-Identifier: MIT
//
// One item of a book as an element: a message, or a line that the page itself says.
//
//   { kind: "message", key?, author, own, text, time, id?, state, reason?, plain?, mention?, fresh? }
//     state: received, or of our own: sending, sent, failed, unread (the other side could not read it)
//     reason: words for failed and unread; plain: words if it came or went unencrypted in private
//     fresh: whether it is news to the reader
//   { kind: "notice", notice, text, time }

import { icon, make } from "./dom.js";
import { hue } from "./names.js";
import { locale, t } from "./strings.js";
import { render, shorten } from "./text.js";

const LONG = 1500; // more UTF-16 units than that are shown on demand only
const LINES = 24; // likewise more lines
const GROUP = 5 * 60_000; // ms; what one says within it stands under one head

const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
const stamp = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });
const calendar = new Intl.DateTimeFormat(locale, { dateStyle: "full" });

const day = (item) => new Date(item.time).toDateString();

/** The line that stands before an item if it begins another day than the item before it. */
export function daySeparator(item, before) {
  if (before && day(before) === day(item)) return null;
  const date = calendar.format(item.time);
  return make("p", { className: "day" }, make("span", { textContent: date }));
}

function isGrouped(item, before) {
  return before?.kind === "message" && before.author === item.author && before.own === item.own &&
    item.time - before.time < GROUP && day(before) === day(item);
}

function timeOf(item) {
  const time = new Date(item.time);
  return make("time", {
    dateTime: time.toISOString(), title: stamp.format(time), textContent: clock.format(time),
  });
}

/** The text, and for a long one the button that shows the rest of it. */
function textOf(item) {
  const text = make("div", { className: "text", dir: "auto" });
  const head = shorten(item.text, LONG, LINES);
  text.append(render(head));
  if (head.length === item.text.length) return [text];
  text.append("…");
  const button = make("button", { type: "button", className: "show-all", textContent: t.showAll });
  button.ariaExpanded = "false";
  button.onclick = () => {
    const all = button.ariaExpanded === "false";
    button.ariaExpanded = String(all);
    button.textContent = all ? t.showLess : t.showAll;
    text.replaceChildren(render(all ? item.text : head), all ? "" : "…");
  };
  return [text, button];
}

const STATES = { sending: t.sending, sent: t.sent, failed: t.failed, unread: t.unreadByOther };

function metaOf(item) {
  const meta = make("p", { className: "meta" });
  if (item.plain) meta.append(make("span", { className: "plain-mark" }, icon("none"), item.plain));
  meta.append(timeOf(item));
  if (item.own) meta.append(make("span", { className: "status", textContent: STATES[item.state] }));
  return meta;
}

/** What to do about an own message that did not arrive. */
function failureOf(item, actions) {
  const failure = make("p", { className: "failure" },
    make("span", { className: "reason", textContent: item.reason ?? "" }));
  if (item.state !== "failed") return failure;
  const button = (name, act) =>
    make("button", { type: "button", className: name, textContent: t[name], onclick: () => act(item) });
  failure.append(button("retry", actions.retry), button("discard", actions.discard));
  return failure;
}

function message(item, before, actions) {
  const { author, own, state } = item;
  const article = make("article", {
    className: "message",
    dataset: { author, own, state, grouped: isGrouped(item, before) },
  });
  if (item.id !== undefined) article.dataset.id = item.id;
  if (item.key !== undefined) article.dataset.ref = item.key;
  if (item.plain) article.dataset.plain = "true";
  if (item.mention) article.dataset.mention = "true";
  if (article.dataset.grouped === "false") {
    const name = make("bdi", { className: "author", textContent: author });
    name.style.setProperty("--hue", hue(author));
    article.append(name);
  }
  const bubble = make("div", { className: "bubble" }, ...textOf(item), metaOf(item));
  if (item.reason) bubble.append(failureOf(item, actions));
  article.append(bubble);
  return article;
}

/** The element of an item, given the item before it; actions: { retry(item), discard(item) }. */
export function build(item, before, actions) {
  if (item.kind === "message") return message(item, before, actions);
  return make("p", { className: "notice", textContent: item.text, dataset: { kind: item.notice } });
}
