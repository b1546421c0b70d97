// SPDX-License-Identifier: MIT
//
// How the page looks on this device: theme, text size, one line for each message. The browser keeps
// the choices; apply_looks.js, which is not part of the script, makes them attributes of the root and
// conditions of the style sheet. A choice that is damaged counts as none.

import { byId, make, recall, remember } from "./dom.js";
import { t } from "./strings.js";

// The values of each choice, the default first; strings.js has their words in the same order.
const CHOICES = { theme: ["", "light", "dark"], size: ["", "small", "large", "larger"] };

/** The choice that is kept, or the default. */
function chosen(name) {
  const value = recall(name);
  return CHOICES[name].includes(value) ? value : "";
}

/** Sets up the fields of the settings. `changed` is called when the page looks otherwise. */
export function setUpLooks(changed) {
  const take = (name, value) => {
    remember(name, value);
    window.applyLooks();
    changed();
  };
  for (const [name, values] of Object.entries(CHOICES)) {
    const field = byId(`look-${name}`);
    field.append(...values.map((value, row) => make("option", { value, textContent: t[`${name}s`][row] })));
    field.value = chosen(name);
    field.onchange = () => take(name, field.value);
  }
  const compact = byId("look-compact");
  compact.checked = recall("compact") === "on";
  compact.onchange = () => take("compact", compact.checked ? "on" : "");
}
