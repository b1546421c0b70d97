// SPDX-License-Identifier: MIT
//
// kept_talks.js - keeps private conversations over a reload: the texts shown, the drafts, our
// unconfirmed texts, and which messages were read (continuity.js). All of it is taken at one moment
// and written in one transaction, so that after a reload no message counts as missing that is shown,
// and none is shown twice. A receipt waits until what it confirms is kept.
//
// Writing takes time, and a page that is loaded again has none. What is not written by then goes
// into the tab's own storage, unencrypted, in one step; the next page writes it, and removes it there.
//
// One tab at a time owns the conversations of a name in a room. Another tab that joins under this
// name takes them over; then this one writes no more, and must be loaded again to continue.

import { fold } from "./conversation.js";

const FORMAT = 1; // of the records; those of another format are not read
export const MODES = ["off", "session", "week"];
export const USUAL = "session";
const LIFETIME = 7 * 24 * 3600_000; // ms; what a session left behind is deleted after it, too

/** Resolves after all that is already going on, even in a hidden tab, where timers are slow. */
function nextTask() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

export class KeptTalks {
  isTaken = false; // whether another tab owns the conversations
  #device;
  #on;
  #tab; // { id, secret } of this tab
  #mode;
  #place = null; // { room, me }
  #slot = ""; // begins the keys of our records; "" before open(), or if nothing is kept
  #slots = new Set(); // all that this page has had
  #changed = new Set(); // ids of conversations to write
  #writing = null; // the ids of those that are being written, or null
  #next = null; // the promise of the save that has not begun
  #last = Promise.resolve(true); // the promise of the last save

  /**
   * `device`: a DeviceStore or null; `tab`: { id, secret, note }: the secret and what is in the
   * note, a ReloadNote, outlive a reload, the id does not. on: state(), view(), talk(id) return what
   * is to be kept (a talk may be null), ids() the ids of all conversations; taken() and full()
   * report that another tab owns them, and that there is no space.
   */
  constructor(device, tab, mode, on) {
    [this.#device, this.#tab, this.#on] = [device, tab, on];
    this.#mode = MODES.includes(mode) ? mode : USUAL;
  }

  get isPossible() {
    return this.#device !== null;
  }

  get mode() {
    return this.isPossible ? this.#mode : "off";
  }

  get isOn() {
    return this.mode !== "off";
  }

  get #secret() {
    return this.#mode === "week" ? "device" : this.#tab.secret;
  }

  get #owner() {
    return [`${this.#slot}owner`, this.#tab.id];
  }

