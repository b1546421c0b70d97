// SPDX-License-Identifier: MIT
//
// private_messages.js - private conversations: receives and shows messages, sends receipts and
// notices.
//
// No DOM, no socket: the page feeds in the server's messages, `send` takes messages to the server,
// and `tell` takes events for the user. e2e.js does the cryptography, seal.js the layout,
// conversation.js trust, continuity.js missing messages, keyring.js our session keys, unacked.js
// our own texts.
// - The first key seen of a person is remembered. A later one is offered; nothing is sealed to it
// or
//   shown from it until the user accepts it, in addition to the others.
// - An unreadable message is never shown as text. Its sender gets a notice, which is never
// answered.
// - A text that was sealed, or should have been, is never sent in plain, nor to another identity.
// After each await a job checks that its connection is still the current one.

import { validTime } from "./messages.js";
import { Peers, putLast } from "./continuity.js";
import { accepted, compared, Conversation, firstUse, fold } from "./conversation.js";
import * as e2e from "./e2e.js";
import { keepStream, KeyRing, newKey, streamOf } from "./keyring.js";
import { CLOCK, CONFIRM, KEYS, NOTICE, Pace } from "./pace.js";
import { Unacked } from "./unacked.js";
import { NOWHERE, pack, RECEIPT, TEXT, unpack } from "./seal.js";
import { memoryKeystore } from "./keystore.js";

const CONVERSATIONS_MAX = 1024; // conversations; beyond that the oldest idle one is evicted
const WAITING_ALL_MAX = 16 << 20; // bytes of all messages waiting for keys to be accepted
const ASKS_MAX = 4096; // unanswered key requests; the oldest is dropped
const QUIET_MAX = 256; // Refs of automatic messages; the oldest is forgotten
const ABOUT_MAX = 256; // length as JSON of a Ref that a notice repeats
const RECEIPT_WAIT = 200; // ms to wait for a text of ours that can carry a confirmation
const UNKNOWN_ASKS = 30_000; // ms between key requests for texts that wait, while it is unknown who is here
const AHEAD = 2 * 60_000; // ms that a writer's clock may be ahead of ours

const SEALED_FIELDS = [...e2e.CARD, "Enc", "Seq", "EncKey", "ToKey", "Sig"];
const HARMLESS = ["stale_key", "expired", "key_changed"]; // codes ignored for a receipt

const slotOf = (...parts) => JSON.stringify(parts);
const cardOf = (name, from) => ({
  name, ...Object.fromEntries(e2e.CARD.map((field) => [field, from[field]])),
});

/**
 * The time to show for a sealed message: the author's, which nobody else can change, unless the
 * author's clock is certainly wrong.
 */
function timeToShow(written, now, fromServer) {
  return written > 0 && written <= now + AHEAD ? written : validTime(fromServer);
}

const NOT_KEPT = { touch() {}, saved: async () => true };

/**
 * See the class. `origin` is the server's: the same name on another server is another person.
 * `kept` is told by touch() of each change of what save() returns; nothing is confirmed to others
 * before its saved() resolves with true.
 */
export async function openPrivateMessages({ keystore, origin, send, tell, clock = CLOCK, kept = NOT_KEPT }) {
  const privateMessages = new PrivateMessages(keystore, origin, send, tell, clock, kept);
  await privateMessages.start();
  return privateMessages;
}

class PrivateMessages {
  #trouble = "";
  #keystore;
  #origin;
  #send;
  #tell;
  #clock;
  #kept;
  #pace;
  #ring;
  #post;
  #isAble = false; // whether this browser supports the cryptography
  #joining = null; // the line that becomes active with Joined
  #line = null; // {room, name, identity, isKeyed, isRefused} while joined
  #last = null; // the same, kept while disconnected
  #mine = ""; // our identity key
  #toldTrouble = "";
  #isRenewing = false;
  #isFull = false; // whether the user was told that there are too many conversations
  #conversations = new Map(); // folded name -> Conversation, by last use
  #shown = new Map(); // folded name -> the state last told
  #view = null; // the conversation in view
  #compared = null; // the conversation whose safety number was shown last
  #peers;
  #asks = new Map(); // Ref -> key request
  #asked = 0;
  #askedAll = -Infinity; // clock.elapsed() of the last request for all texts that wait
  #receipts = Promise.resolve(); // the receipt in progress
  #quiet = new Map(); // Refs of automatic messages

