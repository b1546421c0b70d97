// SPDX-License-Identifier: MIT
//
// The clock, and a rate limit for automatic messages: key requests, retransmissions, receipts and
// notices. Without it, others could provoke so many that the server closes our connection.

export const CLOCK = {
  now: () => Date.now(), // ms since 1970; may jump
  elapsed: () => performance.now(), // ms; never goes back
  /** Runs the job after `ms`, unless the returned function is called before. */
  after(ms, job) {
    const timer = setTimeout(job, ms);
    return () => clearTimeout(timer);
  },
};

const MOST = 10; // messages in any WITHIN ms
const WITHIN = 1000;
const LONGEST = 256; // waiting messages of one kind; more are dropped

/** The kinds of automatic messages, in order of priority. */
export const [KEYS, AGAIN, CONFIRM, NOTICE] = [0, 1, 2, 3];
const KINDS = 4;

export class Pace {
  #clock;
  #done = []; // the times of the last MOST
  #queues = [];
  #waits = false;

  constructor(clock) {
    this.#clock = clock;
    this.clear();
  }

  /** Drops all waiting messages. */
  clear() {
    const waiting = this.#queues.flat();
    this.#queues = Array.from({ length: KINDS }, () => []);
    for (const resolve of waiting) resolve(false);
  }

  /** Resolves with true when a message of this kind may be sent; false if it is dropped. */
  turn(kind) {
    if (this.#queues[kind].length >= LONGEST) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#queues[kind].push(resolve);
      this.#go();
    });
  }

  #go() {
    while (!this.#waits) {
      const queue = this.#queues.find((waiting) => waiting.length);
      if (!queue) return;
      const left = this.#done.length < MOST ? 0 : this.#done[0] + WITHIN - this.#clock.elapsed();
      if (left > 0) return this.#later(left);
      this.#done = [...this.#done.slice(1 - MOST), this.#clock.elapsed()];
      queue.shift()(true);
    }
  }

  #later(ms) {
    this.#waits = true;
    this.#clock.after(ms, () => {
      this.#waits = false;
      this.#go();
    });
  }
}
