# SPDX-License-Identifier: MIT
"""Look and accessibility of the page: invitations, phones, dark mode, Chinese, keyboards.

The accessibility checker axe-core must be in build/node_modules (tools/deps test).
"""
import json

import pytest

from browser import SHIFT, read_qr
from browser_user import NEEDS_TABS, in_browser
from helpers import PASSWORD, ROOT

pytestmark = in_browser("look")

AXE = ROOT / "build" / "node_modules" / "axe-core" / "axe.min.js"
PHONE = (360, 640)
PHONE_WITH_KEYBOARD = (360, 320)
EXAMINE = """async () => {
    const found = await axe.run(document, {resultTypes: ["violations"]});
    return found.violations.map(rule =>
        `${rule.id}: ${rule.help}: ` + rule.nodes.map(node => node.html).join(" | "));
}"""
IN_VIEW = """selector => {
    const box = document.querySelector(selector).getBoundingClientRect();
    return box.width > 0 && box.left >= 0 && box.top >= 0
        && box.right <= innerWidth + 1 && box.bottom <= innerHeight + 1;
}"""
# Interactive elements below the target size (WCAG 2.2, 2.5.8: 24 CSS pixels).
SMALL = """() => [...document.querySelectorAll("button, input, textarea, summary")]
    .filter(item => item.checkVisibility())
    .map(item => item.closest("label") ?? item)
    .filter(item => item.offsetHeight < 24 || item.offsetWidth < 24)
    .map(item => item.outerHTML)"""
CHINESE = r"() => /\p{Script=Han}/u.test(document.querySelector('SELECTOR').innerText)"
LABELS = r"""() => [...document.querySelectorAll("label, button, h2, [aria-label], [placeholder]")]
    .filter(item => item.checkVisibility())
    .map(item => item.innerText || item.getAttribute("aria-label") || item.placeholder || "")
    .filter(words => /[A-Za-z]{3}/.test(words))"""
DRAWN = """link => {
    const place = document.querySelector("#invite-qr");
    return place.dataset.text === link && place.querySelector("path") !== null;
}"""
MOVES = """() => document.getAnimations().filter(one => {
    const timing = one.effect.getComputedTiming();
    return timing.iterations * timing.duration > 1;
}).length"""
NOTIFIED = """
window.notified = []; window.asked = 0;
window.Notification = class {
    static permission = "default";
    static async requestPermission() { window.asked++; return (this.permission = "granted"); }
    constructor(title, options) { // as browsers do, it makes one, and shows it only if it is allowed
        const allowed = this.constructor.permission === "granted";
        if (allowed) window.notified.push([title, options?.body ?? ""]);
    }
    addEventListener() {}
    close() {}
};
"""


def examine(person, place):
    """axe-core finds nothing."""
    assert AXE.exists(), f"{AXE} is missing; run tools/deps test"
    if not person.js("() => !!window.axe"):
        person.call("Runtime.evaluate", expression=AXE.read_text())
    person.settle()
    found = person.js(EXAMINE)
    assert not found, f"{place}: " + "\n".join(found)


def lively(house, **options):
    """Two people in a room with all kinds of messages."""
    ana = house.person(**options)
    bo = house.person()
    ana.join("ana")
    bo.join("bo")
    ana.say("Good morning! Has anybody *seen* the `config.json`?")
    bo.say("It is at https://example.org/config, if you ask me.\nOr was it the other one? 😀")
    bo.say("你好, and שלום")
    ana.sees("你好, and שלום")
    return ana, bo


