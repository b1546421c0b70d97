// SPDX-License-Identifier: MIT
//
// The lists of users and of private conversations. Rows are kept and moved instead of rebuilt, so
// that a room of hundreds with many joins and leaves stays responsive. In a room that is too large for
// a list the names are loaded while one scrolls, and found by their beginning (directory.js).

import { fold } from "./conversation.js";
import { Directory } from "./directory.js";
import { byId, make, setLabel, setText } from "./dom.js";
import { faceOf, setPresent } from "./face.js";
import { completions, problem } from "./names.js";
import { CLOCK } from "./pace.js";
import { reason, t } from "./strings.js";

const FILTER_FROM = 12; // people; fewer need no search field
const OFFERS_MOST = 20; // names that Tab completes in a large room

function makeRow(name, self, open) {
  const face = faceOf(name);
  const label = make("bdi", { className: "name", textContent: name });
  const row = make("li", { dataset: { name } });
  if (self) {
    row.dataset.self = "true";
    const you = make("small", { textContent: t.you });
    row.append(make("span", { className: "person" }, face, label, you));
  } else {
    const button = make("button", { type: "button", className: "person" }, face, label);
    button.tabIndex = -1;
    button.title = t.talkTo(name);
    button.onclick = () => open(name);
    row.append(button);
  }
  return row;
}

const STEPS = { ArrowDown: (at) => at + 1, ArrowUp: (at) => at - 1, Home: () => 0, End: (at, last) => last };

/** A <ul> that follows a list of names and changes only what differs. Tab stops at one row of it,
 *  and the arrow keys go to the others. */
class Rows {
  #rows = new Map();
  #stop = null; // the button where Tab stops