  constructor(keystore, origin, send, tell, clock, kept) {
    [this.#keystore, this.#origin, this.#clock, this.#kept] = [keystore, origin, clock, kept];
    [this.#send, this.#tell] = [send, tell];
    this.#pace = new Pace(clock);
    this.#ring = new KeyRing(clock, () => this.#renew());
    this.#peers = new Peers(() => this.#ring.live, () => this.#ring.forgetFormer());
    this.#post = new Unacked(this.#desk());
    keystore.watch((slot) => this.#changedElsewhere(slot));
  }

  /** The interface for unacked.js. */
  #desk() {
    const line = () => this.#line;
    const ring = this.#ring;
    return {
      clock: this.#clock,
      pace: this.#pace,
      get line() { return line(); },
      get identity() { return line().identity; },
      get key() { return ring.present; },
      ask: (talk) => this.#askCurrent(talk),
      peer: (key) => this.#peers.obtain(key),
      told: (peer, place) => this.#told(peer, place),
      kept: () => this.#kept.saved(),
      send: (message) => this.#send(message),
      tell: (talk, type, event) => this.#say(talk, type, event),
    };
  }

  async start() {
    this.#trouble = await e2e.obstacle();
    this.#isAble = !this.#trouble;
    if (this.#isAble && !this.#keystore.lasting) this.#trouble = "memory";
  }

  /** The obstacle to private messages: insecure, browser, wrong_origin, memory; "" if none. */
  get trouble() {
    return this.#last?.isRefused ? "wrong_origin" : this.#trouble;
  }

  // ---- The connection ----

  /** The additional fields of a Join. Must be called for every Join. */
  async joinFields(nonce, room, name) {
    const line = { room, name, identity: null, key: null, isKeyed: false, isRefused: false };
    this.#joining = line;
    if (!this.#isAble) return {};
    line.identity = await this.#identity(room, name);
    line.key = await newKey(line.identity, { origin: this.#origin, room, name }, this.#clock);
    const { card } = line.key;
    return { ...card, Proof: await e2e.proveJoin(line.identity, nonce, room, name, card) };
  }

  /** One identity per room and name, so that nobody can link two names of one person. */
  async #identity(room, name) {
    const slot = slotOf("identity", room, fold(name));
    const find = async (keystore) =>
      (await keystore.get(slot)) ?? keystore.keep(slot, await e2e.newIdentity());
    try {
      return await find(this.#keystore);
    } catch {
      this.#keystore = memoryKeystore();
      this.#trouble = "memory";
      return find(this.#keystore);
    }
  }

  /** The server rejects our origin (wrong_origin): we join without keys. */
  withoutKeys() {
    Object.assign(this.#joining, { identity: null, key: null, isRefused: true });
  }

  /** Disconnected. Sealed texts are sent again after the next Joined; plaintext is not. */
  lost() {
    this.#line = null;
    this.#pace.clear();
    for (const { resolve } of this.#asks.values()) resolve("lost");
    this.#asks.clear();
    for (const talk of this.#conversations.values()) {
      Object.assign(talk, { asked: null, asking: false, plain: false });
    }
    this.#post.lost();
  }

  #handlers = {
    __proto__: null,
    Joined: (message) => this.#onJoined(message),
    UserKeys: (message) => this.#onUserKeys(message),
    KeysPublished: () => true,
    PrivateMessage: (message) => this.#onPrivateMessage(message),
    Delivered: (message) => this.#onDelivered(message),
    Error: (message) => this.#onError(message),
  };

  /** Takes every message of the server, in order. True if it was only for conversations. */
  feed(message) {
    return this.#handlers[message.msgType]?.(message) ?? false;
  }

  /**
   * Takes a change of who is here (roster.js). Members who came may have another session key. While
   * nobody knows who came, the next text asks first, and texts that wait ask from time to time.
   */
  present(roster, { isState, joined, left }) {
    const isUnknown = !roster.isListed;
    const now = this.#clock.elapsed();
    const asksAll = isState || (isUnknown && now - this.#askedAll >= UNKNOWN_ASKS);
    if (asksAll) this.#askedAll = now;
    for (const talk of this.#conversations.values()) {
      const isOther = isState || isUnknown || joined.has(talk.id) || left.has(talk.id);
      if (isOther && !talk.asking) talk.asked = null;
      talk.name = roster.spelling(talk.name) ?? talk.name;
      if (roster.has(talk.name) === false || left.has(talk.id)) talk.plain = false;
      this.#show(talk);
    }
    for (const talk of this.#post.waiting.add(this.#view)) {
      const isDue = talk && (asksAll || joined.has(talk.id));
      if (isDue && roster.has(talk.name) !== false) this.#ask(talk);
    }
  }

  #onJoined({ MaxMessageBytes }) {
    const line = this.#joining;
    if (line === this.#line) return false;
    const { key } = line; // only the keyring holds it, so that it can be deleted
    Object.assign(line, { key: null, isKeyed: key !== null });
    if (this.#last?.room !== line.room) this.#forgetRoom();
    else if (key && line.identity.hex !== this.#mine) this.#becomeAnother();
    this.#mine = key ? line.identity.hex : this.#mine;
    this.#last = this.#line = line;
    this.#tellTrouble();
    this.#post.max = Number.isFinite(MaxMessageBytes) ? MaxMessageBytes : this.#post.max;
    this.#ring.replace(key);
    for (const talk of this.#conversations.values()) talk.able = line.isKeyed;
    for (const peer of this.#peers.values()) if (peer.owed) this.#confirmSoon(peer);
    this.#post.restart();
    return false;
  }

  #forgetRoom() {
    this.#view = this.#compared = null;
    for (const map of [this.#conversations, this.#shown, this.#peers, this.#post]) map.clear();
    this.#ring.forgetAll();
  }

  /** Another name has another key; all state of the former name ends. */
  #becomeAnother() {
    this.#peers.clear();
    this.#ring.forgetAll(); // the record of what they read is gone
    this.#post.abandon("other_name");
  }

  #onUserKeys(message) {
    const ask = this.#asks.get(message.Ref);
    const line = this.#line;
    this.#asks.delete(message.Ref);
    ask?.talk.then("inbox", () => this.#learn(line, ask, message));
    return true;
  }

  #onPrivateMessage(message) {
    const { SrcUser, Notice, About, Code } = message;
    if (typeof SrcUser !== "string") return true;
    if (Notice !== undefined) {
      const talk = this.#conversations.get(fold(SrcUser));
      if (talk) this.#post.reported(talk, About, Code);
      return true;
    }
    const line = this.#line;
    const isReceipt = message.Seq === 0; // it answers a text of ours, so it starts no conversation
    const talk = isReceipt ? this.#conversations.get(fold(SrcUser)) : this.#talk(SrcUser);
    if (!talk && isReceipt) return true;
    if (talk) talk.gone = false;
    if (talk) talk.then("inbox", () => this.#receive(line, talk, message));
    else this.#notify(line, message, "cannot_open");
    return true;
  }

  #onDelivered({ Ref }) {
    this.#post.delivered(Ref);
    return true;
  }

  #onError({ Ref, Code }) {
    const ask = this.#asks.get(Ref);
    this.#asks.delete(Ref);
    const talk = ask ? ask.talk : this.#post.refused(Ref, Code);
    if (ask) Object.assign(talk, { asked: null, gone: Code === "unknown_user" });
    if (talk && Code === "unknown_user") talk.plain = false; // who comes next may be somebody else
    if (talk) this.#show(talk);
    ask?.resolve(Code);
    if (this.#quiet.get(Ref) === "PublishKeys") this.#complain("unpublished");
    return talk !== undefined || this.#quiet.has(Ref);
  }

  /** Sends an automatic message. Errors about it are not shown. */
  #sendQuietly(message) {
    const Ref = e2e.randomHex(16);
    putLast(this.#quiet, Ref, message.msgType, QUIET_MAX);
    this.#send({ ...message, Ref });
  }

  /** Replaces the current session key. */
  async #renew() {
    const line = this.#line;
    if (!line?.isKeyed || this.#isRenewing) return;
    this.#isRenewing = true;
    const { room, name, identity } = line;
    const made = newKey(identity, { origin: this.#origin, room, name }, this.#clock);
    const key = await made.catch(() => null);
    this.#isRenewing = false;
    if (!key || line !== this.#line) return;
    this.#ring.replace(key);
    this.#sendQuietly({ msgType: "PublishKeys", ...key.card });
  }

  // ---- For the page ----

  /** Sets the conversation in view (null: none). Its keys are requested now and after each change.
   *  */
  open(name) {
    const talk = (this.#view = name === null ? null : this.#talk(name, true));
    if (!talk) return;
    talk.then("inbox", () => this.#show(talk, true));
    if (this.#line) this.#ask(talk);
  }

  /**
   * Queues a text for sending. Returns an id; events of type `own` report its status, with the text
   * as it will arrive.
   */
  send(name, text) {
    const talk = this.#talk(name, true);
    talk.answered = true;
    return this.#post.add(talk, text);
  }

  /** Whether a text has not been handed to the server yet. */
  get unsent() {
    return this.#post.unsent;
  }

  /** The maximum bytes of UTF-8 of a text. */
  limit() {
    return this.#post.limit();
  }

  /** The user chooses to write plaintext to somebody without keys. */
  allowPlain(name) {
    const talk = this.#talk(name, true);
    talk.plain = talk.state === "none";
    this.#show(talk);
  }

  /** Trusts one more key, if it is still the one offered, and reads the messages waiting for it. */
  accept(name, key) {
    const talk = this.#talk(name, true);
    return talk.then("inbox", async () => {
      if (!key || talk.offered !== key) return false;
      await this.#change(talk, accepted(key));
      if (!talk.accepts(key)) {
        this.#say(talk, "refused", { reason: "too_many_keys" });
        return false;
      }
      Object.assign(talk, { asked: null, shown: "" });
      if (talk.accepts(talk.card?.IdentityKey)) this.#post.shown(talk);
      await this.#readWaiting(talk);
      return true;
    });
  }

  /** Marks a key as verified or not; false if the key is not trusted. */
  setVerified(name, key, verified) {
    const talk = this.#talk(name, true);
    return talk.then("inbox", async () => {
      await this.#change(talk, compared(key, verified));
      this.#show(talk);
      return talk.accepts(key);
    });
  }

  /** The safety number to compare with this person, or null if no key is known. */
  async safetyNumber(name) {
    const talk = (this.#compared = this.#talk(name, true));
    const key = await talk.then("inbox", () => talk.offered || talk.trusted?.key);
    if (!this.#last?.isKeyed || !key) return null;
    const groups = await e2e.safetyNumber(this.#mine, key);
    return {
      groups,
      qr: `ragnarok-verify:${groups.join("")}`,
      key,
      offered: key === talk.offered,
    };
  }

  // ---- Events for the user ----

  /** The conversation, created if new. Null at the limit, unless `isNeeded`. */
  #talk(name, isNeeded = false) {
    const id = fold(name);
    let talk = this.#conversations.get(id);
    if (!talk) {
      if (this.#conversations.size >= CONVERSATIONS_MAX && !this.#evict(isNeeded)) return null;
      const isAble = this.#last ? this.#last.isKeyed : this.#isAble;
      talk = new Conversation(name, isAble, (made) => this.#recall(made));
    }
    putLast(this.#conversations, id, talk, CONVERSATIONS_MAX);
    return talk;
  }

  /** Evicts the oldest idle conversation, first those without a text of ours; false if none. */
  #evict(isNeeded) {
    const unconfirmed = this.#post.waiting;
    const inUse = [this.#view, this.#compared];
    const free = [...this.#conversations.values()].filter(
      (talk) => !unconfirmed.has(talk) && !inUse.includes(talk),
    ); // never empty: fewer texts than conversations are kept
    const idle = free.filter((talk) => !talk.plain && !talk.waiting.length && !talk.isBusy);
    const talk = idle.find((one) => !one.answered) ?? idle[0] ?? (isNeeded ? free[0] : undefined);
    if (!talk) {
      if (!this.#isFull) this.#complain("too_many_talks");
      this.#isFull = true;
      return false;
    }
    this.#isFull = false;
    this.#say(talk, "evicted", {});
    talk.stop?.();
    this.#conversations.delete(talk.id);
    this.#shown.delete(talk.id);
    return true;
  }

  #show(talk, always = false) {
    const state = talk.describe();
    const shown = JSON.stringify(state);
    if (always || shown !== this.#shown.get(talk.id)) this.#say(talk, "state", state);
    this.#shown.set(talk.id, shown);
  }

  /** Tells an event of a conversation, unless its room was left. */
  #say(talk, type, event) {
    if (this.#conversations.get(talk.id) === talk) this.#tell({ type, name: talk.name, ...event });
  }

  /** Tells an event that belongs to no conversation. */
  #complain(trouble) {
    this.#tell({ type: "trouble", trouble });
  }

  /** Tells each trouble once. */
  #tellTrouble() {
    const { trouble } = this;
    if (trouble && trouble !== this.#toldTrouble) this.#complain(trouble);
    this.#toldTrouble = trouble;
  }

  // ---- Over a reload ----

  /** What restore() needs, as JSON has it. */
  save() {
    const { peers, isWhole } = this.#peers.save(({ id }) => id);
    const hashes = isWhole ? this.#ring.save() : []; // only of keys of which all reading is kept
    return { mine: this.#mine, peers, hashes, own: this.#post.save() };
  }

  /**
   * Continues, before Joined, where an earlier page was under this name in this room. With another
   * identity than then, Joined ends it as after another name.
   */
  restore({ mine, peers, hashes, own }, room, name) {
    this.#mine = mine;
    this.#last = { room, name, identity: null, isKeyed: this.#isAble, isRefused: false };
    this.#post.restore(own, (other) => this.#talk(other, true));
    this.#peers.restore(peers, (id) => this.#post.text(id));
    this.#ring.restore(hashes);
    this.#post.relink();
    for (const talk of this.#post.waiting) talk.answered = true;
  }

  // ---- Trust ----

  #slot = ({ id }) => slotOf("contacts", this.#origin, this.#last?.room, id);

  async #recall(talk) {
    const known = await this.#keystore.get(this.#slot(talk)).catch(() => this.#forgetful());
    talk.known = known ?? talk.known;
  }

  /** Updates a person's stored keys, based on the stored value, not on our copy. */
  async #change(talk, change) {
    const known = await this.#keystore.update(this.#slot(talk), change).catch(() => this.#forgetful());
    talk.known = known ?? change(talk.known);
    if (talk.accepts(talk.offered)) talk.offered = "";
  }

  #forgetful() {
    this.#trouble ||= "memory";
    this.#tellTrouble();
  }

  /** Another tab accepted or verified a key. */
  #changedElsewhere(slot) {
    for (const talk of this.#conversations.values()) {
      if (this.#slot(talk) !== slot) continue;
      talk.then("inbox", async () => {
        await this.#recall(talk);
        if (talk.accepts(talk.offered)) talk.offered = "";
        await this.#readWaiting(talk);
      });
    }
  }

  /** Whether this correctly signed key is trusted. The first one is. */
  async #trust(talk, key) {
    await this.#recall(talk);
    if (!talk.known.length) await this.#change(talk, firstUse(key));
    const isTrusted = talk.meet(key);
    this.#show(talk);
    return isTrusted;
  }

  /** Brings talk.card up to date. Resolves with "", or with the obstacle. */
  #ask(talk) {
    if (!this.#line) return Promise.resolve("lost");
    talk.asked ??= new Promise((resolve) => {
      const Ref = `keys-${++this.#asked}`;
      const oldest = this.#asks.size < ASKS_MAX ? undefined : [...this.#asks][0];
      this.#asks.delete(oldest?.[0]);
      oldest?.[1].resolve("lost");
      this.#asks.set(Ref, { talk, resolve });
      talk.asking = true;
      this.#pace.turn(KEYS).then((isOurs) => {
        talk.asking = false;
        if (isOurs) this.#send({ msgType: "GetKeys", TgtUser: talk.name, Ref });
      });
    });
    return talk.asked;
  }

  /** As #ask; requests once more a card that has expired meanwhile. */
  async #askCurrent(talk) {
    const reason = await this.#ask(talk);
    if (reason || !this.#isOver(talk.card)) return reason;
    talk.asked = null;
    return (await this.#ask(talk)) || (this.#isOver(talk.card) ? "outdated" : "");
  }

  #isOver(card) {
    return Boolean(card?.KeyExpires) && !e2e.isCurrent(card, this.#clock.now());
  }

  async #learn(line, { talk, resolve }, found) {
    if (line !== this.#line) return resolve("lost");
    talk.card = await this.#checked(line, talk, found);
    talk.gone = false;
    if (talk.card !== "none") talk.plain = false;
    if (talk.card === "outdated") talk.asked = null; // the next text asks again
    if (talk.card.IdentityKey) {
      if (await this.#trust(talk, talk.card.IdentityKey)) this.#post.shown(talk);
    }
    this.#show(talk);
    return resolve("");
  }

  /** The card from the server, or "none", or the reason why it is unusable. */
  async #checked({ room, isKeyed }, talk, found) {
    const card = cardOf(found.User, found);
    if (!isKeyed || e2e.CARD.every((field) => card[field] === undefined)) return "none";
    if (typeof card.name !== "string" || fold(card.name) !== talk.id) return "forged";
    if (!(await e2e.checkCard(room, card.name, card))) return "forged";
    if (!e2e.isCurrent(card, this.#clock.now())) return "outdated";
    return e2e.canRead(card) ? card : "foreign";
  }

  // ---- Receiving ----

  async #receive(line, talk, message) {
    if (!SEALED_FIELDS.some((field) => field in message)) return this.#showPlain(talk, message);
    const key = this.#ring.find(message.ToKey);
    let code = await this.#read(key, talk, message);
    if (!code || message.Seq === 0) return;
    if (code === "key_changed" && !this.#keepWaiting(talk, message)) {
      code = "cannot_open";
      this.#say(talk, "refused", { reason: "waiting_full" });
    }
    this.#show(talk);
    this.#notify(line, message, code);
  }

  #keepWaiting(talk, message) {
    const size = new TextEncoder().encode(JSON.stringify(message)).length;
    let sum = size;
    for (const { waiting } of this.#conversations.values()) for (const one of waiting) sum += one.size;
    return sum <= WAITING_ALL_MAX && talk.keepWaiting(message, size);
  }

  async #readWaiting(talk) {
    const ready = talk.takeWaiting();
    this.#show(talk);
    for (const message of ready) {
      const code = await this.#read(this.#ring.find(message.ToKey), talk, message, true);
      if (code === "stale_key") this.#notify(this.#line, message, code); // it waited too long
    }
  }

  #showPlain(talk, { text, Time }) {
    const time = validTime(Time);
    const known = talk.known.length > 0;
    this.#say(talk, "text", { text: String(text), time, sealed: false, known });
  }

  /** Shows the text, or that it could not be read. Returns the error code, or "". */
  async #read(key, talk, message, hasWaited = false) {
    const found = await this.#open(key, talk, message, hasWaited);
    const { code = "", missing = 0, content } = found;
    const time = timeToShow(content?.at, this.#clock.now(), message.Time);
    const isQuiet = message.Seq === 0 && HARMLESS.includes(code);
    if (code && !isQuiet) this.#say(talk, "unreadable", { code, time });
    if (missing) this.#say(talk, "gap", { count: missing });
    if (!content) return code;
    if (content.kind !== TEXT) this.#say(talk, "unreadable", { code: "unknown_kind", time });
    else {
      const mark = talk.markOf(message.IdentityKey);
      this.#say(talk, "text", { text: content.text, time, sealed: true, known: true, mark });
    }
    return code;
  }

  /**
   * Returns {code} of the first failing check, in the order of docs/PROTOCOL.md, or {missing,
   * content}; no content if it was shown before, or is a receipt. `key`: our key that it was sealed
   * to. A message that waited was current when it arrived.
   */
  async #open(key, talk, message, hasWaited) {
    if (!e2e.wellFormed(message)) return { code: "malformed" };
    if (!key) return { code: "stale_key" };
    const { SrcUser, IdentityKey, Seq } = message;
    const from = cardOf(SrcUser, message);
    const isSigned = await e2e.checkMessage(key.room, from, key.me, message);
    if (!isSigned) return { code: "bad_signature" };
    if (!hasWaited && !e2e.isCurrent(from, this.#clock.now())) return { code: "expired" };
    const isTrusted = Seq ? await this.#trust(talk, IdentityKey) : talk.accepts(IdentityKey);
    if (!isTrusted) return { code: "key_changed" };
    const stream = await streamOf(key, from);
    if (Seq && Seq <= stream.seq) return { code: "replayed" };
    if (Seq && !stream.seq && !this.#ring.hasRoom(key)) return { code: "stale_key" };
    const plaintext = e2e.openMessage(key.pair, key.room, from, key.me, message);
    const content = await plaintext.then((bytes) => unpack(bytes, Seq)).catch(() => null);
    if (!content) return { code: "cannot_open" };
    return this.#accept(key, talk, from, { stream, Seq, content });
  }

  /** Records an opened message. Synchronous, so that two messages cannot count as one. */
  #accept(key, talk, from, { stream, Seq, content }) {
    const peer = Seq ? this.#peers.obtain(from.IdentityKey) : this.#peers.find(from.IdentityKey);
    if (!peer) return Seq ? { code: "cannot_open" } : {};
    const kept = Seq ? keepStream(key, from, stream) : stream;
    if (Seq && Seq <= kept.seq) return { code: "replayed" };
    peer.card = from;
    this.#kept.touch();
    this.#post.confirmed(peer, content.opened);
    const isUsable = e2e.canRead(from) && !this.#isOver(from);
    if (isUsable && talk.adopt(from)) this.#post.shown(talk);
    this.#show(talk);
    if (Seq === 0) return {};
    const missing = peer.read(kept, Seq, content.previous, (hash) => this.#ring.had(hash));
    this.#ring.count(key);
    this.#owe(peer, kept);
    return { missing, content: peer.hasShown(content.id) ? undefined : content };
  }

  // ---- Receipts and notices ----

  /** Owes a confirmation: a text of ours carries it, or a receipt soon. */
  #owe(peer, stream) {
    if (peer.owed && peer.owed !== stream) this.#confirm(peer, { ...peer.owed });
    peer.owed = stream;
    this.#confirmSoon(peer);
  }

  #confirmSoon(peer) {
    peer.stop ??= this.#clock.after(RECEIPT_WAIT, () => {
      peer.stop = null;
      if (peer.owed) this.#confirm(peer);
    });
  }

  /** Records that we confirmed reading up to this place. */
  #told(peer, place) {
    const { owed } = peer;
    if (owed?.writer === place.writer && owed.reader === place.reader && owed.seq === place.seq) {
      peer.owed = null;
    }
  }

  /** Sends a receipt for a `former` place, or for the current one at the time of sending. */
  async #confirm(peer, former = null) {
    const line = this.#line;
    if (!line?.isKeyed || !(await this.#pace.turn(CONFIRM))) return;
    const send = () => this.#sendReceipt(line, peer, former);
    this.#receipts = this.#receipts.then(send, send); // in order
  }

  async #sendReceipt(line, peer, former) {
    if (line !== this.#line || (!former && !peer.owed)) return;
    const opened = former ?? peer.place;
    const { card } = peer;
    if (this.#isOver(card)) return; // then the next text carries it
    const head = { kind: RECEIPT, id: e2e.randomHex(16), at: this.#clock.now(), text: "" };
    const content = pack({ ...head, previous: NOWHERE, opened });
    const { me } = this.#ring.present;
    const fields = await e2e.sealMessage(line.identity, line.room, me, card, 0, content);
    const isKept = await this.#kept.saved();
    if (!isKept || line !== this.#line) return;
    if (!former) this.#told(peer, opened);
    this.#sendQuietly({ msgType: "PrivateMessage", TgtUser: card.name, ...fields });
  }

  /** Notifies the sender that a message could not be read. */
  async #notify(line, { SrcUser, Ref }, Code) {
    if (!line || line !== this.#line || !(await this.#pace.turn(NOTICE))) return;
    const head = { msgType: "PrivateMessage", TgtUser: SrcUser, text: "" };
    const notice = { ...head, Notice: "unreadable", Code };
    const isRepeated = Ref !== undefined && JSON.stringify(Ref).length <= ABOUT_MAX;
    this.#sendQuietly(isRepeated ? { ...notice, About: Ref } : notice);
  }
}
