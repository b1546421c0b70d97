# SPDX-License-Identifier: MIT
"""The past of the room: paging back, searching, and what was missed."""
import json

import pytest

from browser_user import AT_BOTTOM, SOCKET, in_browser
from test_browser_look import PHONE, examine, tab_to
from test_browser_network import GAPS, RECONNECT, kill

pytestmark = in_browser("history")

LINES = 230
SIZES = {"desktop": (1000, 700), "phone": PHONE}
DOM_MOST = 400  # messages in the document
# The first message that is wholly in view: [Id, px below the top of the view]. One above it may get
# lower, when it turns out that it does not begin a group.
PLACE = """() => {
    const top = document.querySelector("#room .scroller").getBoundingClientRect().top;
    const box = item => item.getBoundingClientRect();
    const found = [...document.querySelectorAll("#room .message")].find(item => box(item).top > top + 60);
    return found ? [+found.dataset.id, Math.round(box(found).top - top)] : null;
}"""
OFFSET = """id => {
    const top = document.querySelector("#room .scroller").getBoundingClientRect().top;
    const found = document.querySelector(`#room .message[data-id="${id}"]`);
    return found ? Math.round(found.getBoundingClientRect().top - top) : null;
}"""
IDS = "() => [...document.querySelectorAll('#room .message')].map(item => +item.dataset.id)"
# Scrolls, and returns the place and the Ids at once, before anything can have come from the server.
SCROLL = """async top => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame().then(frame);
    document.querySelector("#room .scroller").scrollTop = top;
    return [...(PLACE)(), (IDS)()];
}""".replace("PLACE", PLACE).replace("IDS", IDS)
# Whether messages below an Id have come, or there are none. Until then it scrolls to the top again: a
# frame that was pending may have followed a new message to the end instead.
OLDER_CAME = """lowest => {
    if ((IDS)()[0] < lowest || document.querySelector("#room .notice[data-kind=begin]")) return true;
    document.querySelector("#room .scroller").scrollTop = 0;
    return false;
}""".replace("IDS", IDS)
BOTTOM = "() => document.querySelector('#room .scroller').scrollHeight"
# Counts what is put into the live region.
ANNOUNCED = """() => {
    window.announced = 0;
    const count = changes => changes.forEach(one => { window.announced += one.addedNodes.length; });
    new MutationObserver(count).observe(document.querySelector("#room .log"), {childList: true});
}"""
QUIET = "() => window.announced === 0"
# The server is asked as a newcomer that remembers its place: it says Resumed false.
NOT_RESUMED = """
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (text) {
    const {Resume, ...message} = JSON.parse(text);
    send.call(this, JSON.stringify(message));
};
"""


def talk(house, texts, path="/"):
    """A member with another client says these."""
    talker = house.stranger("talker", path)
    for text in texts:
        talker.send_text(json.dumps({"msgType": "Broadcast", "text": text}))
    return talker


# In one task something is said, for which the page will scroll to the end in the next frame, and the
# reader scrolls to the top. Returns the lowest Id before that.
SAID_AND_SCROLLED = """async id => {
    const frame = () => new Promise(requestAnimationFrame);
    await frame().then(frame);
    const [lowest] = (IDS)();
    const said = {msgType: "Broadcast", SrcUser: "talker", text: "said", Id: id, Time: Date.now()};
    window.socket.onmessage({data: JSON.stringify(said)});
    document.querySelector("#room .scroller").scrollTop = 0;
    return lowest;
}""".replace("IDS", IDS)


def lines(count=LINES):
    return [f"line {number}" + " and more words" * (number % 5) for number in range(1, count + 1)]


def old_room(open_house, *texts, **options):
    """ana comes late into a room in which these were said, as number 1 and so on."""
    house = open_house(history=5, max_messages_per_second=0, **options)
    (bo,) = house.members("bo")
    texts = texts or lines()
    talker = talk(house, texts)
    bo.wait_text("#room .message .text", texts[-1])
    return house, bo, talker


@pytest.fixture(params=SIZES)
def size(request):
    return {"size": SIZES[request.param]}


def scroll(person, top):
    return person.js(SCROLL, top)


