// SPDX-License-Identifier: MIT
//
// Private conversations, as one sees them. talks.js has the rules and the keys; this shows what it
// tells: the state in words and with an icon, what must be chosen before anything is sent, and the
// messages. One conversation is in view at a time; each has its book and its draft.

import { Book } from "./book.js";
import { Composer } from "./composer.js";
import { fold } from "./conversation.js";
import { byId, icon, make, setText } from "./dom.js";
import { Log } from "./log.js";
import { reason, t } from "./strings.js";

const HAS_NUMBER = new Set(["encrypted", "verified", "changed"]);

export class TalkView {
  #talks; // what openTalks() gave
  #conversations = new Map(); // folded name -> { name, book, draft, unread, status }
  #current = null;
  #opener = null; // what had the focus before

  /**
   * on: { changed(), arrived(name, text), compare(name) } tell the page of a new list, of a message,
   * and that numbers are to be compared; { me(), has(name), names() } ask who is here.
   */
  constructor(talks, on) {
    this.#talks = talks;
    this.on = on;
    this.pane = byId("talk");
    this.log = new Log(this.pane, byId("talk-new"), {
      retry: (item) => this.#retry(item),
      discard: (item) => this.#current.book.discard(item.key),
    });
    this.composer = new Composer("talk", {
      left: (text) => this.#left(text),
      submit: (text) => this.#submit(text),
      names: () => on.names(),
    });
    byId("talk-close").onclick = () => this.close();
    byId("talk-state").onclick = () => on.compare(this.#current.name);
    byId("talk-compare").onclick = () => on.compare(this.#current.name);
    byId("talk-allow-plain").onclick = () => this.#allowPlain();
    byId("talk-accept").onclick = () => this.#accept();
  }

  /** The name of the person whose conversation is in view, or null. */
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
    this.log.show(conversation.book);
    this.composer.text = conversation.draft;
    this.#talks.open(conversation.name);
    this.refresh();
    this.on.changed();
    this.composer.input.focus();
  }

  close() {
    if (!this.#current) return;
    this.#current.draft = this.composer.text;
    this.#current = null;
    this.#talks.open(null);
    this.pane.hidden = true;
    this.on.changed();
    if (this.#opener?.isConnected) this.#opener.focus();
  }

  /** Shows what talks.js tells. */
  tell(event) {
    const handler = {
      state: this.#state, text: this.#text, own: this.#own, unreadable: this.#unreadable, gap: this.#gap,
    }[event.type];
    handler?.call(this, event, event.name && this.#conversation(event.name));
  }

  /** The state, the box below the messages, and whether anything may be sent. */
  refresh() {
    if (!this.#current) return;
    const { name, status } = this.#current;
    this.pane.dataset.state = status.state;
    setText(byId("talk-name"), name);
    this.#showState(status.state);
    const words = t.sentences(...this.#notice(name, status));
    byId("talk-notice").hidden = !words;
    setText(byId("talk-notice").querySelector("p"), words);
    byId("talk-allow-plain").hidden = status.state !== "none" || status.plain;
    byId("talk-accept").hidden = byId("talk-compare").hidden = status.state !== "changed";
    const undecided = status.state === "none" && !status.plain;
    this.composer.block(undecided || status.state === "changed" || status.state === "forged");
  }

  #showState(state) {
    const button = byId("talk-state");
    if (button.dataset.state === state) return;
    button.dataset.state = state;
    button.replaceChildren(icon(state === "forged" ? "changed" : state), make("span", { textContent: t[state] }));
    button.disabled = !HAS_NUMBER.has(state);
    button.title = button.disabled ? "" : t.compare;
  }

  /** The sentences of the box. */
  #notice(name, { state, plain, known, verified, waiting }) {
    if (state === "forged") return [t.keysForged(name)];
    if (state === "changed") {
      const words = verified ? t.verifiedChanged(name) : t.keyChanged(name);
      return [words, waiting ? t.keyWaiting(waiting) : ""];
    }
    if (!this.on.has(name)) return [t.leftRoom(name)];
    if (state !== "none") return [];
    if (plain) return [t.plainAllowed, t.canBeRead];
    if (["insecure", "browser"].includes(this.#talks.trouble)) return [t.noKeysHere, t.canBeRead];
    return [known ? t.keysGone(name) : t.noKeys(name), t.canBeRead];
  }

  #conversation(name) {
    const key = fold(name);
    if (!this.#conversations.has(key)) {
      const status = { state: "asking", plain: false, known: false, verified: false, waiting: 0 };
      this.#conversations.set(key, { name, book: new Book(), draft: "", unread: 0, status });
      this.on.changed();
    }
    const conversation = this.#conversations.get(key);
    conversation.name = name; // as it is spelled now
    return conversation;
  }

  // ---- What is told ------------------------------------------------------------------------------

  #state(status, conversation) {
    const before = conversation.status;
    conversation.status = status;
    if (before.state === "none" && before.plain && HAS_NUMBER.has(status.state)) {
      this.#say(conversation, "key", t.nowEncrypted);
    }
    if (conversation === this.#current) this.refresh();
  }

  #text({ name, text, time, sealed, known }, conversation) {
    const plain = sealed ? undefined : known ? t.plainMarkLoud : t.plainMark;
    const item = {
      kind: "message", author: name, own: false, text, time, state: "received", plain, fresh: true,
    };
    conversation.book.add(item, true);
    this.#arrived(conversation, text);
  }

  #own({ name, id, text, status, reason: code, sealed }, { book }) {
    const changes = {
      text, state: status, reason: this.#why(name, status, code),
      plain: sealed === false ? t.plainMark : undefined,
    };
    if (status === "sending" && !book.find(id)) {
      book.post({ kind: "message", key: id, author: this.on.me(), own: true, time: Date.now(), ...changes });
    } else if (status !== "sent" || !book.settle(id, { ...changes, time: Date.now() }, true)) {
      book.change(id, changes);
    }
  }

  /** Words for what became of an own message. */
  #why(name, status, code) {
    if (!code) return undefined;
    if (status !== "unread") return reason(code);
    return code === "key_changed" ? t.notAccepted(name) : t.reports(name, reason(code));
  }

  #unreadable({ code }, conversation) {
    this.#say(conversation, "unreadable", t.sentences(t.couldNotRead, reason(code)));
    this.#arrived(conversation, "");
  }

  #gap({ count }, conversation) {
    this.#say(conversation, "gap", t.gap(count));
  }

  #say({ book }, notice, text) {
    book.add({ kind: "notice", notice, text, time: Date.now() }, true);
  }

  #arrived(conversation, text) {
    const seen = conversation === this.#current && !document.hidden;
    if (!seen) conversation.unread++;
    this.on.changed();
    this.on.arrived(conversation.name, text);
  }

  /** The page is looked at again: what is in view has been read. */
  seen() {
    if (!this.#current?.unread) return;
    this.#current.unread = 0;
    this.on.changed();
  }

  // ---- What is done ------------------------------------------------------------------------------

  #left(text) {
    const limit = this.#talks.limit();
    return { left: limit - new TextEncoder().encode(text).length, limit };
  }

  #submit(text) {
    this.#talks.send(this.#current.name, text);
  }

  #retry(item) {
    this.#current.book.discard(item.key);
    this.#talks.send(this.#current.name, item.text);
  }

  #allowPlain() {
    this.#talks.allowPlain(this.#current.name);
    this.composer.input.focus();
  }

  async #accept() {
    const conversation = this.#current;
    const accepted = await this.#talks.accept(conversation.name, conversation.status.offered);
    if (accepted) this.#say(conversation, "key", t.keyAccepted);
    this.composer.input.focus();
  }
}
