// SPDX-License-Identifier: MIT
//
// Who is here, and with whom one talks in private. Rows are kept and moved, not made anew, so that a
// room of hundreds where people come and go stays fluid.

import { fold } from "./conversation.js";
import { byId, make } from "./dom.js";
import { hue } from "./names.js";
import { t } from "./strings.js";

const FILTER_FROM = 12; // people; fewer need no search field

function makeRow(name, self, open) {
  const face = make("span", { className: "face", textContent: [...name][0], ariaHidden: "true" });
  face.style.setProperty("--hue", hue(name));
  const label = make("bdi", { className: "name", textContent: name });
  const badge = make("span", { className: "badge", hidden: true });
  const row = make("li", { dataset: { name } });
  if (self) {
    row.dataset.self = "true";
    const you = make("small", { textContent: t.you });
    row.append(make("span", { className: "person" }, face, label, you));
  } else {
    const button = make("button", { type: "button", className: "person" }, face, label, badge);
    button.dataset.unread = 0;
    button.title = t.talkTo(name);
    button.onclick = () => open(name);
    row.append(button);
  }
  return row;
}

/** A <ul> that follows a list of names, touching only what changed. */
class Rows {
  #rows = new Map();

  constructor(list, make) {
    this.list = list;
    this.make = make;
  }

  get(name) {
    return this.#rows.get(name);
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
  }
}

export class People {
  #here = [];
  #me = "";

  /** `open(name)` is called when somebody is chosen. */
  constructor(open) {
    const row = (name) => makeRow(name, name === this.#me, open);
    this.rows = new Rows(byId("people-list"), row);
    this.talks = new Rows(byId("talk-list"), (name) => makeRow(name, false, open));
    this.filter = byId("people-filter");
    this.filter.oninput = () => this.#applyFilter();
  }

  /** Everybody but oneself. */
  get others() {
    return this.#here.filter((name) => name !== this.#me);
  }

  has(name) {
    return this.#here.includes(name);
  }

  set(names, me) {
    this.#me = me;
    this.#here = names;
    this.rows.set(names);
    this.filter.hidden = names.length < FILTER_FROM;
    byId("online-count").textContent = t.online(names.length);
    byId("online-count").dataset.count = names.length;
    this.#applyFilter();
  }

  /** The private conversations there are: [{ name, unread }], latest first, and the open one. */
  setTalks(talks, current) {
    const here = new Set(this.#here);
    this.talks.set(talks.map((talk) => talk.name));
    byId("talk-section").hidden = talks.length === 0;
    for (const { name, unread } of talks) {
      const row = this.talks.get(name);
      row.dataset.here = here.has(name);
      row.title = here.has(name) ? "" : t.notHere;
      row.firstElementChild.ariaCurrent = String(name === current);
      this.#badge(row, unread);
      this.#badge(this.rows.get(name), unread);
    }
    const unread = talks.reduce((sum, talk) => sum + talk.unread, 0);
    byId("people-unread").textContent = unread;
    byId("people-unread").hidden = unread === 0;
  }

  #badge(row, unread) {
    const button = row?.querySelector("button");
    if (!button) return;
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
  }
}
