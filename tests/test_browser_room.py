# SPDX-License-Identifier: MIT
"""The page in a real browser: coming in, talking in the room, and what texts are shown as."""
import json

import pytest

from browser import SHIFT
from helpers import PASSWORD
from person import AT_BOTTOM, in_browser

pytestmark = in_browser("room")

PHONE = (360, 640)
IS_LATER = """
const parse = JSON.parse;
JSON.parse = (...given) => {
    const message = parse(...given);
    if (message?.Id === 1) message.Time -= 86400000;
    return message;
};
"""  # the first message of the room is of yesterday
NO_SIDEWAYS = "() => document.scrollingElement.scrollWidth <= innerWidth"
# As a reader does, who has seen the end before; the page has heard of it when this is done.
SCROLL_UP = """async top => {
    const frame = () => new Promise(requestAnimationFrame);
    const scroller = document.querySelector("#room .scroller");
    await frame().then(frame);
    const heard = new Promise(done => scroller.addEventListener("scroll", done, {once: true}));
    scroller.scrollTop = top;
    await heard.then(frame);
}"""
MARKUP = """() => [...document.querySelectorAll("#room .message .text *")]
    .map(item => item.localName)"""


# ---- Coming in -----------------------------------------------------------------------------------


def test_join_form(house):
    """The link's fragment holds the password; the name is remembered, the password is not."""
    ana = house.person()
    ana.arrive()
    assert "Ks" in ana.text("#join-title")
    assert ana.value("#join-password") == PASSWORD
    ana.picture("join")
    ana.join("ana")
    stored = ana.js("() => JSON.stringify([...Object.entries(localStorage), document.cookie])")
    assert "ana" in stored and PASSWORD not in stored
    ana.open("about:blank")
    ana.arrive(password=None)
    assert ana.value("#join-name") == "ana" and ana.value("#join-password") == ""


def test_password_with_any_characters(open_house):
    password = "früh & spät#100%/?"
    house = open_house(server_password=password)
    ana = house.person()
    ana.open(house.server.url().replace("wss", "https"))
    encoded = ana.js("p => encodeURIComponent(p)", password)
    ana.open("about:blank")
    ana.join("ana", password=encoded)


def test_no_password_is_asked_for_where_there_is_none(open_house):
    house = open_house(server_password="")
    ana = house.person()
    ana.arrive(password=None)
    assert not ana.visible("#join-password-field")
    ana.join("ana", password=None)


def refused(person, code, name="ana", password=None):
    """Tries to join, and is told why not."""
    person.fill("#join-name", name)
    if password is not None:
        person.fill("#join-password", password)
    person.press("Enter")
    says = "code => document.querySelector('#join-error').dataset.code === code"
    person.wait(says, code, what=f"the refusal {code}")
    assert person.text("#join-error").strip()


def test_wrong_password_may_be_tried_again(house):
    ana = house.person()
    ana.arrive(password="wrong-one")
    refused(ana, "wrong_password")
    ana.picture("join-wrong-password")
    ana.fill("#join-password", PASSWORD)
    ana.press("Enter")
    ana.wait_online()


def test_taken_name(house):
    house.members("ana")
    other = house.person()
    other.arrive()
    refused(other, "name_taken", "Ana")
    other.picture("join-name-taken")
    other.fill("#join-name", "bo")
    other.press("Enter")
    other.wait_online()


@pytest.mark.parametrize("name", ["an\u200ba", "\u202eana", "n" * 33])
def test_name_that_is_not_allowed(house, name):
    ana = house.person()
    ana.arrive()
    ana.fill("#join-name", name)
    if ana.value("#join-name") == name:  # a field may also keep it from being typed
        refused(ana, "bad_name", name)
    else:
        assert len(ana.value("#join-name")) <= 32


def test_rooms_are_apart(house):
    (ana,) = house.members("ana")
    bo, cem = house.members("bo", "cem", path="/rooms/t%C3%A9")
    bo.say("tea?")
    cem.sees("tea?", by="bo")
    cem.say("with milk")
    bo.sees("with milk", by="cem")
    ana.say("nobody here")
    ana.sees("nobody here", state="sent")
    assert ana.texts() == ["nobody here"] and ana.people() == ["ana"]
    assert "té" in bo.text("#room-title")


# ---- Talking -------------------------------------------------------------------------------------


def test_three_people_talk(house):
    ana, bo, cem = house.members("ana", "bo", "cem")
    for person in (ana, bo, cem):
        person.wait_text("#online-count", "3")
        assert sorted(person.people()) == ["ana", "bo", "cem"]
    ana.say("Hello, both of you.")
    bo.sees("Hello, both of you.", by="ana")
    bo.say("Hello, Ana!")
    cem.sees("Hello, Ana!", by="bo")
    cem.say("And me?")
    for person in (ana, bo, cem):
        person.sees("And me?", by="cem")
        assert person.texts() == ["Hello, both of you.", "Hello, Ana!", "And me?"]
    own = ana.sees("Hello, both of you.", state="sent")
    assert own["own"] and not bo.sees("Hello, both of you.")["own"]
    ana.picture("room-three-people")