def page_back(person):
    """Scrolls to the top until nothing older comes; checks each time that the place is kept."""
    for _ in range(40):
        id, offset, (lowest, *_) = scroll(person, 0)
        if person.visible("#room .notice[data-kind=begin]"):
            return
        person.wait(OLDER_CAME, lowest, what=f"what was said before {lowest}")
        assert abs(person.js(OFFSET, id) - offset) <= 1, "the place is kept"
        ids = person.js(IDS)
        assert ids == list(range(ids[0], ids[0] + len(ids))), "none is missing, none is there twice"
        assert len(ids) <= DOM_MOST
    pytest.fail("there is no end of it")


def find(person, words):
    """Searches for a text; the texts of the results."""
    if not person.visible("dialog#search[open]"):
        person.click("#search-button")
    person.fill("#search-text", words)
    person.press("Enter")
    person.wait("() => !/…$/.test(document.querySelector('#search-note').textContent)")
    return person.js("() => [...document.querySelectorAll('#search-list .excerpt')].map(e => e.textContent)")


def choose(person, number=0):
    person.click(f"#search-list li:nth-child({number + 1}) button")
    person.wait_hidden("dialog#search")


def test_scrolling_up_loads_more_and_keeps_the_place(open_house, size):
    house, bo, talker = old_room(open_house)
    (ana,) = house.members("ana", **size)
    ana.wait_text("#room .message .text", f"line {LINES}")
    ana.js(ANNOUNCED)
    page_back(ana)
    assert ana.js(IDS)[0] == 1 and ana.js(QUIET), "nothing of it is read aloud"
    assert ana.count("#room .day") == 1
    ana.picture(f"history-begin-{size['size'][0]}")
    *place, _ = scroll(ana, 0)
    talker.send_text(json.dumps({"msgType": "Broadcast", "text": "new"}))
    ana.wait_visible("#room-new")
    assert ana.js(PLACE) == place and "1 new" in ana.text("#room-new")
    ana.click("#room-new")
    ana.wait_text("#room .message .text", "new")
    ana.wait("() => document.querySelector('#room-new').hidden")


def test_scrolling_up_while_something_is_said_loads_more(open_house):
    """The frame that would follow the new message gives way to the reader, and asks for what they
    want to see: no other scroll event comes at the top."""
    house, *_ = old_room(open_house)
    ana = house.person()
    ana.before_load(SOCKET)
    ana.join("ana")
    ana.wait(f"() => ({IDS})().length > 50", what="messages that fill the page")
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    lowest = ana.js(SAID_AND_SCROLLED, LINES + 1)
    assert lowest > 1
    ana.wait(f"lowest => ({IDS})()[0] < lowest", lowest, what=f"what was said before {lowest}")
    assert not ana.at_bottom()


def test_short_history_fills_the_page(open_house):
    """Five short messages cannot be scrolled, so more are asked for."""
    house, *_ = old_room(open_house, *[f"line {number}" for number in range(1, 31)])
    (ana,) = house.members("ana")
    ana.wait(f"() => ({IDS})().length === 30", what="all that was said")
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    ana.come_back()
    ana.wait(f"() => ({IDS})().length === 30", what="all that was said, after a reload, too")


def test_search_leads_to_the_message_and_back(open_house, size):
    texts = lines()
    texts[19] = "Wo ist die STRASSE, please?"
    texts[20] = "你好，世界"
    house, bo, talker = old_room(open_house, *texts)
    (ana,) = house.members("ana", **size)
    ana.wait_text("#room .message .text", f"line {LINES}")
    assert find(ana, "nothing like it") == [] and "Nothing" in ana.text("#search-note")
    find(ana, "ab")
    assert "3 characters" in ana.text("#search-note")
    assert find(ana, "你好，世") == [texts[20]]
    assert find(ana, "straße") == [texts[19]]
    ana.picture(f"history-search-{size['size'][0]}")
    ana.js(ANNOUNCED)
    choose(ana)
    assert ana.focused(".message[data-id='20']"), "a screen reader reads on from there"
    ids = ana.js(IDS)
    assert ids[0] < 20 < ids[-1] < LINES - 5 and ana.js(OFFSET, 20) > 0
    ana.wait_text("#room-new", "To the newest")
    talker.send_text(json.dumps({"msgType": "Broadcast", "text": "meanwhile"}))
    ana.wait_text("#room-new", "1 new message")
    ana.picture(f"history-found-{size['size'][0]}")
    assert "meanwhile" not in ana.texts() and ana.js(QUIET)
    ana.click("#room-new")
    ana.sees("meanwhile", by="talker")
    ana.wait("() => document.querySelector('#room-new').hidden")
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")


