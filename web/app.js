// SPDX-License-Identifier: MIT
//
// The page as a whole: makes its parts and carries what one says to the others. What comes from the
// server goes first to the private conversations, then through the table of HANDLERS. Types that are
// not there, and texts that are none, are passed over: other clients may say what they like.

import { Attention } from "./attention.js";
import { Book } from "./book.js";
import { Composer } from "./composer.js";
import { byId, fillIn, remember, setText } from "./dom.js";
import { JoinView } from "./joinview.js";
import { Link } from "./link.js";
import { Log } from "./log.js";
import { Doubles, Outbox } from "./outbox.js";
import { People } from "./people.js";
import { InviteSheet, SafetySheet, SettingsSheet } from "./sheets.js";
import { language, reason, t } from "./strings.js";
import { openTalks } from "./talks.js";
import { TalkView } from "./talkview.js";
import { jsonBytes, mentions } from "./text.js";
import { openVault } from "./vault.js";

const ANSWER_PATIENCE = 8_000; // ms, for a QR code
const HEARTBEAT = 30_000; // ms between two looks whether the line still lives
const RESERVE = 64; // bytes of a message that are not its text: room for the Ref
const REF_BYTES = 12;
const IN_FRONT = "in front"; // history.state while something on a narrow page can be closed by "Back"

const narrow = matchMedia("(max-width: 760px)");
const room = roomOfPath();
const book = new Book();
const outbox = new Outbox();
const doubles = new Doubles();
const asked = new Map(); // Ref -> what is called with the answer
let me = { name: "", password: "" };
let server = "Ragnarok";
let limit = Infinity; // MaxMessageBytes
let again = false; // whether this Joined followed a lost line

// ---- The parts -------------------------------------------------------------------------------------

document.documentElement.lang = language;
fillIn();

