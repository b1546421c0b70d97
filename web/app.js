// SPDX-License-Identifier: MIT
//
// The page: makes its parts and passes events between them. A message of the server goes first to
// the private conversations, then through the table HANDLERS. Unknown types, and texts that are not
// strings, are ignored, because other clients can send anything.

import { Notifications } from "./notifications.js";
import { Messages } from "./messages.js";
import { inOneLine, readTyped } from "./command.js";
import { Composer } from "./composer.js";
import { countDown } from "./countdown.js";
import { byId, fillIn, forgetRemembered, recall, remember, setLabel, setText, setTicking } from "./dom.js";
import { JoinForm, showKept } from "./join_form.js";
import { Connection } from "./connection.js";
import { MessageList } from "./message_list.js";
import { problem } from "./names.js";
import { Doubles, Outbox } from "./outbox.js";
import { People } from "./people.js";
import { Invitation, InviteDialog, SafetyDialog, SettingsDialog } from "./dialogs.js";
import { language, reason, t } from "./strings.js";
import { openPrivateMessages } from "./private_messages.js";
import { PrivateView } from "./private_view.js";
import { jsonBytes, mentions } from "./text.js";
import { EVERYTHING, openKeystore } from "./keystore.js";
import { openDeviceStore } from "./device_store.js";
import { KeptTalks } from "./kept_talks.js";
import { setUpDeviceSettings } from "./device_settings.js";
import { PAST, Questions, USERS } from "./questions.js";
import { RoomPast } from "./room_past.js";
import { Roster } from "./roster.js";
import { SearchDialog } from "./search_dialog.js";
import { SignIn } from "./sign_in.js";
import { forgetTab, newTabId, ReloadNote, sessionId, SessionStore, tabStorage } from "./session_store.js";

const HEARTBEAT = 30_000; // ms between two checks that the connection is alive
const RESERVE = 64; // bytes of a message that are not its text: room for the Ref
const REF_BYTES = 16;
const REF_MOST = 64; // UTF-16 units of a Ref of others; a longer one is forgotten by a reload
const IN_FRONT = "in front"; // history.state while "Back" closes a panel (narrow pages)

const narrow = matchMedia("(max-width: 760px)"); // one column
const twoColumns = matchMedia("(max-width: 900px)"); // while a conversation is open
const room = roomOfPath();
const roomMessages = new Messages();
const outbox = new Outbox();
const doubles = new Doubles();
const session = new SessionStore(tabStorage(), room, deviceNumber());
const before = session.load(); // of this tab, before it was loaded again
let me = { name: "", password: "" };
let invited = ""; // the password of the link, before joining
let server = "Ragnarok";
let limit = Infinity; // MaxMessageBytes
let again = false; // whether this Joined followed a lost connection
let renaming = false; // nothing is sent to the room then: it could come back under either name
let stopCounting = () => {}; // stops the countdown in the banner
let goesBack = false; // whether the page has called history.back(), which takes a while
let unreadInRoom = 0; // messages since a conversation covers the room
let guessed = false; // whether a password was typed into the banner
let found = null; // the private conversations of an earlier page, until they are shown
let isFullTold = false; // whether it was told that the storage is full
let isStarted = false; // whether all that an earlier page showed is shown
let isLeaving = false; // on purpose, so that nothing has to be sent before

// ---- Parts --------------------------------------------------------------------------------------

document.documentElement.lang = language;
fillIn();

