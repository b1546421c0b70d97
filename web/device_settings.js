// SPDX-License-Identifier: MIT
//
// The part of Settings about what this device keeps: for how long private conversations are kept,
// and forgetting everything, which asks once.

import { byId, recall, remember } from "./dom.js";
import { t } from "./strings.js";

/** `kept`: a KeptTalks; `forget()` wipes everything and loads the page again. */
export function setUpDeviceSettings(kept, forget) {
  const choice = byId("kept");
  choice.value = kept.mode;
  choice.disabled = !kept.isPossible;
  byId("kept-note").textContent = kept.isPossible ? t.keepNote : t.keepUnable;
  choice.onchange = () => {
    remember("kept", choice.value);
    kept.setMode(choice.value);
  };
  addEventListener("storage", ({ key }) => { // another tab has changed it
    if (key !== "ragnarok.kept") return;
    kept.setMode(recall("kept")).then(() => (choice.value = kept.mode));
  });
  const ask = (asks) => {
    byId("forget-ask").hidden = !asks;
    byId("forget").hidden = asks;
  };
  byId("forget").onclick = () => {
    ask(true);
    byId("forget-no").focus();
  };
  byId("forget-no").onclick = () => {
    ask(false);
    byId("forget").focus();
  };
  byId("forget-yes").onclick = forget;
  byId("settings").addEventListener("close", () => ask(false));
}
