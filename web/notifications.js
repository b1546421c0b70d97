// SPDX-License-Identifier: MIT
//
// Alerts for a user who is away: the number of unread messages in the title and on the app's icon,
// and, if switched on, desktop notifications and a sound for mentions and private messages.
//
// Chromium on Android has the class Notification, but its constructor throws: only service workers
// can show one there, and this page has none. Therefore the page tries it.

import { recall, remember } from "./dom.js";
import { t } from "./strings.js";

const TONE = 0.4; // seconds
const PITCH = 660; // hertz
const LOUDNESS = 0.1; // of 1

export class Notifications {
  #unread = 0;
  #title = document.title;
  #audio = null; // made with the first sound
  #unable = false; // whether the browser refused to make a notification

  constructor(back) {
    this.back = back; // called when the page is in view again
    const look = () => this.away || this.#read();
    addEventListener("focus", look);
    document.addEventListener("visibilitychange", look);
  }

  /** Whether the page is hidden or has no focus. */
  get away() {
    return document.hidden || !document.hasFocus();
  }

  set title(title) {
    this.#title = title;
    this.#show();
  }

  /** Counts one more unread message. */
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

  // ---- Notifications ----------------------------------------------------------------------------

  get possible() {
    return "Notification" in globalThis && isSecureContext && !this.#unable;
  }

  get denied() {
    return this.possible && Notification.permission === "denied";
  }

  get on() {
    return this.possible && Notification.permission === "granted" &&
      recall("notify") === "on";
  }

  /** Finds out whether `possible` is true. Shows nothing: without permission, a browser that
   *  supports notifications drops this one. */
  probe() {
    if (this.possible && Notification.permission !== "granted") this.#make("", {});
  }

  /** Switches notifications on or off; asks for permission only when switching on. */
  async set(on) {
    const granted = on && (await Notification.requestPermission()) === "granted";
    if (granted) this.#make(t.notifyOn, { tag: "switch", icon: "/icon.svg" });
    remember("notify", granted && this.possible ? "on" : "");
  }

  // ---- Sound ------------------------------------------------------------------------------------

  get sound() {
    return recall("sound") === "on";
  }

  /** Switches the sound on or off, and lets the user hear it. */
  set sound(on) {
    remember("sound", on ? "on" : "");
    if (on) this.#play();
  }

  /** A short tone; nothing where the browser cannot make one. */
  #play() {
    try {
      const audio = (this.#audio ??= new AudioContext());
      const end = audio.currentTime + TONE;
      const tone = new OscillatorNode(audio, { frequency: PITCH });
      const gain = new GainNode(audio, { gain: LOUDNESS });
      gain.gain.exponentialRampToValueAtTime(0.001, end);
      tone.connect(gain).connect(audio.destination);
      tone.start();
      tone.stop(end);
    } catch (error) {
      console.warn("no sound:", error);
    }
  }

  /** A notification, or undefined if this browser cannot make one. */
  #make(title, options) {
    try {
      return new Notification(title, options);
    } catch {
      this.#unable = true;
      return undefined;
    }
  }

  /** `tag`: a later notification of the same tag replaces it. A click calls `open`. */
  notify(title, body, tag, open) {
    if (!this.away) return;
    if (this.sound) this.#play();
    if (!this.on) return;
    const notification = this.#make(title, { body, tag, icon: "/icon.svg" });
    if (!notification) return;
    notification.onclick = () => {
      focus();
      notification.close();
      open();
    };
  }
}
