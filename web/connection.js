// SPDX-License-Identifier: MIT
//
// The connection to the server: Hello, Join, Joined, and reconnecting after a loss. Does not touch
// the document. The owner passes these handlers:
//
//   hello(hello, name)              returns the Join fields that prove our identity (a promise)
//   withoutKeys()                   the server rejected those; we join without them
//   state(name, detail)             idle | connecting | online | waiting | taken | stopped
//   refused(code, text, seconds)    the first Join failed; the state is idle again
//   joined(message, again)          Joined; `again` after a loss. The history follows, then online
//   message(message)                every other message of the server
//
// `seconds` is the server's RetryAfter, or 0 without one.
// A lost connection is retried with exponential backoff up to 30 s, with jitter, and at once when
// the network or the tab is back. After a close for exceeding the rate limit, the pause doubles
// from 10 s to 5 min, and only the user can shorten it. After 4001 (taken over by a newer
// connection of ours), or a refusal that waiting cannot fix, the connection stays closed until
// retry().

const FIRST_WAIT = 500; // ms
const LONGEST_WAIT = 30_000;
const JOIN_TIMEOUT = 10_000; // from opening the socket to the first OnlineUsers
const CHECK_TIMEOUT = 8_000; // for the answer to a keepalive message
const CHECK_REF = "line-check";
const LONGEST_REFUSAL = 3600; // s

const MENDED_BY_WAITING = new Set(["name_taken", "room_full", "too_many_rooms", "throttled", "shutting_down", "unavailable"]);
const FINAL_CLOSES = new Set([1002, 1003, 1007, 1008]);
const TOO_FAST = /^too fast\b/u; // the reason of a 1008 that is not final
const FIRST_PAUSE = 10; // s
const LONGEST_PAUSE = 300; // s
const CALM = 600_000; // ms of being joined that reset the pause to the first
const TAKEN_OVER = 4001;

/** The wait before attempt `n` (from 0), in ms; `chance` is from 0 to 1. */
export function backoff(n, chance) {
  const longest = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** n);
  return longest * (0.5 + chance / 2);
}

/** The pause in seconds after exceeding the rate limit, which happened `n` times before. */
export function pauseAfter(n) {
  return Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** n);
}

/** The seconds of a RetryAfter, or 0 if it is not a usable one. */
export function secondsOf(retryAfter) {
  return Number.isFinite(retryAfter) && retryAfter >= 1 && retryAfter <= LONGEST_REFUSAL ? Math.ceil(retryAfter) : 0;
}

/** A message as the server accepts it: half a surrogate pair, which is no UTF-8, becomes U+FFFD. */
function encode(message) {
  return JSON.stringify(message, (_, value) => (typeof value === "string" ? value.toWellFormed?.() ?? value : value));
}

/** A JSON object with a msgType, or null for anything else, which is ignored. */
export function decode(data) {
  try {
    const message = JSON.parse(data);
    return typeof message?.msgType === "string" ? message : null;
  } catch {
    return null;
  }
}

/** Why the WebSocket upgrade failed: scripts can read the status only of an HTTP request. */
async function askWhy() {
  try {
    const { status } = await fetch(location.pathname, { method: "HEAD", cache: "no-store" });
    return { 503: "full", 429: "busy", 404: "bad_room" }[status] ?? "not_let_in";
  } catch {
    return "unreachable";
  }
}

export class Connection {
  #url;
  #on;
  #socket = null;
  #state = "idle";
  #me = null; // { name, password } while we want to be joined
  #place = null; // { epoch, last } after the first Joined
  #in = false; // from Joined on
  #resumed = false;
  #tries = 0;
  #came = 0; // Date.now() of the last Joined
  #pauses = 0; // how often we exceeded the rate limit
  #isPausing = false;
  #timer = 0; // for the next attempt
  #timeout = 0; // for the expected answer
  #rename = null; // { socket, name, done } while we join under another name
  #joins = new WeakMap(); // socket that sent Hello -> { join, hasKeys }

  constructor(url, handlers) {
    this.#url = url;
    this.#on = handlers;
  }

  get state() {
    return this.#state;
  }

  /** The position in the room, { epoch, last }, or null before the first Joined. */
  get place() {
    return this.#place && { ...this.#place };
  }

