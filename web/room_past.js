// SPDX-License-Identifier: MIT
//
// The past of the room, which the server has and this page loads in pieces. There are two lists of
// messages. `live` ends with the newest one; scrolling up puts pages in front of it. The other one
// exists while the reader is too far away for that: behind a result of a search, or after a long way
// up. It has neither end; near them, pages are loaded, and what is far away is dropped. Where it
// meets `live`, the reader is moved there without noticing. Pure: no document, no socket.

import { Messages } from "./messages.js";
import { Doubles } from "./outbox.js";

const PAGE = 50; // messages of one question
const LIVE_MOST = 3000; // messages of `live` up to which pages are put in front of it
const PAST_MOST = 1000; // messages of the other list
const PAST_FORGET = 100; // of them dropped at once
const AROUND = 25; // messages on each side of one that is looked at
const TRIES = 10; // questions in a row that bring no message: a hole of so many pages stops scrolling
const MEND_PAGE = 100; // messages of one question about what was missed
const MEND_PAGES = 10; // such questions; if more was missed, what is before it is loaded by scrolling

/** The code of a question that failed; anything else is a fault of this page. */
function codeOf(wrong) {
  if (!wrong.code) throw wrong;
  return wrong.code;
}

export class RoomPast {
  #live;
  #list;
  #ask;
  #itemOf;
  #on;
  #past = null; // Messages, while the reader is not in `live`
  #epoch = "";
  #oldest = Infinity; // no lower Id can be asked for
  #gap = null; // { item, after }: `item` stands where messages after that Id are missing
  #isBusy = false;