  constructor(list, make) {
    this.list = list;
    this.make = make;
    list.addEventListener("focusin", ({ target }) => this.#setStop(target));
    list.addEventListener("keydown", (event) => this.#key(event));
  }

  #key(event) {
    const buttons = [...this.list.querySelectorAll("li:not([hidden]) > button")];
    const last = buttons.length - 1;
    const to = STEPS[event.key]?.(buttons.indexOf(event.target), last);
    if (to === undefined) return;
    event.preventDefault();
    buttons[Math.max(0, Math.min(to, last))].focus();
  }

  #setStop(button) {
    if (this.#stop) this.#stop.tabIndex = -1;
    this.#stop = button;
    if (button) button.tabIndex = 0;
  }

  /** Called after rows appeared or went: Tab stops at a row that is shown. */
  keepStop() {
    if (this.#stop?.isConnected && !this.#stop.parentElement.hidden) return;
    this.#setStop(this.list.querySelector("li:not([hidden]) > button"));
  }

  get(name) {
    return this.#rows.get(name);
  }

  /** Drops the row of this name; it is rebuilt when needed. */
  forget(name) {
    this.#rows.get(name)?.remove();
    this.#rows.delete(name);
  }

  set(names) {
    const wanted = new Set(names);
    for (const [name, row] of this.#rows) {
      if (wanted.has(name)) continue;
      row.remove();
      this.#rows.delete(name);
    }
    let place = this.list.firstElementChild;
    for (const name of names) {
      const row = this.#rows.get(name) ?? this.make(name);
      this.#rows.set(name, row);
      if (row === place) place = place.nextElementSibling;
      else this.list.insertBefore(row, place);
    }
    this.keepStop();
  }
}

export class People {
  #roster;
  #directory;
  #ask;
  #me = "";
  #watch; // sees that the end of the list comes into view

  /** `roster` is who is here; `open(name)` is called when a user is chosen; `ask(question)` asks the
   *  server (Questions). */
  constructor(roster, open, ask) {
    [this.#roster, this.#ask] = [roster, ask];
    this.#directory = new Directory(ask, () => this.#showFound(), CLOCK);
    const row = (name) => makeRow(name, name === this.#me, open);
    this.rows = new Rows(byId("people-list"), row);
    this.conversations = new Rows(byId("talk-list"), (name) => {
      const talk = makeRow(name, false, open);
      talk.firstElementChild.append(make("span", { className: "badge" }));
      return talk;
    });
    this.filter = byId("people-filter");
    this.filter.oninput = () => (roster.isListed ? this.#applyFilter() : this.#directory.search(this.filter.value.trim()));
    this.more = byId("people-more");
    this.more.onclick = () => this.#directory.more();
    this.#watch = new IntersectionObserver((entries) => {
      if (entries.at(-1).isIntersecting && !this.#directory.code) this.#directory.more();
    }, { root: byId("people") });
  }

  /** Whether somebody of this name in any spelling is here; undefined if unknown. */
  has(name) {
    return this.#roster.has(name);
  }

  /** Whether somebody here, oneself included, has this name in any spelling, as far as is known. */
  isName = (text) => this.has(text) ?? (fold(text) === fold(this.#me) || this.#directory.has(text));

  /** The other user with this name in any spelling, perhaps behind an "@", or undefined. The name as it
   *  is written where nobody knows who is here. */
  find(written) {
    const bare = written.replace(/^@/u, ""); // Tab may add it
    const isOther = (name) => fold(name) !== fold(this.#me);
    const found = [written, bare].find((name) => isOther(name) && this.isName(name));
    if (found !== undefined) return this.#roster.spelling(found) ?? this.#directory.spelling(found);
    return !this.#roster.isListed && isOther(bare) && !problem(bare) ? bare : undefined;
  }

  /** The other users whose names begin so: a list, or in a large room a promise of the first of them. */
  complete(letters) {
    const others = (names) => completions(names, letters).filter((name) => name !== this.#me);
    if (this.#roster.isListed) return others(this.#roster.names);
    const prefix = letters ? { Prefix: letters } : {};
    return this.#ask({ msgType: "GetUsers", ...prefix, Limit: OFFERS_MOST }).then(({ names }) => others(names));
  }

  /** Who is here has changed. `isState`: it was told as a whole. */
  set(me, isState) {
    const { names, count, isListed } = this.#roster;
    if (me !== this.#me) [me, this.#me].forEach((name) => this.rows.forget(name)); // own rows differ
    this.#me = me;
    byId("online-count").textContent = isListed ? t.online(count) : t.onlyCounted(count);
    byId("online-count").dataset.count = count;
    this.filter.hidden = isListed && count < FILTER_FROM;
    this.filter.placeholder = this.filter.ariaLabel = isListed ? t.findPerson : t.findBeginning;
    if (isListed) this.#showAll(names);
    else if (isState) this.#directory.restart();
    else this.#refresh();
    if (!isListed) this.#showFound();
  }

  #showAll(names) {
    this.#directory.clear();
    this.#watch.disconnect();
    this.more.hidden = true;
    setText(byId("people-note"), "");
    setPresent(names);
    this.rows.set(names);
    this.#applyFilter();
  }

  /** Keeps what somebody reads up to date, but not while they are in it. */
  #refresh() {
    const list = byId("people");
    const isSeen = list.checkVisibility() && !document.hidden && list.scrollTop === 0;
    if (isSeen && !this.rows.list.contains(document.activeElement)) this.#directory.refresh();
  }

  /** Shows the names that were found so far. */
  #showFound() {
    if (this.#roster.isListed) return;
    const { names, code, isAsking, isBegun, isFull, hasMore } = this.#directory;
    const count = this.rows.list.childElementCount;
    const hadFocus = document.activeElement === this.more;
    setPresent(names);
    this.rows.set(names);
    for (const name of names) this.rows.get(name).hidden = false; // a filter of the list may have hidden it
    this.rows.list.ariaBusy = String(isAsking);
    this.more.hidden = !hasMore;
    setText(this.more, isAsking ? t.loadingNames : code ? t.retry : isBegun ? t.moreNames : t.showNames);
    const found = names.length ? t.namesShown(names.length) : t.noNames;
    if (!isAsking) setText(byId("people-note"), code ? reason(code) : isBegun ? t.sentences(found, isFull && t.tooManyNames) : "");
    if (hadFocus) this.rows.list.querySelector(`li:nth-child(n + ${count + 1}) > button`)?.focus();
    this.#watch.disconnect(); // observing again reports once more whether the end is in view
    if (!isAsking && hasMore) this.#watch.observe(this.more);
  }

  /** The private conversations: [{ name, unread }], latest first, and the open one. Their list alone
   *  counts what is not read: those people are among the others, too. */
  setConversations(conversations, current) {
    this.conversations.set(conversations.map((talk) => talk.name));
    byId("talk-section").hidden = conversations.length === 0;
    for (const { name, unread } of conversations) {
      const row = this.conversations.get(name);
      const isHere = this.has(name);
      row.dataset.here = isHere ?? "unknown";
      row.title = isHere === false ? t.notHere : "";
      row.firstElementChild.ariaCurrent = String(name === current);
      this.#badge(row, unread);
    }
    const unread = conversations.reduce((sum, talk) => sum + talk.unread, 0);
    byId("people-unread").textContent = unread;
    byId("people-unread").hidden = unread === 0;
    setLabel(byId("people-button"), unread ? t.withCount(t.people, t.unread(unread)) : t.people);
  }

  #badge(row, unread) {
    const button = row.firstElementChild;
    const badge = button.querySelector(".badge");
    button.dataset.unread = unread;
    badge.textContent = unread;
    badge.hidden = unread === 0;
    badge.ariaLabel = t.unread(unread);
  }

  #applyFilter() {
    const wanted = this.filter.hidden ? "" : fold(this.filter.value);
    for (const name of this.#roster.names) {
      const row = this.rows.get(name);
      row.hidden = wanted !== "" && !fold(name).includes(wanted);
    }
    this.rows.keepStop();
  }
}
