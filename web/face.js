// SPDX-License-Identifier: MIT
//
// The face of a person (their initials on their colour), and their name in that colour. The style
// sheet has the colours: data-colour is a number below COLOURS.

import { make } from "./dom.js";
import { Colours, initials } from "./names.js";

const colours = new Colours();

function paint(element, name) {
  element.dataset.of = name;
  element.dataset.colour = colours.of(name);
  return element;
}

export const faceOf = (name) =>
  paint(make("span", { className: "face", textContent: initials(name), ariaHidden: "true" }), name);

export const nameOf = (name) =>
  paint(make("bdi", { className: "author", textContent: name }), name);

/** These people are here now: no two of them have the same colour, as long as there are enough.
 *  Changes the elements of those who had to take another one. */
export function setPresent(names) {
  if (!colours.setPresent(names)) return;
  for (const element of document.querySelectorAll("[data-of]")) paint(element, element.dataset.of);
}
