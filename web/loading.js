// SPDX-License-Identifier: MIT
//
// Says in the join form that a part of the page has not arrived: at once when a script fails, else after
// a while. It stands in the HTML itself, and in old JavaScript, because it must run in every browser when
// nothing else arrives. app.js removes the box when the form works; then nothing is said any more.

(function () {
  var PATIENCE = 10000; // ms
  var failed = false;

  function tell() {
    var box = document.getElementById("join-broken");
    failed = true;
    if (box) box.hidden = false;
  }

  addEventListener("error", function (event) {
    if (event.target === window || event.target.tagName === "SCRIPT") tell();
  }, true);
  addEventListener("DOMContentLoaded", function () {
    var button = document.getElementById("join-reload"); // gone if the form works already
    if (button) button.onclick = function () { location.reload(); };
    if (failed) tell();
  });
  setTimeout(tell, PATIENCE);
})();
