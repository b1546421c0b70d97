// SPDX-License-Identifier: MIT
//
// conversation.js - one private conversation: whose key is trusted, and what may therefore be done.
//
// Only state and rules, nothing that waits: talks.js asks, sends, receives and stores.

const WAITING_MAX = 100; // messages that are kept until a changed key is accepted; one more is lost
const HEARD_MAX = 100; // texts by which one that comes again is known

/** The same for all spellings of a name: case folding after NFKC, by what JavaScript has for it. */
export function fold(name) {
  const foldCase = (part) => part.toLowerCase().toUpperCase().toLowerCase();
  return name.normalize("NFKC").replace(/[^ı]+/g, foldCase).normalize("NFKC"); // ı is not i
}

export class Conversation {
  id; // the folded name
  name; // as the other side spells it now
  contact = null; // {key, verified}: what is remembered
  keys = null; // {name, IdentityKey, SessionKey, ...}, "none", "forged", or null: not asked yet
  offered = ""; // another identity key than the remembered one, until it is accepted
  plain = false; // whether plaintext was chosen
  asked = null; // the answer to our question for keys, until it may be out of date
  waiting = []; // {session, message}: sealed by the key that is offered
  #heard = new Map(); // Ref -> text
  #lines = {};
  #able;

  /** `able`: whether we have keys of our own. `loaded` is awaited before anything comes in. */
  constructor(name, able, load) {
    [this.id, this.name, this.#able] = [fold(name), name, able];
    this.#lines = { inbox: load(this), outbox: Promise.resolve() };
  }

  /**
   * Does a job after those before it in its line, even if one of them failed. `inbox` is for what
   * comes in and all that changes trust, `outbox` for what goes out.
   */
  then(line, job) {
    return (this.#lines[line] = this.#lines[line].then(job, job));
  }

  get state() {
    if (!this.#able) return "none";
    if (this.keys === "forged") return "forged";
    if (this.offered) return "changed";
    if (this.keys === "none") return "none";
    if (!this.contact) return "asking";
    return this.contact.verified ? "verified" : "encrypted";
  }

  /** All that people should see of it. */
  describe() {
    const { name, state, contact, offered, plain } = this;
    const [known, verified] = [Boolean(contact), Boolean(contact?.verified)];
    return { name, state, known, verified, offered, waiting: this.waiting.length, plain };
  }

  /** A well signed key of theirs was seen. Whether it is the trusted one; `contact` is there. */
  meet(key) {
    this.offered = this.contact.key === key ? "" : key;
    return !this.offered;
  }

  /** Why a message must not go out now; "" if it may. One that was sealed stays with its reader. */
  blocks({ plain, sealedTo }) {
    const { keys, offered, contact } = this;
    if (keys === "forged") return "forged";
    if (offered) return "key_changed";
    if (keys === "none") return plain ? "" : "no_keys";
    return [contact.key, sealedTo || contact.key].every((key) => key === keys.IdentityKey)
      ? ""
      : "key_changed";
  }

  keepWaiting(session, message) {
    if (this.waiting.length < WAITING_MAX) this.waiting.push({ session, message });
  }

  /** Hands out what waited for this key. */
  takeWaiting(key) {
    const isReady = ({ message }) => message.IdentityKey === key;
    const ready = this.waiting.filter(isReady);
    this.waiting = this.waiting.filter((one) => !isReady(one));
    return ready;
  }

  /** Whether it came before, by an earlier connection that was lost: same Ref and same text. */
  heardBefore(ref, text) {
    if (typeof ref !== "string") return false;
    if (this.#heard.get(ref) === text) return true;
    this.#heard.set(ref, text);
    if (this.#heard.size > HEARD_MAX) this.#heard.delete(this.#heard.keys().next().value);
    return false;
  }
}