  /**
   * `list` shows messages (MessageList), `ask` asks the server (Questions). `itemOf(message)` returns
   * the item of an old broadcast. Handlers: busy(code) tells whether pages are being loaded: true,
   * false, or the code of a failure; begins() returns the notice above the oldest message;
   * mended(item) changes the notice where nothing is missing any more.
   */
  constructor(live, list, ask, itemOf, handlers) {
    [this.#live, this.#list, this.#ask, this.#itemOf, this.#on] = [live, list, ask, itemOf, handlers];
  }

  /** Joined: `oldest` is the lowest Id that can be asked for, or undefined. */
  joined(epoch, oldest) {
    if (epoch !== this.#epoch && this.#past) this.toNewest(); // its Ids count for nothing now
    if (epoch !== this.#epoch) this.#gap = null;
    [this.#epoch, this.#oldest] = [epoch, oldest ?? Infinity];
  }

  /** After the history that follows Joined. */
  online() {
    if (this.#gap) this.#mend();
    this.#list.check();
  }

  /** Messages after an Id are missing where `item` was just added: they are loaded when online. */
  missed(item, after) {
    this.#gap = { item, after };
  }

  get #shown() {
    return this.#past ?? this.#live;
  }

  // ---- Scrolling ----------------------------------------------------------------------------------

  /** The reader is near the oldest message shown. */
  async older() {
    const messages = this.#shown;
    const before = messages.lowestId();
    if (this.#isBusy || (before ?? Infinity) <= this.#oldest || this.#oldest === Infinity) return;
    if (messages.isLive && messages.epochFirst !== messages.first) return; // an older epoch is above
    await this.#work(() => this.#loadOlder(messages, before));
  }

  async #loadOlder(messages, first) {
    let before = first;
    for (let n = 0; n < TRIES; n++) {
      const answer = await this.#page(before, PAGE);
      if (this.#shown !== messages || messages.lowestId() !== first) return true; // another question now
      if (!answer.more) this.#oldest = answer.messages[0]?.Id ?? before ?? Infinity;
      if (this.#live.size >= LIVE_MOST && !this.#past) this.#leaveLive();
      const lowest = this.#shown.lowestId() ?? Infinity;
      const items = this.#items(answer, (id) => id < lowest);
      if (!answer.more) items.unshift(this.#beginning(items));
      this.#shown.insert(this.#shown.first, items);
      this.#past?.truncate(PAST_MOST);
      if (items.length || !answer.more) return items.length > 0;
      before = answer.from;
    }
    return false;
  }

  #beginning([next]) {
    return { ...this.#on.begins(), time: next?.time ?? this.#shown.at(this.#shown.first)?.time };
  }

  /** Goes on in a list of its own, so that `live` does not grow without end. */
  #leaveLive() {
    const { place } = this.#list;
    this.#open(Array.from({ length: PAST_MOST / 2 }, (_, n) => this.#live.at(this.#live.first + n)));
    this.#list.show(this.#past, place);
    this.#watch();
  }

  /** The reader is near the newest message of the other list. */
  async newer() {
    if (this.#past && !this.#isBusy) await this.#work(() => this.#loadNewer());
  }

  async #loadNewer() {
    const past = this.#past;
    const last = past.highestId ?? 0;
    const goal = this.#live.lowestId() ?? Infinity;
    for (let n = 1; n <= TRIES; n++) {
      if (last + 1 + (n - 1) * PAGE >= goal) return this.#rejoin();
      const answer = await this.#page(last + 1 + n * PAGE, PAGE);
      if (this.#past !== past) return true;
      const items = this.#items(answer, (id) => id > last);
      for (const item of items) past.add(item, false);
      if (items.length) return true;
    }
    return false;
  }

  /** The other list has met `live`: its end goes there, with the reader. */
  #rejoin() {
    const { place } = this.#list;
    const goal = this.#live.lowestId() ?? Infinity;
    const past = this.#past;
    const items = [];
    for (let number = past.epochFirst; number < past.end; number++) {
      const item = past.at(number);
      if (item.id < goal) items.push(item);
    }
    this.#past = null;
    this.#live.insert(this.#live.epochFirst, items);
    this.#list.show(this.#live, place);
    return true;
  }

  /** Shows the newest messages. */
  toNewest() {
    this.#past = null;
    this.#list.show(this.#live);
  }

  /** Shows a message in its surroundings, and marks it; calls `ready` before. Resolves with the code
   *  of a failure, or undefined. */
  async jump(id, ready = () => {}) {
    if (this.#live.numberOfId(id) !== undefined) {
      ready();
      this.#past = null;
      this.#list.point(this.#live, id);
      return undefined;
    }
    try {
      const answer = await this.#page(id + AROUND + 1, 2 * AROUND);
      const items = this.#items(answer, () => true);
      if (!items.some((item) => item.id === id)) return "gone";
      ready();
      this.#open(items);
      this.#list.point(this.#past, id);
      this.#watch();
      return undefined;
    } catch (wrong) {
      return codeOf(wrong);
    }
  }

  // ---- What was missed ------------------------------------------------------------------------------

  /** Pages back from the newest messages to the last one that was seen before the connection was lost. */
  async #mend() {
    const { item, after } = this.#gap;
    try {
      for (let n = 0; n < MEND_PAGES; n++) {
        const number = this.#live.numberOf(item);
        if (number === undefined) break; // so many were said that it was dropped
        const before = this.#live.lowestId(number + 1);
        const answer = await this.#page(before, MEND_PAGE);
        const place = this.#live.numberOf(item);
        if (place === undefined) break;
        const items = this.#items(answer, (id) => id > after && id < (before ?? Infinity));
        this.#live.insert(place + 1, items.map((one) => ({ ...one, fresh: !one.own })));
        const isWhole = answer.from <= after + 1;
        if (isWhole) this.#on.mended(item);
        if (isWhole || !answer.more) return this.#mended();
      }
      const number = this.#live.numberOf(item);
      if (number !== undefined) this.#live.forgetBefore(number + 1); // and older() goes on
      this.#mended();
    } catch (wrong) {
      codeOf(wrong); // the connection was lost, and online() tries again
    }
  }

  #mended() {
    this.#gap = null;
    this.#list.check();
  }

  // ---- Helpers --------------------------------------------------------------------------------------

  /** Runs `load` while nothing else is loaded; it returns whether something came. */
  async #work(load) {
    this.#isBusy = true;
    this.#on.busy(true);
    let failure = false;
    let came = false;
    try {
      came = await load();
    } catch (wrong) {
      failure = codeOf(wrong);
    } finally {
      this.#isBusy = false;
      this.#on.busy(failure);
    }
    if (came) this.#list.check();
  }

  async #page(before, count) {
    const answer = await this.#ask({ msgType: "GetHistory", Before: before, Count: count });
    if (answer.epoch !== this.#epoch) throw { code: "lost" }; // the room was restarted meanwhile
    return answer;
  }

  #items({ messages }, fits) {
    const doubles = new Doubles();
    const isWanted = ({ Id, SrcUser, Ref, text }) => fits(Id) && !doubles.has(SrcUser, Ref, text);
    return messages.filter(isWanted).map((message) => this.#itemOf(message));
  }

  #open(items) {
    this.#past = new Messages({ most: PAST_MOST, forget: PAST_FORGET, isLive: false });
    for (const item of items) this.#past.add(item, false);
  }

  /** While `live` is not shown, what is said there is counted. */
  #watch() {
    this.#live.view = {
      added: (number) => this.#live.at(number).fresh && this.#list.heardElsewhere(),
      posted: () => this.toNewest(),
      inserted() {}, changed() {}, gone() {}, forgot() {}, truncated() {},
    };
  }
}
