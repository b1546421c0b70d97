// SPDX-License-Identifier: MIT
//
// The view of private conversations. private_messages.js has the rules and the keys. This file
// shows its events: the state as text and icon, the choices to make before sending, and the
// messages. One conversation is in view at a time; each has its own messages and draft.

import { Messages } from "./messages.js";
import { Composer } from "./composer.js";
import { fold } from "./conversation.js";
import { byId, icon, make, setText } from "./dom.js";
import { faceOf } from "./face.js";
import { MessageList } from "./message_list.js";
import { reason, t } from "./strings.js";

const HAS_NUMBER = new Set(["encrypted", "verified", "changed"]);
const BLOCKED = new Set(["changed", "forged", "outdated", "foreign"]);
const ICONS = { forged: "changed", outdated: "changed", foreign: "changed" };
const IS_THERE = new Set(["sent", "arrived"]); // the server or the recipient has it
const NO_KEYS_HERE = new Set(["insecure", "browser", "wrong_origin"]);

export class PrivateView {
  #privateMessages; // from openPrivateMessages()
  #conversations = new Map(); // folded name -> { name, messages, draft, unread, status }
  #current = null;
  #opener = null; // the element that had the focus before
  #isPaused = false; // while another tab has the conversations

  /**
   * on: changed(), arrived(name, text) and compare(name) report a new list, a message, and the wish
   * to compare safety numbers; me(), has(name), complete(letters) and isName(text) query the users; typed(text, place)
   * runs typed input, or returns the reason why it is held back; touched(id) reports that a conversation,
   * or without an id a draft, has changed.
   */
  constructor(privateMessages, on) {
    this.#privateMessages = privateMessages;
    this.on = on;
    this.pane = byId("talk");
    this.log = new MessageList(this.pane, byId("talk-new"), {
      retry: (item) => this.#retry(item),
      discard: (item) => {
        this.#current.messages.discard(item.key);
        this.#touched(this.#current);
      },
      isName: on.isName,
    });
    this.composer = new Composer("talk", {
      left: (text) => this.#left(text),
      submit: (text) => on.typed(text, {
        say: (words) => this.#submit(words),
        tell: (words) => this.#say(this.#current, "help", words),
      }),
      complete: (letters) => on.complete(letters),
      changed: () => on.touched(),
    });
    byId("talk-close").onclick = () => this.close();
    byId("talk-state").onclick = () => on.compare(this.#current.name);
    byId("talk-compare").onclick = () => on.compare(this.#current.name);
    byId("talk-allow-plain").onclick = () => this.#allowPlain();
    byId("talk-accept").onclick = () => this.#accept();
  }

  /** The name of the person in view, or null. */
  get current() {
    return this.#current?.name ?? null;
  }

  get list() {
    return [...this.#conversations.values()].reverse();
  }

  status(name) {
    return this.#conversation(name).status;
  }

  open(name) {
    if (this.#current) this.#current.draft = this.composer.text;
    else this.#opener = document.activeElement;
    const conversation = this.#conversation(name);
    this.#current = conversation;
    conversation.unread = 0;
    this.pane.hidden = false;
    this.pane.dataset.with = conversation.name;
    this.log.show(conversation.messages);
    this.composer.text = conversation.draft;
    this.#privateMessages.open(conversation.name);
    this.refresh();
    this.on.changed();
    this.on.touched();
    this.composer.input.focus();
  }

  /** Writes to the person in view, by the same rules as typed input. */
  write(text) {
    this.composer.write(text);
  }

  close() {
    if (!this.#current) return;
    this.#current.draft = this.composer.text;
    this.#current = null;
    this.#privateMessages.open(null);
    this.pane.hidden = true;
    this.on.changed();
    this.on.touched();
    if (this.#opener?.isConnected) this.#opener.focus();
  }

  /** Shows an event of private_messages.js. */
  tell(event) {
    if (event.type === "evicted") return this.#evicted(event.name);
    const handler = {
      state: this.#state, text: this.#text, own: this.#own, unreadable: this.#unreadable, gap: this.#gap,
      refused: this.#refused,
    }[event.type];
    const conversation = event.name && this.#conversation(event.name);
    handler?.call(this, event, conversation);
    if (conversation && event.type !== "state") this.#touched(conversation);
  }

  #touched({ name }) {
    this.on.touched(fold(name));
  }

  // ---- Over a reload ----------------------------------------------------------------------------

  /** The ids of all conversations. */
  get ids() {
    return [...this.#conversations.keys()];
  }

  /** The messages of a conversation for restore(); undefined if there is none. */
  saveTalk(id) {
    const found = this.#conversations.get(id);
    if (!found) return undefined;
    const { items, pending } = found.messages.save();
    return { name: found.name, items, pending, isAnswered: [...items, ...pending].some(({ own }) => own) };
  }

  /** The rest: which conversations there are, the drafts, and which one is in view. */
  saveView() {
    const drafts = [...this.#conversations.values()].map((one) => ({
      name: one.name, unread: one.unread, draft: one === this.#current ? this.composer.text : one.draft,
    }));
    return { drafts, current: this.current };
  }

  /** Continues with the conversations of an earlier page. `open`: the ids of texts that can still be
   *  sent. */
  restore(conversations, { drafts = [] } = {}, open) {
    for (const { name, draft, unread } of drafts) Object.assign(this.#conversation(name), { draft, unread });
    for (const { name, items, pending } of conversations) {
      const isLost = ({ state, key }) => state === "sending" && !open.has(key);
      const lost = { state: "unconfirmed", reason: t.unknownArrival };
      const own = pending.map((item) => (isLost(item) ? { ...item, ...lost } : item));
      this.#conversation(name).messages.restore({ items, pending: own });
    }
    this.on.changed();
  }

  /** Another tab has the conversations: nothing more is written here. */
  pause() {
    this.#isPaused = true;
    this.refresh();
  }

  // ---- The conversation in view -----------------------------------------------------------------

  /** A conversation was evicted with all its messages. */
  #evicted(name) {
    this.#conversations.delete(fold(name));
    this.on.changed();
  }

  /** Updates the state, the box below the messages, and whether sending is possible. */
  refresh() {
    if (!this.#current) return;
    const { name, status } = this.#current;
    this.pane.dataset.state = status.state;
    setText(byId("talk-name"), name);
    byId("talk-face").replaceChildren(faceOf(name));
    this.#showState(status.state);
    const words = t.sentences(...this.#notice(name, status));
    byId("talk-notice").hidden = !words;
    setText(byId("talk-notice").querySelector("p"), words);
    byId("talk-allow-plain").hidden = status.state !== "none" || status.plain;
    byId("talk-accept").hidden = byId("talk-compare").hidden = status.state !== "changed";
    const undecided = status.state === "none" && !status.plain;
    this.composer.block(undecided || this.#isPaused || BLOCKED.has(status.state));
  }

  #showState(state) {
    const button = byId("talk-state");
    if (button.dataset.state === state) return;
    button.dataset.state = state;
    button.replaceChildren(icon(ICONS[state] ?? state), make("span", { textContent: t[state] }));
    button.disabled = !HAS_NUMBER.has(state);
    button.title = button.disabled ? "" : t.compare;
  }

  /** The text of the box. */
  #notice(name, { state, plain, known, verified, waiting, gone }) {
    if (state === "forged") return [t.keysForged(name)];
    if (state === "outdated") return [t.keysOutdated(name)];
    if (state === "foreign") return [t.keysForeign(name)];
    if (state === "changed") {
      const words = verified ? t.verifiedChanged(name) : t.keyChanged(name);
      return [words, waiting ? t.keyWaiting(waiting) : ""];
    }
    if (!(this.on.has(name) ?? !gone)) return [t.leftRoom(name)];
    if (state !== "none") return [];
    if (plain) return [t.plainAllowed, t.canBeRead];
    if (NO_KEYS_HERE.has(this.#privateMessages.trouble)) return [t.noKeysHere, t.canBeRead];
    return [known ? t.keysGone(name) : t.noKeys(name), t.canBeRead];
  }

  #conversation(name) {
    const key = fold(name);
    if (!this.#conversations.has(key)) {
      const status = { state: "asking", plain: false, known: false, verified: false, waiting: 0, gone: false };
      this.#conversations.set(key, { name, messages: new Messages(), draft: "", unread: 0, status });
      this.on.changed();
    }
    const conversation = this.#conversations.get(key);
    conversation.name = name; // its current spelling
    return conversation;
  }

  // ---- Events -----------------------------------------------------------------------------------

  #state(status, conversation) {
    const before = conversation.status;
    conversation.status = status;
    if (before.state === "none" && before.plain && HAS_NUMBER.has(status.state)) {
      this.#say(conversation, "key", t.nowEncrypted);
    }
    if (conversation === this.#current) this.refresh();
  }

  /** If one key of a person is verified, marks the messages that another one sealed. */
  #text({ name, text, time, sealed, known, mark }, conversation) {
    const plain = sealed ? undefined : known ? t.plainMarkLoud : t.plainMark;
    const isDoubtful = mark === "encrypted" && conversation.status.verified;
    const item = {
      kind: "message", author: name, own: false, text, time, state: "received", plain, fresh: true,
      doubt: isDoubtful ? t.notCompared : undefined,
    };
    conversation.messages.add(item, true);
    this.#arrived(conversation, text);
  }

  #own({ name, id, text, status, reason: code, sealed }, { messages }) {
    const changes = {
      text, state: status, reason: this.#why(name, status, code),
      plain: sealed === false ? t.plainMark : undefined,
    };
    if (status === "sending" && !messages.find(id)) {
      messages.post({ kind: "message", key: id, author: this.on.me(), own: true, time: Date.now(), ...changes });
    } else if (!IS_THERE.has(status) || !messages.settle(id, { ...changes, time: Date.now() }, true)) {
      messages.change(id, changes);
    }
  }

  /** The reason text for the status of an own message. */
  #why(name, status, code) {
    if (!code) return undefined;
    if (status !== "unread") return reason(code);
    return code === "key_changed" ? t.notAccepted(name) : t.reports(name, reason(code));
  }

  #unreadable({ name, code }, conversation) {
    const words = t.sentences(t.couldNotRead, reason(code));
    this.#say(conversation, "unreadable", code === "stale_key" ? t.keyGone(name) : words);
    this.#arrived(conversation, "");
  }

  #refused({ reason: code }, conversation) {
    this.#say(conversation, "refused", reason(code));
  }

  #gap({ count }, conversation) {
    this.#say(conversation, "gap", t.gap(count));
  }

