// SPDX-License-Identifier: MIT
//
// The three sheets: Invite (a link and its QR code), Safety number (compare, and say that it
// matches), Settings (notifications, what private means, leaving).

import { byId, make, qrCode, setUpSheet } from "./dom.js";
import { t } from "./strings.js";

const THIS_MACHINE = /^(localhost|127\.[\d.]+|\[::1\])$/u;

/** Shows the QR code of a text, which the server makes: `getQr` promises its QrCode message. */
async function showQr(place, text, label, getQr) {
  place.dataset.text = text;
  place.replaceChildren();
  const code = await getQr(text);
  if (place.dataset.text !== text) return true; // another one was asked for meanwhile
  if (code) place.replaceChildren(qrCode(code, label));
  return code !== null;
}

export class InviteSheet {
  #password = "";

  constructor(getQr) {
    this.getQr = getQr;
    this.sheet = byId("invite");
    this.link = byId("invite-link");
    this.tick = byId("invite-password");
    setUpSheet(this.sheet);
    this.tick.onchange = () => this.#refresh();
    this.link.onfocus = () => this.link.select();
    byId("invite-copy").onclick = () => this.#copy();
  }

  /** `password` is offered for the link, but goes into it only when ticked. */
  open(password) {
    this.#password = password;
    this.tick.checked = false;
    byId("invite-password-field").hidden = !password;
    byId("invite-local").hidden = !THIS_MACHINE.test(location.hostname);
    this.sheet.showModal();
    this.#refresh();
  }

  async #refresh() {
    const fragment = this.tick.checked ? `#${encodeURIComponent(this.#password)}` : "";
    this.link.value = location.origin + location.pathname + fragment;
    byId("invite-copy").textContent = t.copy;
    const made = await showQr(byId("invite-qr"), this.link.value, t.qrInvite, this.getQr);
    byId("invite-error").textContent = made ? "" : t.noQr;
  }

  /** The clipboard belongs to secure contexts; elsewhere the link is marked to be copied by hand. */
  async #copy() {
    this.link.select();
    try {
      await navigator.clipboard.writeText(this.link.value);
      byId("invite-copy").textContent = t.copied;
    } catch {
      this.link.focus();
    }
  }
}

export class SafetySheet {
  #name = "";
  #key = "";

  constructor(talks, getQr) {
    this.talks = talks;
    this.getQr = getQr;
    this.sheet = byId("safety");
    setUpSheet(this.sheet);
    byId("safety-verify").onclick = () => this.#set(true);
    byId("safety-unverify").onclick = () => this.#set(false);
  }

  async open(name, { state }) {
    const number = await this.talks.safetyNumber(name);
    if (!number) return;
    this.#name = name;
    this.#key = number.key;
    byId("safety-with").textContent = number.offered ? t.safetyOffered(name) : t.safetyHow(name);
    byId("safety-number").dataset.digits = number.groups.join("");
    byId("safety-number").replaceChildren(
      ...number.groups.map((digits) => make("span", { className: "group", textContent: digits })));
    byId("safety-verify").hidden = number.offered || state === "verified";
    byId("safety-unverify").hidden = state !== "verified";
    this.sheet.showModal();
    showQr(byId("safety-qr"), number.qr, t.qrSafety, this.getQr);
  }

  async #set(verified) {
    await this.talks.setVerified(this.#name, this.#key, verified);
    this.sheet.close();
  }
}

export class SettingsSheet {
  /** `attention` knows whether notifications are on; `leave` is called by the button. */
  constructor(attention, leave) {
    this.attention = attention;
    this.sheet = byId("settings");
    setUpSheet(this.sheet);
    byId("leave").onclick = leave;
    byId("notify").onchange = () => this.#switch();
  }

  open(name) {
    byId("settings-name").textContent = t.namedAs(name);
    this.#refresh();
    this.sheet.showModal();
  }

  async #switch() {
    await this.attention.set(byId("notify").checked);
    this.#refresh();
  }

  #refresh() {
    const { possible, denied, on } = this.attention;
    byId("notify").checked = on;
    byId("notify").disabled = !possible;
    byId("notify-note").textContent = !possible ? t.notifyUnable : denied ? t.notifyDenied : t.notifyNote;
  }
}
