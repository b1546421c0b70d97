// SPDX-License-Identifier: MIT
//
// unacked.js - our own private texts, from the moment they are typed until they are confirmed.
//
//   sending       not yet acknowledged by the server
//   sent          the server accepted it; only a confirmation proves that the recipient got it
//   arrived       the recipient confirmed it in a sealed message
//   unread        the recipient reported that they could not read it
//   unconfirmed   never confirmed, and not sent again: attempts are used up or impossible
//   failed        not sent, or refused
//
// A sealed text that was handed over may have been read, whatever the server says afterwards: it
// becomes unconfirmed, not failed. A late confirmation still counts.
//
// An unconfirmed sealed text is sealed again, with the same id, after a reconnect and whenever it
// must be missing; always to the identity that it was first sealed to, so that accepting another
// key discloses no earlier text.

import * as e2e from "./e2e.js";
import { finish } from "./continuity.js";
import { AGAIN } from "./pace.js";
import { pack, roomForText, TEXT } from "./seal.js";

const OWN_MAX = 200; // texts kept; beyond that the oldest sent one is given up
const SEALINGS_MAX = 4; // attempts for one text
const SHOWN_TIMEOUT = 5000; // ms for confirmations, after the other side showed another session key
const ENVELOPE = 1408; // bytes of a sealed message without its ciphertext, at most

const CODES = [
  "malformed", "stale_key", "bad_signature", "expired", "key_changed", "replayed", "cannot_open",
];

const utf8Length = (text) => new TextEncoder().encode(text).length;

export class Unacked {
  max = 65536; // MaxMessageBytes
  #desk;
  #own = new Map(); // id -> text, in the order in which they were typed
  #refs = new Map(); // Ref of the last attempt -> text

  /**
   * desk: the current { line, identity, key, clock, pace } (`line` is null while disconnected), and
   * { ask(talk), peer(key) or null, told(peer, place), kept(), send(message), tell(talk, type, event) }.
   * kept() resolves with true when the texts so far, and all that was read, outlive a reload.
   */
  constructor(desk) {
    this.#desk = desk;
  }

  /** The maximum bytes of UTF-8 of a text. */
  limit() {
    return roomForText(this.max - ENVELOPE);
  }

