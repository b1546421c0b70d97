// SPDX-License-Identifier: MIT
//
// Builds the element of one item of a list: a message, or a notice of the page.
//
//   { kind: "message", key?, author, own, text, time, id?, state, reason?, plain?, doubt?,
//     mention?, fresh? }
//     state: "received"; own messages: sending, sent, failed; own private ones also arrived
//       (confirmed by the recipient), unread (they could not read it), unconfirmed (not sent again;
//       unknown)
//     reason: a text for failed, unread and unconfirmed
//     plain: a text if a private message was not encrypted
//     doubt: a text if an unverified key sealed it although another key of that person is verified
//     fresh: whether it is new to the reader
//   { kind: "notice", notice, text, time }

import { actionOf } from "./command.js";
import { icon, make } from "./dom.js";
import { faceOf, nameOf } from "./face.js";
import { validTime } from "./messages.js";
import { locale, t } from "./strings.js";
import { onlyEmoji, render, shorten } from "./text.js";

const LONG = 1500; // UTF-16 units; a longer text is folded
const LINES = 24; // lines; a longer text is folded
const GROUP = 5 * 60_000; // ms between two messages of one group: one face, one name, one time
const GROUP_LONGEST = 15 * 60_000; // ms; a group ends on each quarter of an hour

const clock = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
const stamp = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "medium" });
const dated = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" });
const calendar = new Intl.DateTimeFormat(locale, { dateStyle: "full" });

const day = (item) => new Date(item.time).toDateString();
const quarter = (item) => Math.floor(item.time / GROUP_LONGEST);

/** The separator before an item of another day than the item before it. */
export function daySeparator(item, before) {
  if (before && day(before) === day(item)) return null;
  const date = calendar.format(item.time);
  return make("p", { className: "day" }, make("span", { textContent: date }));
}

function isGrouped(item, before) {
  return before?.kind === "message" && before.author === item.author && before.own === item.own &&
    actionOf(before.text) === undefined &&
    item.time - before.time < GROUP && quarter(before) === quarter(item) && day(before) === day(item);
}

function timeElement(time, format) {
  const date = new Date(time);
  return make("time", { dateTime: date.toISOString(), title: stamp.format(date), textContent: format.format(date) });
}

const timeOf = (item) => timeElement(item.time, clock);

/** A time from a server with its day, for a message that stands alone. */
export const stamped = (time) => timeElement(validTime(time), dated);

/** The text; a long one has a button that shows the rest. An action ("/me waves") is a line that
 *  begins with the author's name. */
function textOf({ author, text: whole }, isName) {
  const action = actionOf(whole);
  const all = action ?? whole;
  const text = make("div", { className: "text", dir: "auto" });
  const show = (part, end) =>
    text.replaceChildren(...(action ? ["* ", nameOf(author), " "] : []), render(part, isName), end);
  const head = shorten(all, LONG, LINES);
  show(head, head.length < all.length ? "…" : "");
  if (head.length === all.length) return [text];
  const button = make("button", { type: "button", className: "show-all", textContent: t.showAll });
  button.ariaExpanded = "false";
  button.onclick = () => {
    const more = button.ariaExpanded === "false";
    button.ariaExpanded = String(more);
    button.textContent = more ? t.showLess : t.showAll;
    show(more ? all : head, more ? "" : "…");
  };
  return [text, button];
}

const STATES = {
  sending: t.sending, sent: t.sent, arrived: t.arrived, failed: t.failed, unread: t.unreadByOther,
  unconfirmed: t.unconfirmed,
};
const TICKS = new Set(["sent", "arrived"]); // states with a symbol; screen readers get their text

function metaOf(item) {
  const meta = make("p", { className: "meta" });
  if (item.plain) meta.append(make("span", { className: "warn-mark" }, icon("none"), item.plain));
  if (item.doubt) meta.append(make("span", { className: "warn-mark" }, icon("changed"), item.doubt));
  meta.append(timeOf(item));
  if (!item.own) return meta;
  const words = STATES[item.state];
  if (TICKS.has(item.state)) meta.append(make("span", { className: "tick", title: words }, icon(item.state)));
  meta.append(make("span", { className: "status", textContent: words }));
  return meta;
}

/** The reason and the buttons below an own message that did not arrive. */
function failureOf(item, actions) {
  const failure = make("p", { className: "failure" },
    make("span", { className: "reason", textContent: item.reason ?? "" }));
  if (item.state !== "failed") return failure;
  const button = (name, act) =>
    make("button", { type: "button", className: name, textContent: t[name], onclick: () => act(item) });
  failure.append(button("retry", actions.retry), button("discard", actions.discard));
  return failure;
}

/** Each article names its author: where the eye has the face or the head of the group, the style
 *  sheet leaves the name to screen readers. */
function message(item, before, actions) {
  const { author, own, state } = item;
  const article = make("article", {
    className: "message",
    dataset: { author, own, state, grouped: isGrouped(item, before) },
  });
  if (item.id !== undefined) article.dataset.id = item.id;
  if (item.key !== undefined) article.dataset.ref = item.key;
  if (item.plain) article.dataset.plain = "true";
  if (item.doubt) article.dataset.doubt = "true";
  if (item.mention) article.dataset.mention = "true";
  const emoji = onlyEmoji(item.text);
  if (emoji) article.dataset.emoji = emoji;
  const isAction = actionOf(item.text) !== undefined;
  if (isAction) article.dataset.action = "true";
  if (!own && article.dataset.grouped === "false") article.append(faceOf(author));
  const bubble = make("div", { className: "bubble" }, ...(isAction ? [] : [nameOf(author)]),
    make("div", { className: "line" }, ...textOf(item, actions.isName), metaOf(item)));
  if (item.reason) bubble.append(failureOf(item, actions));
  article.append(bubble);
  return article;
}

/** Builds an item's element, given the item before it; actions: { retry(item), discard(item),
 *  isName(text) }, the latter to mark "@name". */
export function build(item, before, actions) {
  if (item.kind === "message") return message(item, before, actions);
  return make("p", { className: "notice", textContent: item.text, dataset: { kind: item.notice } });
}
