// SPDX-License-Identifier: MIT
//
// The lists of users and of private conversations. Rows are kept and moved instead of rebuilt, so
// that a room of hundreds with many joins and leaves stays responsive.

import { fold } from "./conversation.js";
import { byId, make, setLabel } from "./dom.js";
import { faceOf, setPresent } from "./face.js";
import { sorted } from "./names.js";
import { t } from "./strings.js";

const FILTER_FROM = 12; // people; fewer need no search field

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
  #here = [];
  #folded = new Set(); // their names, folded
  #me = "";

  /** `open(name)` is called when a user is chosen. */
  constructor(open) {
    const row = (name) => makeRow(name, name === this.#me, open);
    this.rows = new Rows(byId("people-list"), row);
    this.conversations = new Rows(byId("talk-list"), (name) => {
      const talk = makeRow(name, false, open);
      talk.firstElementChild.append(make("span", { className: "badge" }));
      return talk;
    });
    this.filter = byId("people-filter");
    this.filter.oninput = () => this.#applyFilter();
  }

  /** All users except oneself. */
  get others() {
    return this.#here.filter((name) => name !== this.#me);
  }

  has(name) {
    return this.#here.includes(name);
  }

  /** Whether somebody here, oneself included, has this name in any spelling. */
  isName = (text) => this.#folded.has(fold(text));

  /** The other user with this name in any spelling, or undefined. */
  find(name) {
    return this.others.find((other) => fold(other) === fold(name));
  }

  set(names, me) {
    if (me !== this.#me) [me, this.#me].forEach((name) => this.rows.forget(name)); // own rows differ
    this.#me = me;
    this.#here = sorted(names);
    this.#folded = new Set(names.map(fold));
    setPresent(this.#here);
    this.rows.set(this.#here);
    this.filter.hidden = names.length < FILTER_FROM;
    byId("online-count").textContent = t.online(names.length);
    byId("online-count").dataset.count = names.length;
    this.#applyFilter();
  }

  /** The private conversations: [{ name, unread }], latest first, and the open one. Their list alone
   *  counts what is not read: those people are among the others, too. */
  setConversations(conversations, current) {
    const here = new Set(this.#here);
    this.conversations.set(conversations.map((talk) => talk.name));
    byId("talk-section").hidden = conversations.length === 0;
    for (const { name, unread } of conversations) {
      const row = this.conversations.get(name);
      row.dataset.here = here.has(name);
      row.title = here.has(name) ? "" : t.notHere;
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
    for (const name of this.#here) {
      const row = this.rows.get(name);
      row.hidden = wanted !== "" && !fold(name).includes(wanted);
    }
    this.rows.keepStop();
  }
}
