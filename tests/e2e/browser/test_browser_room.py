# SPDX-License-Identifier: MIT
"""The page in a real browser: joining, talking in the room, and the rendering of texts."""
import json

import pytest

from browser import SHIFT
from browser_user import AT_BOTTOM, GREETED, NEEDS_TABS, SOCKET, in_browser
from helpers import PASSWORD, ROOT

pytestmark = in_browser("room")

PHONE = (360, 640)
IS_LATER = """
const parse = JSON.parse;
JSON.parse = (...given) => {
    const message = parse(...given);
    if (message?.Id === 1) message.Time -= 86400000;
    return message;
};
"""  # the first message of the room is from yesterday
# A server that refuses the first correct password for two seconds, then accepts it.
THROTTLED = """
const parse = JSON.parse;
window.refusals = 1;
JSON.parse = (...given) => {
    const message = parse(...given);
    if (message?.msgType !== "Joined" || window.refusals === 0) return message;
    window.refusals--;
    return {msgType: "Error", Code: "throttled", text: "for a while", RetryAfter: 2};
};
"""
# A server that lies about times, and an item that cannot be drawn.
BAD_TIMES = """
const parse = JSON.parse;
const times = {2: 1e300, 3: -8.65e15, 4: "soon", 5: null};
JSON.parse = (...given) => {
    const message = parse(...given);
    if (message?.Id in times) message.Time = times[message.Id];
    if (message?.Id === 7) message.Time = 4711;
    return message;
};
const toISOString = Date.prototype.toISOString;
Date.prototype.toISOString = function () {
    if (this.getTime() === 4711) throw new Error("for whatever reason");
    return toISOString.call(this);
};
"""
# The test injects messages of the server, all at once: `hear(count)`.
PUPPET = SOCKET + """
let id = 1000;
window.hear = count => {
    for (; count > 0; count--) {
        const said = {SrcUser: "bo", text: `${id}`, Id: id++, Time: Date.now()};
        const message = {msgType: "Broadcast", ...said};
        window.socket.onmessage({data: JSON.stringify(message)});
    }
};
window.frame = () => new Promise(requestAnimationFrame);
"""
# Drops or pastes as the system does; returns whether the page prevented the default action.
GIVE = """(kind, selector, type, content) => {
    const transfer = new DataTransfer();
    if (type === "Files") transfer.items.add(new File([content], "cat.png", {type: "image/png"}));
    else transfer.setData(type, content);
    const given = {bubbles: true, cancelable: true};
    const event = kind === "paste"
        ? new ClipboardEvent(kind, {...given, clipboardData: transfer})
        : new DragEvent(kind, {...given, dataTransfer: transfer});
    document.querySelector(selector).dispatchEvent(event);
    return event.defaultPrevented;
}"""
NO_SIDEWAYS = "() => document.scrollingElement.scrollWidth <= innerWidth"
# Scrolls as a user at the end would, and waits until the page has handled it.
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
    """The link's fragment holds the password; the browser remembers the name, the password only the
    tab does. It is removed from the address once read, and from the field once used."""
    ana = house.person()
    ana.arrive()
    assert "Ks" in ana.text("#join-title")
    assert ana.value("#join-password") == PASSWORD
    assert ana.js("() => location.href") == ana.url("/")
    entries = ana.call("Page.getNavigationHistory")["entries"]
    assert not any(PASSWORD in entry["url"] for entry in entries)
    ana.picture("join")
    ana.join("ana")
    stored = ana.js("() => JSON.stringify([...Object.entries(localStorage), document.cookie])")
    assert "ana" in stored and PASSWORD not in stored
    assert ana.value("#join-password") == ""
    other = house.person(context=ana.context)
    other.arrive(password=None)
    assert other.value("#join-name") == "ana" and other.value("#join-password") == ""


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
    """Tries to join, and sees the reason of the refusal."""
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
    if ana.value("#join-name") == name:  # the field may also reject it while typing
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


