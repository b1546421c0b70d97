// SPDX-License-Identifier: MIT
//
// The join form: remembers the name, takes the password from the link's fragment, and has words for
// every refusal.

import { byId, recall, setText } from "./dom.js";
import { problem } from "./names.js";
import { reason, t } from "./strings.js";

const ABOUT_PASSWORD = new Set(["wrong_password", "password_needed"]);

function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return location.hash.slice(1);
  }
}

export class JoinView {
  passwordNeeded = false; // as the server said last

  /** `join(name, password)` is called when the form is in order. */
  constructor(room, join) {
    this.join = join;
    this.name = byId("join-name");
    this.password = byId("join-password");
    byId("join-form").onsubmit = (event) => {
      event.preventDefault();
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
    this.busy(true);
  }

  /** What the server says of itself before anybody joins. */
  greet({ ServerName, PasswordRequired }) {
    setText(byId("join-title"), String(ServerName));
    this.passwordNeeded = PasswordRequired === true;
    byId("join-password-field").hidden = !this.passwordNeeded;
    if (document.activeElement === document.body) this.name.focus();
  }

  busy(busy) {
    byId("join-button").disabled = busy;
    setText(byId("join-button"), busy ? t.joining : t.join);
  }

  refuse(code, text) {
    this.#complain(code, reason(code, text));
  }

  #takeFragment() {
    if (location.hash.length > 1) this.password.value = fragment();
  }

  #complain(code, words) {
    const aboutPassword = ABOUT_PASSWORD.has(code);
    byId("join-error").dataset.code = code;
    byId("join-error").textContent = words;
    this.name.ariaInvalid = String(Boolean(code) && !aboutPassword);
    this.password.ariaInvalid = String(aboutPassword);
    if (code) (aboutPassword ? this.password : this.name).focus();
  }

  #submit() {
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
