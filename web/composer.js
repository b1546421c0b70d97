// SPDX-License-Identifier: MIT
//
// A box to write in: grows with its text, sends on Enter (not while an input method composes, not on
// a touch keyboard), completes names with Tab, and counts before a text is too long.

import { byId } from "./dom.js";
import { beginning, completions } from "./names.js";
import { t } from "./strings.js";

const COUNT_FROM = 0.8; // of the limit; less is not worth a word

const touch = matchMedia("(hover: none) and (pointer: coarse)");

export class Composer {
  #completing = {}; // { names, next, at, made } while Tab is pressed again and again

  /**
   * `prefix`: "room" or "talk", of the ids. `left(text)` gives { left, limit } in bytes; `submit(text)`
   * sends it; `names()` are those that Tab completes.
   */
  constructor(prefix, { left, submit, names }) {
    this.input = byId(`${prefix}-input`);
    this.button = byId(`${prefix}-send`);
    this.counter = byId(`${prefix}-counter`);
    this.rules = { left, submit, names };
    this.blocked = false;
    byId(`${prefix}-form`).onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.input.oninput = () => this.refresh();
    this.input.onkeydown = (event) => this.#key(event);
  }

  get text() {
    return this.input.value;
  }

  set text(text) {
    this.input.value = text;
    this.refresh();
  }

  /** While blocked, nothing can be sent; writing goes on. */
  block(blocked) {
    if (blocked === this.blocked) return;
    this.blocked = blocked;
    this.refresh();
  }

  refresh() {
    const { left, limit } = this.rules.left(this.text);
    const over = left < 0;
    this.counter.hidden = left > limit * (1 - COUNT_FROM);
    this.counter.dataset.left = left;
    this.counter.textContent = over ? t.bytesOver(-left) : t.bytesLeft(left);
    this.input.ariaInvalid = String(over);
    this.button.disabled = over || this.blocked || !this.text.trim();
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
  }

  #send() {
    if (this.button.disabled) return;
    this.rules.submit(this.text);
    this.text = "";
    this.input.focus();
  }

  #key(event) {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && !composing && !event.shiftKey && !event.altKey) {
      if (touch.matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.#send();
    } else if (event.key === "Tab" && !composing && !event.shiftKey && this.#complete()) {
      event.preventDefault();
    }
  }

  /** Puts the next name that fits before the caret; false if there is none, and Tab moves on. */
  #complete() {
    const before = this.text.slice(0, this.input.selectionStart);
    if (this.#completing.made !== before) {
      const begun = beginning(before);
      const names = begun ? completions(this.rules.names(), begun.letters) : [];
      this.#completing = { names, next: 0, at: begun?.at };
    }
    const { names, next, at } = this.#completing;
    if (!names.length) return false;
    this.input.setRangeText(`@${names[next]} `, at, before.length, "end");
    this.#completing.next = (next + 1) % names.length;
    this.#completing.made = this.text.slice(0, this.input.selectionStart);
    this.refresh();
    return true;
  }
}
