// SPDX-License-Identifier: MIT
//
// talks.js - private conversations: what is sent, what is shown, and what the other side is told.
//
// No DOM, no socket: the page feeds in what the server says, `send` takes what goes to it, and
// `tell` takes what people should see. e2e.js knows the bytes, conversation.js whom to trust.
// - The first key seen of a person is remembered. Another one later is shown, and nothing is
//   sealed to it nor shown from it until it is accepted.
// - What cannot be read is never shown as text. Its sender is told, and that is never answered.
// - What was sealed once, or should have been, never goes out in plain.
// After each wait a job asks whether its connection is still the present one.

import { Conversation, fold } from "./conversation.js";
import * as e2e from "./e2e.js";
import { memoryVault } from "./vault.js";

const OWN_MAX = 200; // own messages that can still be marked; if all are on their way, none more
const ABOUT_MAX = 256; // length of a Ref, as JSON, that a notice repeats
const ENVELOPE = 1024; // bytes of a sealed message without its ciphertext, at most

const KEY_FIELDS = ["IdentityKey", "SessionKey", "KeySignature"];
const SEALED_FIELDS = [...KEY_FIELDS, "Enc", "Seq", "EncKey", "ToKey", "Sig"];
const CODES = ["malformed", "stale_key", "bad_signature", "key_changed", "replayed", "cannot_open"];

const utf8Length = (text) => new TextEncoder().encode(text).length;

const ownIdentity = async (vault) =>
  (await vault.get("identity")) ?? vault.keep("identity", await e2e.newIdentity());

/** See the class. `origin` is the server's; people of another server are other people. */
export async function openTalks({ vault, origin, send, tell }) {
  const talks = new Talks(vault, origin, send, tell);
  await talks.start();
  return talks;
}

class Talks {
  /** "", or why private messages are less than they could be: insecure, browser, memory. */
  trouble = "";
  #vault;
  #origin;
  #send;
  #tell;
  #identity = null; // stays so without cryptography
  #connections = 0;
  #joining = null; // the session that Joined will open
  #session = null; // {number, room, me, pair, sent, seen} while joined
  #room = null;
  #max = 65536; // MaxMessageBytes
  #talks = new Map(); // folded name -> Conversation
  #shown = new Map(); // folded name -> what was told of its state
  #view = null; // the conversation that is looked at
  #asks = new Map(); // Ref -> a question for keys
  #asked = 0;
  #own = new Map(); // Ref -> own message

