// SPDX-License-Identifier: MIT
//
// DOM helpers shared by all parts of the page.

import { t } from "./strings.js";

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

/** An element with properties (`dataset` among them) and children. */
export function make(tag, { dataset, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, dataset);
  element.append(...children);
  return element;
}

function makeSvg(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** One of the symbols of index.html. */
export const icon = (name) =>
  makeSvg("svg", { class: "icon", "aria-hidden": true }, makeSvg("use", { href: `#i-${name}` }));

/** An SVG of a result of qrCode() (qr.js), with a quiet zone of 4 modules. */
export const qrPicture = ({ size, path }, label) =>
  makeSvg("svg", {
    viewBox: `-4 -4 ${size + 8} ${size + 8}`, role: "img", "aria-label": label,
    "shape-rendering": "crispEdges",
  }, makeSvg("path", { d: path }));

/** Sets the text only if it differs, so that nothing is announced or painted twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Sets the accessible name and the tooltip. */
export function setLabel(element, text) {
  element.ariaLabel = element.title = text;
}

/** Sets a text that changes each second. Screen readers announce it once. */
export function setTicking(element, text) {
  const timer = element.querySelector("[role=timer]");
  if (timer) setText(timer, text);
  else element.replaceChildren(make("span", { role: "timer", textContent: text }));
}

const WAYS = {
  t: (element, text) => (element.textContent = text),
  tLabel: setLabel,
  tName: (element, text) => (element.ariaLabel = text),
  tHint: (element, text) => (element.placeholder = text),
  icon: (element, text, symbol) => element.prepend(icon(symbol)),
};

/** Fills in the texts and icons that the elements of index.html name. */
export function fillIn() {
  for (const element of document.querySelectorAll("body *")) {
    for (const [way, row] of Object.entries(element.dataset)) WAYS[way]?.(element, t[row], row);
  }
}

/** Sets up a <dialog>: its close button and a click outside close it, as Escape does. */
export function setUpDialog(dialog) {
  dialog.querySelector(".close").onclick = () => dialog.close();
  dialog.onpointerdown = (event) => event.target === dialog && dialog.close();
}

/** Reads a value from the browser's storage; "" if there is none, or storage is disabled. */
export function recall(key) {
  try {
    return localStorage.getItem(`ragnarok.${key}`) ?? "";
  } catch {
    return "";
  }
}

export function remember(key, value) {
  try {
    if (value) localStorage.setItem(`ragnarok.${key}`, value);
    else localStorage.removeItem(`ragnarok.${key}`);
  } catch {
    // Without storage the user is asked again next time.
  }
}

/** Forgets all that remember() has stored. */
export function forgetRemembered() {
  try {
    for (const key of Object.keys(localStorage)) if (key.startsWith("ragnarok.")) localStorage.removeItem(key);
  } catch {
    // Without storage there is nothing to forget.
  }
}
