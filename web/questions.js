// SPDX-License-Identifier: MIT
//
// Questions about the room's past (GetHistory, Search) and its members (GetUsers): of each kind one at
// a time, as the server wants it, each with a Ref that its answer has, too. Pure: no socket, no document.

const PATIENCE = 30_000; // ms until an answer counts as lost; a fast reader is slowed down by the server
const LATER = 1000; // ms before a question that came too early is asked again
const TRIES = 5;

/** A History as this page trusts it: broadcasts by ascending Id, and where to go on. */
function checkedPast({ Messages: all, From, More, Epoch }, { Before: before = Infinity }) {
  const isOne = (one) => Number.isSafeInteger(one?.Id) && typeof one.SrcUser === "string" && typeof one.text === "string";
  const messages = (Array.isArray(all) ? all : []).filter(isOne).sort((one, other) => one.Id - other.Id);
  const goesOn = More === true && Number.isSafeInteger(From) && From < before;
  return { messages, epoch: Epoch, from: Number.isSafeInteger(From) ? From : before, more: goesOn };
}

/** Users as this page trusts it: no more names than asked for, each once, in the server's order. */
function checkedUsers({ Users, More }, { Limit }) {
  const texts = (Array.isArray(Users) ? Users : []).filter((one) => typeof one === "string");
  const names = [...new Set(texts)].slice(0, Limit);
  return { names, more: More === true && names.length > 0 };
}

/** The kinds: a prefix of Refs, the answer's type, and what ask() makes of it. */
export const PAST = { prefix: "past-", answer: "History", checked: checkedPast };
export const USERS = { prefix: "users-", answer: "Users", checked: checkedUsers };

export class Questions {
  #kind;
  #send;
  #later;
  #never;
  #count = 0;
  #line = Promise.resolve(); // settled after the last question
  #open = null; // { ref, done(answer), fail(code) }

  /** `kind` is PAST or USERS; `send(message)` is false if we are not joined; `later(job, ms)` is a
   *  setTimeout whose result `never` takes back. */
  constructor(kind, send, later = (job, ms) => setTimeout(job, ms), never = (timer) => clearTimeout(timer)) {
    [this.#kind, this.#send, this.#later, this.#never] = [kind, send, later, never];
  }

  /** Asks. Resolves with { names, more }, or about the past with { messages, epoch, from, more }, where
   *  `more` is true only if asking with Before: from makes progress; rejects with { code }. */
  ask(question) {
    const answer = this.#line.then(() => this.#insist(question));
    this.#line = answer.catch(() => {});
    return answer;
  }

  async #insist(question) {
    for (let n = 1; ; n++) {
      try {
        return this.#kind.checked(await this.#once(question), question);
      } catch (wrong) {
        if (wrong.code !== "too_fast" || n === TRIES) throw wrong;
      }
      await new Promise((done) => this.#later(done, LATER));
    }
  }

  #once(question) {
    return new Promise((resolve, reject) => {
      const ref = this.#kind.prefix + this.#count++;
      const timer = this.#later(() => this.#open?.fail("lost"), PATIENCE);
      const close = (settle) => (value) => {
        this.#never(timer);
        this.#open = null;
        settle(value);
      };
      this.#open = { ref, done: close(resolve), fail: close((code) => reject({ code })) };
      if (!this.#send({ ...question, Ref: ref })) this.#open.fail("lost");
    });
  }

  /** Whether a message of the server was an answer to the question that is open. */
  feed(message) {
    const { msgType, Ref, Code } = message;
    if (typeof Ref !== "string" || !Ref.startsWith(this.#kind.prefix)) return false;
    if (this.#open?.ref !== Ref) return true; // of one that was given up
    if (msgType === this.#kind.answer) this.#open.done(message);
    else this.#open.fail(Code);
    return true;
  }

  /** The connection is lost, and with it the answer. */
  lost() {
    this.#open?.fail("lost");
  }
}
