// SPDX-License-Identifier: MIT
//
// The sheet that searches the past of the room. The server looks for the text; the newest results
// come first. A result leads to the message in its surroundings. The sheet keeps its results, so that
// a reader can open it again and go to the next one.

import { byId, make, setText, setUpDialog } from "./dom.js";
import { fold } from "./conversation.js";
import { nameOf } from "./face.js";
import { stamped } from "./message.js";
import { reason, t } from "./strings.js";

const LEAST = 3; // characters
const PAGE = 20; // results of one question
const TRIES = 8; // questions in a row without a result; then a button asks for more
const MOST_SHOWN = 200; // results
const BEFORE = 60; // UTF-16 units shown in front of what was found
const SHOWN = 240; // UTF-16 units shown of a text

/** The part of a text around what was found, as { head, found, tail }; `found` is "" if it is not
 *  there letter by letter, because the server folds more than that. */
export function excerpt(text, words) {
  const at = text.toLowerCase().indexOf(words.toLowerCase());
  const isThere = at >= 0 && text.toLowerCase().length === text.length;
  const from = isThere ? Math.max(0, at - BEFORE) : 0;
  const end = Math.min(text.length, from + SHOWN);
  const head = text.slice(from, isThere ? at : end);
  const found = isThere ? text.slice(at, at + words.length) : "";
  const tail = isThere ? text.slice(at + words.length, Math.max(end, at + words.length)) : "";
  return { head: (from > 0 ? "…" : "") + head, found, tail: tail + (end < text.length ? "…" : "") };
}

export class SearchDialog {
  #words = "";
  #before; // undefined: from the newest on
  #round = 0; // of searches; an answer to an earlier one is not shown

  /** `ask(question)` asks the server (Questions); `jump(id, ready)` shows a message,
   *  calls ready() before, and resolves with the code of a failure, or undefined. */
  constructor(ask, jump) {
    [this.ask, this.jump] = [ask, jump];
    this.sheet = byId("search");
    this.field = byId("search-text");
    this.list = byId("search-list");
    setUpDialog(this.sheet);
    byId("search-more").onclick = () => this.#load();
    byId("search-form").onsubmit = (event) => {
      event.preventDefault();
      this.#start();
    };
  }

  /** Opens the sheet, and searches for `words` if there are any. */
  open(words = "") {
    this.sheet.showModal();
    if (words) this.field.value = words;
    this.field.select();
    if (words) this.#start();
  }

  #start() {
    this.#words = this.field.value.trim();
    this.#before = undefined;
    this.list.replaceChildren();
    byId("search-more").hidden = true;
    if ([...fold(this.#words)].length < LEAST) this.#tell(t.searchShort(LEAST));
    else this.#load();
  }

  async #load() {
    const round = ++this.#round;
    this.#tell(t.searching);
    byId("search-more").hidden = true;
    try {
      let isMore = true;
      for (let n = 0, found = 0; n < TRIES && isMore && found === 0; n++) {
        const answer = await this.ask({ msgType: "Search", text: this.#words, Before: this.#before, Count: PAGE });
        if (round !== this.#round) return;
        [found, isMore, this.#before] = [answer.messages.length, answer.more, answer.from];
        this.list.append(...answer.messages.reverse().map((message) => this.#row(message)));
      }
      this.#conclude(isMore);
    } catch (wrong) {
      if (!wrong.code) throw wrong;
      if (round === this.#round) this.#tell(reason(wrong.code));
    }
  }

  #conclude(isMore) {
    const count = this.list.children.length;
    const isFull = count >= MOST_SHOWN;
    byId("search-more").hidden = !isMore || isFull;
    if (isFull) this.#tell(t.searchFull(count));
    else this.#tell(count || !isMore ? t.found(count) : t.searchNotYet);
  }

  #row({ Id: id, SrcUser, text, Time }) {
    const { head, found, tail } = excerpt(text, this.#words);
    const mark = found ? make("mark", { textContent: found }) : "";
    const line = make("span", { className: "excerpt", dir: "auto" }, head, mark, tail);
    const whose = make("span", { className: "row" }, nameOf(SrcUser), stamped(Time));
    const button = make("button", { type: "button" }, whose, line);
    button.dataset.id = id;
    button.onclick = () => this.#choose(id);
    return make("li", {}, button);
  }

  async #choose(id) {
    const code = await this.jump(id, () => this.sheet.close());
    if (code) this.#tell(reason(code));
  }

  #tell(words) {
    setText(byId("search-note"), words);
  }
}
