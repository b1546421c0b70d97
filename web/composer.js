// SPDX-License-Identifier: MIT
//
// An input box: grows with its text, sends on Enter (not while an input method composes, not on a
// touch keyboard), completes names with Tab, and shows the bytes left near the limit.
//
// Tab completes after an "@" and directly after typed letters. After it has offered each name once,
// it restores the typed text and moves the focus on, so that keyboard users are not trapped here.
// Where the server has to be asked for names, the focus waits for the answer.

import { byId, setText } from "./dom.js";
import { beginning, completion } from "./names.js";
import { t } from "./strings.js";

const COUNT_FROM = 0.8; // share of the limit from which the bytes left are shown

const touch = matchMedia("(hover: none) and (pointer: coarse)");

export class Composer {
  #offers = null; // the texts that the next presses of Tab put before the caret
  #typed = false; // whether letters were just typed at the caret
  #coming = null; // a promise of offers

  /**
   * `prefix`: "room" or "talk", the prefix of the ids. `left(text)` returns { left, limit } in
   * bytes. `submit(text)` sends it, or returns the reason why it is held back. `complete(letters)`
   * returns the names that begin so, or a promise of them. `changed()` is called after each change of
   * the draft.
   */
  constructor(prefix, { left, submit, complete, changed = () => {} }) {
    this.input = byId(`${prefix}-input`);
    this.button = byId(`${prefix}-send`);
    this.counter = byId(`${prefix}-counter`);
    this.note = byId(`${prefix}-hint`);
    this.rules = { left, submit, complete, changed };
    this.blocked = false;
    byId(`${prefix}-form`).onsubmit = (event) => {
      event.preventDefault();
      this.#send();
    };
    this.input.oninput = () => {
      this.#typed = true;
      this.#coming = null;
      this.hint("");
      this.refresh();
      changed();
    };
    this.input.onblur = this.input.onpointerdown = () => this.#moved();
    this.input.onkeydown = (event) => this.#key(event);
  }

  get text() {
    return this.input.value;
  }

  set text(text) {
    this.input.value = text;
    this.hint("");
    this.refresh();
  }

  /** While blocked, nothing can be sent, but writing is possible. */
  block(blocked) {
    if (blocked === this.blocked) return;
    this.blocked = blocked;
    this.refresh();
  }

  /** Sends a text as if it were typed. If it cannot be sent now, appends it to the draft. */
  write(text) {
    const begun = this.text;
    this.text = text;
    this.#send();
    if (begun) this.text = this.text ? `${begun}\n${this.text}` : begun;
  }

  /** Shows a hint about the draft until the draft changes. */
  hint(words) {
    setText(this.note, words);
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
    this.input.focus(); // unless submit() moves the focus
    const held = this.rules.submit(this.text);
    if (held) {
      this.hint(held);
    } else {
      this.text = "";
      this.rules.changed();
      this.#moved();
    }
  }

  #key(event) {
    const composing = event.isComposing || event.keyCode === 229;
    if (event.key === "Enter" && !composing && !event.shiftKey && !event.altKey) {
      if (touch.matches && !event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      this.#send();
    } else if (event.key === "Tab" && !composing && !event.shiftKey) {
      if (this.#complete()) event.preventDefault();
    } else if (/^(Arrow|Home|End|Page)/u.test(event.key)) {
      this.#moved();
    }
  }

  /** The caret moved: no letters were typed at its new place. */
  #moved() {
    this.#typed = false;
    this.#offers = this.#coming = null;
  }

  /** Puts the next offer before the caret; false if there is none, then Tab moves the focus. */
  #complete() {
    const { selectionStart: caret, selectionEnd } = this.input;
    const before = this.text.slice(0, caret);
    if (this.#typed) this.#offers = caret === selectionEnd ? this.#offersFor(before) : [];
    else if (/@[^\s@]*$/u.test(before)) this.#offers ??= this.#offersFor(before);
    this.#typed = false;
    if (!(this.#offers instanceof Promise)) return this.#putOffer();
    this.#wait(before, this.#offers);
    this.#offers = []; // another Tab does not wait
    return true;
  }

  #putOffer() {
    const offer = this.#offers?.shift();
    if (offer === undefined) return false;
    this.input.setRangeText(offer, 0, this.input.selectionStart, "end");
    this.hint("");
    this.refresh();
    this.rules.changed();
    return true;
  }

  /** Waits for offers, unless something else is typed or the caret moves. Without one the focus moves on. */
  async #wait(before, coming) {
    this.#coming = coming;
    const offers = await coming.catch(() => []);
    if (this.#coming !== coming || this.text.slice(0, this.input.selectionEnd) !== before) return;
    this.#coming = null;
    this.#offers = offers;
    if (!this.#putOffer() && !this.button.disabled) this.button.focus();
  }

  /** Each matching name once, followed by the typed text if there are several; or a promise of that. */
  #offersFor(before) {
    const begun = beginning(before);
    const names = begun ? this.rules.complete(begun.letters) : [];
    const start = begun ? before.slice(0, begun.at) : "";
    const offersOf = (all) => {
      const offers = all.map((name) => start + completion(start, name));
      return offers.length > 1 ? [...offers, before] : offers;
    };
    return names instanceof Promise ? names.then(offersOf) : offersOf(names);
  }
}