def test_wait_that_the_server_asks_for_is_counted_down(house):
    """Then the page tries again once with the typed input."""
    ana = house.person()
    ana.before_load(THROTTLED)
    ana.arrive()
    refused(ana, "throttled")
    ana.wait_text("#join-error", "wait for 2 seconds")
    ana.picture("join-throttled")
    assert not ana.js("() => document.querySelector('#join-name').ariaInvalid === 'true'")
    ana.wait_text("#join-error", "wait for 1 second.")
    ana.wait_online()


def test_the_wait_is_followed_by_one_try(house):
    ana = house.person()
    ana.before_load(THROTTLED)
    ana.arrive()
    ana.js("() => { window.refusals = 9; }")
    refused(ana, "throttled")
    ana.wait_text("#join-error", "You can try again now.")
    assert ana.js("() => window.refusals") == 7, "the first try, and the one that followed"
    ana.js("() => { window.refusals = 0; }")
    ana.click("#join-button")
    ana.wait_online()


def test_what_is_half_typed_is_not_tried(house):
    ana = house.person()
    ana.before_load(THROTTLED)
    ana.arrive()
    refused(ana, "throttled")
    ana.fill("#join-password", "half of a")
    ana.wait_text("#join-error", "You can try again now.")
    assert ana.js("() => window.refusals") == 0 and ana.visible("#join-form")


def test_leaving_forgets_the_password(house):
    ana = house.person().join("ana", "/rooms/tea")
    ana.click("#settings-button")
    ana.click("#leave")
    ana.wait_visible("#join-form")
    ana.wait(GREETED, "Ks", what="the form to be ready")
    assert ana.value("#join-password") == "" and ana.value("#join-name") == "ana"
    assert ana.js("() => location.href") == ana.url("/rooms/tea")
    ana.join("ana", "/rooms/tea")


def test_history_is_not_read_aloud(house):
    """History is outside of the live region; new messages are inside."""
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


def test_a_bad_time_does_not_end_the_log(house):
    """Nor does an item that cannot be drawn: all later items are shown."""
    ana = house.person()
    ana.before_load(BAD_TIMES)
    ana.join("ana")
    ana.forgive("could not be drawn")
    (bo,) = house.members("bo")
    for number in range(1, 9):
        bo.say(f"text {number}")
    ana.sees("text 8")
    assert ana.texts() == [f"text {number}" for number in (1, 2, 3, 4, 5, 6, 8)]
    assert ana.count("#room .notice[data-kind=failed]") == 1
    ana.picture("room-bad-times")
    late = house.person()
    late.before_load(BAD_TIMES)
    late.forgive("could not be drawn")
    late.join("late")
    late.sees("text 8")
    assert len(late.texts()) == 7, "likewise in the history"


def test_people_stand_in_the_order_that_people_expect(house):
    (ana,) = house.members("ana")
    for name in ("Zoë", "bob", "Émile", "Carl"):
        house.stranger(name)
    ana.wait_text("#online-count", "5")
    assert ana.people() == ["ana", "bob", "Carl", "Émile", "Zoë"]


# ---- Commands ------------------------------------------------------------------------------------


def held_back(person, text, word, where="room"):
    """The typed text stays in the composer, with a hint."""
    person.say(text, where)
    person.wait_text(f"#{where}-hint", word)
    assert person.value(f"#{where}-input") == text


def test_no_command_is_said_to_the_room_by_accident(house):
    ana, bo = house.members("ana", "bo")
    held_back(ana, "/nonsense my secret", "no command /nonsense")
    ana.picture("room-command-held-back")
    held_back(ana, "  /Msg nobody my secret", "called nobody")
    held_back(ana, "/msg", "/msg NAME TEXT")
    held_back(ana, "/me", "/me TEXT")
    held_back(ana, "/nick " + "n" * 33, "32")
    ana.type("//nonsense is no command")
    assert not ana.visible("#room-hint"), "the hint goes when something else is typed"
    ana.press("Enter")
    bo.sees("/nonsense is no command", by="ana")
    ana.say("/help")
    ana.wait_visible("#room .notice[data-kind=help]")
    ana.picture("room-help")
    ana.say("the end")
    bo.sees("the end")
    assert bo.texts() == ["/nonsense is no command", "the end"]
    assert not any("secret" in frame for frame in ana.frames)


