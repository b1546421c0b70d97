// SPDX-License-Identifier: MIT
//
// The invitation that an empty room shows, and the three dialogs: Invite (a link and its QR code), Safety number (compare by eye or with the
// camera, and confirm the match), Settings (notifications, sound, looks, about privacy, leaving).

import { byId, make, qrPicture, setText, setUpDialog } from "./dom.js";
import { setUpLooks } from "./looks.js";
import { qrCode } from "./qr.js";
import { canScan, Scanner } from "./scan.js";
import { t } from "./strings.js";

const THIS_MACHINE = /^(localhost|127\.[\d.]+|\[::1\])$/u;
const SAFETY_CODE = /^ragnarok-verify:\d{60}$/u;

/** Shows the QR code of a text; false if it is too long for one. */
function showQr(place, text, label) {
  const code = qrCode(text);
  place.dataset.text = text;
  place.replaceChildren(...(code ? [qrPicture(code, label)] : []));
  return code !== null;
}

/** A link to this room, its QR code, and a button that copies it. `prefix`: of the ids. */
export class Invitation {
  constructor(prefix) {
    this.part = (name) => byId(`${prefix}-${name}`);
    this.link = this.part("link");
    this.link.onfocus = () => this.link.select();
    this.part("copy").onclick = () => this.#copy();
  }

  /** `fragment`: the password to put into the link, or "". */
  show(fragment) {
    const isLocal = THIS_MACHINE.test(location.hostname);
    this.link.value = location.origin + location.pathname + (fragment && `#${encodeURIComponent(fragment)}`);
    this.part("copy").textContent = t.copy;
    this.part("local").hidden = !isLocal;
    const made = showQr(this.part("qr"), this.link.value, t.qrInvite);
    this.part("error").textContent = made ? "" : t.noQr;
  }

  /** The clipboard needs a secure context; elsewhere the link is selected, to be copied by hand. */
  async #copy() {
    this.link.select();
    try {
      await navigator.clipboard.writeText(this.link.value);
      this.part("copy").textContent = t.copied;
    } catch {
      this.link.focus();
    }
  }
}

export class InviteDialog {
  #password = "";

  constructor() {
    this.sheet = byId("invite");
    this.invitation = new Invitation("invite");
    this.tick = byId("invite-password");
    setUpDialog(this.sheet);
    this.tick.onchange = () => this.#refresh();
  }

  /** `password` is added to the link only when its box is ticked. */
  open(password) {
    this.#password = password;
    this.tick.checked = false;
    byId("invite-password-field").hidden = !password;
    this.sheet.showModal();
    this.#refresh();
  }

  #refresh() {
    this.invitation.show(this.tick.checked ? this.#password : "");
  }
}

export class SafetyDialog {
  #name = "";
  #key = "";
  #code = ""; // the text that the other side's code must have
  #mayVerify = false;
  #differs = false; // whether a different code was scanned

  constructor(privateMessages) {
    this.privateMessages = privateMessages;
    this.sheet = byId("safety");
    this.scanner = new Scanner(byId("safety-video"));
    setUpDialog(this.sheet);
    this.sheet.addEventListener("close", () => this.#stopScan());
    byId("safety-verify").onclick = () => this.#set(true);
    byId("safety-unverify").onclick = () => this.#set(false);
    byId("safety-scan").onclick = () => this.#scan();
    canScan().then((can) => (byId("safety-scan").hidden = !can));
  }

  async open(name, { state }) {
    const number = await this.privateMessages.safetyNumber(name);
    if (!number) return;
    this.#name = name;
    this.#key = number.key;
    this.#code = number.qr;
    this.#mayVerify = !number.offered && state !== "verified";
    this.#differs = false;
    byId("safety-with").textContent = number.offered ? t.safetyOffered(name) : t.safetyHow(name);
    byId("safety-number").dataset.digits = number.groups.join("");
    byId("safety-number").replaceChildren(
      ...number.groups.map((digits) => make("span", { className: "group", textContent: digits })));
    byId("safety-unverify").hidden = state !== "verified";
    this.#tell("", "");
    showQr(byId("safety-qr"), number.qr, t.qrSafety);
    this.sheet.showModal();
  }

  /** Shows the result of the scan. After a different code, only an equal one allows confirming. */
  #tell(result, words) {
    this.#differs = result === "different" || (this.#differs && result !== "equal");
    byId("safety-result").dataset.result = result;
    setText(byId("safety-result"), words);
    if (words) this.sheet.scrollTop = this.sheet.scrollHeight; // on a phone it is below
    byId("safety-verify").hidden = !this.#mayVerify || this.#differs;
  }

  async #scan() {
    this.#tell("", t.scanHow(this.#name));
    this.#showVideo(true);
    try {
      await this.scanner.start((text) => this.#scanned(text));
    } catch ({ name }) {
      this.#stopScan();
      this.#tell("failed", name === "NotAllowedError" ? t.scanDenied : t.scanFailed);
    }
  }

  /** A code is in view. The camera stops at the first code that is a safety number. */
  #scanned(text) {
    if (!SAFETY_CODE.test(text)) {
      this.#tell("other", t.scanOther);
      return;
    }
    this.#stopScan();
    if (text === this.#code) this.#tell("equal", t.scanEqual(this.#name));
    else this.#tell("different", t.scanDifferent(this.#name));
  }

  #stopScan() {
    this.scanner.stop();
    this.#showVideo(false);
  }

  #showVideo(shown) {
    byId("safety-video").hidden = !shown;
    byId("safety-qr").hidden = shown;
  }

  async #set(verified) {
    await this.privateMessages.setVerified(this.#name, this.#key, verified);
    this.sheet.close();
  }
}

export class SettingsDialog {
  /** `notifications` holds the settings of notifications and sound; `looked` is called when the
   *  page looks otherwise; the button calls `leave`. */
  constructor(notifications, looked, leave) {
    this.notifications = notifications;
    this.sheet = byId("settings");
    setUpDialog(this.sheet);
    byId("leave").onclick = leave;
    byId("notify").onchange = () => this.#switch();
    byId("sound").checked = notifications.sound;
    byId("sound").onchange = () => (notifications.sound = byId("sound").checked);
    setUpLooks(looked);
  }

  open(name) {
    byId("settings-name").textContent = t.namedAs(name);
    this.notifications.probe();
    this.#refresh();
    this.sheet.showModal();
  }

  async #switch() {
    await this.notifications.set(byId("notify").checked);
    this.#refresh();
  }

  #refresh() {
    const { possible, denied, on } = this.notifications;
    byId("notify").checked = on;
    byId("notify").disabled = !possible;
    byId("notify-note").textContent = !possible ? t.notifyUnable : denied ? t.notifyDenied : t.notifyNote;
  }
}