  #say({ messages }, notice, text) {
    messages.add({ kind: "notice", notice, text, time: Date.now() }, true);
  }

  #arrived(conversation, text) {
    const seen = conversation === this.#current && !document.hidden;
    if (!seen) conversation.unread++;
    this.on.changed();
    this.on.arrived(conversation.name, text);
  }

  /** The page is in view again: marks the conversation in view as read. */
  seen() {
    if (!this.#current?.unread) return;
    this.#current.unread = 0;
    this.on.changed();
  }

  // ---- Actions ----------------------------------------------------------------------------------

  #left(text) {
    const limit = this.#privateMessages.limit();
    return { left: limit - new TextEncoder().encode(text).length, limit };
  }

  #submit(text) {
    this.#privateMessages.send(this.#current.name, text);
  }

  #retry(item) {
    this.#current.messages.discard(item.key); // send() reports the change
    this.#privateMessages.send(this.#current.name, item.text);
  }

  #allowPlain() {
    this.#privateMessages.allowPlain(this.#current.name);
    this.composer.input.focus();
  }

  async #accept() {
    const conversation = this.#current;
    const accepted = await this.#privateMessages.accept(conversation.name, conversation.status.offered);
    if (accepted) this.#say(conversation, "key", t.keyAccepted);
    this.#touched(conversation);
    this.composer.input.focus();
  }
}
