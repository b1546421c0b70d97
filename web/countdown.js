// SPDX-License-Identifier: MIT
//
// Counts seconds down. Pure except for the clock.

const SECOND = 1000; // ms

/**
 * Calls `tick(left)` at once and every second, and `done()` at 0. Uses the clock, because a hidden
 * tab may sleep for a minute. Returns a function that stops it.
 */
export function countDown(seconds, tick, done) {
  const end = Date.now() + seconds * SECOND;
  let timer = 0;
  const step = () => {
    const left = end - Date.now();
    if (left <= 0) return done();
    tick(Math.ceil(left / SECOND));
    timer = setTimeout(step, left % SECOND || SECOND);
    return undefined;
  };
  step();
  return () => clearTimeout(timer);
}
