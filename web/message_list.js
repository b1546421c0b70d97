// SPDX-License-Identifier: MIT
//
// Shows messages. Only a window of a few hundred of its thousands of items is in the document;
// scrolling moves the window. Live messages go into the element with role="log", so that screen
// readers announce them; history, and items that return into the window, go into the element before
// it. At the end, the view follows new messages; elsewhere a button shows their number. To avoid a
// layout per message, it scrolls to the end once per frame.
//
// A reader may be in messages that do not end with the newest one (isLive). Then nothing is followed,
// and the button leads back.

import { make } from "./dom.js";
import { build, daySeparator } from "./message.js";
import { t } from "./strings.js";

const PAGE = 80; // items added to the window at a time
const MOST_SHOWN = 320; // items in the window; up to PAGE more while they are added at its end
const NEAR = 48; // px from the end that count as the end
const AHEAD = 400; // px from an edge of the window at which items are added

/** The result of `draw`, or a line with the error if it throws, so that later items are drawn. */
function attempt(draw) {
  try {
    return draw();
  } catch (error) {
    console.error("an item could not be drawn:", error);
    return make("p", { className: "notice", textContent: t.notShown, dataset: { kind: "failed" } });
  }
}

export class MessageList {
  #messages = null;
  #from = 0; // the window: items from #from up to, not including, #to
  #to = 0;
  #elements = []; // their elements, in order
  #elementOf = new WeakMap();
  #sticks = true; // whether the reader is at the end
  #lastTop = 0;
  #unseen = 0;
  #due = false; // whether the next frame will scroll to the end

