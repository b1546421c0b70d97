// SPDX-License-Identifier: MIT
//
// Shows a book. Of thousands of items only a few hundred are in the document: a window of them, which
// moves as one scrolls. What is said live goes into the element with role="log", so that it is read
// out; what is read from the history, or comes back into the window, goes into the element before it.
// Who is at the end stays there; who is not is told how many new messages there are. No layout is
// asked for per message: the scrolling to the end is done once per frame.

import { build, daySeparator } from "./message.js";
import { t } from "./strings.js";

const PAGE = 80; // items that come into the window at once
const MOST_SHOWN = 320; // items in the window
const NEAR = 48; // px from the end that count as being there
const AHEAD = 400; // px before an edge of the window where more items are put in

export class Log {
  #book = null;
  #from = 0; // the window: items from #from up to, not including, #to
  #to = 0;
  #elements = []; // theirs, in order
  #elementOf = new WeakMap();
  #sticks = true; // whether the reader is at the end
  #lastTop = 0;
  #unseen = 0;
  #due = false; // whether the next frame scrolls to the end

  /** `pane` holds .scroller > .history + .log + .pending; `button` tells of new messages. */
  constructor(pane, button, actions) {
    this.scroller = pane.querySelector(".scroller");
    this.history = pane.querySelector(".history");
    this.live = pane.querySelector(".log");
    this.pending = pane.querySelector(".pending");
    this.button = button;
    this.actions = actions;
    this.scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#sticks && this.#scrollSoon()).observe(this.scroller);
    button.onclick = () => this.toEnd();
  }

  show(book) {
    if (this.#book) this.#book.view = null;
    this.#book = book;
    book.view = this;
    this.pending.replaceChildren();
    book.pending.forEach((item) => this.posted(item));
    this.#restart();
  }

  /** Goes to the newest item. */
  toEnd() {
    if (this.#to < this.#book.end) this.#restart();
    this.#sticks = true;
    this.#setUnseen(0);
    this.#scrollSoon();
  }

  // ---- What the book tells -----------------------------------------------------------------------

  added(number, live) {
    const item = this.#book.at(number);
    const room = this.#sticks || this.#elements.length < MOST_SHOWN;
    if (number === this.#to && room) {
      this.#extend(number + 1, live ? this.live : this.#quiet());
      if (this.#sticks && this.#elements.length > MOST_SHOWN + PAGE) this.#trimTop(MOST_SHOWN);
    }
    if (this.#sticks) this.#scrollSoon();
    else if (item.fresh) this.#setUnseen(this.#unseen + 1);
  }

  posted(item) {
    const element = build(item, undefined, this.actions);
    this.#elementOf.set(item, element);
    this.pending.append(element);
    this.toEnd();
  }

  changed(item) {
    const old = this.#elementOf.get(item);
    if (!old?.isConnected) return;
    const index = this.#elements.indexOf(old);
    const before = index < 0 ? undefined : this.#book.at(this.#from + index - 1);
    const now = build(item, before, this.actions);
    if (index >= 0) this.#elements[index] = now;
    this.#elementOf.set(item, now);
    old.replaceWith(now);
    if (this.#sticks) this.#scrollSoon();
  }

  gone(item) {
    this.#elementOf.get(item)?.remove();
  }

  forgot() {
    const forgotten = Math.max(0, this.#book.first - this.#from);
    this.#trimTop(this.#elements.length - forgotten);
    this.#to = Math.max(this.#to, this.#book.first);
  }

  // ---- The window --------------------------------------------------------------------------------

  #restart() {
    this.history.replaceChildren();
    this.live.replaceChildren();
    this.#elements = [];
    this.#from = this.#to = Math.max(this.#book.first, this.#book.end - PAGE);
    this.#extend(this.#book.end, this.history);
    this.#sticks = true;
    this.#setUnseen(0);
    this.#scrollSoon();
  }

  /** The nodes of items [from, to), and their elements. */
  #build(from, to) {
    const nodes = [];
    const elements = [];
    for (let number = from; number < to; number++) {
      const item = this.#book.at(number);
      const before = this.#book.at(number - 1);
      const element = build(item, before, this.actions);
      this.#elementOf.set(item, element);
      elements.push(element);
      nodes.push(daySeparator(item, before) ?? "", element);
    }
    return { nodes: nodes.filter((node) => node !== ""), elements };
  }

  #extend(to, where) {
    const { nodes, elements } = this.#build(this.#to, to);
    where.append(...nodes);
    this.#elements.push(...elements);
    this.#to = to;
  }

  /** Where items go that are not to be read out; those that were are moved there, before them. */
  #quiet() {
    this.history.append(...this.live.childNodes);
    return this.history;
  }

  #loadOlder() {
    const anchor = this.#elements[0];
    const place = anchor?.offsetTop;
    const from = Math.max(this.#book.first, this.#from - PAGE);
    const { nodes, elements } = this.#build(from, this.#from);
    this.history.prepend(...nodes);
    this.#elements.unshift(...elements);
    this.#from = from;
    if (anchor) this.scroller.scrollTop += anchor.offsetTop - place;
    while (this.#elements.length > MOST_SHOWN) {
      this.#remove(this.#elements.pop());
      this.#to--;
    }
  }

  #loadNewer() {
    this.#extend(Math.min(this.#book.end, this.#to + PAGE), this.#quiet());
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
    this.#from = Math.max(this.#from, this.#book.first);
  }

  #remove(element) {
    const before = element.previousElementSibling;
    if (before?.className === "day") before.remove();
    element.remove();
  }

  // ---- Scrolling ---------------------------------------------------------------------------------

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    const rest = scrollHeight - scrollTop - clientHeight;
    const atNewest = this.#to === this.#book.end;
    if (rest < NEAR && atNewest) {
      this.#sticks = true;
      this.#setUnseen(0);
    } else if (scrollTop < this.#lastTop) {
      this.#sticks = false;
    }
    this.#lastTop = scrollTop;
    if (scrollTop < AHEAD && this.#from > this.#book.first && !this.#due) this.#loadOlder();
    else if (rest < AHEAD && !atNewest) this.#loadNewer();
  }

  #scrollSoon() {
    if (this.#due) return;
    this.#due = true;
    requestAnimationFrame(() => {
      this.#due = false;
      this.scroller.scrollTop = this.scroller.scrollHeight;
    });
  }

  #setUnseen(count) {
    this.#unseen = count;
    this.button.hidden = count === 0;
    this.button.dataset.count = count;
    this.button.textContent = t.newMessages(count);
  }
}