def test_msg_writes_to_one_person(house):
    ana, bo, _ = house.members("ana", "bo", "Cem Y")
    ana.wait_text("#online-count", "3")
    ana.say("/msg BO my secret")
    ana.hears("my secret", state="sent")
    assert ana.focused("#talk-input") and ana.value("#room-input") == ""
    bo.talk_to("ana")
    bo.hears("my secret", by="ana")
    ana.say('/msg "cem y" another')
    ana.wait("() => document.querySelector('#talk').dataset.with === 'Cem Y'")
    ana.hears("another", state="sent")
    held_back(ana, "/msg Cem Y another", "called Cem")
    ana.say("/msg @bo", "talk")
    ana.wait("() => document.querySelector('#talk').dataset.with === 'bo'")
    assert bo.texts() == [] == ana.texts()
    assert not any("secret" in frame for frame in ana.frames + bo.frames)


def test_msg_to_somebody_without_keys_waits_for_a_choice(house):
    """The text stays in the composer of the conversation, as if typed there."""
    eve = house.stranger("eve")
    (ana,) = house.members("ana")
    ana.talk_to("eve")
    ana.talk_state("none")
    ana.type("begun", "talk")
    ana.say("/msg eve my secret")
    assert ana.value("#talk-input") == "begun\nmy secret"
    assert not any("secret" in frame for frame in ana.frames)
    eve.send_text(json.dumps({"msgType": "Broadcast", "text": "the end"}))
    ana.sees("the end")
    assert ana.texts("talk") == []


def test_commands_in_a_private_conversation(house):
    ana, bo = house.members("ana", "bo")
    for person, other in ((ana, "bo"), (bo, "ana")):
        person.talk_to(other)
        person.talk_state("encrypted")
    held_back(ana, "/nonsense", "no command /nonsense", "talk")
    ana.whisper("/me waves")
    bo.hears("* ana waves", by="ana")
    ana.hears("* ana waves", state="sent")
    ana.whisper("/help")
    ana.wait_visible("#talk .notice[data-kind=help]")
    ana.picture("private-help")
    ana.whisper("//help")
    bo.hears("/help", by="ana")
    assert bo.texts("talk") == ["* ana waves", "/help"] and bo.texts() == []


def test_what_somebody_does_is_told_in_a_line(house):
    ana, bo = house.members("ana", "bo")
    bo.say("hello")
    ana.say("/me waves at *everybody*")
    ana.say("and sits down")
    bo.sees("* ana waves at everybody", by="ana")
    bo.sees("and sits down")
    bo.picture("room-action")
    sent = [json.loads(frame).get("text") for frame in ana.frames if "waves" in frame]
    assert set(sent) == {"/me waves at *everybody*"}
    heads = """() => [...document.querySelectorAll("#room .message")]
        .map(item => item.querySelector(".bubble > .author")?.textContent ?? null)"""
    assert bo.js(heads) == ["bo", None, "ana"]


def test_nick_takes_another_name(house):
    ana, bo = house.members("ana", "bo")
    ana.say("before")
    bo.sees("before", by="ana")
    ana.sees("before", state="sent")
    ana.say("/nick Bo")
    ana.wait_text("#room .notice[data-kind=help]", "You are still ana, and not Bo")
    ana.picture("room-nick-refused")
    ana.say("still here")
    bo.sees("still here", by="ana")
    ana.sees("still here", state="sent")
    ana.say('/nick "anna maria"')
    ana.wait_text("#room .notice[data-kind=name]", "You are anna maria now.")
    ana.wait_online()
    for person in (ana, bo):
        person.wait("() => document.querySelector('#online-count').dataset.count === '2'")
        assert person.people() == ["anna maria", "bo"]
    assert ana.text("#people-list [data-self] .name") == "anna maria"
    ana.say("me again")
    assert ana.sees("me again", state="sent")["own"]
    bo.sees("me again", by="anna maria")
    bo.say("hello anna")
    ana.sees("hello anna", by="bo")
    assert ana.texts() == ["before", "still here", "me again", "hello anna"] == bo.texts()
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.whisper("under my new name")
    bo.talk_to("anna maria")
    bo.hears("under my new name", by="anna maria")
    ana.come_back()
    ana.say("still under it")
    bo.sees("still under it", by="anna maria")