  /** `pane` holds .scroller > .history + .log + .pending; `button` shows the new messages. `actions`:
   *  those of message.js, and, where there is a past, older() and newer(), which are asked for more
   *  items at either end, and toNewest(). */
  constructor(pane, button, actions) {
    this.scroller = pane.querySelector(".scroller");
    this.history = pane.querySelector(".history");
    this.live = pane.querySelector(".log");
    this.pending = pane.querySelector(".pending");
    this.button = button;
    this.actions = actions;
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#moved()).observe(this.scroller);
    button.onclick = () => (this.#messages.isLive ? this.toEnd() : actions.toNewest());
  }

  /** Shows other messages: from their end, or so that the item of `place` is where it says. */
  show(messages, place = null) {
    if (this.#messages) this.#messages.view = null;
    this.#messages = messages;
    messages.view = this;
    this.pending.replaceChildren();
    messages.pending.forEach((item) => this.posted(item));
    const isThere = place !== null && messages.numberOfId(place.id) !== undefined;
    if (isThere) this.#restartAt(place);
    else this.#restart();
    this.#setUnseen(isThere ? this.#unseen : 0);
  }

  /** Where the reader is: the first item in view that has an Id, and its distance from the top of
   *  the view in px; or null. */
  get place() {
    const { top } = this.scroller.getBoundingClientRect();
    for (const element of this.#elements) {
      const box = element.getBoundingClientRect();
      const { id } = element.dataset;
      if (box.bottom > top && id !== undefined) return { id: Number(id), offset: box.top - top };
    }
    return null;
  }

  /** Shows an item in the upper half of the view, marks it, and gives it the focus. */
  point(messages, id) {
    this.show(messages, { id, offset: this.scroller.clientHeight / 4 });
    const element = this.#elements[messages.numberOfId(id) - this.#from];
    element.dataset.found = "true";
    element.tabIndex = -1;
    element.focus({ preventScroll: true });
    this.check();
  }

  /** Something was said that is not among these messages. */
  heardElsewhere() {
    this.#setUnseen(this.#unseen + 1);
  }

  /** Asks for more items if the reader is near an end. */
  check() {
    this.#scrolled();
  }

  /** Scrolls to the newest item. */
  toEnd() {
    if (this.#to < this.#messages.end) this.#restart();
    this.#sticks = true;
    this.#setUnseen(0);
    this.#scrollSoon();
  }

  /** The page looks otherwise: what was at the end stays there. */
  relayout() {
    this.#moved();
  }

  // ---- Events of the messages -----------------------------------------------------------------------

  added(number, live) {
    const item = this.#messages.at(number);
    const room = this.#sticks || this.#elements.length < MOST_SHOWN;
    if (number === this.#to && room) {
      this.#extend(number + 1, live ? this.live : this.#quiet());
      if (this.#sticks && this.#elements.length > MOST_SHOWN + PAGE) this.#trimTop(MOST_SHOWN);
    }
    if (this.#sticks) this.#scrollSoon();
    else if (item.fresh) this.#setUnseen(this.#unseen + 1);
  }

  posted(item) {
    const element = attempt(() => build(item, undefined, this.actions));
    this.#elementOf.set(item, element);
    this.pending.append(element);
    this.toEnd();
  }

  changed(item) {
    const old = this.#elementOf.get(item);
    if (!old?.isConnected) return;
    const index = this.#elements.indexOf(old);
    const before = index < 0 ? undefined : this.#messages.at(this.#from + index - 1);
    const now = attempt(() => build(item, before, this.actions));
    if (index >= 0) this.#elements[index] = now;
    this.#elementOf.set(item, now);
    old.replaceWith(now);
    this.#moved();
  }

  inserted(number, items) {
    if (number >= this.#to && this.#sticks) {
      this.#restart();
    } else if (number >= this.#to) {
      this.#from -= items.length;
      this.#to -= items.length;
    } else if (number > this.#from) {
      this.#rebuild();
    } else if (number === this.#from) {
      this.#loadOlder(true);
    }
    if (this.#sticks) this.#scrollSoon();
    else if (number >= this.#from) this.#setUnseen(this.#unseen + items.filter(({ fresh }) => fresh).length);
  }

  truncated() {
    while (this.#to > this.#messages.end) this.#popBottom();
  }

  gone(item) {
    this.#elementOf.get(item)?.remove();
    this.#moved();
  }

  forgot() {
    const forgotten = Math.max(0, this.#messages.first - this.#from);
    this.#trimTop(this.#elements.length - forgotten);
    this.#to = Math.max(this.#to, this.#messages.first);
  }

  // ---- The window -------------------------------------------------------------------------------

  #restart() {
    this.#open(this.#messages.end - PAGE, this.#messages.end);
    this.#sticks = this.#messages.isLive;
    this.#setUnseen(0);
    this.#scrollSoon();
  }

  #restartAt({ id, offset }) {
    const number = this.#messages.numberOfId(id);
    this.#open(number - PAGE, number + PAGE);
    this.#sticks = false;
    const { top } = this.scroller.getBoundingClientRect();
    const element = this.#elements[number - this.#from];
    this.scroller.scrollTop += element.getBoundingClientRect().top - top - offset;
    this.#lastTop = this.scroller.scrollTop;
  }

  /** Items were inserted in the window: builds it again around the reader's place. */
  #rebuild() {
    const { place } = this;
    if (this.#sticks || place === null) this.#restart();
    else this.#restartAt(place);
  }

  /** Shows items [from, to), as far as there are such. */
  #open(from, to) {
    this.history.replaceChildren();
    this.live.replaceChildren();
    this.#elements = [];
    this.#from = this.#to = Math.max(this.#messages.first, from);
    this.#extend(Math.min(this.#messages.end, to), this.history);
  }

  /** The nodes of items [from, to), and their elements. */
  #build(from, to) {
    const nodes = [];
    const elements = [];
    for (let number = from; number < to; number++) {
      const item = this.#messages.at(number);
      const before = this.#messages.at(number - 1);
      const day = attempt(() => daySeparator(item, before));
      const element = attempt(() => build(item, before, this.actions));
      this.#elementOf.set(item, element);
      elements.push(element);
      nodes.push(...(day ? [day] : []), element);
    }
    return { nodes, elements };
  }

  #extend(to, where) {
    const { nodes, elements } = this.#build(this.#to, to);
    where.append(...nodes);
    this.#elements.push(...elements);
    this.#to = to;
  }

  /** Returns the element for items not announced; moves the announced ones into it first. */
  #quiet() {
    this.history.append(...this.live.childNodes);
    return this.history;
  }

  /** `again`: builds the first item again, because another one is before it now. */
  #loadOlder(again = false) {
    const anchor = this.#elements[again ? 1 : 0];
    const place = anchor?.offsetTop;
    if (again && this.#elements.length) {
      this.#remove(this.#elements.shift());
      this.#from++;
    }
    const from = Math.max(this.#messages.first, this.#from - PAGE);
    const { nodes, elements } = this.#build(from, this.#from);
    this.history.prepend(...nodes);
    this.#elements.unshift(...elements);
    this.#from = from;
    if (anchor) this.scroller.scrollTop += anchor.offsetTop - place;
    while (this.#elements.length > MOST_SHOWN && !this.#sticks) this.#popBottom();
  }

  #popBottom() {
    this.#remove(this.#elements.pop());
    this.#to--;
  }

  #loadNewer() {
    this.#extend(Math.min(this.#messages.end, this.#to + PAGE), this.#quiet());
    const anchor = this.#elements.at(-1);
    const place = anchor.offsetTop;
    this.#trimTop(MOST_SHOWN);
    this.scroller.scrollTop += anchor.offsetTop - place;
  }

  #trimTop(keep) {
    while (this.#elements.length > Math.max(0, keep)) {
      this.#remove(this.#elements.shift());
      this.#from++;
    }
    this.#from = Math.max(this.#from, this.#messages.first);
    this.#moved();
  }

  /** The browser itself scrolls up when content shrinks or the window grows: not a user's action.
   *  */
  #moved() {
    this.#lastTop = 0;
    if (this.#sticks) this.#scrollSoon();
  }

  #remove(element) {
    const before = element.previousElementSibling;
    if (before?.className === "day") before.remove();
    element.remove();
  }