def test_scrolling_down_from_a_result_leads_to_the_newest(open_house):
    """Where the pages meet the newest messages, nothing jumps, and none is there twice."""
    texts = lines()
    texts[99] = "the needle"
    house, bo, talker = old_room(open_house, *texts)
    (ana,) = house.members("ana")
    ana.wait_text("#room .message .text", f"line {LINES}")
    find(ana, "needle")
    choose(ana)
    seen = set()
    for _ in range(60):
        id, offset, ids = scroll(ana, ana.js(BOTTOM))
        seen |= {*ids, *ana.js(IDS)}
        if ana.js("() => document.querySelector('#room-new').hidden"):
            break
        highest = ids[-1]
        ana.wait(
            f"highest => ({IDS})().at(-1) > highest || document.querySelector('#room-new').hidden", highest
        )
        assert abs(ana.js(OFFSET, id) - offset) <= 1, "the place is kept"
    assert ana.js("() => document.querySelector('#room-new').hidden")
    *_, ids = scroll(ana, ana.js(BOTTOM))
    assert ids == list(range(ids[0], LINES + 1)) and seen >= set(range(100, LINES + 1))
    talker.send_text(json.dumps({"msgType": "Broadcast", "text": "followed"}))
    ana.sees("followed")
    ana.wait("() => document.querySelector('#room-new').hidden")


def test_own_message_leads_back_to_the_newest(open_house):
    house, bo, _ = old_room(open_house, "the needle", *lines())
    (ana,) = house.members("ana")
    ana.wait_text("#room .message .text", f"line {LINES}")
    ana.say("/search needle")
    ana.wait_visible("#search-list button")
    choose(ana)
    ana.say("mine")
    ana.sees("mine", state="sent")
    ana.wait(AT_BOTTOM, "room", what="the own message to be in view")
    assert not ana.visible("#room-new")


def test_search_by_keyboard_alone(open_house):
    house, *_ = old_room(open_house, "the needle", *lines())
    (ana,) = house.members("ana")
    ana.wait_text("#room .message .text", f"line {LINES}")
    tab_to(ana, "#search-button", back=True)
    ana.press("Enter")
    ana.wait("() => document.activeElement.id === 'search-text'", what="the focus in the field")
    ana.insert("needle")
    ana.press("Enter")
    ana.wait_visible("#search-list button")
    tab_to(ana, "#search-list button")
    ana.press("Enter")
    ana.wait("() => document.activeElement.dataset.id === '1'", what="the focus on the message")
    prevented = """key => !window.dispatchEvent(new KeyboardEvent("keydown",
        {key: "f", [key]: true, bubbles: true, cancelable: true}))"""
    assert not ana.js(prevented, "ctrlKey") and not ana.js(prevented, "metaKey")


@pytest.mark.parametrize("scheme,size", [("light", (1000, 700)), ("dark", PHONE)])
def test_axe_finds_nothing_in_the_past(open_house, scheme, size):
    house, *_ = old_room(open_house, "the needle", *lines(90))
    ana = house.person(size=size)
    ana.prefer(color_scheme=scheme)
    ana.join("ana")
    find(ana, "the needle")
    examine(ana, "search")
    ana.picture(f"{scheme}-search-{size[0]}")
    choose(ana)
    examine(ana, "a result in its surroundings")
    ana.picture(f"{scheme}-found-{size[0]}")


def test_without_a_past_the_search_says_so(open_house):
    house = open_house(history=0)
    (ana,) = house.members("ana")
    ana.say("hello there")
    ana.sees("hello there", state="sent")
    assert find(ana, "hello") == [] and "not kept" in ana.text("#search-note")