def test_leaving_is_seen(house):
    ana, bo = house.members("ana", "bo")
    bo.click("#settings-button")
    bo.click("#leave")
    bo.wait_visible("#join-form")
    ana.wait("() => document.querySelector('#online-count').dataset.count === '1'")
    assert ana.people() == ["ana"]


def test_history_is_not_read_aloud(house):
    """What was said before stands outside of the live region; what is said now, inside."""
    (ana,) = house.members("ana")
    ana.say("an old word")
    ana.sees("an old word", state="sent")
    (bo,) = house.members("bo")
    assert bo.texts() == ["an old word"]
    assert "an old word" not in bo.text("#room [role=log]")
    ana.say("a new word")
    bo.sees("a new word")
    assert "a new word" in bo.text("#room [role=log]")


def test_times_and_days(house):
    ana = house.person()
    ana.before_load(IS_LATER)
    ana.join("ana")
    ana.say("yesterday")
    ana.sees("yesterday", state="sent")
    ana.say("today")
    ana.sees("today", state="sent")
    (bo,) = house.members("bo")
    assert bo.count("#room .day") <= 1, "all of it is of one day"
    ana.come_back()
    ana.sees("today")
    kinds = (
        "() => [...document.querySelectorAll('#room .day, #room .message')].map(i => i.className)"
    )
    shown = [name.split()[0] for name in ana.js(kinds)]
    assert shown == ["day", "message", "day", "message"], shown
    stamp = ana.js(
        "() => { const t = document.querySelector('#room time'); return [t.dateTime, t.title]; }"
    )
    assert stamp[0][:2] == "20" and len(stamp[1]) > 10, "the full stamp on hover"


# ---- The composer --------------------------------------------------------------------------------


def test_enter_sends_and_shift_enter_does_not(house):
    ana, bo = house.members("ana", "bo")
    ana.type("one")
    ana.press("Enter", SHIFT)
    ana.insert("two")
    assert ana.value("#room-input") == "one\ntwo"
    ana.press("Enter")
    bo.sees("one\ntwo", by="ana")
    assert ana.value("#room-input") == ""
    ana.type("   \n ")
    ana.press("Enter")
    ana.say("by the button")
    assert bo.sees("by the button") and bo.texts() == ["one\ntwo", "by the button"]
    ana.type("clicked")
    ana.click("#room-send")
    bo.sees("clicked", by="ana")


def test_enter_of_an_input_method_does_not_send(house):
    """While a text is composed, Enter belongs to the input method (isComposing, or keyCode 229)."""
    ana, bo = house.members("ana", "bo")
    ana.click("#room-input")
    ana.compose("ni hao")
    ana.press("Enter", code=229)
    ana.insert("你好")
    ana.press("Enter", code=229)  # as Safari sends it, after the composition has ended
    assert ana.value("#room-input") == "你好"
    ana.press("Enter")
    bo.sees("你好", by="ana")
    assert bo.texts() == ["你好"]


def test_enter_of_a_touch_keyboard_is_a_new_line(house):
    (ana,) = house.members("ana")
    bo = house.person()
    bo.resize(*PHONE, phone=True)
    bo.join("bo")
    bo.tap("#room-input")
    bo.insert("one")
    bo.press("Enter")
    bo.insert("two")
    assert bo.value("#room-input") == "one\ntwo"
    bo.tap("#room-send")
    ana.sees("one\ntwo", by="bo")


def test_tab_completes_names(house):
    ana, _, _ = house.members("ana", "bohumil", "boris")
    ana.wait_text("#online-count", "3")
    ana.type("hello boh")
    ana.press("Tab")
    assert ana.value("#room-input") == "hello @bohumil " and ana.focused("#room-input")
    ana.type("bo")
    offered = []
    for _ in range(3):
        ana.press("Tab")
        offered.append(ana.value("#room-input"))
    assert offered == ["@bohumil ", "@boris ", "@bohumil "]
    ana.type("nobody ha")
    ana.press("Tab")
    assert not ana.focused("#room-input"), "where there is no name, Tab goes on"


def test_counter_before_a_text_is_too_long(open_house):
    ana, bo = open_house(max_message_bytes=1024).members("ana", "bo")
    assert not ana.visible("#room-counter")
    ana.type("é" * 700)
    left = "() => Number(document.querySelector('#room-counter').dataset.left)"
    ana.wait(f"() => ({left})() < 0", what="the counter to be below zero")
    assert ana.visible("#room-counter")
    ana.picture("room-too-long")
    ana.press("Enter")
    assert ana.value("#room-input") == "é" * 700, "what is too long is kept"
    spare = -ana.js(left) // 2 + 1
    ana.say("é" * (700 - spare))
    bo.sees("é" * (700 - spare), by="ana")
    assert len(bo.texts()) == 1