  // ---- Scrolling --------------------------------------------------------------------------------

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const rest = scrollHeight - scrollTop - clientHeight;
    const { isLive, first, end } = this.#messages;
    const atEnd = this.#to === end;
    if (rest < NEAR && atEnd && isLive) {
      this.#sticks = true;
      this.#setUnseen(0);
    } else if (scrollTop < this.#lastTop) {
      this.#sticks = false;
    }
    this.#lastTop = scrollTop;
    const isAbove = scrollTop < AHEAD && !this.#due;
    if (isAbove && this.#from > first) this.#loadOlder();
    else if (rest < AHEAD && !atEnd) this.#loadNewer();
    if (isAbove && this.#from === first) this.actions.older?.();
    if (rest < AHEAD && atEnd && !isLive) this.actions.newer?.();
  }

  #scrollSoon() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      if (this.#isEmpty) return;
      if (!this.#sticks) return this.check(); // the user scrolled up meanwhile, and was not served
      this.scroller.scrollTop = this.scroller.scrollHeight;
      this.#lastTop = this.scroller.scrollTop; // smaller later: the user scrolled up
      const isShort = this.scroller.scrollHeight <= this.scroller.clientHeight; // nobody can scroll
      if (isShort && this.#from === this.#messages.first) this.actions.older?.();
    });
  }

  /** Then something else is shown, from its top. */
  get #isEmpty() {
    return this.#messages === null || (this.#messages.end === this.#messages.first && this.#messages.pending.length === 0);
  }

  #setUnseen(count) {
    const { isLive } = this.#messages;
    this.#unseen = count;
    this.button.hidden = count === 0 && isLive;
    this.button.dataset.count = count;
    if (isLive) this.button.textContent = t.newMessages(count);
    else this.button.textContent = count ? t.withCount(t.toNewest, t.newMessages(count)) : t.toNewest;
  }
}
