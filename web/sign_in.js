// SPDX-License-Identifier: MIT
//
// sign_in.js - "Keep me signed in on this device": name and password of one room, encrypted in the
// device store. Without it, both die with the tab.

const LIFETIME = 90 * 24 * 3600_000; // ms after the last time of joining
const HOW = { secret: "device", lifetime: LIFETIME };

export class SignIn {
  isOn = false; // whether the user wishes it
  #isKept = false;
  #device;
  #key;

  /** `device`: a DeviceStore, or null where nothing can be kept. */
  constructor(device, room) {
    [this.#device, this.#key] = [device, `signin ${JSON.stringify(room)}`];
  }

  get isPossible() {
    return this.#device !== null;
  }

  /** Returns { name, password }, or null. */
  async load() {
    const found = await this.#device?.load(this.#key, HOW.secret).catch(() => null);
    this.isOn = this.#isKept = found?.has("") ?? false;
    return found?.get("") ?? null;
  }

  /** To be called whenever the user has joined. */
  async joined({ name, password }) {
    if (!this.isOn) return this.#isKept && this.forget();
    this.#isKept = true;
    return this.#device?.save([[this.#key, { name, password }]], HOW).catch(() => {});
  }

  async forget() {
    this.isOn = this.#isKept = false;
    await this.#device?.remove((key) => key === this.#key).catch(() => {});
  }
}