# ---- Accessibility -------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(1000, 700), PHONE], ids=["wide", "narrow"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(house, scheme, size):
    ana, bo = house.person(size=size), house.person()
    for person in (ana, bo):
        person.prefer(color_scheme=scheme)
    ana.arrive(password="wrong")
    examine(ana, "join form")
    ana.picture(f"{scheme}-join")
    ana.fill("#join-name", "ana")
    ana.press("Enter")
    ana.wait("() => document.querySelector('#join-error').textContent")
    examine(ana, "join form with a refusal")
    ana.join("ana")
    bo.join("bo")
    bo.say("`code`, *words* and https://example.org/")
    bo.say("/me waves, see https://例え.jp/")
    ana.say("/me waves back")
    ana.say("Good morning!")
    ana.sees("Good morning!", state="sent")
    bo.sees("Good morning!")
    ana.say("/nonsense")
    ana.wait_text("#room-hint", "/nonsense")
    examine(ana, "room")
    ana.picture(f"{scheme}-room")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.whisper("between us")
    ana.hears("between us", state="arrived")
    examine(ana, "conversation")
    ana.picture(f"{scheme}-private")
    ana.safety_number()
    examine(ana, "safety number")
    ana.picture(f"{scheme}-safety")
    ana.press("Escape")
    if size == PHONE:
        bo.say("meanwhile in the room")
        ana.wait_visible("#unread-elsewhere")
        examine(ana, "conversation over the room")
        ana.click("#talk-close")
        ana.click("#people-button")
        ana.wait_visible("#people-list")
        examine(ana, "people")
        ana.press("Escape")
    for sheet in ("invite", "settings"):
        ana.click(f"#{sheet}-button")
        ana.wait_visible(f"dialog#{sheet}[open]")
        examine(ana, sheet)
        ana.picture(f"{scheme}-{sheet}")
        ana.press("Escape")
        ana.wait_hidden(f"dialog#{sheet}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_in_warnings(house, scheme):
    """No keys, an unreadable message, a banner, a failed connection."""
    eve = house.stranger("eve")
    ana = house.person()
    ana.prefer(color_scheme=scheme)
    ana.expect_cut()
    ana.join("ana")
    ana.talk_to("eve")
    ana.talk_state("none")
    examine(ana, "conversation without keys")
    sealed = {
        "msgType": "PrivateMessage",
        "TgtUser": "ana",
        "Enc": "hpke-v1",
        "text": "00",
    }
    eve.send_text(json.dumps(sealed))
    ana.wait_visible("#talk .notice[data-kind=unreadable]")
    examine(ana, "unreadable message")
    ana.picture(f"{scheme}-warnings")
    ana.offline()
    ana.wait_lost()
    ana.say("into the void")
    examine(ana, "offline")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_the_trust_page(house, scheme):
    ana = house.person()
    ana.prefer(color_scheme=scheme)
    ana.open(ana.url("/trust"))
    ana.wait("() => /[0-9A-F]{2}(:[0-9A-F]{2}){31}/.test(document.body.innerText)")
    examine(ana, "trust page")
    ana.picture(f"{scheme}-trust")


DEVICE_PAGE = """() => {
    const shown = [...document.querySelectorAll("section")].filter(item => item.checkVisibility());
    const parts = [...shown[0].querySelectorAll("details")];
    return [shown.map(item => item.id), parts.filter(item => item.open).map(item => item.dataset.device),
        parts[0].dataset.device];
}"""


@pytest.mark.parametrize(
    "agent,touch,device",
    [
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8) Chrome/130", True, "android"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Safari/604.1", True, "ios"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15", True, "ios"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Safari/605.1.15", False, "macos"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/130", False, "windows"),
    ],
    ids=["android", "iphone", "ipad", "mac", "windows"],
)
def test_trust_page_begins_with_the_device_at_hand(house, agent, touch, device):
    ana = house.person()
    ana.resize(400, 800, phone=touch)
    ana.before_load(f"Object.defineProperty(navigator, 'maxTouchPoints', {{value: {5 * touch}}});")
    ana.call("Emulation.setUserAgentOverride", userAgent=agent)
    ana.open(ana.url("/trust"))
    assert ana.js(DEVICE_PAGE) == [["en"], [device], device]
    ana.click("nav [lang=zh-Hans]")
    ana.wait("() => document.querySelector('#zh').checkVisibility()", what="the other language")
    assert ana.js(DEVICE_PAGE) == [["zh"], [device], device]
    ana.picture(f"trust-{device}")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_refusal(house, scheme):
    ana = house.person()
    ana.forgive("404")
    ana.prefer(color_scheme=scheme)
    ana.open(ana.url("/nothing"))
    ana.wait_text("h1", "404 Not Found")
    examine(ana, "404")
    ana.picture(f"{scheme}-404")
    ana.click("a")
    ana.wait_visible("#join-form")


