// SPDX-License-Identifier: MIT
//
// The join form: remembers the name, takes the password from the link's fragment, and shows every
// refusal. The password is removed from the address at once, so that it is neither on the screen
// nor in the history, and from the field after use.

import { countDown } from "./countdown.js";
import { byId, recall, setText, setTicking } from "./dom.js";
import { problem } from "./names.js";
import { reason, t } from "./strings.js";

const ABOUT = { wrong_password: "password", password_needed: "password", name_taken: "name", bad_name: "name" };

function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1);
  }
}

/** Tells in an element for how long the server keeps what is said in the room; `kept` is of Hello or
 *  Joined, and missing if it keeps nothing. */
export function showKept(id, kept) {
  const count = (number) => (Number.isSafeInteger(number) && number > 0 ? number : 0);
  byId(id).hidden = !kept;
  setText(byId(id), kept ? t.keptRoom(count(kept.Hours), count(kept.Messages)) : "");
}

export class JoinForm {
  passwordNeeded = false; // as last reported by the server
  #stopWaiting = () => {};
  #tried = false; // whether it was retried automatically

  /** `join(name, password)` is called with valid input, `invited(password)` with the password of a
   *  link. */
  constructor(room, join, invited) {
    [this.join, this.invited] = [join, invited];
    this.name = byId("join-name");
    this.password = byId("join-password");
    byId("join-form").onsubmit = (event) => {
      event.preventDefault();
      this.#tried = false;
      this.#submit();
    };
    byId("join-room").hidden = !room;
    byId("join-room").textContent = t.roomNamed(room);
    byId("join-insecure").hidden = isSecureContext;
    const https = `https://${location.host}${location.pathname}`;
    Object.assign(byId("join-https"), { href: https, textContent: https });
    this.name.value ||= recall("name");
    this.#takeFragment();
    addEventListener("hashchange", () => this.#takeFragment());
    (this.name.value && !this.password.value ? this.password : this.name).focus();
  }

  /** Shows the server's Hello. */
  greet({ ServerName, PasswordRequired, Kept }) {
    setText(byId("join-title"), String(ServerName));
    showKept("join-kept", Kept);
    this.passwordNeeded = PasswordRequired === true;
    byId("join-password-field").hidden = !this.passwordNeeded;
    if (document.activeElement === document.body) this.name.focus();
  }

  /** Fills in what is known from before. */
  suggest(name, password) {
    this.name.value = name || this.name.value;
    this.password.value ||= password;
    (this.name.value && !this.password.value ? this.password : this.name).focus();
  }

  /** Offers to stay signed in; the box is as `isOn` says. */
  offerKeeping(isOn) {
    byId("join-keep-field").hidden = false;
    byId("join-keep").checked = isOn;
  }

  /** Whether the user wishes to stay signed in. */
  get keeps() {
    return byId("join-keep").checked;
  }

  busy(busy) {
    byId("join-button").disabled = busy;
    setText(byId("join-button"), busy ? t.joining : t.join);
  }

  /** `seconds`: how long the server refuses this address, or 0 if unknown. */
  refuse(code, text, seconds) {
    this.#complain(code, reason(code, text));
    if (code === "throttled" && seconds) this.#wait(seconds);
  }

  /** Called after joining: clears the form. */
  finish() {
    this.password.value = "";
  }

  #takeFragment() {
    if (location.hash.length < 2) return;
    this.password.value = fragment();
    this.invited(this.password.value);
    history.replaceState(history.state, "", location.pathname + location.search);
  }

  /** Counts down, then retries once with the refused input; not with edited input. */
  #wait(seconds) {
    const refused = this.name.value + this.password.value;
    this.#stopWaiting = countDown(seconds, (left) => setTicking(byId("join-error"), t.throttledFor(left)), () => {
      const again = !this.#tried && refused === this.name.value + this.password.value;
      this.#tried = true;
      if (again) this.#submit();
      else this.#complain("", t.tryAgainNow);
    });
  }

  #complain(code, words) {
    byId("join-error").dataset.code = code;
    byId("join-error").textContent = words;
    this.name.ariaInvalid = String(ABOUT[code] === "name");
    this.password.ariaInvalid = String(ABOUT[code] === "password");
    if (ABOUT[code]) this[ABOUT[code]].focus();
    else if (code && document.activeElement === document.body) this.name.focus();
  }

  #submit() {
    this.#stopWaiting();
    const name = this.name.value.trim();
    const wrong = problem(name);
    if (wrong) {
      const [row, argument] = wrong;
      this.#complain("bad_name", argument ? t[row](argument) : t[row]);
    } else if (this.passwordNeeded && !this.password.value) {
      this.refuse("password_needed");
    } else {
      this.#complain("", "");
      this.join(name, this.password.value);
    }
  }
}
