// SPDX-License-Identifier: MIT
//
// The page /trust: shows the reader's language only, and the device at hand first. If a browser
// refuses this script, everything is shown.

const DEVICES = [
  ["android", /Android/u], ["ios", /iPhone|iPad|iPod/u], ["windows", /Windows/u], ["macos", /Macintosh/u],
  ["linux", /Linux|X11|CrOS/u],
];
const sections = [...document.querySelectorAll("main > section")];

function deviceAtHand({ userAgent, maxTouchPoints }) {
  const found = DEVICES.find(([, pattern]) => pattern.test(userAgent))?.[0];
  return found === "macos" && maxTouchPoints > 1 ? "ios" : found; // an iPad says that it is a Mac
}

function showLanguage() {
  const [, asked] = /^#(en|zh)$/u.exec(location.hash) ?? [];
  const shown = asked ?? (/^zh/iu.test(navigator.language) ? "zh" : "en");
  for (const section of sections) section.hidden = section.id !== shown;
}

for (const details of document.querySelectorAll(`[data-device="${deviceAtHand(navigator)}"]`)) {
  details.parentElement.querySelector("details").before(details);
  details.open = true;
}
showLanguage();
addEventListener("hashchange", showLanguage);