  constructor(vault, origin, send, tell) {
    [this.#vault, this.#origin, this.#send, this.#tell] = [vault, origin, send, tell];
  }

  async start() {
    this.trouble = await e2e.obstacle();
    if (this.trouble) return;
    this.#identity = await ownIdentity(this.#vault).catch(() => null);
    if (!this.#identity) {
      this.#vault = memoryVault();
      this.#identity = await ownIdentity(this.#vault);
    }
    if (!this.#vault.lasting) this.trouble = "memory";
  }

  // ---- The link ----

  /** The fields that a Join carries more. To be asked for anew for every Join. */
  async joinFields(nonce, room, name) {
    const session = { room, me: null, pair: null, sent: new Map(), seen: new Map() };
    session.number = ++this.#connections;
    this.#joining = session;
    if (!this.#identity) return {};
    session.pair = await e2e.newSession();
    const keys = await e2e.publish(this.#identity, session.pair, room, name);
    session.me = { name, ...keys };
    return { ...keys, Proof: await e2e.proveJoin(this.#identity, nonce, room, name) };
  }

  /** The connection is gone. What is sealed goes again after the next Joined; plaintext not. */
  lost() {
    this.#session = null;
    for (const { resolve } of this.#asks.values()) resolve("lost");
    this.#asks.clear();
    for (const talk of this.#talks.values()) [talk.asked, talk.plain] = [null, false];
    for (const own of this.#own.values())
      if (own.plain && own.status === "sending") this.#mark(own, "failed", "lost");
  }

  #handlers = {
    Joined: (message) => this.#onJoined(message),
    OnlineUsers: (message) => this.#onOnlineUsers(message),
    UserKeys: (message) => this.#onUserKeys(message),
    PrivateMessage: (message) => this.#onPrivateMessage(message),
    Delivered: (message) => this.#onDelivered(message),
    Error: (message) => this.#onError(message),
  };

  /** Takes every message of the server, in order. Says whether it was for conversations only. */
  feed(message) {
    return this.#handlers[message.msgType]?.(message) ?? false;
  }

  #onJoined({ MaxMessageBytes }) {
    this.#session = this.#joining;
    this.#max = MaxMessageBytes;
    if (this.#room !== this.#session.room) this.#forgetRoom();
    for (const own of this.#own.values()) this.#transmitLater(own);
    return false;
  }

  #forgetRoom() {
    this.#room = this.#session.room;
    this.#view = null;
    for (const map of [this.#talks, this.#shown, this.#own]) map.clear();
  }

  /** Any change may mean that somebody is there anew, with a new session key. */
  #onOnlineUsers({ Users }) {
    if (!this.#talks.size) return false;
    const here = new Map(Users.map((name) => [fold(name), name]));
    for (const talk of this.#talks.values()) {
      talk.asked = null;
      talk.name = here.get(talk.id) ?? talk.name;
      if (!here.has(talk.id)) talk.plain = false;
      this.#show(talk);
    }
    if (here.has(this.#view?.id)) this.#ask(this.#view);
    return false;
  }

  #onUserKeys(message) {
    const ask = this.#asks.get(message.Ref);
    const session = this.#session;
    this.#asks.delete(message.Ref);
    ask?.talk.then("inbox", () => this.#learn(session, ask, message));
    return true;
  }

  #onPrivateMessage(message) {
    const session = this.#session;
    const talk = this.#talk(message.SrcUser);
    if ("Notice" in message) this.#onNotice(talk, message);
    else talk.then("inbox", () => this.#receive(session, talk, message));
    return true;
  }

  #onDelivered({ Ref }) {
    const own = this.#own.get(Ref);
    if (own?.status === "sending") this.#mark(own, "sent");
    return true;
  }

  #onError({ Ref, Code }) {
    const [ask, own] = [this.#asks.get(Ref), this.#own.get(Ref)];
    this.#asks.delete(Ref);
    if (ask) ask.talk.asked = null;
    ask?.resolve(Code);
    if (own) this.#mark(own, "failed", Code);
    return Boolean(ask || own);
  }

  // ---- For the page ----

  /** Whom one looks at now (null: nobody). Its keys are asked for at once and after each change. */
  open(name) {
    const talk = (this.#view = name === null ? null : this.#talk(name));
    if (!talk) return;
    talk.then("inbox", () => this.#show(talk, true));
    if (this.#session) this.#ask(talk);
  }

  /**
   * Sends a text, after those before it. Returns an id; events of type `own` say how it fares, with
   * the text as it will arrive: no UTF-8 can hold a lone surrogate, U+FFFD takes its place.
   */
  send(name, text) {
    const talk = this.#talk(name);
    const [id, ref, clean] = [e2e.randomHex(8), e2e.randomHex(8), text.toWellFormed()];
    const own = { talk, id, ref, text: clean, plain: talk.plain, sealedTo: "", sentBy: 0 };
    this.#mark(own, "sending");
    if (!this.#makeRoom()) this.#mark(own, "failed", "too_many");
    else if (utf8Length(clean) > this.limit()) this.#mark(own, "failed", "too_long");
    else this.#transmitLater(own);
    return id;
  }

  /** How many bytes of UTF-8 a text may have. */
  limit() {
    return e2e.roomForText(this.#max - ENVELOPE);
  }

  /** The explicit choice to write to somebody who has no keys. */
  allowPlain(name) {
    const talk = this.#talk(name);
    talk.plain = talk.state === "none";
    this.#show(talk);
  }

  /** Trusts the changed key, if it still is the one offered, and reads what waited for it. */
  accept(name, key) {
    const talk = this.#talk(name);
    return talk.then("inbox", async () => {
      if (!key || talk.offered !== key) return false;
      await this.#remember(talk, { key, verified: false });
      [talk.offered, talk.asked] = ["", null];
      const ready = talk.takeWaiting(key);
      this.#show(talk);
      for (const { session, message } of ready) await this.#read(session, talk, message);
      return true;
    });
  }

  /** "We compared, it matches", or not any more; false if the key is not the trusted one. */
  setVerified(name, key, verified) {
    const talk = this.#talk(name);
    return talk.then("inbox", async () => {
      if (talk.offered || talk.contact?.key !== key) return false;
      await this.#remember(talk, { key, verified });
      this.#show(talk);
      return true;
    });
  }

  /** What to compare with this person, or null if no key is known. */
  async safetyNumber(name) {
    const talk = this.#talk(name);
    const key = await talk.then("inbox", () => talk.offered || talk.contact?.key);
    if (!this.#identity || !key) return null;
    const groups = await e2e.safetyNumber(this.#identity.hex, key);
    return {
      groups,
      qr: `ragnarok-verify:${groups.join("")}`,
      key,
      offered: key === talk.offered,
    };
  }

  // ---- What people see ----

  #talk(name) {
    const known = this.#talks.get(fold(name));
    if (known) return known;
    const talk = new Conversation(name, this.#identity !== null, (made) => this.#recall(made));
    this.#talks.set(talk.id, talk);
    return talk;
  }

  #show(talk, always = false) {
    const state = talk.describe();
    const shown = JSON.stringify(state);
    if (always || shown !== this.#shown.get(talk.id)) this.#say(talk, "state", state);
    this.#shown.set(talk.id, shown);
  }

  /** Nothing is said of conversations in a room that was left. */
  #say(talk, type, event) {
    if (this.#talks.get(talk.id) === talk) this.#tell({ type, name: talk.name, ...event });
  }

  #mark(own, status, reason = "") {
    own.status = status;
    const { id, text, plain } = own;
    this.#say(own.talk, "own", { id, text, status, reason, sealed: !plain });
  }

  // ---- Trust ----

  #slot = ({ id }) => JSON.stringify(["contact", this.#origin, this.#room, id]);

  async #recall(talk) {
    talk.contact = (await this.#vault.get(this.#slot(talk)).catch(() => this.#forgetful())) ?? null;
  }

  async #remember(talk, contact) {
    talk.contact = contact;
    await this.#vault.put(this.#slot(talk), contact).catch(() => this.#forgetful());
  }

  #forgetful() {
    if (this.trouble) return;
    this.trouble = "memory";
    this.#tell({ type: "trouble", trouble: this.trouble });
  }

  /** Whether this key of theirs, well signed, is the one that is trusted. The first one is. */
  async #trust(talk, key) {
    if (!talk.contact) await this.#remember(talk, { key, verified: false });
    const trusted = talk.meet(key);
    this.#show(talk);
    return trusted;
  }

  /** Sees to it that talk.keys is up to date. Resolves with "", or with what is in the way. */
  #ask(talk) {
    return (talk.asked ??= new Promise((resolve) => {
      const Ref = `keys-${++this.#asked}`;
      this.#asks.set(Ref, { talk, resolve });
      this.#send({ msgType: "GetKeys", TgtUser: talk.name, Ref });
    }));
  }

  async #learn(session, { talk, resolve }, found) {
    if (session !== this.#session) return resolve("lost");
    talk.keys = await this.#checked(session, talk, found);
    if (talk.keys !== "none") talk.plain = false;
    if (talk.keys.IdentityKey) await this.#trust(talk, talk.keys.IdentityKey);
    this.#show(talk);
    return resolve("");
  }

  /** The keys that the server handed out, or "none", or "forged" if they are not this person's. */
  async #checked({ room, me }, talk, { User, IdentityKey, SessionKey, KeySignature }) {
    const keys = { name: User, IdentityKey, SessionKey, KeySignature };
    if (!me || KEY_FIELDS.every((field) => keys[field] === undefined)) return "none";
    if (fold(String(User)) !== talk.id) return "forged";
    return (await e2e.checkKeys(room, User, keys)) ? keys : "forged";
  }

  // ---- Sending ----

  /** Forgets the oldest own message that has come to its end, if there are too many. */
  #makeRoom() {
    if (this.#own.size < OWN_MAX) return true;
    const settled = [...this.#own.values()].find(({ status }) => status !== "sending");
    return settled !== undefined && this.#own.delete(settled.ref);
  }

  #transmitLater(own) {
    this.#own.set(own.ref, own);
    own.talk.then("outbox", () => this.#transmit(own));
  }

  /** Sends it, unless this connection has done so, or it has to wait for the next one. */
  async #transmit(own) {
    const session = this.#session;
    if (!session || own.sentBy === session.number || own.status !== "sending") return;
    const reason = (await this.#ask(own.talk)) || own.talk.blocks(own);
    if (session !== this.#session) return;
    if (reason) return this.#mark(own, "failed", reason);
    const frame = await this.#write(session, own).catch(() => null);
    if (session !== this.#session) return;
    if (!frame) return this.#mark(own, "failed", "cannot_seal");
    if (utf8Length(JSON.stringify(frame)) > this.#max) return this.#mark(own, "failed", "too_long");
    own.sentBy = session.number; // the session itself would keep its secret key
    this.#send(frame);
  }

  async #write({ room, me, sent }, own) {
    const {
      talk: { id, name, keys },
      ref: Ref,
      text,
    } = own;
    const frame = { msgType: "PrivateMessage", TgtUser: name, Ref, text };
    if (keys === "none") return frame;
    [own.plain, own.sealedTo] = [false, keys.IdentityKey];
    const pair = `${id} ${keys.SessionKey}`;
    const seq = (sent.get(pair) ?? 0) + 1;
    sent.set(pair, seq);
    const sealed = await e2e.sealText(this.#identity, room, me, keys, seq, text);
    return { ...frame, TgtUser: keys.name, ...sealed };
  }

  /** The other side could not read a message. Not proven by anything, and never answered. */
  #onNotice(talk, { Code, About }) {
    const own = this.#own.get(About);
    if (own?.talk !== talk || !own.sentBy || own.status === "failed") return;
    const code = CODES.includes(Code) ? Code : "unreadable";
    if (code !== "stale_key" || own.again || own.plain) return this.#mark(own, "unread", code);
    this.#own.delete(own.ref);
    Object.assign(own, { ref: e2e.randomHex(8), sentBy: 0, again: true });
    talk.asked = null;
    this.#mark(own, "sending");
    this.#transmitLater(own);
  }

  // ---- Receiving ----

  async #receive(session, talk, message) {
    if (!SEALED_FIELDS.some((field) => field in message)) return this.#showPlain(talk, message);
    const code = await this.#read(session, talk, message);
    if (!code) return;
    if (code === "key_changed") talk.keepWaiting(session, message);
    this.#show(talk);
    this.#notify(session, message, code);
  }

  #showPlain(talk, { text, Time: time }) {
    const known = Boolean(talk.contact);
    this.#say(talk, "text", { text: String(text), time, sealed: false, known });
  }

  /** Shows the text, or that it could not be read. Returns the code of what was wrong, or "". */
  async #read(session, talk, message) {
    const time = message.Time;
    const { code = "", text, missing } = await this.#open(session, talk, message);
    if (code) this.#say(talk, "unreadable", { code, time });
    if (missing) this.#say(talk, "gap", { count: missing });
    if (!code && !talk.heardBefore(message.Ref, text))
      this.#say(talk, "text", { text, time, sealed: true, known: true });
    return code;
  }

  /** {text, missing}, or {code}: the checks in the order that docs/PROTOCOL.md gives. */
  async #open({ room, me, pair, seen }, talk, message) {
    if (!e2e.wellFormed(message)) return { code: "malformed" };
    if (message.ToKey !== me?.SessionKey) return { code: "stale_key" };
    const { SrcUser: name, IdentityKey, SessionKey, Seq } = message;
    const from = { name, IdentityKey, SessionKey };
    if (!(await e2e.checkMessage(room, from, me, message))) return { code: "bad_signature" };
    if (!(await this.#trust(talk, IdentityKey))) return { code: "key_changed" };
    const key = `${talk.id} ${SessionKey}`;
    const last = seen.get(key) ?? 0;
    if (Seq <= last) return { code: "replayed" };
    const text = await e2e.openText(pair, room, from, me, message).catch(() => null);
    if (text === null) return { code: "cannot_open" };
    seen.set(key, Seq);
    return { text, missing: Seq - last - 1 };
  }

  #notify(session, { SrcUser, Ref }, Code) {
    if (session !== this.#session) return;
    const notice = {
      msgType: "PrivateMessage",
      TgtUser: SrcUser,
      text: "",
      Notice: "unreadable",
    };
    const repeated = Ref !== undefined && JSON.stringify(Ref).length <= ABOUT_MAX;
    this.#send(repeated ? { ...notice, Code, About: Ref } : { ...notice, Code });
  }
}