  /** Takes over the conversations of this name. Returns { state, view, conversations }, or null. */
  async open(room, me) {
    this.#place = { room, me };
    const { note } = this.#tab;
    if (!this.isOn) {
      note.remove();
      return null;
    }
    const left = await this.#leftBehind();
    if (!(await this.#claim())) return null;
    const found = await this.#device.load(this.#slot, this.#secret).catch(() => new Map());
    const mine = left?.slot === this.#slot ? left.values : [];
    for (const [key, value] of mine) found.set(key, value);
    if (await this.#write(mine).catch(() => false)) note.remove();
    const conversations = [...found].filter(([key]) => key.startsWith("talk ")).map(([, talk]) => talk);
    return { state: found.get("state"), view: found.get("view"), conversations };
  }

  /** What the page before had no time to write; null if another tab has gone on since then. */
  async #leftBehind() {
    const left = this.#tab.note.get();
    const owner = [`${left?.slot}owner`, left?.owner];
    const isNewest = left && (await this.#device.isOwner(owner).catch(() => false));
    return isNewest ? left : null;
  }

  /** The page goes now: puts down what is not written yet, for the next one. */
  handOver() {
    const isAll = !this.#next && !this.#writing && !this.#changed.size;
    if (isAll || !this.#slot || this.isTaken) return;
    const values = this.#valuesOf([...(this.#writing ?? []), ...this.#changed]);
    this.#tab.note.put({ slot: this.#slot, owner: this.#tab.id, values });
  }

  async #claim() {
    const { room, me } = this.#place;
    const tag = this.#mode === "week" ? "week" : `session ${this.#tab.secret.slice(0, 8)}`;
    this.#slot = `${JSON.stringify([FORMAT, tag, room, fold(me)])} `;
    this.#slots.add(this.#slot);
    this.isTaken = false;
    const isClaimed = await this.#device.claim(this.#owner, LIFETIME).catch(() => false);
    if (isClaimed) return true;
    this.#slot = ""; // the page works, and keeps nothing
    this.#on.full();
    return false;
  }

  /** Whether no other tab has taken the conversations. */
  async isOurs() {
    if (!this.#slot || this.isTaken) return !this.isTaken;
    if (!(await this.#device.isOwner(this.#owner).catch(() => true))) this.#lose();
    return !this.isTaken;
  }

  #lose() {
    this.isTaken = true;
    this.#on.taken();
  }

  /** The state has changed, and that of the conversation `id`, if there is one. */
  touch(id) {
    if (!this.#slot || this.isTaken) return;
    if (id) this.#changed.add(id);
    this.#next ??= this.#last = this.#last.then(() => this.#save());
  }

  /** Resolves when all that changed before is kept: false if another tab owns it now. */
  saved() {
    return this.#last;
  }

  async #save() {
    await nextTask(); // what was begun in this task is complete then
    this.#next = null;
    if (!this.#slot || this.isTaken) return !this.isTaken;
    this.#writing = [...this.#changed];
    this.#changed.clear();
    const isOurs = await this.#write(this.#valuesOf(this.#writing)).catch((error) => this.#unsaved(error));
    this.#writing = null;
    this.#tab.note.remove();
    if (!isOurs) this.#lose();
    return isOurs;
  }

  /** The state, and these conversations, as [key, value]. */
  #valuesOf(ids) {
    const talks = ids.map((id) => [`talk ${id}`, this.#on.talk(id)]);
    return [["state", this.#on.state()], ["view", this.#on.view()], ...talks].filter(([, value]) => value);
  }

  /** False if another tab owns the conversations now. */
  #write(values) {
    const rankOf = ({ isAnswered }) => (isAnswered === false ? 0 : 1); // strangers evict nobody else
    const all = values.map(([key, value]) => [this.#slot + key, value, rankOf(value)]);
    return this.#device.save(all, { secret: this.#secret, lifetime: LIFETIME, owner: this.#owner });
  }

  /** There is no space: they are written again with the next change. The talk goes on. */
  #unsaved(error) {
    if (error.name !== "QuotaExceededError") console.error("conversations were not kept:", error);
    for (const id of this.#writing) this.#changed.add(id);
    this.#on.full();
    return true;
  }

  #touchAll() {
    for (const id of this.#on.ids()) this.touch(id);
    this.touch();
    return this.saved();
  }

  /** We have another name now: the conversations on the screen go with us. */
  async rename(me) {
    this.#place = { ...this.#place, me };
    if (!this.isOn) return;
    await this.saved();
    await this.#claim();
    await this.#touchAll();
  }

  /** Keeps for another time from now on. Off deletes every conversation on this device. */
  async setMode(mode) {
    await this.saved();
    const isMeant = mode === "off" ? (key) => key.startsWith("[") : (key) => this.#isOurKey(key);
    this.#slot = "";
    await this.#device?.remove(isMeant);
    this.#mode = MODES.includes(mode) ? mode : USUAL;
    if (!this.isOn || !this.#place || this.isTaken) return;
    await this.#claim();
    await this.#touchAll();
  }

  #isOurKey(key) {
    return [...this.#slots].some((slot) => key.startsWith(slot));
  }

  /** Deletes the conversations of this page, and keeps nothing more. */
  async forget() {
    this.#slot = "";
    await this.#last;
    this.#tab.note.remove();
    await this.#device?.remove((key) => this.#isOurKey(key)).catch(() => {});
  }
}