# ---- Files ---------------------------------------------------------------------------------------


def test_a_dropped_file_never_leaves_the_chat(house):
    ana = house.person()
    ana.arrive()
    for kind in ("dragover", "drop"):
        assert ana.js(GIVE, kind, "#join-form", "Files", "x"), "on the form, too"
    ana.join("ana")
    for selector in ("#room .scroller", "#people", "#room-input"):
        assert ana.js(GIVE, "dragover", selector, "Files", "x")
        assert ana.js(GIVE, "drop", selector, "Files", "x")
        ana.wait_text("#room-hint", "cannot be sent yet")
    ana.picture("room-file-dropped")
    assert ana.js(GIVE, "drop", "#room .scroller", "text/uri-list", "https://example.org/")
    for kind in ("dragover", "drop"):
        assert not ana.js(GIVE, kind, "#room-input", "text/plain", "words"), "words may be dropped"
    ana.type("x")
    assert not ana.visible("#room-hint")


def test_a_pasted_file_is_not_passed_over_in_silence(house):
    (ana, _) = house.members("ana", "bo")
    assert ana.js(GIVE, "paste", "#room-input", "Files", "x")
    ana.wait_text("#room-hint", "cannot be sent yet")
    assert not ana.js(GIVE, "paste", "#room-input", "text/plain", "words")
    ana.talk_to("bo")
    assert ana.js(GIVE, "paste", "#talk-input", "Files", "x")
    ana.wait_text("#talk-hint", "cannot be sent yet")


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
    """During composition Enter belongs to the input method (isComposing, or keyCode 229)."""
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
    assert offered == ["@bohumil ", "@boris ", "bo"], "each once, and then what was typed"
    ana.press("Tab")
    assert ana.focused("#room-send") and ana.value("#room-input") == "bo"
    ana.type("nobody ha")
    ana.press("Tab")
    assert not ana.focused("#room-input"), "where there is no name, Tab goes on"


def test_tab_never_holds_the_focus(house):
    """After a completion it moves on to Send; without letters just typed it completes nothing."""
    ana, _ = house.members("ana", "bohumil")
    ana.wait_text("#online-count", "2")
    ana.type("hello bo")
    ana.press("Tab")
    assert ana.value("#room-input") == "hello @bohumil "
    ana.press("Tab")
    assert ana.focused("#room-send") and ana.value("#room-input") == "hello @bohumil "
    ana.type("bo")
    ana.press("Home")
    ana.press("End")
    ana.press("Tab")
    assert ana.focused("#room-send") and ana.value("#room-input") == "bo"
    ana.press("Tab", SHIFT)
    ana.press("Tab")
    assert ana.focused("#room-send") and ana.value("#room-input") == "bo"
    ana.type("@bo")
    ana.press("Home")
    ana.press("End")
    ana.press("Tab")
    assert ana.value("#room-input") == "@bohumil ", "behind an @ it completes all the same"
    ana.type("/msg bo")
    ana.press("Tab")
    assert ana.value("#room-input") == "/msg bohumil "


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
    """It is folded, and unfolds completely."""
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


def test_links_lead_where_they_seem_to(house):
    ana, bo = house.members("ana", "bo")
    ana.say(
        "https://bank.example@evil.example/ https://раураl.com/"
        " \u202ehttps://evil.example/\u202egro.elpmaxe"
    )
    bo.wait_visible("#room .text a")
    links = """() => [...document.querySelectorAll("#room .text a")].map(link => [link.href,
        link.textContent, getComputedStyle(link, "::after").content,
        getComputedStyle(link).unicodeBidi, getComputedStyle(link).direction])"""
    found = bo.js(links)
    assert [link[:3] for link in found] == [
        ["https://xn--l-7sba6dbr.com/", "https://раураl.com/", '" [xn--l-7sba6dbr.com]"'],
        ["https://evil.example/", "https://evil.example/", "none"],
    ]
    assert all(link[3:] == ["isolate", "ltr"] for link in found)
    bo.picture("text-links")


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
    """A room with more messages than fit into the window."""
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