def test_by_keyboard_alone(house):
    """Joins, talks, opens a conversation and leaves it again without a mouse."""
    house.members("bo")
    ana = house.person()
    ana.arrive()
    if not ana.focused("#join-name"):
        ana.press("Tab")
    assert ana.focused("#join-name")
    ana.insert("ana")
    ana.press("Enter")
    ana.wait_online()
    ana.wait("() => document.activeElement.id === 'room-input'", what="the composer's focus")
    ana.insert("hello by keyboard")
    ana.press("Enter")
    ana.sees("hello by keyboard", state="sent")
    tab_to(ana, "[data-name=bo] button.person", back=True)
    ana.press("Enter")
    ana.talk_state("encrypted")
    ana.wait("() => document.activeElement.id === 'talk-input'", what="the focus in the talk")
    ana.insert("psst")
    ana.press("Enter")
    ana.hears("psst", state="arrived")
    tab_to(ana, "#invite-button", back=True)
    ana.press("Enter")
    ana.wait_visible("dialog#invite[open]")
    ana.press("Escape")
    ana.wait_hidden("dialog#invite")
    assert ana.focused("#invite-button"), "the focus goes back to where it was"


def tab_to(person, selector, back=False):
    """Presses Tab until the element has the focus; the focus is visible at each step."""
    seen = []
    shows = """() => {
        const one = document.activeElement;
        const rings = [one, one.parentElement, one.closest("form, label")].filter(Boolean);
        return rings.map(item => getComputedStyle(item))
            .some(style => style.outlineStyle !== "none" || style.boxShadow !== "none");
    }"""
    for _ in range(40):
        person.press("Tab", SHIFT if back else 0)
        name = "() => document.activeElement.id || document.activeElement.className"
        seen.append(person.js(name))
        if person.focused("body"):
            continue
        assert person.js(shows), f"the focus is not to be seen on {seen[-1]}"
        if person.focused(selector):
            return
    pytest.fail(f"Tab does not come to {selector}: {seen}")


def test_reduced_motion(house):
    ana = house.person()
    ana.prefer(reduced_motion="reduce")
    ana.join("ana")
    (bo,) = house.members("bo")
    for number in range(5):
        bo.say(f"{number}")
        ana.sees(f"{number}")
        assert ana.js(MOVES) == 0
    ana.click("#invite-button")
    assert ana.js(MOVES) == 0
    smooth = """() => [...document.querySelectorAll("*")].filter(item =>
        getComputedStyle(item).scrollBehavior === "smooth").length"""
    assert ana.js(smooth) == 0


# ---- Small, dark, Chinese ------------------------------------------------------------------------


def test_phone(house):
    """All controls are in view and large enough, also while the keyboard covers half the page."""
    ana = house.person()
    ana.resize(*PHONE, phone=True)
    ana.arrive()
    assert ana.js(IN_VIEW, "#join-button")
    ana.picture("phone-join")
    ana.join("ana")
    (bo,) = house.members("bo")
    for number in range(20):
        bo.say(f"message {number} " + "with some words " * (number % 4))
    ana.wait_text("#room .message .text", "message 19")
    for needed in ("#room-input", "#room-send", "#people-button", "#invite-button"):
        assert ana.js(IN_VIEW, needed), f"{needed} is out of view"
    assert ana.js(SMALL) == []
    ana.picture("phone-room")
    ana.tap("#room-input")
    ana.resize(*PHONE_WITH_KEYBOARD, phone=True)
    ana.wait(IN_VIEW, "#room-input", what="the composer to be above the keyboard")
    last = "#room .log .message:last-of-type"
    ana.wait(IN_VIEW, last, what="the newest message to be above the keyboard")
    ana.insert("typed on glass")
    ana.picture("phone-keyboard")
    ana.tap("#room-send")
    bo.sees("typed on glass", by="ana")
    ana.resize(*PHONE, phone=True)
    ana.tap("#people-button")
    ana.wait_visible("#people-list")
    ana.picture("phone-people")
    ana.tap("#people-list [data-name=bo] button.person")
    ana.talk_state("encrypted")
    ana.wait(IN_VIEW, "#talk-input")
    ana.picture("phone-private")
    ana.tap("#talk-close")
    ana.wait_hidden("#talk")
    ana.tap("#invite-button")
    ana.wait_visible("dialog#invite #invite-qr path")
    assert ana.js(SMALL) == []
    ana.picture("phone-invite")
    assert ana.js("() => document.scrollingElement.scrollWidth <= innerWidth")