  /** Connects without joining: returns Hello, or null. */
  peek() {
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url, "ragnarok.v2");
      const done = (hello) => {
        clearTimeout(timer);
        resolve(hello);
        socket.close(1000);
      };
      const timer = setTimeout(done, JOIN_TIMEOUT, null);
      socket.onmessage = ({ data }) => done(decode(data));
      socket.onclose = () => done(null);
    });
  }

  /** Joins. `place` is where an earlier page of this tab was, if there was one: joining is then
   *  coming back. */
  join(name, password, place = null) {
    this.#me = { name, password };
    this.#place = place && { ...place };
    this.#tries = 0;
    this.#connect();
  }

  /** Another tab of this browser has taken over: the connection stays closed until retry(). */
  yield() {
    if (!this.#me || this.#state === "idle") return;
    this.#drop(1000);
    this.#become("taken");
  }

  /** Leaves, and forgets the password. */
  leave() {
    this.#me = null;
    this.#drop(1000);
    this.#become("idle");
  }

  /** Joins under another name on a second connection, then closes the first; a refusal changes
   *  nothing. Resolves with null, or with the code and text of the refusal. */
  rename(name) {
    if (this.#state !== "online" || this.#rename) return Promise.resolve({ code: "lost" });
    return new Promise((resolve) => {
      const socket = new WebSocket(this.#url, "ragnarok.v2");
      const timer = setTimeout(() => this.#endRename({ code: "unreachable" }), JOIN_TIMEOUT);
      const done = (wrong) => {
        clearTimeout(timer);
        resolve(wrong);
      };
      this.#rename = { socket, name, done };
      socket.onmessage = ({ data }) => this.#hearRename(decode(data));
      socket.onclose = () => this.#endRename({ code: "unreachable" });
    });
  }

  /** Tries now instead of later, with another password if there is one. */
  retry(password = this.#me?.password) {
    if (!this.#me || this.#state === "connecting" || this.#state === "online") return;
    this.#me.password = password;
    this.#connect();
  }

  /** The network or the tab is back: reconnects at once, or checks that the connection is alive. */
  wake() {
    if (this.#state !== "waiting") this.check();
    else if (!this.#isPausing) this.#connect();
  }

  /** Sends a keepalive message; without an answer the connection counts as lost. */
  check() {
    if (this.#state !== "online" || this.#timeout) return;
    this.send({ msgType: "GetKeys", TgtUser: this.#me.name, Ref: CHECK_REF });
    this.#expect(CHECK_TIMEOUT);
  }

  /** Sends a message; false if we are not joined. */
  send(message) {
    if (!this.#in || this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(encode(message));
    return true;
  }

  // ---- One attempt ------------------------------------------------------------------------------

  #connect() {
    this.#isPausing = false;
    this.#drop(1000);
    this.#become("connecting");
    this.#adopt(new WebSocket(this.#url, "ragnarok.v2"));
    this.#expect(JOIN_TIMEOUT);
  }

  #adopt(socket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#hear(decode(data));
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  #hear(message) {
    if (!message) return;
    if (this.#state === "online") this.#expect(0);
    if (message.msgType === "Hello") this.#introduce(message);
    else if (message.msgType === "Joined") this.#welcome(message);
    else if (message.msgType === "Error" && !this.#in) this.#refuse(message);
    else this.#pass(message);
  }

  /** Answers Hello, once per connection: each further answer would sign another proof. */
  async #introduce(hello, socket = this.#socket, name = this.#me.name) {
    if (this.#joins.has(socket)) return;
    const { password } = this.#me;
    const join = { msgType: "Join", Password: password, Name: name };
    if (this.#place) join.Resume = { Epoch: this.#place.epoch, After: this.#place.last };
    const sent = { join, hasKeys: false };
    this.#joins.set(socket, sent);
    const fields = await this.#on.hello(hello, name);
    sent.hasKeys = "IdentityKey" in fields;
    if ((socket === this.#socket || socket === this.#rename?.socket) && socket.readyState === WebSocket.OPEN) {
      socket.send(encode({ ...join, ...fields }));
    }
  }

  /** The server rejects the page's origin for keys (wrong_origin): joins again without keys. */
  #joinsWithoutKeys(socket, { Code }) {
    const sent = this.#joins.get(socket);
    if (Code !== "wrong_origin" || !sent?.hasKeys) return false;
    sent.hasKeys = false;
    this.#on.withoutKeys();
    socket.send(encode(sent.join));
    return true;
  }

  #hearRename(message) {
    const { socket, name } = this.#rename;
    if (message?.msgType === "Hello") this.#introduce(message, socket, name);
    else if (message?.msgType === "Error") this.#refuseRename(message);
    else if (message?.msgType === "Joined") this.#moveTo(socket, message);
  }

  #refuseRename(error) {
    if (this.#joinsWithoutKeys(this.#rename.socket, error)) return;
    this.#endRename({ code: error.Code, text: error.text });
  }

  /** The second connection has joined and replaces the first. The state shown stays online. */
  #moveTo(socket, joined) {
    const { done } = this.#rename;
    this.#rename = null;
    this.#drop(1000);
    this.#adopt(socket);
    this.#state = "connecting";
    this.#expect(JOIN_TIMEOUT);
    this.#welcome(joined);
    done(null);
  }

  #endRename(wrong) {
    if (!this.#rename) return;
    const { socket, done, taken } = this.#rename;
    this.#rename = null;
    socket.onmessage = socket.onclose = null;
    socket.close(1000);
    done(wrong);
    if (taken) this.#closed(TAKEN_OVER); // by another client
  }

  #welcome(joined) {
    const again = this.#place !== null;
    const sameEpoch = again && this.#place.epoch === joined.Epoch;
    this.#in = true;
    this.#resumed = joined.Resumed === true;
    this.#place = { epoch: joined.Epoch, last: sameEpoch ? this.#place.last : 0 };
    this.#me.name = joined.Name;
    this.#tries = 0;
    this.#came = Date.now();
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

  /** Whether the broadcast was received before; the same history may be sent twice. */
  #seen(id) {
    if (!Number.isSafeInteger(id) || !this.#place) return false;
    if (id <= this.#place.last) return true;
    this.#place.last = id;
    return false;
  }

  #refuse(error) {
    if (this.#joinsWithoutKeys(this.#socket, error)) return;
    const seconds = secondsOf(error.RetryAfter);
    if (this.#place && MENDED_BY_WAITING.has(error.Code)) {
      this.#drop(1000);
      this.#later({ code: error.Code, text: error.text, seconds });
    } else {
      this.#giveUp(error.Code, error.text, seconds);
    }
  }

  // ---- The end of a connection ------------------------------------------------------------------

  async #closed(code, reason) {
    if (code === TAKEN_OVER && this.#rename) { // by our own rename to another spelling of the name
      this.#rename.taken = true;
      return;
    }
    const stayed = this.#in ? Date.now() - this.#came : 0;
    this.#drop();
    if (!this.#me) return;
    if (code === TAKEN_OVER) this.#become("taken");
    else if (this.#place && code === 1008 && TOO_FAST.test(reason)) this.#pause(stayed);
    else if (this.#place && !FINAL_CLOSES.has(code)) this.#later({ code });
    else if (this.#place) this.#become("stopped", { code, text: reason });
    else this.#giveUp(code === 1006 || code === 1005 ? await askWhy() : code, reason);
  }

  /** Gives up. Before the first Joined this goes back to the form; later the page stays, with a
   *  banner. */
  #giveUp(code, text, seconds = 0) {
    this.#drop(1000);
    if (this.#place) {
      this.#become("stopped", { code, text });
      return;
    }
    this.#me = null;
    this.#become("idle");
    this.#on.refused(code, text, seconds);
  }

  /** We exceeded the rate limit. Undelivered messages are kept, and sent again after reconnecting.
   *  */
  #pause(stayed) {
    if (stayed >= CALM) this.#pauses = 0;
    this.#isPausing = true;
    this.#later({ code: "too_fast", seconds: pauseAfter(this.#pauses++) });
  }

  #later(detail) {
    const wait = detail.seconds ? detail.seconds * 1000 : backoff(this.#tries++, Math.random());
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.#become("waiting", { ...detail, wait });
  }

  /** Drops the socket without waiting for its close, which takes up to a minute if it is dead. */
  #drop(code) {
    clearTimeout(this.#timer);
    this.#expect(0);
    this.#endRename({ code: "lost" });
    this.#in = false;
    const socket = this.#socket;
    this.#socket = null;
    if (!socket) return;
    socket.onmessage = socket.onclose = null;
    if (code) socket.close(code);
  }

  /** Expects an answer within `ms`, or none if 0. Without it the connection counts as lost. */
  #expect(ms) {
    clearTimeout(this.#timeout);
    this.#timeout = ms && setTimeout(() => this.#timedOut(), ms);
  }

  #timedOut() {
    this.#timeout = 0;
    this.#drop(1000);
    if (this.#place) this.#later({ code: 1006 });
    else this.#giveUp("unreachable");
  }

  #become(state, detail = {}) {
    this.#state = state;
    this.#on.state(state, detail);
  }
}
