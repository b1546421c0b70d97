// SPDX-License-Identifier: MIT
//
// Calls the reader back: the number of unread messages in the title and on the app's icon, and, only
// if that was switched on, notifications of the desktop for mentions and private messages.

import { recall, remember } from "./dom.js";

export class Attention {
  #unread = 0;
  #title = document.title;

  constructor(back) {
    this.back = back; // called when the reader looks at the page again
    const look = () => this.away || this.#read();
    addEventListener("focus", look);
    document.addEventListener("visibilitychange", look);
  }

  /** Whether the reader looks elsewhere. */
  get away() {
    return document.hidden || !document.hasFocus();
  }

  set title(title) {
    this.#title = title;
    this.#show();
  }

  /** Another message that nobody may have seen. */
  count() {
    if (!this.away) return;
    this.#unread++;
    this.#show();
  }

  #read() {
    this.#unread = 0;
    this.#show();
    this.back();
  }

  #show() {
    document.title = this.#unread ? `(${this.#unread}) ${this.#title}` : this.#title;
    if (this.#unread) navigator.setAppBadge?.(this.#unread).catch(() => {});
    else navigator.clearAppBadge?.().catch(() => {});
  }

  // ---- Notifications -----------------------------------------------------------------------------

  get possible() {
    return "Notification" in globalThis && isSecureContext;
  }

  get denied() {
    return this.possible && Notification.permission === "denied";
  }

  get on() {
    return this.possible && Notification.permission === "granted" &&
      recall("notify") === "on";
  }

  /** Switches notifications; the browser is asked only when they are switched on. */
  async set(on) {
    const granted = on && (await Notification.requestPermission()) === "granted";
    remember("notify", granted ? "on" : "");
  }

  /** `tag`: a later one of the same takes its place. `open` is called when it is clicked. */
  notify(title, body, tag, open) {
    if (!this.on || !this.away) return;
    try {
      const notification = new Notification(title, { body, tag, icon: "/icon.svg" });
      notification.onclick = () => {
        focus();
        notification.close();
        open();
      };
    } catch {
      // Browsers on phones have the class, but only service workers may use it.
    }
  }
}