// The form may be filled in at once. It can be sent when all the rest is there.
const joinView = new JoinView(room, (name, password) => {
  me = { name, password };
  link.join(name, password);
});
const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname}`;
const link = new Link(url, {
  hello: (hello, name) => {
    joinView.greet(hello);
    return talks.joinFields(hello.Nonce, room, name);
  },
  state: showLink,
  refused: (code, text) => joinView.refuse(code, text),
  joined: enter,
  message: hear,
});
const peeked = link.peek();
const talks = await openTalks({
  vault: await openVault(), origin: location.origin, send: (message) => link.send(message),
  tell: (event) => (event.type === "trouble" ? tellTrouble() : talkView.tell(event)),
});
const attention = new Attention(() => talkView.seen());
const talkView = new TalkView(talks, {
  changed: showTalks,
  arrived: (name, text) => {
    attention.count();
    attention.notify(t.privateFrom(name), text || t.privateArrived, `talk ${name}`, () => openTalk(name));
  },
  compare: (name) => safety.open(name, talkView.status(name)),
  has: (name) => people.has(name),
  me: () => me.name,
  names: () => people.others,
});
const people = new People(openTalk);
const log = new Log(byId("room"), byId("room-new"), {
  retry: (item) => {
    book.discard(item.key);
    say(item.text, item.key);
  },
  discard: (item) => book.discard(item.key),
});
const composer = new Composer("room", { left: bytesLeft, submit: say, names: () => people.others });
const invite = new InviteSheet(getQr);
const safety = new SafetySheet(talks, getQr);
const settings = new SettingsSheet(attention, () => {
  link.leave();
  location.reload(); // so that nothing of this visit stays in memory
});
log.show(book);
arrange();

const hello = await peeked;
if (hello?.msgType === "Hello") joinView.greet(hello);
joinView.busy(false);

/** The room that the path names, "" for the main room. */
function roomOfPath() {
  const [, name = ""] = /^\/rooms\/(.+)$/u.exec(location.pathname) ?? [];
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // the server will say that it is not a name
  }
}

// ---- The room --------------------------------------------------------------------------------------

function newRef() {
  const bytes = crypto.getRandomValues(new Uint8Array(REF_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const broadcast = (text, ref) => ({ msgType: "Broadcast", text, Ref: ref });

function bytesLeft(text) {
  return { left: limit - RESERVE - jsonBytes(broadcast(text, "")), limit };
}

/** Says something to everybody; `ref` is given if it was tried before. */
function say(text, ref = newRef()) {
  const waits = outbox.add(broadcast(text.toWellFormed?.() ?? text, ref));
  const state = waits ? { state: "sending" } : { state: "failed", reason: reason("too_many") };
  book.post({ kind: "message", key: ref, author: me.name, own: true, text, time: Date.now(), ...state });
  flush();
}

function flush() {
  if (link.state === "online") outbox.flush((message) => link.send(message));
}

function fail(ref, words) {
  outbox.settle(ref);
  book.change(ref, { state: "failed", reason: words });
}

function tell(notice, text) {
  book.add({ kind: "notice", notice, text, time: Date.now() }, true);
}

function tellTrouble() {
  if (talks.trouble) tell("info", t[talks.trouble]);
}

// ---- What the server says --------------------------------------------------------------------------

const HANDLERS = {
  __proto__: null,
  Broadcast: heard,
  OnlineUsers: gathered,
  QrCode: (message) => asked.get(message.Ref)?.(message),
  Error: failed,
};

function hear(message) {
  if (!talks.feed(message)) HANDLERS[message.msgType]?.(message);
}

function heard({ SrcUser: author, text, Id: id, Time, Ref: ref, History }) {
  if (typeof text !== "string" || typeof author !== "string") return;
  const live = History !== true;
  const time = Number.isFinite(Time) ? Time : Date.now();
  const own = author === me.name;
  if (own) outbox.settle(ref);
  if (doubles.has(author, ref)) return;
  if (own && book.settle(ref, { id, time, state: "sent", reason: undefined }, live)) return;
  const mention = !own && mentions(text, me.name);
  const fresh = !own && (live || again);
  const state = own ? "sent" : "received";
  book.add({ kind: "message", author, own, text, time, id, state, mention, fresh }, live);
  if (!fresh) return;
  attention.count();
  if (mention) attention.notify(`${author} · ${roomTitle()}`, text, "room", () => composer.input.focus());
}

function gathered({ Users }) {
  if (!Array.isArray(Users)) return;
  people.set(Users.filter((name) => typeof name === "string"), me.name);
  talkView.refresh();
  showTalks();
}

/** An error finds the message that it is about by its Ref; a `too_long` has none. */
function failed({ Code, text, Ref }) {
  const words = reason(Code, text);
  const ref = Ref ?? (Code === "too_long" ? outbox.longest()?.Ref : undefined);
  if (asked.has(ref)) asked.get(ref)(null);
  else if (book.find(ref)) fail(ref, words);
  else tell("info", words);
}

/** Asks the server for the QR code of a text; the promise gives null if none comes. */
function getQr(text) {
  const ref = newRef();
  return new Promise((resolve) => {
    const done = (answer) => {
      clearTimeout(timer);
      asked.delete(ref);
      resolve(answer);
    };
    const timer = setTimeout(done, ANSWER_PATIENCE, null);
    asked.set(ref, done);
    if (!link.send({ msgType: "GetQr", text, Ref: ref })) done(null);
  });
}

// ---- Coming, going, coming back --------------------------------------------------------------------

function roomTitle() {
  return room ? `${room} · ${server}` : server;
}

function enter(joined, wasIn) {
  again = wasIn;
  me.name = joined.Name;
  server = String(joined.ServerName);
  limit = Number.isFinite(joined.MaxMessageBytes) ? joined.MaxMessageBytes : Infinity;
  talks.feed(joined);
  setText(byId("room-title"), roomTitle());
  attention.title = roomTitle();
  if (!wasIn) showRoom();
  else if (!joined.SameEpoch) tell("restart", t.restarted);
  else if (!joined.Resumed) tell("missed", t.missed);
}

function showRoom() {
  remember("name", me.name);
  document.body.dataset.view = "chat";
  byId("join").hidden = true;
  byId("chat").hidden = false;
  tellTrouble();
  composer.refresh();
  if (!narrow.matches) composer.input.focus();
}

function showLink(state, detail) {
  document.body.dataset.link = state;
  joinView.busy(state === "connecting");
  if (state === "online") {
    outbox.restart(detail.resumed).forEach(({ Ref }) => fail(Ref, t.unknownArrival));
    flush();
  } else if (state !== "connecting") {
    talks.lost();
  }
  showBanner(state, detail);
}

function showBanner(state, { code, text }) {
  const lost = state === "waiting" || state === "connecting";
  const shown = lost && !navigator.onLine ? "offline" : state;
  const isMissing = code === 1000 || code === 1005 || code === 1006;
  const [words, button] = {
    offline: [t.offline],
    connecting: [t.connecting],
    waiting: [code === "name_taken" ? t.nameGone : isMissing ? t.waiting : reason(code), t.tryNow],
    taken: [t.taken, t.useHere],
    stopped: [reason(code, text), t.tryNow],
  }[shown] ?? [];
  byId("banner").hidden = !words;
  byId("banner").dataset.state = shown;
  setText(byId("banner-text"), words ?? "");
  byId("banner-form").hidden = !button;
  byId("banner-password").hidden = code !== "wrong_password";
  setText(byId("banner-button"), button ?? "");
}

/** Comes back at once; with another password if the room's was changed meanwhile. */
function comeBack(event) {
  event.preventDefault();
  const password = byId("banner-password");
  if (!password.hidden) me.password = password.value;
  password.value = "";
  link.retry(me.password);
}

addEventListener("online", () => link.wake());
addEventListener("offline", () => link.check());
document.addEventListener("visibilitychange", () => document.hidden || link.wake());
setInterval(() => link.check(), HEARTBEAT);
byId("banner-form").onsubmit = comeBack;

// ---- What is where ---------------------------------------------------------------------------------

function isPeopleOpen() {
  return document.body.dataset.people === "open";
}

function openTalk(name) {
  showPeople(false);
  talkView.open(name);
}

function showTalks() {
  people.setTalks(talkView.list, talkView.current);
  arrange();
}

function showPeople(open) {
  byId("people-button").ariaExpanded = String(open);
  document.body.dataset.people = open ? "open" : "";
  arrange();
  if (open) byId("people").querySelector("button")?.focus();
}

/** On a narrow page one thing is in front, and what is behind it cannot be reached. */
function arrange() {
  const talking = talkView.current !== null;
  byId("room").inert = narrow.matches && (talking || isPeopleOpen());
  byId("bar").inert = narrow.matches && talking;
  byId("people").inert = narrow.matches && !isPeopleOpen();
  queueMicrotask(keepBack); // when it is settled what is in front
}

function isSomethingInFront() {
  return narrow.matches && (isPeopleOpen() || talkView.current !== null);
}

function closeWhatIsInFront() {
  if (isPeopleOpen()) {
    showPeople(false);
    byId("people-button").focus();
  } else {
    talkView.close();
  }
}

/** On a phone "Back" closes what is in front, instead of leaving: the history has one entry for it. */
function keepBack() {
  const kept = history.state === IN_FRONT;
  if (isSomethingInFront() && !kept) history.pushState(IN_FRONT, "");
  else if (!isSomethingInFront() && kept) history.back();
}

addEventListener("popstate", () => {
  if (history.state !== IN_FRONT && isSomethingInFront()) closeWhatIsInFront();
});
narrow.onchange = arrange;
byId("people-button").onclick = () => showPeople(!isPeopleOpen());
byId("invite-button").onclick = () => invite.open(joinView.passwordNeeded ? me.password : "");
byId("settings-button").onclick = () => settings.open(me.name);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && !document.querySelector("dialog[open]")) {
    closeWhatIsInFront();
  }
});
