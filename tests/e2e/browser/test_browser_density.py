# SPDX-License-Identifier: MIT
"""How much of a talk fits on the screen, and that nobody loses track of who speaks."""
import json

from browser_user import AT_BOTTOM, in_browser

pytestmark = in_browser("look")

HEIGHT = 800
VISIBLE = """() => {
    const {top, bottom} = document.querySelector("#room .scroller").getBoundingClientRect();
    return [...document.querySelectorAll("#room .message")]
        .map(item => item.getBoundingClientRect())
        .filter(box => box.top >= top && box.bottom <= bottom).length;
}"""
# For each message: what a listener is told of its author; and whether face, name and time are seen.
HEADS = """() => {
    const seen = item => item !== null && item.checkVisibility({opacityProperty: true})
        && item.getBoundingClientRect().width > 1;
    return [...document.querySelectorAll("#room .message")].map(message => [
        message.querySelector(".author").textContent,
        ...[".face", ".author", "time"].map(part => seen(message.querySelector(part))),
    ]);
}"""

# A second between two messages, and none on the quarter of an hour, where a group ends.
ONE_GROUP = """
const parse = JSON.parse;
JSON.parse = (...given) => {
    const message = parse(...given);
    if (message?.Time) message.Time = 1.7e12 + 1000 * message.Id;
    return message;
};
"""


def say(raw, text):
    raw.send_text(json.dumps({"msgType": "Broadcast", "text": text}))


def alternate(house, person, count):
    """Two others say `count` short lines in turn."""
    speakers = [house.stranger("bo"), house.stranger("cem")]
    for number in range(count):
        say(speakers[number % 2], f"line {number}")
        person.sees(f"line {number}")
    person.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    return speakers


def test_thirteen_messages_of_alternating_speakers_in_800_pixels(house):
    ana = house.person(size=(1280, HEIGHT)).join("ana")
    alternate(house, ana, 20)
    ana.settle()
    assert ana.js(VISIBLE) >= 13
    ana.picture("density-wide")
    ana.resize(400, HEIGHT, phone=True)
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    assert ana.js(VISIBLE) >= 13
    ana.picture("density-phone")


def test_a_group_has_one_face_one_name_and_one_time(house):
    """The others of the group name their author to listeners, and show their time on hover."""
    ana = house.person()
    ana.before_load(ONE_GROUP)
    ana.join("ana")
    bo = house.stranger("bo")
    say(bo, "one")
    say(bo, "two")
    ana.sees("two", by="bo")
    ana.say("three")
    ana.sees("three", state="sent")
    ana.settle()
    assert ana.js(HEADS) == [
        ["bo", True, True, True],
        ["bo", False, False, False],
        ["ana", False, False, True],
    ]
    at = ana.js("""() => {
        const box = document.querySelector("#room [data-grouped=true]").getBoundingClientRect();
        return [box.x + 60, box.y + box.height / 2];
    }""")
    ana.call("Input.dispatchMouseEvent", type="mouseMoved", x=at[0], y=at[1])
    ana.wait(f"() => ({HEADS})()[1][3]", what="the time of the message under the pointer")


def test_twenty_messages_in_compact_mode(house):
    """Each line has its author and its time, also of a group; the newest stays in view."""
    ana = house.person(size=(1280, HEIGHT)).join("ana")
    bo, _ = alternate(house, ana, 30)
    ana.click("#settings-button")
    ana.click("#look-compact")
    ana.press("Escape")
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    assert ana.js(VISIBLE) >= 20
    say(bo, "once more")
    say(bo, "and again")
    ana.sees("and again")
    ana.settle()
    assert ana.js(HEADS)[-2:] == [["bo", False, True, True]] * 2
    ana.picture("density-compact")
    ana.resize(400, HEIGHT, phone=True)
    ana.wait(AT_BOTTOM, "room", what="the newest message to be in view")
    assert ana.js(VISIBLE) >= 20
    assert ana.js("() => document.scrollingElement.scrollWidth <= innerWidth")
    ana.picture("density-compact-phone")