// The form may be filled in at once. It can be sent when all the rest is there; Hello may come later.
const joinForm = new JoinForm(room, join, keepInvited);
const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname}`;
const connection = new Connection(url, {
  hello: async (hello, name) => {
    joinForm.greet(hello);
    return (await kept.isOurs()) ? privateMessages.joinFields(hello.Nonce, room, name) : {};
  },
  withoutKeys: () => privateMessages.withoutKeys(),
  state: showLink,
  refused: (code, text, seconds) => {
    if (code === "wrong_password") signIn.forget();
    joinForm.refuse(code, text, seconds);
  },
  joined: enter,
  message: hear,
});
const peeked = before?.place ? null : connection.peek();
const keystore = await openKeystore();
const tab = { id: newTabId(), secret: sessionId(), note: new ReloadNote() };
const device = await openDeviceStore(keystore);
const signIn = new SignIn(device, room);
const kept = new KeptTalks(device, tab, recall("kept"), {
  state: () => privateMessages.save(), view: () => privateView.saveView(),
  talk: (id) => privateView.saveTalk(id), ids: () => privateView.ids,
  taken: () => {
    privateView.pause();
    connection.yield();
  },
  full: () => {
    if (!isFullTold) tell("info", t.notKept);
    isFullTold = true;
  },
});
const privateMessages = await openPrivateMessages({
  keystore, origin: location.origin, kept, send: (message) => connection.send(message),
  tell: (event) => (event.type === "trouble" ? tell("info", t[event.trouble]) : privateView.tell(event)),
});
const notifications = new Notifications(() => privateView.seen());
const privateView = new PrivateView(privateMessages, {
  changed: showConversations,
  arrived: (name, text) => {
    notifications.count();
    const words = text ? inOneLine(name, text) : t.privateArrived;
    notifications.notify(t.privateFrom(name), words, `talk ${name}`, () => openTalk(name));
  },
  compare: (name) => safety.open(name, privateView.status(name)),
  has: (name) => people.has(name),
  me: () => me.name,
  complete: (letters) => people.complete(letters),
  isName: (text) => people.isName(text),
  typed,
  touched: (id) => kept.touch(id),
});
const roster = new Roster();
const asksNames = new Questions(USERS, (message) => connection.send(message));
const people = new People(roster, openTalk, (question) => asksNames.ask(question));
const log = new MessageList(byId("room"), byId("room-new"), {
  retry: (item) => {
    roomMessages.discard(item.key);
    say(item.text, item.key);
  },
  discard: (item) => {
    roomMessages.discard(item.key);
    session.touch();
  },
  isName: people.isName,
  older: () => past.older(),
  newer: () => past.newer(),
  toNewest: () => past.toNewest(),
});
const questions = new Questions(PAST, (message) => connection.send(message));
const past = new RoomPast(roomMessages, log, (question) => questions.ask(question), oldItem, {
  busy: showLoading,
  begins: () => ({ kind: "notice", notice: "begin", text: t.beginning }),
  mended: (item) => roomMessages.alter(item, { notice: "away", text: t.whileAway }),
});
const search = new SearchDialog((question) => questions.ask(question), (id, ready) => past.jump(id, ready));
const composer = new Composer("room", {
  left: bytesLeft,
  submit: (text) => typed(text, { say, tell: (words) => tell("help", words) }),
  complete: (letters) => people.complete(letters),
  changed: () => session.touch(),
});
const invite = new InviteDialog();
const safety = new SafetyDialog(privateMessages);
const relayout = () => [log, privateView.log].forEach((list) => list.relayout());
const settings = new SettingsDialog(notifications, relayout, leave);
log.show(roomMessages);
arrange();
session.follow(tabRecord);
setUpDeviceSettings(kept, forgetAll);
keystore.watch((slot) => {
  if (slot !== EVERYTHING) return;
  forgetTab();
  startOver();
});

/** The room named by the path, "" for the main room. */
function roomOfPath() {
  const [, name = ""] = /^\/rooms\/(.+)$/u.exec(location.pathname) ?? [];
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // the server rejects it
  }
}

// ---- This tab, loaded again ---------------------------------------------------------------------

/** What session_store.js keeps. */
function tabRecord() {
  if (!connection.place && before?.place) return { ...before, password: invited || before.password };
  if (!connection.place) return invited ? { name: "", password: invited } : null;
  const said = { ...roomMessages.save(), unsent: outbox.save(), draft: composer.text };
  return { ...me, place: connection.place, server, limit, ...said };
}

/** A number of this device, until everything on it is forgotten; "" if it keeps nothing. */
function deviceNumber() {
  if (!recall("device")) remember("device", newTabId());
  return recall("device");
}

/** Continues where the page was before it was loaded again. A link's password is newer. */
async function comeIn({ name, password, place, draft, unsent, ...shown }) {
  me = { name, password: invited || password };
  server = shown.server;
  limit = shown.limit ?? Infinity;
  outbox.restore(unsent);
  roomMessages.restore(shown);
  for (const { author, ref, text } of shown.items) doubles.has(author, ref, text);
  composer.text = draft;
  showTitle();
  showRoom();
  found = await kept.open(room, name);
  const current = found?.view?.current;
  showFound();
  if (current) privateView.open(current);
  connection.join(name, me.password, place);
}

/** Joins by the form. */
async function join(name, password) {
  me = { name, password };
  signIn.isOn = joinForm.keeps;
  joinForm.busy(true);
  found = await kept.open(room, name);
  connection.join(name, password);
}

/** Continues with the private conversations that were kept, once. */
function showFound() {
  if (!found) return;
  const { state, view, conversations } = found;
  found = null;
  privateView.restore(conversations, view, new Set(state?.own.map(({ id }) => id)));
  if (state) privateMessages.restore(state, room, me.name);
}

/** Remembers the password of a link, which is not in the address any more. */
function keepInvited(password) {
  invited = password;
  session.touch();
}

async function leave() {
  await Promise.all([kept.forget(), signIn.forget()]);
  startOver();
}

/** Wipes all that this browser has of this server. The other tabs hear of it from the keystore. */
async function forgetAll() {
  await kept.forget();
  await device?.remove(() => true).catch(() => {});
  await keystore.clear().catch(() => {});
  forgetRemembered();
  forgetTab();
  startOver();
}

/** Leaves the room and clears everything from memory. */
function startOver() {
  isLeaving = true;
  session.forget();
  connection.leave();
  location.reload();
}

addEventListener("pagehide", () => {
  session.save();
  if (!isLeaving) kept.handOver();
});
document.addEventListener("visibilitychange", () => document.hidden && session.save());

/** A closed tab sends nothing more, so the browser asks before. It asks at a reload, too. */
addEventListener("beforeunload", (event) => {
  if (!isLeaving && (outbox.size || (privateMessages.unsent && !kept.isTaken))) event.preventDefault();
});

// ---- The room -----------------------------------------------------------------------------------

function newRef() {
  const bytes = crypto.getRandomValues(new Uint8Array(REF_BYTES));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

const broadcast = (text, ref) => ({ msgType: "Broadcast", text, Ref: ref });

function bytesLeft(text) {
  return { left: limit - RESERVE - jsonBytes(broadcast(text, "")), limit };
}

/** Sends a text to the room, unchanged. A retry passes the `ref` of the first attempt. */
function say(text, ref = newRef()) {
  const waits = outbox.add(broadcast(text.toWellFormed?.() ?? text, ref));
  const state = waits ? { state: "sending" } : { state: "failed", reason: reason("too_many") };
  roomMessages.post({ kind: "message", key: ref, author: me.name, own: true, text, time: Date.now(), ...state });
  flush();
  session.touch();
}

function flush() {
  if (connection.state === "online" && !renaming) outbox.flush((message) => connection.send(message));
}

function fail(ref, words) {
  outbox.settle(ref);
  roomMessages.change(ref, { state: "failed", reason: words });
  session.touch();
}

function tell(notice, text) {
  const item = { kind: "notice", notice, text, time: Date.now() };
  roomMessages.add(item, true);
  return item;
}

// ---- Typed input --------------------------------------------------------------------------------

const VERBS = {
  text: ({ text }, place) => place.say(text),
  msg: ({ name, text }) => whisper(name, text),
  nick: ({ name }, place) => rename(name, place),
  search: ({ text }) => search.open(text),
  help: (command, place) => place.tell(t.help),
  lacks: ({ form }) => t.commandLacks(form),
  unknown: ({ word }) => t.noCommand(word),
};

/** Runs typed input in a place, { say(text), tell(words) }. Returns the reason if it is held back.
 *  */
function typed(text, place) {
  const command = readTyped(text);
  return VERBS[command.verb](command, place);
}

/** Opens the conversation with somebody who is or may be here, and sends the text there. */
function whisper(name, text) {
  const found = people.find(name);
  if (!found) return t.nobodyHere(name);
  openTalk(found);
  if (text) privateView.write(text);
  return undefined;
}

/** Joins again under another name. On an error, tells the reason and keeps the old name. */
function rename(name, place) {
  const [row, argument] = problem(name) ?? [];
  if (row) return argument ? t[row](argument) : t[row];
  if (name === me.name) return t.namedAs(name);
  if (connection.state !== "online") return t.lost;
  if (renaming || outbox.size) return t.nickWait;
  renaming = true;
  connection.rename(name).then((wrong) => {
    renaming = false;
    if (wrong) place.tell(t.nickRefused(name, me.name, reason(wrong.code, wrong.text)));
    flush();
  });
  return undefined;
}

// ---- Files that are dropped ---------------------------------------------------------------------

const isEditable = (element) => element instanceof Element && element.closest("input, textarea") !== null;

/** Tells in the pane where a file was dropped that files cannot be sent yet. */
function refuseFiles(event) {
  event.preventDefault();
  if (document.body.dataset.view !== "chat") return;
  const inTalk = event.target instanceof Element && event.target.closest("#talk");
  (inTalk ? privateView.composer : composer).hint(t.noFiles);
}

/** The browser would open a file dropped beside the fields, and leave the chat. */
addEventListener("dragover", (event) => {
  const isFile = event.dataTransfer?.types.includes("Files") ?? false;
  if (!isFile && isEditable(event.target)) return;
  event.preventDefault();
  if (!isFile && event.dataTransfer) event.dataTransfer.dropEffect = "none";
});
addEventListener("drop", (event) => {
  if (event.dataTransfer?.types.includes("Files")) refuseFiles(event);
  else if (!isEditable(event.target)) event.preventDefault();
});
addEventListener("paste", (event) => {
  const types = event.clipboardData?.types ?? [];
  if (types.includes("Files") && !types.includes("text/plain")) refuseFiles(event);
});

// ---- Messages of the server ---------------------------------------------------------------------

const HANDLERS = {
  __proto__: null,
  Broadcast: heard,
  State: stated,
  OnlineUsers: gathered,
  Presence: gathered,
  Error: failed,
};

function hear(message) {
  if (questions.feed(message) || asksNames.feed(message)) return;
  if (!privateMessages.feed(message)) HANDLERS[message.msgType]?.(message);
  session.touch();
}

function heard({ SrcUser: author, text, Id: id, Time, Ref: ref, History }) {
  if (typeof text !== "string" || typeof author !== "string") return;
  const live = History !== true;
  const own = author === me.name;
  if (own) outbox.settle(ref);
  if (doubles.has(author, ref, text)) return;
  if (own && roomMessages.settle(ref, { id, time: Time, state: "sent", reason: undefined }, live)) return;
  const fresh = !own && (live || again);
  const item = itemOf(author, text, { id, time: Time, ref, fresh });
  roomMessages.add(item, live);
  if (!fresh) return;
  if (isRoomCovered()) {
    unreadInRoom++;
    showUnreadElsewhere();
  }
  notifications.count();
  const words = inOneLine(author, text);
  if (item.mention) notifications.notify(`${author} · ${roomTitle()}`, words, "room", () => composer.input.focus());
}

function itemOf(author, text, { id, time, ref, fresh }) {
  const own = author === me.name;
  const shortRef = typeof ref === "string" && ref.length <= REF_MOST ? ref : undefined;
  const state = own ? "sent" : "received";
  const mention = !own && mentions(text, me.name);
  return { kind: "message", author, own, text, time, id, ref: shortRef, state, mention, fresh };
}

/** The item of a broadcast of the past. It may be one of ours that was thought lost. */
function oldItem({ SrcUser: author, text, Id: id, Time: time, Ref: ref }) {
  if (author === me.name && roomMessages.discard(ref)) outbox.settle(ref);
  return itemOf(author, text, { id, time, ref, fresh: false });
}

/** The server tells whether its disk keeps the history. */
function stated({ History: state, Delivery: delivery }) {
  const words = {
    failing: t.historyFailing, stored: t.historyKept, waiting: t.deliveryWaiting, ok: t.deliveryGoesOn,
  }[state ?? delivery];
  if (words) tell("info", words);
}

/** `code`: true while older messages are loaded, false afterwards, or why that failed. */
function showLoading(code) {
  const button = byId("room-loading");
  const isLoading = code === true;
  button.hidden = code === false || code === "lost"; // the banner tells of a lost connection
  button.disabled = isLoading;
  setText(button, isLoading ? t.loadingOlder : t.sentences(reason(code), t.retry));
}

function gathered(message) {
  const change = roster.take(message);
  if (!change) return;
  privateMessages.present(roster, change);
  people.set(me.name, change.isState);
  privateView.refresh();
  showConversations();
}

/** Finds the message that an error is about by its Ref; a `too_long` has no Ref. */
function failed({ Code, text, Ref }) {
  const words = reason(Code, text);
  const ref = Ref ?? (Code === "too_long" ? outbox.longest()?.Ref : undefined);
  if (roomMessages.find(ref)) fail(ref, words);
  else tell("info", words);
}

// ---- Joining, leaving, reconnecting -------------------------------------------------------------

function roomTitle() {
  return room ? `${room} · ${server}` : server;
}

function showTitle() {
  setText(byId("room-title"), roomTitle());
  notifications.title = roomTitle();
}

function loseQuestions() {
  questions.lost();
  asksNames.lost();
}

function enter(joined, wasIn) {
  again = wasIn;
  loseQuestions(); // of a connection that another one has replaced
  past.joined(joined.Epoch, joined.Oldest);
  showKept("about-kept-room", joined.Kept);
  const renamed = wasIn && me.name !== joined.Name;
  me.name = joined.Name;
  server = String(joined.ServerName);
  limit = Number.isFinite(joined.MaxMessageBytes) ? joined.MaxMessageBytes : Infinity;
  signIn.joined(me);
  if (!wasIn) showFound();
  if (renamed) privateMessages.lost(); // another name has other keys
  privateMessages.feed(joined);
  if (renamed) kept.rename(me.name);
  showTitle();
  if (!wasIn) showRoom();
  else if (renamed) showName();
  else if (!joined.SameEpoch) tell("restart", t.restarted);
  else if (!joined.Resumed) missed(joined);
}

/** The server has not sent what was said meanwhile; it may have it. */
function missed({ Oldest }) {
  const item = tell("missed", t.missed);
  if (Oldest !== undefined) past.missed(item, connection.place.last);
}

function showName() {
  remember("name", me.name);
  tell("name", t.renamed(me.name));
}

function showRoom() {
  remember("name", me.name);
  joinForm.finish();
  document.body.dataset.view = "chat";
  byId("join").hidden = true;
  byId("chat").hidden = false;
  new Invitation("empty").show("");
  byId("empty-password").hidden = !joinForm.passwordNeeded;
  composer.refresh();
  if (!narrow.matches) composer.input.focus();
  session.save(); // a crash in the next moment comes back, too
}

function showLink(state, detail) {
  document.body.dataset.link = state;
  joinForm.busy(state === "connecting");
  if (state === "online") {
    guessed = false;
    outbox.restart(detail.resumed).forEach(({ Ref }) => fail(Ref, t.unknownArrival));
    flush();
    past.online();
  } else {
    loseQuestions();
    if (state !== "connecting") privateMessages.lost();
  }
  if (state === "taken") kept.isOurs();
  showBanner(state, detail);
}

/** The texts of the banner and of its button. */
function bannerWords(shown, { code, text }) {
  const isMissing = code === 1000 || code === 1005 || code === 1006;
  const isChanged = code === "wrong_password" && !guessed;
  return {
    offline: [t.offline],
    connecting: [t.connecting],
    waiting: [code === "name_taken" ? t.nameGone : isMissing ? t.waiting : reason(code, text), t.tryNow],
    taken: [t.taken, t.useHere],
    stopped: [isChanged ? t.passwordChanged : reason(code, text), t.tryNow],
  }[shown] ?? [];
}

function showBanner(state, detail) {
  const lost = state === "waiting" || state === "connecting";
  const shown = lost && !navigator.onLine ? "offline" : state;
  const [words, button] = bannerWords(shown, detail);
  stopCounting();
  byId("banner").hidden = !words;
  byId("banner").dataset.state = shown;
  setText(byId("banner-text"), words ?? "");
  if (shown === "waiting" && detail.seconds) countInBanner(detail);
  byId("banner-form").hidden = !button;
  byId("banner-password").hidden = detail.code !== "wrong_password";
  setText(byId("banner-button"), button ?? "");
}

function countInBanner({ code, seconds }) {
  const words = code === "too_fast" ? t.pausesFor : t.throttledFor;
  const show = (left) => setTicking(byId("banner-text"), words(left));
  stopCounting = countDown(seconds, show, () => {}); // the connection tries again by itself
}

/** Reconnects at once; with another password if the room's was changed meanwhile. */
async function comeBack(event) {
  event.preventDefault();
  if (connection.state === "taken" && !(await kept.isOurs())) {
    isLeaving = true; // nothing is lost: what the other tab has is loaded, too
    location.reload();
    return;
  }
  const password = byId("banner-password");
  if (!password.hidden && !password.value) {
    password.focus();
    return;
  }
  if (!password.hidden) [me.password, guessed] = [password.value, true];
  password.value = "";
  connection.retry(me.password);
}

addEventListener("online", () => connection.wake());
addEventListener("offline", () => connection.check());
document.addEventListener("visibilitychange", () => document.hidden || connection.wake());
setInterval(() => connection.check(), HEARTBEAT);
byId("banner-form").onsubmit = comeBack;

// ---- Layout -------------------------------------------------------------------------------------

function isPeopleOpen() {
  return document.body.dataset.people === "open";
}

function openTalk(name) {
  showPeople(false);
  privateView.open(name);
}

function showConversations() {
  people.setConversations(privateView.list, privateView.current);
  arrange();
}

function showPeople(open) {
  byId("people-button").ariaExpanded = String(open);
  document.body.dataset.people = open ? "open" : "";
  arrange();
  if (open) (byId("people").querySelector("button[tabindex='0']") ?? byId("people-more")).focus();
}

function isTalking() {
  return privateView.current !== null;
}

function isRoomCovered() {
  return narrow.matches && isTalking();
}

/** Whether the list of people covers the room while it is open. */
function isListInFront() {
  return isPeopleOpen() && (narrow.matches || (twoColumns.matches && isTalking()));
}

/** On a narrow page one panel is in front, and the others are inert. */
function arrange() {
  document.body.dataset.talking = isTalking();
  byId("room").inert = isRoomCovered() || isListInFront();
  byId("bar").inert = isRoomCovered();
  byId("people").inert = narrow.matches && !isPeopleOpen();
  byId("people").role = isListInFront() ? "main" : "complementary"; // what is in front is the main part
  byId("talk").role = isRoomCovered() ? "main" : "complementary";
  byId("talk-name").ariaLevel = isRoomCovered() ? "1" : "2";
  if (!isRoomCovered()) unreadInRoom = 0;
  showUnreadElsewhere();
  queueMicrotask(keepBack); // after the panel in front is known
}

/** The way back from a conversation that covers the room tells how much was said elsewhere. */
function showUnreadElsewhere() {
  const others = privateView.list.filter(({ name }) => name !== privateView.current);
  const count = others.reduce((sum, { unread }) => sum + unread, unreadInRoom);
  setText(byId("unread-elsewhere"), String(count));
  byId("unread-elsewhere").hidden = count === 0 || !narrow.matches; // on wide pages the list tells it
  const label = count ? t.withCount(t.backToRoom, t.newMessages(count)) : t.backToRoom;
  setLabel(byId("talk-close"), narrow.matches ? label : t.close);
}

function isSomethingInFront() {
  return isListInFront() || isRoomCovered();
}

function closeWhatIsInFront() {
  if (isPeopleOpen()) {
    showPeople(false);
    byId("people-button").focus();
  } else {
    privateView.close();
  }
}

/** On a phone "Back" closes the panel in front instead of leaving: it has one history entry. */
function keepBack() {
  if (!isStarted) return; // a reload keeps the entry, and the panel is about to be shown again
  const kept = history.state === IN_FRONT;
  if (goesBack) return; // popstate calls this again
  if (isSomethingInFront() && !kept) history.pushState(IN_FRONT, "");
  goesBack = !isSomethingInFront() && kept;
  if (goesBack) history.back();
}

addEventListener("popstate", () => {
  const byPage = goesBack;
  goesBack = false;
  if (byPage) keepBack();
  else if (history.state !== IN_FRONT && isSomethingInFront()) closeWhatIsInFront();
});
narrow.onchange = twoColumns.onchange = arrange;
byId("people-button").onclick = () => showPeople(!isPeopleOpen());
byId("room-loading").onclick = () => past.older();
byId("search-button").onclick = () => {
  showPeople(false);
  search.open();
};
byId("invite-button").onclick = () => invite.open(joinForm.passwordNeeded ? me.password : "");
byId("settings-button").onclick = () => settings.open(me.name);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.isComposing && !document.querySelector("dialog[open]")) {
    closeWhatIsInFront();
  }
});

// ---- The start ----------------------------------------------------------------------------------

const known = await signIn.load();
byId("join-broken").remove(); // see loading.js
if (signIn.isPossible) joinForm.offerKeeping(signIn.isOn);
if (before?.place) {
  await comeIn(before);
} else if (known) {
  joinForm.suggest(known.name, invited || known.password);
  join(known.name, invited || known.password);
} else {
  if (before) joinForm.suggest(before.name, before.password);
  joinForm.busy(false);
  const hello = await peeked;
  if (hello?.msgType === "Hello") joinForm.greet(hello);
}
isStarted = true;
arrange();