def test_back_on_a_phone_closes_what_is_in_front(house):
    ana = house.person()
    ana.resize(*PHONE, phone=True)
    ana.join("ana")
    house.members("bo")
    ana.wait_text("#online-count", "2")
    for _ in range(2):
        ana.tap("#people-button")
        ana.wait(
            "() => document.body.dataset.people === 'open' && history.state",
            what="the people",
        )
        ana.tap("#people-list li[data-name=bo] button")
        ana.wait("() => !document.querySelector('#talk').hidden", what="the conversation")
        assert ana.js("() => history.state") == "in front"
        ana.js("() => history.back()")
        ana.wait(
            "() => document.querySelector('#talk').hidden",
            what="the conversation to close",
        )
        assert ana.js("() => document.body.dataset.view") == "chat"
    ana.tap("#people-button")
    ana.wait("() => history.state === 'in front'", what="the people")
    ana.js("() => history.back()")
    ana.wait("() => document.body.dataset.people !== 'open'", what="the people to close")
    ana.tap("#room-input")
    ana.insert("still here")
    ana.tap("#room-send")
    ana.sees("still here", by="ana")


def test_dark_and_light(house):
    """The page follows the system's colour scheme, also while it is open."""
    ana, _ = lively(house)
    luminance = """() => {
        const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g);
        return 0.3 * r + 0.6 * g + 0.1 * b;
    }"""
    ana.prefer(color_scheme="light")
    ana.wait(f"() => ({luminance})() > 200", what="a light page")
    ana.picture("room-light")
    ana.prefer(color_scheme="dark")
    ana.wait(f"() => ({luminance})() < 60", what="a dark page")
    ana.picture("room-dark")


def test_chinese(house):
    ana = house.person(language="zh-CN")
    ana.arrive()
    assert ana.js("() => document.documentElement.lang") == "zh-Hans"
    assert ana.js(CHINESE.replace("SELECTOR", "#join-form")) and ana.js(LABELS) == []
    ana.picture("chinese-join")
    ana.join("安娜")
    (bo,) = house.members("bo")
    bo.say("你好")
    ana.sees("你好", by="bo")
    assert ana.js(LABELS) in ([], ["bo"])
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.whisper("只有你能看到")
    ana.hears("只有你能看到", state="arrived")
    ana.picture("chinese-private")
    assert ana.js(CHINESE.replace("SELECTOR", "#talk-state"))


def test_other_languages_get_english(house):
    ana = house.person(language="fr-FR")
    ana.arrive()
    assert ana.js("() => document.documentElement.lang") == "en"


# ---- Inviting ------------------------------------------------------------------------------------


def open_invitation(person):
    person.click("#invite-button")
    person.wait_visible("dialog#invite #invite-qr path")
    return person.value("#invite-link")


def code_says(person, link, name):
    """The QR code on the screenshot decodes to this text."""
    person.wait(DRAWN, link, what=f"the code of {link}")
    assert read_qr(person.picture(name)) == link


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_invitation(house, scheme):
    """The password is in the link only if the inviter ticks it; the link works."""
    ana = house.person()
    ana.prefer(color_scheme=scheme)
    ana.join("ana", "/rooms/tea")
    link = open_invitation(ana)
    assert link == ana.url("/rooms/tea")
    code_says(ana, link, f"invite-{scheme}")
    ana.click("#invite-password")
    ana.wait("() => document.querySelector('#invite-link').value.includes('#')")
    whole = ana.value("#invite-link")
    assert whole == ana.url("/rooms/tea", PASSWORD)
    code_says(ana, whole, f"invite-{scheme}-password")
    bo = house.person()
    bo.follow(whole)
    bo.fill("#join-name", "bo")
    bo.press("Enter")
    bo.wait_online()
    assert sorted(bo.people()) == ["ana", "bo"]


def test_invitation_without_a_password(open_house):
    ana = open_house(server_password="").person()
    ana.join("ana", password=None)
    assert open_invitation(ana) == ana.url("/")
    assert not ana.visible("#invite-password")