def test_what_was_missed_is_paged_in(open_house):
    """The server cannot resume, but has the messages: nothing is marked as lost."""
    house = open_house(history=3, max_messages_per_second=0)
    ana, bo = house.person(), house.person()
    ana.before_load(NOT_RESUMED)
    ana.join("ana")
    bo.join("bo")
    bo.say("before")
    ana.sees("before")
    ana.open("about:blank")
    texts = [f"meanwhile {number}" for number in range(60)]
    talk(house, texts)
    bo.wait_text("#room .message .text", texts[-1])
    ana.open(ana.url())
    ana.wait_online()
    ana.wait_visible("#room .notice[data-kind=away]")
    assert ana.count(GAPS) == 0
    assert ana.texts() == ["before", *texts]
    bo.say("after")
    ana.sees("after")
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")


def test_what_was_missed_moves_nobody_who_reads(open_house):
    house = open_house(history=3, max_messages_per_second=0)
    ana = house.person()
    ana.before_load(NOT_RESUMED)
    ana.join("ana")
    (bo,) = house.members("bo")
    talker = talk(house, lines(40))
    ana.wait_text("#room .message .text", "line 40")
    *place, _ = scroll(ana, 0)
    ana.expect_cut()
    ana.offline()
    ana.wait_lost()
    for number in range(60):
        talker.send_text(json.dumps({"msgType": "Broadcast", "text": f"meanwhile {number}"}))
    bo.wait_text("#room .message .text", "meanwhile 59")
    ana.offline(False)
    ana.wait_online(RECONNECT)
    ana.wait_visible("#room .notice[data-kind=away]")
    assert ana.js(PLACE) == place
    ids = ana.js(IDS)
    assert ids == list(range(1, len(ids) + 1)) and len(ids) > 40, "as far as they are in the document"
    assert "60 new" in ana.text("#room-new")


# A text of the room becomes a State of the server.
STATE = """
const parse = JSON.parse;
JSON.parse = (...given) => {
    const message = parse(...given);
    if (message?.msgType === "Broadcast" && message.text.startsWith("disk ")) {
        return {msgType: "State", History: message.text.slice(5)};
    }
    if (message?.msgType === "Broadcast" && message.text.startsWith("delivery ")) {
        return {msgType: "State", Delivery: message.text.slice(9)};
    }
    return message;
};
"""


def test_kept_room_survives_the_server(open_house, tmp_path):
    """A killed server's history is on its disk: members come back without a gap, newcomers page back."""
    kept = {"history_file": str(tmp_path / "history.db"), "history_search": True}
    house, bo, _ = old_room(open_house, *lines(70), **kept)
    bo.expect_cut()
    kill(house)
    house.restart()
    bo.wait_online(RECONNECT)
    bo.say("after")
    bo.sees("after", state="sent")
    assert bo.count(GAPS) == 0
    ana = house.person()
    ana.arrive()
    ana.wait_text("#join-kept", "for 7 days (at most the newest 10,000 messages)")
    ana.picture("history-kept")
    ana.join("ana")
    ana.sees("after", by="bo")
    page_back(ana)
    assert ana.js(IDS) == list(range(1, 72))
    assert find(ana, "line 7 and") == ["line 7 and more words and more words"]
    choose(ana)
    assert ana.focused(".message[data-id='7']")


def test_room_that_is_not_kept_says_nothing_of_it(house):
    ana = house.person()
    ana.arrive()
    assert not ana.visible("#join-kept")


def test_failing_disk_is_told(house):
    ana = house.person()
    ana.before_load(STATE)
    ana.join("ana")
    for state, words in (("failing", "may be missing in the history"), ("stored", "again")):
        ana.say(f"disk {state}")
        ana.wait_text("#room .notice[data-kind=info]", words)
    for state, words in (("waiting", "waits"), ("ok", "reach each other again")):
        ana.say(f"delivery {state}")
        ana.wait_text("#room .notice[data-kind=info]", words)
    ana.say("disk wrong")
    ana.say("delivery wrong")
    ana.say("hello")
    ana.sees("hello", state="sent")
    assert ana.count("#room .notice[data-kind=info]") == 4
