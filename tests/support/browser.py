# SPDX-License-Identifier: MIT
"""A real Chromium for the tests, controlled over the pipe of the DevTools protocol.

`Browser` is one headless process, which trusts a CA as its user would, and never leaves this machine.
`Page` is one tab, by default in a separate context: other cookies, other storage, another person.
Input is sent as keys and clicks; tests check the visible page. Every wait is for a condition.

A page records errors on its console, violations of its security policy, and requests to other hosts.
`Page.faults` lists them, and a test with faults fails.

Selenium is not used: it does not support input methods, WebSocket frames or cut networks, and the
pipe needs only this file.
"""
import base64
import fcntl
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

from helpers import PATIENCE, ROOT

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
SHELL = "chromium-headless-shell"  # the same engine in half the processor time: no windows, no camera
ARGUMENTS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--no-default-browser-check",
    "--password-store=basic",
    "--disable-gpu",
    "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup",  # pages of the address bar, one per tab
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-background-timer-throttling",
    "--disable-renderer-backgrounding",
    "--disable-backgrounding-occluded-windows",
    "--hide-scrollbars",
    "--mute-audio",
    "--use-fake-device-for-media-stream",
    "--lang=en-US",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
PICTURES = ROOT / "tests" / "out"
LOAD_PATIENCE = 3 * PATIENCE  # the page has some forty files, each on a connection of its own
SHIFT, CONTROL = 8, 2
KEYS = {
    "Enter": (13, "\r"),
    "Tab": (9, ""),
    "Escape": (27, ""),
    "Backspace": (8, ""),
    "ArrowUp": (38, ""),
    "ArrowDown": (40, ""),
    "Home": (36, ""),
    "End": (35, ""),
    " ": (32, " "),
}

# The click position of an element; nothing while it is missing, moving, or covered.
SPOT = """async selector => {
    const element = document.querySelector(selector);
    if (!element || element.disabled) return null;
    element.scrollIntoView({block: "nearest", behavior: "instant"});
    const before = element.getBoundingClientRect();
    await new Promise(requestAnimationFrame);
    const box = element.getBoundingClientRect();
    const x = box.x + box.width / 2, y = box.y + box.height / 2;
    const top = document.elementFromPoint(x, y);
    const within = target => element.contains(target) || target.contains(element);
    if (!top || !within(top) || !box.width || box.x !== before.x || box.y !== before.y) return null;
    window.missed = true;
    const pressed = event => { window.missed = !within(event.target); };
    window.addEventListener("pointerdown", pressed, {capture: true, once: true});
    return [x, y];
}"""
MISSED = "() => [window.missed === true]"  # also false on the page opened by the click

# Between two documents there is nobody to ask, and at first not even a body.
BETWEEN = re.compile("[Cc]ontext|navigated|properties of null|is not of type 'Element'")
SETTLE = """() => {
    for (const one of document.getAnimations()) {
        if (one.effect.getComputedTiming().endTime < Infinity) one.finish();
    }
}"""


class Failed(Exception):
    """The browser refused a command."""


def program(whole):
    for name in PROGRAMS if whole else (SHELL, *PROGRAMS):
        if path := shutil.which(name):
            return path
    raise FileNotFoundError(f"none of {', '.join(PROGRAMS)} is here; run tools/deps test")