def test_invitation_that_no_code_holds(open_house):
    """A link of more than 560 bytes is shown with a note that there is no code for it."""
    password = "p" * 200
    ana = open_house(server_password=password).person()
    ana.join("ana", "/rooms/" + "%F0%9F%8D%B5" * 32, password)
    open_invitation(ana)
    assert ana.text("#invite-error") == ""
    ana.click("#invite-password")
    ana.wait("() => document.querySelector('#invite-error').textContent")
    assert ana.value("#invite-link").endswith("#" + password)
    assert not ana.visible("#invite-qr path")
    ana.click("#invite-password")
    ana.wait_visible("#invite-qr path")
    assert ana.text("#invite-error") == ""


@pytest.mark.parametrize("size", [(1280, 800), PHONE])
def test_empty_room_is_an_invitation(house, size):
    """Its code leads here without the password; the first message takes its place."""
    ana = house.person()
    ana.resize(*size, phone=size == PHONE)
    ana.join("ana", "/rooms/tea")
    ana.wait_visible("#empty-qr path")
    assert ana.value("#empty-link") == ana.url("/rooms/tea")
    assert ana.visible("#empty-local"), "127.0.0.1 invites nobody else"
    assert ana.visible("#empty-password") and "password" in ana.text("#empty-password")
    assert ana.js("() => document.scrollingElement.scrollWidth <= innerWidth")
    assert ana.js("() => document.querySelector('#room .scroller').scrollTop") == 0
    examine(ana, "empty room")
    picture = ana.picture(f"empty-room-{size[0]}")
    if size != PHONE:
        assert read_qr(picture) == ana.url("/rooms/tea")
    ana.type("hello?")
    ana.click("#room-send")
    ana.sees("hello?", state="sent")
    assert not ana.visible("#room .invitation")


# ---- Notifications -------------------------------------------------------------------------------


@NEEDS_TABS
def test_notifications_are_asked_for_only_by_the_switch(house):
    """When switched on, only mentions and private messages notify."""
    ana = house.person()
    ana.before_load(NOTIFIED)
    ana.join("ana")
    (bo,) = house.members("bo")
    bo.say("@ana, a mention before the switch")
    ana.sees("@ana, a mention before the switch")
    assert ana.js("() => [window.asked, window.notified.length]") == [0, 0]
    ana.click("#settings-button")
    ana.wait_visible("#notify")
    ana.picture("settings")
    ana.click("#notify")
    ana.wait("() => window.asked === 1")
    ana.wait("() => window.notified.splice(0).length === 1", what="a word that it works")
    ana.press("Escape")
    cover = ana.cover()
    bo.say("nobody's name")
    bo.say("ana, not a mention without the sign")
    bo.say("hello @ana, a mention")
    ana.wait("() => window.notified.length", what="a notification of the mention")
    bo.talk_to("ana")
    bo.talk_state("encrypted")
    bo.whisper("a private word")
    ana.wait(
        "() => window.notified.length === 2",
        what="a notification of the private message",
    )
    told = ana.js("() => window.notified")
    assert "bo" in "".join(told[0]) and "bo" in "".join(told[1])
    cover.close()


PHONE_NOTIFICATIONS = """
window.asked = 0;
window.Notification = class {
    static permission = "PERMISSION";
    static async requestPermission() { window.asked++; return (this.permission = "granted"); }
    constructor() { throw new TypeError("Illegal constructor. Use ServiceWorkerRegistration."); }
};
"""


@pytest.mark.parametrize("permission", ["default", "granted"])
def test_switch_says_if_the_browser_cannot_show_notifications(house, permission):
    """Chromium on Android has the class and grants the permission, but shows no notification."""
    ana = house.person()
    ana.before_load(PHONE_NOTIFICATIONS.replace("PERMISSION", permission))
    ana.join("ana")
    ana.click("#settings-button")
    ana.wait_visible("#notify-note")
    if permission == "granted":
        ana.click("#notify")
    ana.wait("() => document.querySelector('#notify').disabled", what="the switch to be off")
    assert not ana.js("() => document.querySelector('#notify').checked")
    assert "cannot show" in ana.text("#notify-note")
    assert ana.js("() => window.asked") == (permission == "granted")
    assert ana.js("() => localStorage.getItem('ragnarok.notify')") is None