def test_follows_though_the_oldest_are_taken_out(house):
    """When content above shrinks, the browser itself scrolls up: not a user's action."""
    ana = house.person()
    ana.before_load(PUPPET)
    ana.join("ana")
    flood = """async () => {
        const button = document.querySelector("#room-new");
        const seen = new MutationObserver(() => { window.lost ||= !button.hidden; });
        seen.observe(button, {attributes: true});
        const inFrame = requestAnimationFrame;
        for (let n = 0; n < 40; n++) {
            inFrame(() => hear(30)); // which may take out the oldest
            hear(1); // from now on the page means to scroll to the end in that frame, behind that
            inFrame(() => {
                inFrame(() => hear(1)); // now the page has heard of the scrolling
                hear(5);
            });
            await frame().then(frame).then(frame).then(frame);
        }
        await frame().then(frame);
    }"""
    ana.js(flood)
    assert ana.count("#room .message") <= 400
    assert ana.js(AT_BOTTOM, "room") and not ana.js("() => window.lost")
    ana.js(SCROLL_UP, 50)
    ana.js("async () => { hear(3); await frame(); }")
    assert ana.js("() => document.querySelector('#room-new').dataset.count") == "3"
    assert not ana.js(AT_BOTTOM, "room"), "the reader's hand is"


def test_follows_though_something_is_taken_away(open_house):
    """When content shrinks, as when an own message is discarded or settled, the browser itself
    scrolls up: not a user's action. --web-root, because the page's script exports nothing."""
    ana = open_house(arguments=["--web-root", str(ROOT / "web")]).person()
    ana.arrive()
    follows = """async () => {
        const {MessageList} = await import("/message_list.js");
        const {Messages} = await import("/messages.js");
        const pane = document.createElement("div");
        const part = name => Object.assign(document.createElement("div"), {className: name});
        const scroller = part("scroller");
        scroller.append(part("history"), part("log"), part("pending"));
        pane.append(scroller);
        document.body.append(pane);
        Object.assign(scroller.style, {display: "block", flex: "none", height: "300px", overflow: "auto"});
        const said = (text, own) => ({kind: "message", author: "ana", text, own, time: Date.now(), state: "sent"});
        const frames = async () => { for (let n = 0; n < 3; n++) await new Promise(requestAnimationFrame); };
        const rest = () => scroller.scrollHeight - scroller.clientHeight - scroller.scrollTop;
        const button = document.createElement("button");
        const log = new MessageList(pane, button, {});
        const messages = new Messages();
        log.show(messages);
        for (let n = 0; n < 40; n++) messages.add(said(`before ${n}`), true);
        const seen = [];
        for (const way of ["discard", "settle", "change"]) {
            messages.post({...said("tall\\n".repeat(20), true), key: way});
            await frames();
            const before = [scroller.scrollTop > 500, rest() < 4];
            if (way === "change") messages.change(way, {text: "short"});
            else messages[way](way, {text: "short"}, true);
            rest(); // has the browser work out the layout, and so scroll up
            for (let n = 0; n < 30; n++) messages.add(said(`after ${n}`), true);
            await frames();
            seen.push([way, ...before, rest() < 4, button.hidden]);
        }
        return seen;
    }"""
    assert ana.js(follows) == [[way, True, True, True, True] for way in ("discard", "settle", "change")]


def test_own_message_brings_to_the_bottom(house):
    (ana,) = house.members("ana")
    fill_room(house, 40)
    ana.sees("line 39")
    ana.js(SCROLL_UP, 0)
    ana.say("mine")
    ana.sees("mine", state="sent")
    ana.wait(AT_BOTTOM, "room", what="the own message to be in view")


@NEEDS_TABS
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