# ---- What texts are shown as ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇳 👍🏽",
        "今天天气很好,我们去喝茶吧。日本語も한국어도",
        "مرحبا بالعالم hello",
        "w" * 5000,
        "https://example.org/" + "a" * 2000,
        "<img src=x onerror=alert(1)><script>alert(2)</script><b>bold</b>&lt;",
        "zalgo: Z̴̛̺a̷̭͌l̵̰̽g̶̳̈́o̷͓͝",
        "line\n" * 300 + "end",
    ],
    ids=["emoji", "cjk", "rtl", "long-word", "long-link", "html", "zalgo", "many-lines"],
)
def test_text_is_shown_as_it_is(house, text, request):
    ana, bo = house.members("ana", "bo", size=PHONE)
    ana.say(text)
    bo.wait_visible("#room .message")
    bo.picture(f"text-{request.node.callspec.id}")
    assert bo.js(NO_SIDEWAYS), "nothing reaches out of the page"
    if bo.visible("#room .show-all"):
        bo.click("#room .show-all")
    bo.sees(text, by="ana")
    assert bo.js(NO_SIDEWAYS), "nothing reaches out of the page"
    assert set(bo.js(MARKUP)) <= {"a", "wbr", "br"}


def test_direction_is_each_text_s_own(house):
    ana, bo = house.members("ana", "bo")
    ana.say("שלום")
    ana.say("hello")
    bo.sees("hello")
    directions = """() => [...document.querySelectorAll("#room .text")]
        .map(item => getComputedStyle(item).direction)"""
    assert bo.js(directions) == ["rtl", "ltr"]


def test_huge_message(house):
    """It is folded, and opens whole."""
    ana, bo = house.members("ana", "bo")
    text = "many words " * 5500
    ana.say(text.strip())
    bo.wait_visible("#room .message .show-all")
    height = "() => document.querySelector('#room .message').getBoundingClientRect().height"
    folded = bo.js(height)
    assert folded < 700
    bo.picture("text-huge")
    bo.click("#room .message .show-all")
    bo.wait(f"least => ({height})() > least", folded * 2)
    bo.sees(text.strip())


def test_links(house):
    ana, bo = house.members("ana", "bo")
    ana.say(
        "see https://example.org/a?b=c&d#e, (http://example.org/x) javascript:alert(1)"
        " data:text/html,x ftp://example.org file:///etc/passwd HTTPS://EXAMPLE.ORG/Y."
    )
    bo.wait_visible("#room .text a")
    links = """() => [...document.querySelectorAll("#room .text a")]
        .map(link => [link.getAttribute("href"), link.target, link.rel])"""
    found = bo.js(links)
    assert [href.lower() for href, _, _ in found] == [
        "https://example.org/a?b=c&d#e",
        "http://example.org/x",
        "https://example.org/y",
    ]
    for _, target, rel in found:
        assert target == "_blank" and "noopener" in rel and "noreferrer" in rel


def test_code_and_emphasis(house):
    ana, bo = house.members("ana", "bo")
    ana.say("run `make *all*` and be *happy*, not 2*3*4 nor `open")
    bo.wait_visible("#room .text code")
    parts = """name => [...document.querySelectorAll(`#room .text ${name}`)]
        .map(item => item.textContent.replace(/[`*]/g, ""))"""
    assert bo.js(parts, "code") == ["make all"]
    assert bo.js(parts, "em") == ["happy"]
    assert "2*3*4 nor `open" in bo.texts()[0]
    bo.picture("text-markup")


# ---- Where one reads -----------------------------------------------------------------------------


def fill_room(house, count):
    """Somebody has said so much that the room is longer than the window."""
    talker = house.stranger("talker")
    for number in range(count):
        talker.send_text(json.dumps({"msgType": "Broadcast", "text": f"line {number}"}))
    return talker


def test_stays_at_the_bottom_only_if_it_was_there(house):
    (ana,) = house.members("ana")
    talker = fill_room(house, 40)
    ana.sees("line 39")
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    assert not ana.visible("#room-new")
    ana.js(SCROLL_UP, 50)
    top = ana.js("() => document.querySelector('#room .scroller').scrollTop")
    for text in ("more", "and more"):
        talker.send_text(json.dumps({"msgType": "Broadcast", "text": text}))
    ana.wait("() => document.querySelector('#room-new').dataset.count === '2'")
    assert ana.visible("#room-new")
    assert ana.js("() => document.querySelector('#room .scroller').scrollTop") == top
    ana.picture("room-new-messages")
    ana.click("#room-new")
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    ana.wait_hidden("#room-new")


def test_own_message_brings_to_the_bottom(house):
    (ana,) = house.members("ana")
    fill_room(house, 40)
    ana.sees("line 39")
    ana.js(SCROLL_UP, 0)
    ana.say("mine")
    ana.sees("mine", state="sent")
    ana.wait(AT_BOTTOM, "room", what="the own message to be in view")


def test_unread_count_in_the_title(house):
    ana, bo = house.members("ana", "bo")
    title = ana.js("() => document.title")
    cover = ana.cover()
    bo.say("one")
    bo.say("two")
    ana.wait("() => /\\b2\\b/.test(document.title)", what="the title to tell of 2 messages")
    cover.close()
    ana.call("Page.bringToFront")
    ana.wait("title => document.title === title", title, what="the title to be as it was")
