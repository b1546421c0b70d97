// SPDX-License-Identifier: MIT
//
// The few things that every part of the page needs of the document.

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

/** A QR code from what the server's QrCode says; its quiet zone is 4 modules wide. */
export const qrCode = ({ Size, Path }, label) =>
  makeSvg("svg", {
    viewBox: `-4 -4 ${Size + 8} ${Size + 8}`, role: "img", "aria-label": label,
    "shape-rendering": "crispEdges",
  }, makeSvg("path", { d: Path }));

/** Sets only what differs, so that nothing is announced or painted twice. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const WAYS = {
  t: (element, text) => (element.textContent = text),
  tLabel: (element, text) => (element.ariaLabel = element.title = text),
  tName: (element, text) => (element.ariaLabel = text),
  tHint: (element, text) => (element.placeholder = text),
  icon: (element, text, symbol) => element.prepend(icon(symbol)),
};

/** Gives every element of index.html the words and the icon that it names. */
export function fillIn() {
  for (const element of document.querySelectorAll("body *")) {
    for (const [way, row] of Object.entries(element.dataset)) WAYS[way]?.(element, t[row], row);
  }
}

/** Sets up a <dialog>: its close button and a press beside it close it, as Escape does. */
export function setUpSheet(dialog) {
  dialog.querySelector(".close").onclick = () => dialog.close();
  dialog.onpointerdown = (event) => event.target === dialog && dialog.close();
}

/** What this browser remembers for the page: "" if nothing, or if it keeps nothing for us. */
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
    // Then it is asked for again next time.
  }
}
