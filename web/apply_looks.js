// SPDX-License-Identifier: MIT
//
// Applies the looks that were chosen on this device (looks.js) before anything is painted. It stands
// in the HTML itself, after the style, so that no other theme flashes first; and in old JavaScript,
// so that no browser refuses it. The theme is the condition of the rule with the dark colours.

(function () {
  var DARK_IF = ["(prefers-color-scheme: dark)", "not all", "all"]; // as the system, light, dark
  var dark = []; // what has such a condition: rules, and a <meta>
  var sheet, row, rule, meta;

  for (sheet = 0; sheet < document.styleSheets.length; sheet++) {
    for (row = 0; row < document.styleSheets[sheet].cssRules.length; row++) {
      rule = document.styleSheets[sheet].cssRules[row];
      if (rule.media && rule.media.mediaText === DARK_IF[0]) dark.push(rule);
    }
  }
  meta = document.querySelector("meta[name=theme-color][media]");

  function recall(name) {
    try {
      return localStorage.getItem("ragnarok." + name) || "";
    } catch (error) {
      return ""; // without storage nothing is kept
    }
  }

  window.applyLooks = function () {
    var root = document.documentElement;
    var condition = DARK_IF[Math.max(0, ["", "light", "dark"].indexOf(recall("theme")))];
    dark.forEach(function (one) { one.media.mediaText = condition; });
    if (meta) meta.media = condition;
    root.setAttribute("data-size", recall("size"));
    root.setAttribute("data-compact", recall("compact"));
  };
  window.applyLooks();
})();
