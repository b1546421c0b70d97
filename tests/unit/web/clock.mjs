// SPDX-License-Identifier: MIT
// Time in the tests of the page, and waiting for what others do.
import assert from "node:assert/strict";

export const NOW = 1767225600000; // by the clock of the tests, when they begin
const PATIENCE = 20000; // milliseconds that any single thing may take

export const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Lets all else go on until something is so. Time in which the machine stood still is not counted. */
export async function until(condition, what = condition) {
  let left = PATIENCE;
  for (let before = performance.now(); !condition();) {
    if (left < 0) assert.fail(`never: ${what}`);
    await nextTurn();
    const now = performance.now();
    left -= Math.min(now - before, 100);
    before = now;
  }
}

/** A clock that stands still until a test lets time pass. */
export class Clock {
  #time = 0;
  #timers = [];
  skew = 0; // ms by which it is wrong
  server = this;

  now = () => NOW + this.server.elapsed() + this.skew;
  elapsed = () => this.#time;

  after(ms, job) {
    const timer = { at: this.#time + ms, job };
    this.#timers.push(timer);
    return () => (this.#timers = this.#timers.filter((one) => one !== timer));
  }

  /** Whether something is to happen in just so many ms. */
  isSet(ms) {
    return this.#timers.some(({ at }) => at === this.#time + ms);
  }

  pass(ms) {
    const end = this.#time + ms;
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      this.#time = Math.max(this.#time, next?.at ?? end);
      if (!next) return;
      this.#timers = this.#timers.filter((one) => one !== next);
      next.job();
    }
  }

  /** Lets time pass until something is so. */
  async passUntil(condition, what = condition) {
    let turns = 0;
    await until(() => condition() || (++turns % 50 === 0 && this.pass(100)), what);
  }
}