  /** Adds a text and returns its id. U+FFFD replaces lone surrogates, which UTF-8 cannot encode. */
  add(talk, typed) {
    const own = {
      talk, id: e2e.randomHex(16), text: typed.toWellFormed(), at: this.#desk.clock.now(),
      plain: talk.plain, sealedTo: "", status: "", ref: "",
      isOpen: true, // not confirmed, and can still be sent
      isDue: false, // waits to be sent
      isPaced: false, // a retransmission, subject to the rate limit
      sealings: [], // {stream, seq, to}
      stale: new Set(), // the streams of which stale_key was reported
    };
    this.#mark(own, "sending");
    if (!this.#makeRoom()) this.#fail(own, "too_many");
    else if (utf8Length(own.text) > this.limit()) this.#fail(own, "too_long");
    else this.#queue(own, false);
    return own.id;
  }

  /** The conversations with unconfirmed texts. */
  get waiting() {
    return new Set(this.#open().map(({ talk }) => talk));
  }

  /** The open texts as JSON has them, for restore(). */
  save() {
    return this.#open().map(({ talk, id, text, at, plain, sealedTo, status, sealings }) => ({
      name: talk.name, id, text, at, plain, sealedTo, status,
      sealings: sealings.map(({ stream: { writer, reader }, seq, to }) => ({ writer, reader, seq, to })),
    }));
  }

  /** Continues with saved texts; `talkOf` gives the conversation with a name. They are sent again
   *  after the next Joined, by the same rules as after a lost connection. */
  restore(texts, talkOf) {
    for (const { name, sealings, ...own } of texts) {
      const how = { ref: "", isOpen: true, isDue: false, isPaced: true, stale: new Set() };
      this.#own.set(own.id, { ...own, ...how, talk: talkOf(name), sealings: [], saved: sealings });
    }
  }

  /** To be called after restore(), when the peers are known. */
  relink() {
    for (const own of this.#open()) {
      const peer = own.saved?.length ? this.#desk.peer(own.sealedTo) : null;
      for (const { seq, to, ...place } of own.saved ?? []) {
        const stream = peer?.written(place) ?? { ...place, done: 0, texts: new Map() };
        own.sealings.push({ stream, seq, to });
      }
      delete own.saved;
      if (own.plain) this.#fail(own, "lost"); // plaintext is not sent again by itself
    }
  }

  /** The text with this id, or undefined. */
  text(id) {
    return this.#own.get(id);
  }

  /** Whether a text has not been handed to the server yet. */
  get unsent() {
    return this.#open().some(({ status }) => status === "sending");
  }

  clear() {
    for (const map of [this.#own, this.#refs]) map.clear();
  }

  #open() {
    return [...this.#own.values()].filter(({ isOpen }) => isOpen);
  }

  /** Evicts the oldest finished text, or gives up the oldest sent one. */
  #makeRoom() {
    if (this.#own.size < OWN_MAX) return true;
    const all = [...this.#own.values()];
    const oldest = all.find((own) => !own.isOpen) ?? all.find(({ status }) => status !== "sending");
    if (!oldest) return false;
    if (oldest.isOpen) this.#giveUp(oldest, "too_many");
    this.#refs.delete(oldest.ref);
    this.#unlink(oldest);
    return this.#own.delete(oldest.id);
  }

  // ---- The status of a text ----

  #mark(own, status, reason = "") {
    own.status = status;
    const { id, text, plain } = own;
    this.#desk.tell(own.talk, "own", { id, text, status, reason, sealed: !plain });
  }

  /** Ends sending. The final sealing is the confirmed one, or the last one. */
  #close(own, sealing = own.sealings.at(-1)) {
    own.isOpen = own.isDue = false;
    if (sealing) finish(sealing);
  }

  /** Stops expecting a confirmation. */
  #unlink(own) {
    for (const { stream, seq } of own.sealings) stream.texts.delete(seq);
  }

  #fail(own, reason, wasHandedOver = own.sealings.length > 0) {
    this.#close(own);
    this.#mark(own, wasHandedOver ? "unconfirmed" : "failed", reason);
  }

  #giveUp(own, reason) {
    this.#close(own);
    this.#mark(own, "unconfirmed", reason);
  }

  /** Disconnected: plaintext is not sent again automatically. */
  lost() {
    for (const own of this.#open()) {
      if (own.plain && own.status === "sending") this.#fail(own, "lost");
    }
  }

  /** Ends sending of all texts so far. */
  abandon(reason) {
    for (const own of this.#open()) {
      if (own.status === "sending") this.#fail(own, reason);
      else this.#giveUp(own, reason);
    }
  }

  /** Reconnected: all unconfirmed texts are sent again, in order. */
  restart() {
    for (const own of this.#open()) this.#again(own);
  }

  delivered(ref) {
    const own = this.#refs.get(ref);
    if (own?.status !== "sending") return;
    if (own.plain) this.#close(own);
    this.#mark(own, "sent");
  }

  /** The server refused a message. Returns its conversation, or undefined if it is not a text of ours. */
  refused(ref, code) {
    const own = this.#refs.get(ref);
    if (own?.isOpen) this.#fail(own, code, own.status === "sent" || own.sealings.length > 1);
    return own?.talk;
  }

  /** The other side could not read it. The report is not authenticated, so it proves nothing. */
  reported(talk, ref, code) {
    const own = this.#refs.get(ref);
    if (own?.talk !== talk || own.status === "failed" || own.status === "arrived") return;
    const stream = own.sealings.at(-1)?.stream;
    if (code !== "stale_key" || !own.isOpen || !stream || own.stale.has(stream)) {
      const known = code === "stale_key" ? "stale_again" : code;
      return this.#mark(own, "unread", CODES.includes(code) ? known : "unreadable");
    }
    own.stale.add(stream);
    talk.asked = null;
    this.#again(own);
  }

  /** The other side confirmed reading a stream of ours up to a place. */
  confirmed(peer, place) {
    const { opened, missing } = peer.confirm(place);
    for (const { text: own, stream, seq } of opened) {
      this.#close(own, { stream, seq });
      this.#unlink(own);
      if (own.status !== "arrived") this.#mark(own, "arrived");
    }
    for (const { text: own, stream, seq } of missing) {
      const last = own.sealings.at(-1);
      const isLast = last.stream === stream && last.seq === seq;
      if (isLast && own.isOpen && !own.isDue) this.#again(own);
    }
  }

  /** The other side has a new session key: texts sealed to another one must be confirmed soon. */
  shown(talk) {
    const { SessionKey } = talk.card;
    if (talk.shown === SessionKey) return;
    talk.shown = SessionKey;
    talk.stop?.();
    talk.stop = this.#desk.clock.after(SHOWN_TIMEOUT, () => {
      for (const own of this.#open()) {
        if (own.talk !== talk || own.isDue || !own.sealings.length) continue;
        if (own.sealings.at(-1).to !== talk.card?.SessionKey) this.#again(own);
      }
    });
  }

  // ---- Sending ----

  #again(own) {
    if (own.status === "unread") this.#mark(own, "sending");
    this.#queue(own, true);
  }

  #queue(own, isPaced) {
    this.#own.set(own.id, own);
    [own.isDue, own.isPaced] = [true, isPaced];
    own.talk.then("outbox", () => this.#transmit(own));
  }

  async #transmit(own) {
    const { line, pace } = this.#desk;
    const isOff = () => !line || line !== this.#desk.line || !own.isDue;
    if (isOff()) return;
    if (own.isPaced) await pace.turn(AGAIN);
    if (isOff()) return;
    const reason = (await this.#desk.ask(own.talk)) || own.talk.blocks(own);
    if (isOff()) return;
    if (reason) return this.#blocked(own, reason);
    if (own.sealings.length >= SEALINGS_MAX) return this.#giveUp(own, "never_confirmed");
    const ref = e2e.randomHex(16);
    const sealed = await this.#write(line, own).catch(() => null);
    const isKept = await this.#desk.kept();
    if (!isKept || line !== this.#desk.line) return;
    if (!sealed) return this.#fail(own, "cannot_seal");
    if (sealed.reason) return this.#fail(own, sealed.reason);
    const { frame, sent } = sealed;
    frame.Ref = ref;
    if (utf8Length(JSON.stringify(frame)) > this.max) return this.#fail(own, "too_long");
    own.isDue = false;
    this.#refs.delete(own.ref);
    this.#refs.set((own.ref = ref), own);
    sent?.();
    this.#desk.send(frame);
  }

  /** A text cannot be sent now. It fails only if it never reached the server. */
  #blocked(own, reason) {
    const wasSent = own.status === "sent";
    if (wasSent && reason === "other_key") this.#giveUp(own, reason);
    else if (wasSent) own.isDue = false;
    else this.#fail(own, reason);
  }

  /** Builds the message, and the state to record when it is sent. */
  async #write({ room }, own) {
    const { identity, key, peer: find } = this.#desk;
    const { talk: { name, card }, id, at, text } = own;
    const frame = { msgType: "PrivateMessage", TgtUser: name, text };
    if (card === "none") return { frame };
    if (typeof card === "string") return { reason: card };
    [own.plain, own.sealedTo] = [false, card.IdentityKey];
    const reader = await e2e.keyHash(card.SessionKey);
    const peer = find(card.IdentityKey);
    if (!peer) return { reason: "crowded" };
    const stream = peer.writing(key.hash, reader);
    const opened = peer.place;
    const content = pack({ kind: TEXT, id, at, previous: stream.previous, opened, text });
    const seq = ++stream.seq;
    try {
      const fields = await e2e.sealMessage(identity, room, key.me, card, seq, content);
      const sent = () => {
        own.sealings.push({ stream, seq, to: card.SessionKey });
        if (own.isOpen) stream.texts.set(seq, own);
        this.#desk.told(peer, opened);
      };
      return { frame: { ...frame, TgtUser: card.name, ...fields }, sent };
    } catch (error) {
      if (stream.seq === seq) stream.seq--; // the number was not used
      throw error;
    }
  }
}
