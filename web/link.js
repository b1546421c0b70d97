// SPDX-License-Identifier: MIT
//
// The line to the server: Hello, Join, Joined, and coming back by itself after it was lost. It knows
// nothing of the document. Its owner gives it these handlers:
//
//   hello(hello, name)       gives the fields of Join that prove who we are (a promise; {} for none)
//   state(name, detail)      idle | connecting | online | waiting | taken | stopped
//   refused(code, text)      the first Join failed; the line is idle again
//   joined(message, again)   Joined; `again` after a lost line. History follows, then state online
//   message(message)         everything else that the server says
//
// A line that is lost comes back after a while that doubles up to half a minute, with jitter, and at
// once when the network or the tab is back. Closed with 4001 (taken over by a newer connection of
// ours), or refused for a reason that waiting does not mend, it stays closed until retry().

const FIRST_WAIT = 500; // ms
const LONGEST_WAIT = 30_000;
const JOIN_PATIENCE = 10_000; // from opening the socket to the first OnlineUsers
const CHECK_PATIENCE = 8_000; // for the answer to a sign of life
const CHECK_REF = "line-check";

const MENDED_BY_WAITING = new Set(["name_taken", "room_full", "too_many_rooms", "throttled", "shutting_down"]);
const FINAL_CLOSES = new Set([1002, 1003, 1007, 1008]);
const TAKEN_OVER = 4001;

/** How long to wait before try number `n` (from 0), in ms; `chance` is from 0 to 1. */
export function backoff(n, chance) {
  const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** n);
  return longest * (0.5 + chance / 2);
}

/** A JSON object with a msgType, or null: whatever else comes is passed over. */
export function decode(data) {
  try {
    const message = JSON.parse(data);
    return typeof message?.msgType === "string" ? message : null;
  } catch {
    return null;
  }
}

/** Why the server did not even open the WebSocket; asked in HTTP, where it can be heard. */
async function askWhy() {
  try {
    const { status } = await fetch(location.pathname, { method: "HEAD", cache: "no-store" });
    return { 503: "full", 429: "busy", 404: "bad_room" }[status] ?? "not_let_in";
  } catch {
    return "unreachable";
  }
}

export class Link {
  #url;
  #on;
  #socket = null;
  #state = "idle";
  #me = null; // { name, password } while we want to be in
  #place = null; // { epoch, last } once we have been in
  #in = false; // from Joined on
  #resumed = false;
  #tries = 0;
  #timer = 0; // for the next try
  #patience = 0; // for the answer that is due

  constructor(url, handlers) {
    this.#url = url;
    this.#on = handlers;
  }

  get state() {
    return this.#state;
  }