def trust(home, authority):
    """Installs a CA certificate for Chromium's user."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = ["certutil", "-d", f"sql:{store}"]
    subprocess.run([*database, "-N", "--empty-password"], check=True, timeout=PATIENCE)
    add = ["-A", "-n", "ragnarok", "-t", "C,,", "-i", str(authority)]
    subprocess.run([*database, *add], check=True, timeout=PATIENCE)


class Browser:
    """One Chromium with a home of its own in `folder`; the `whole` browser, or its shell if that is here."""

    def __init__(self, folder, authority, *more, whole=False):
        trust(folder, authority)
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [program(whole), *ARGUMENTS, *root, f"--user-data-dir={folder}/profile", *more]
        # The child reads descriptor 3 and writes 4: ours are moved away from there first.
        (hears, self.ours_out), (self.ours_in, says) = os.pipe(), os.pipe()
        hears, says = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 16) for end in (hears, says))

        def plug():
            os.dup2(hears, 3)
            os.dup2(says, 4)

        with open(folder / "chromium.log", "wb") as log:
            self.process = subprocess.Popen(
                command,
                env={**os.environ, "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=plug,
                close_fds=False,
                start_new_session=True,
            )
        os.close(hears)
        os.close(says)
        self.log = folder / "chromium.log"
        self.buffer, self.number, self.replies, self.pages = b"", 0, {}, {}

    def close(self):
        """Ends the browser with all its child processes, by force if needed."""
        try:
            self.call("Browser.close")
            self.process.wait(PATIENCE)
        except (Failed, AssertionError, OSError, subprocess.TimeoutExpired):
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self.ours_out)
        os.close(self.ours_in)

    def call(self, method, session=None, **parameters):
        """Sends a command and returns its result."""
        number = self.post(method, session, **parameters)
        deadline = time.monotonic() + 3 * PATIENCE
        while number not in self.replies:
            assert time.monotonic() < deadline, f"no answer to {method}"
            self.listen(deadline - time.monotonic())
        reply = self.replies.pop(number)
        if "error" in reply:
            raise Failed(f"{method}: {reply['error']['message']}")
        return reply["result"]

    def post(self, method, session=None, **parameters):
        """Sends a command and returns its number, under which the reply will be kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self.ours_out, json.dumps(message).encode() + b"\0")
        return self.number

    def listen(self, patience):
        """Waits up to `patience` seconds for output of the browser, and handles its messages."""
        if not select.select([self.ours_in], [], [], max(patience, 0))[0]:
            return
        data = os.read(self.ours_in, 1 << 20)
        assert data, f"Chromium ended: {self.log.read_text(errors='replace')[-2000:]}"
        *whole, self.buffer = (self.buffer + data).split(b"\0")
        for message in map(json.loads, whole):
            if "id" in message:
                self.replies[message["id"]] = message
            elif page := self.pages.get(message.get("sessionId")):
                page.hear(message["method"], message["params"])

    def context(self):
        """A new person: an empty browser context."""
        return self.call("Target.createBrowserContext")["browserContextId"]

    def forget(self, context):
        """Ends a person: their tabs, storage and connections."""
        self.call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """One tab. `context` is its person; a new one by default."""

    def __init__(self, browser, context=None, size=(1000, 700), language="en-US"):
        self.browser = browser
        self.context = context or browser.context()
        self.console, self.frames, self.foreign = [], [], []
        self.forgiven, self.origin = [], None
        self.origins = ("data:", "blob:")  # of all pages that were opened: a request may be late
        self.crashed = False
        self.warnings = 0  # how often the browser asked whether to leave the page; it may
        target = browser.call(
            "Target.createTarget", url="about:blank", browserContextId=self.context
        )
        self.target = target["targetId"]
        self.session = browser.call("Target.attachToTarget", targetId=self.target, flatten=True)[
            "sessionId"
        ]
        browser.pages[self.session] = self
        for domain in ("Page", "Runtime", "Log", "Network", "Inspector"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)
        self.resize(*size)
        self.speak(language)

    def call(self, method, **parameters):
        return self.browser.call(method, self.session, **parameters)

    def cover(self):
        """Opens another tab over this one, which is hidden until the other is closed."""
        other = Page(self.browser, self.context)
        self.call("Emulation.setFocusEmulationEnabled", enabled=False)
        self.wait("() => document.hidden", what="the page to be hidden")
        return other

    def close(self):
        del self.browser.pages[self.session]
        self.browser.call("Target.closeTarget", targetId=self.target)

    # What it is like

    def resize(self, width, height, phone=False):
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)

    def speak(self, language):
        """The language of its user, as Accept-Language and navigator.languages tell it."""
        agent = self.browser.call("Browser.getVersion")["userAgent"]
        self.call("Emulation.setUserAgentOverride", userAgent=agent, acceptLanguage=language)
        self.call("Emulation.setLocaleOverride", locale=language)

    def prefer(self, **features):
        """Sets media features: color_scheme="dark", reduced_motion="reduce"."""
        listed = [
            {"name": f"prefers-{name.replace('_', '-')}", "value": value}
            for name, value in features.items()
        ]
        self.call("Emulation.setEmulatedMedia", features=listed)

    def offline(self, cut=True):
        """Cuts the network, as an aeroplane does; new connections fail, too."""
        self.call(
            "Network.emulateNetworkConditions",
            offline=cut,
            latency=0,
            downloadThroughput=-1,
            uploadThroughput=-1,
        )

    def allow(self, permission, setting="granted"):
        """The person's answer when the page asks for a device."""
        self.browser.call(
            "Browser.setPermission",
            permission={"name": permission},
            setting=setting,
            browserContextId=self.context,
        )

    def before_load(self, script):
        """Runs `script` in every document before its own."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    # What it says by itself

    def hear(self, method, event):
        if method == "Runtime.consoleAPICalled" and event["type"] in ("error", "assert"):
            said = [str(part.get("value", part.get("description"))) for part in event["args"]]
            self.console.append(" ".join(said))
        elif method == "Runtime.exceptionThrown":
            details = event["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and event["entry"]["level"] == "error":
            entry = event["entry"]
            self.console.append(f"{entry['source']}: {entry['text']} {entry.get('url', '')}")
        elif method == "Page.javascriptDialogOpening" and event["type"] == "beforeunload":
            self.warnings += 1
            self.answer_dialog(True)
        elif method == "Page.javascriptDialogOpening":
            self.console.append(f"a dialog: {event['message']}")
        elif method == "Inspector.targetCrashed":
            self.crashed = True
        elif method == "Network.requestWillBeSent":
            self.note_request(event["request"]["url"])
        elif method in ("Network.webSocketFrameReceived", "Network.webSocketFrameSent"):
            self.frames.append(event["response"]["payloadData"])

    def answer_dialog(self, accept):
        """Answers without waiting, because a command may be waiting already."""
        self.browser.post("Page.handleJavaScriptDialog", self.session, accept=accept)

    def note_request(self, url):
        if self.origin and not url.startswith(self.origins):
            self.foreign.append(url)

    def forgive(self, pattern):
        """Errors that a test causes: a stopped server cannot be reached."""
        self.forgiven.append(re.compile(pattern))

    def faults(self):
        """The faults: errors on the console and requests to other hosts."""
        bad = [said for said in self.console if not any(f.search(said) for f in self.forgiven)]
        return bad + [f"a request to {url}" for url in self.foreign]

    # Looking

    def open(self, url):
        self.origin = "/".join(url.split("/")[:3])
        self.origins += (f"{self.origin}/",)
        answer = self.call("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        loaded = "() => document.readyState === 'complete'"
        self.wait(loaded, what=f"{url} to be loaded", patience=LOAD_PATIENCE)

    def reload(self):
        self.js("() => { window.beforeReload = true; }")
        self.call("Page.reload")
        loaded = "() => !window.beforeReload && document.readyState === 'complete'"
        self.wait(loaded, what="the page to be loaded again", patience=LOAD_PATIENCE)

    def js(self, function, *arguments):
        """Calls a JavaScript function in the page and returns its result, awaited if a promise."""
        answer = self.call(
            "Runtime.evaluate",
            expression=f"({function})(...{json.dumps(arguments)})",
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise Failed(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def wait_for(self, condition, what, patience=PATIENCE):
        """Polls until `condition` returns something true, and returns it."""
        deadline = time.monotonic() + patience
        while not (value := condition()):
            assert time.monotonic() < deadline, f"waited in vain for {what}: {self.told()}"
            self.browser.listen(0.02)
        return value

    def wait(self, function, *arguments, what=None, patience=PATIENCE):
        """Waits until `function` returns something true in the page, and returns it."""

        def ask():
            try:
                return self.js(function, *arguments)
            except Failed as failed:
                if not BETWEEN.search(str(failed)):
                    raise
                return None

        return self.wait_for(ask, what or f"{function} {arguments}", patience)

    def told(self):
        """The texts of the page and its console, for failure messages."""
        seen = self.js("() => document.body ? document.body.innerText : ''")
        return f"\n{seen[-1500:]}\nconsole: {self.console}"

    def text(self, selector):
        return self.js("s => document.querySelector(s)?.textContent ?? null", selector)

    def count(self, selector):
        return self.js("s => document.querySelectorAll(s).length", selector)

    def value(self, selector):
        return self.js("s => document.querySelector(s).value", selector)

    def focused(self, selector):
        return self.js("s => !!document.activeElement?.matches(s)", selector)

    def visible(self, selector):
        return self.js("s => !!document.querySelector(s)?.checkVisibility()", selector)

    def wait_visible(self, selector):
        self.wait("s => document.querySelector(s)?.checkVisibility()", selector)

    def wait_hidden(self, selector):
        self.wait("s => !document.querySelector(s)?.checkVisibility()", selector)

    def wait_text(self, selector, text, patience=PATIENCE):
        """Waits until some matching element contains `text`."""
        holds = "(s, t) => [...document.querySelectorAll(s)].some(e => e.textContent.includes(t))"
        self.wait(holds, selector, text, what=f"{text!r} in {selector}", patience=patience)

    def settle(self):
        """Finishes all animations at once."""
        self.js(SETTLE)

    def picture(self, name):
        """Takes a screenshot into tests/out/ and returns its path."""
        PICTURES.mkdir(exist_ok=True)
        self.settle()
        path = PICTURES / f"{name}.png"
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))
        return path

    # Doing

    def click(self, selector):
        def press(x, y):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

        self.point(selector, press)

    def tap(self, selector):
        """Clicks with a finger."""

        def press(x, y):
            self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

        self.point(selector, press)

    def point(self, selector, press):
        """Calls press(x, y) in the middle of an element, again if the element moved meanwhile."""
        what = f"{selector} to be where one can click on it"

        def hit():
            press(*self.wait(SPOT, selector, what=what))
            return not self.wait(MISSED)[0]

        self.wait_for(hit, what)

    def press(self, key, modifiers=0, code=None):
        """Presses and releases a key; `code` is its keyCode if it differs."""
        number, text = KEYS[key]
        event = {"key": key, "code": "Space" if key == " " else key, "modifiers": modifiers}
        event["windowsVirtualKeyCode"] = code or number
        kind = "rawKeyDown" if code or not text else "keyDown"
        more = {} if kind == "rawKeyDown" else {"text": text}
        self.call("Input.dispatchKeyEvent", type=kind, **event, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", **event)

    def insert(self, text):
        """Puts text where the cursor is, as a paste or an emoji keyboard does."""
        self.call("Input.insertText", text=text)

    def compose(self, text):
        """An input method shows uncommitted `text`."""
        ends = len(text.encode("utf-16-le")) // 2
        self.call("Input.imeSetComposition", text=text, selectionStart=ends, selectionEnd=ends)

    def fill(self, selector, text):
        """Clicks into a field and replaces what is there."""
        self.click(selector)
        self.wait("s => document.activeElement.matches(s)", selector, what=f"focus on {selector}")
        self.js("s => document.querySelector(s).select()", selector)
        if text:
            self.insert(text)
        else:
            self.press("Backspace")

    def forget(self):
        """Clears everything that this person's browser has stored for the server."""
        self.call("Storage.clearDataForOrigin", origin=self.origin, storageTypes="all")


def read_qr(picture):
    """The text of the QR code in a picture (zbarimg)."""
    done = subprocess.run(
        ["zbarimg", "--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", str(Path(picture))],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"no QR code is readable in {picture}: {done.stderr}"
    return done.stdout.rstrip("\n")