  /** Looks who is there without joining: gives Hello, or null. */
  peek() {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url, "ragnarok.v2");
      const done = (hello) => {
        clearTimeout(timer);
        resolve(hello);
        socket.close(1000);
      };
      const timer = setTimeout(done, JOIN_PATIENCE, null);
      socket.onmessage = ({ data }) => done(decode(data));
      socket.onclose = () => done(null);
    });
  }

  join(name, password) {
    this.#me = { name, password };
    this.#place = null;
    this.#tries = 0;
    this.#connect();
  }

  /** Leaves for good; the password is forgotten. */
  leave() {
    this.#me = null;
    this.#drop(1000);
    this.#become("idle");
  }

  /** Tries now instead of later, with another password if there is one. */
  retry(password = this.#me?.password) {
    if (!this.#me || this.#state === "connecting" || this.#state === "online") return;
    this.#me.password = password;
    this.#connect();
  }

  /** The network or the tab is back: try at once, or see whether the line still lives. */
  wake() {
    if (this.#state === "waiting") this.#connect();
    else this.check();
  }

  /** Asks for a sign of life; without one the line is taken for lost. */
  check() {
    if (this.#state !== "online" || this.#patience) return;
    this.send({ msgType: "GetKeys", TgtUser: this.#me.name, Ref: CHECK_REF });
    this.#expect(CHECK_PATIENCE);
  }

  /** Writes a message; false if we are not in. */
  send(message) {
    if (!this.#in || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  // ---- One try -----------------------------------------------------------------------------------

  #connect() {
    this.#drop(1000);
    this.#become("connecting");
    const socket = new WebSocket(this.#url, "ragnarok.v2");
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#hear(decode(data));
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    this.#expect(JOIN_PATIENCE);
  }

  #hear(message) {
    if (!message) return;
    if (this.#state === "online") this.#expect(0);
    if (message.msgType === "Hello") this.#introduce(message);
    else if (message.msgType === "Joined") this.#welcome(message);
    else if (message.msgType === "Error" && !this.#in) this.#refuse(message);
    else this.#pass(message);
  }

  async #introduce(hello) {
    const socket = this.#socket;
    const { name, password } = this.#me;
    const join = { msgType: "Join", Password: password, Name: name };
    if (this.#place) join.Resume = { Epoch: this.#place.epoch, After: this.#place.last };
    Object.assign(join, await this.#on.hello(hello, name));
    if (socket === this.#socket && socket.readyState === WebSocket.OPEN) {
      socket.send(JSON.stringify(join));
    }
  }

  #welcome(joined) {
    const again = this.#place !== null;
    const sameEpoch = again && this.#place.epoch === joined.Epoch;
    this.#in = true;
    this.#resumed = joined.Resumed === true;
    this.#place = { epoch: joined.Epoch, last: sameEpoch ? this.#place.last : 0 };
    this.#me.name = joined.Name;
    this.#tries = 0;
    this.#on.joined({ ...joined, SameEpoch: sameEpoch }, again);
  }

  #pass(message) {
    if (message.msgType === "UserKeys" && message.Ref === CHECK_REF) return;
    if (message.msgType === "Broadcast" && this.#seen(message.Id)) return;
    this.#on.message(message);
    if (message.msgType === "OnlineUsers" && this.#in && this.#state === "connecting") {
      this.#expect(0);
      this.#become("online", { resumed: this.#resumed });
    }
  }

  /** Whether the broadcast came before; the same history may be sent to us twice. */
  #seen(id) {
    if (!Number.isSafeInteger(id) || !this.#place) return false;
    if (id <= this.#place.last) return true;
    this.#place.last = id;
    return false;
  }

  #refuse(error) {
    if (this.#place && MENDED_BY_WAITING.has(error.Code)) {
      this.#drop(1000);
      this.#later({ code: error.Code });
    } else {
      this.#giveUp(error.Code, error.text);
    }
  }

  // ---- The end of a line -------------------------------------------------------------------------

  async #closed(code, reason) {
    this.#drop();
    if (!this.#me) return;
    if (code === TAKEN_OVER) this.#become("taken");
    else if (this.#place && !FINAL_CLOSES.has(code)) this.#later({ code });
    else if (this.#place) this.#become("stopped", { code, text: reason });
    else this.#giveUp(code === 1006 || code === 1005 ? await askWhy() : code, reason);
  }

  /** A first Join is given up with words; who was in stays on the page, with the words above it. */
  #giveUp(code, text) {
    this.#drop(1000);
    if (this.#place) {
      this.#become("stopped", { code, text });
      return;
    }
    this.#me = null;
    this.#become("idle");
    this.#on.refused(code, text);
  }

  #later(detail) {
    const wait = backoff(this.#tries++, Math.random());
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#become("waiting", { ...detail, wait });
  }

  /** Lets go of the socket without waiting for its end, which may take a minute on a dead line. */
  #drop(code) {
    clearTimeout(this.#timer);
    this.#expect(0);
    this.#in = false;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    if (code) socket.close(code);
  }

  /** Something is due in `ms`, or (0) nothing is. If it does not come, the line is lost. */
  #expect(ms) {
    clearTimeout(this.#patience);
    this.#patience = ms && setTimeout(() => this.#timedOut(), ms);
  }

  #timedOut() {
    this.#patience = 0;
    this.#drop(1000);
    if (this.#place) this.#later({ code: 1006 });
    else this.#giveUp("unreachable");
  }

  #become(state, detail = {}) {
    this.#state = state;
    this.#on.state(state, detail);
  }
}
