# SPDX-License-Identifier: MIT
"""The bar, the list of people and the private conversation: where each stands, and what it tells."""
from browser import SHIFT
from browser_user import in_browser

pytestmark = in_browser("look")

PHONE = (360, 640)
LANDSCAPE = (844, 390)
BOX = """selector => {
    const {left, top, right, bottom} = document.querySelector(selector).getBoundingClientRect();
    return [left, top, right, bottom].map(Math.round);
}"""
NAME = "selector => document.querySelector(selector).ariaLabel"
# The boxes of the columns that are shown, from left to right.
COLUMNS = """() => ["people", "room", "talk"].filter(id => document.getElementById(id).checkVisibility())
    .map(id => [id, Math.round(document.getElementById(id).getBoundingClientRect().width)])"""


def covered(one, other):
    """Whether two boxes have an area in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def private_word(house, person):
    """bo writes to `person` in private."""
    (bo,) = house.members("bo")
    bo.talk_to(person.name)
    bo.talk_state("encrypted")
    bo.whisper("psst")
    person.wait("() => document.querySelector('#people-unread').textContent === '1'")
    return bo


def test_actions_have_words_where_there_is_room(house):
    (ana,) = house.members("ana")
    ana.resize(1024, 700)
    for button, word in (("invite", "Invite"), ("settings", "Settings")):
        assert ana.visible(f"#{button}-button span") and ana.text(f"#{button}-button") == word
    ana.picture("panes-labels")
    ana.resize(1023, 700)
    ana.wait_hidden("#invite-button span")


def test_heads_of_the_panes_are_aligned(house):
    ana, _ = house.members("ana", "bo")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.resize(1280, 700)
    assert ana.js(BOX, "#bar")[3] - ana.js(BOX, "#bar")[1] == (
        ana.js(BOX, "#talk .pane-head")[3] - ana.js(BOX, "#talk .pane-head")[1]
    )
    left = ana.js(BOX, "#talk-name")[0]
    assert abs(ana.js(BOX, "#talk-state .icon")[0] - left) <= 3, "the lock stands below the name"
    _, top, _, bottom = ana.js(BOX, "#talk .pane-head")
    for part in ("#talk-face .face", "#talk-close"):
        _, above, _, below = ana.js(BOX, part)
        assert abs((above + below) - (top + bottom)) <= 3, f"{part} stands in the middle"
    assert not ana.visible("#talk-close .back") and ana.js(NAME, "#talk-close") == "Close"
    ana.picture("panes-heads")


def test_phone_has_a_way_back_that_tells_what_is_said_elsewhere(house):
    (ana,) = house.members("ana")
    bo, cem = house.members("bo", "cem")
    ana.resize(*PHONE, phone=True)
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    assert ana.visible("#talk-close .back") and ana.js(BOX, "#talk-close")[0] < 20
    assert ana.js(NAME, "#talk-close") == "Back to the room"
    assert not ana.visible("#unread-elsewhere")
    bo.say("in the room")
    ana.wait_text("#unread-elsewhere", "1")
    cem.talk_to("ana")
    cem.talk_state("encrypted")
    cem.whisper("in private")
    ana.wait_text("#unread-elsewhere", "2")
    assert ana.js(NAME, "#talk-close") == "Back to the room, 2 new messages"
    for part in ("#talk-face .face", "#talk-close .back"):
        assert not covered(ana.js(BOX, "#unread-elsewhere"), ana.js(BOX, part))
    ana.picture("panes-phone-talk")
    ana.tap("#talk-close")
    ana.wait_hidden("#talk")
    ana.sees("in the room", by="bo")
    ana.talk_to("cem")
    ana.wait_hidden("#unread-elsewhere")


def test_wide_page_counts_in_the_list_only(house):
    ana, cem, _ = house.members("ana", "cem", "bo")
    ana.talk_to("bo")
    cem.talk_to("ana")
    cem.talk_state("encrypted")
    cem.whisper("in private")
    ana.wait_visible("#talk-list [data-name=cem] .badge")
    assert not ana.visible("#unread-elsewhere") and ana.js(NAME, "#talk-close") == "Close"


def test_unread_count_bites_nothing_and_is_told(house):
    ana = house.person().join("ana")
    ana.resize(*PHONE, phone=True)
    assert ana.js(NAME, "#people-button") == "People"
    private_word(house, ana)
    assert ana.js(NAME, "#people-button") == "People, 1 unread message"
    assert not covered(ana.js(BOX, "#people-unread"), ana.js(BOX, "#room-title"))
    ana.picture("panes-phone-badge")
    ana.tap("#people-button")
    ana.tap("#talk-list [data-name=bo] button")
    ana.wait(f"selector => ({NAME})(selector) === 'People'", "#people-button")


def test_two_columns_in_landscape(house):
    """A conversation takes the place of the list, which then opens over the room."""
    (ana,) = house.members("ana")
    house.members("bo")
    ana.resize(*LANDSCAPE, phone=True)
    assert [name for name, _ in ana.js(COLUMNS)] == ["people", "room"]
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    assert ana.js(COLUMNS) == [["room", 422], ["talk", 422]]
    ana.picture("panes-landscape")
    ana.tap("#people-button")
    ana.wait_visible("#people-list")
    assert ana.js("() => document.querySelector('#room').inert")
    ana.picture("panes-landscape-people")
    ana.tap("#people-list [data-name=bo] button")
    ana.wait_hidden("#people-list")
    assert not ana.js("() => document.querySelector('#room').inert")
    ana.tap("#talk-close")
    ana.wait_hidden("#talk")
    assert [name for name, _ in ana.js(COLUMNS)] == ["people", "room"]


def test_list_is_one_stop_for_tab(house):
    """The arrow keys, Home and End go through it; a filter leaves a stop among those shown."""
    ana = house.person().join("ana")
    for number in range(12):
        house.stranger(f"user-{number}")
    ana.wait_text("#online-count", "13")
    stops = "() => [...document.querySelectorAll('#people-list button')].filter(b => b.tabIndex === 0).length"
    assert ana.js(stops) == 1
    ana.click("#people-filter")
    ana.press("Tab")
    at = "() => document.activeElement.closest('[data-name]')?.dataset.name"
    for key, name in (
        ("ArrowDown", "user-1"),
        ("End", "user-11"),
        ("ArrowDown", "user-11"),
        ("ArrowUp", "user-10"),
        ("Home", "user-0"),
        ("ArrowUp", "user-0"),
        ("ArrowDown", "user-1"),
    ):
        ana.press(key)
        assert ana.js(at) == name
    ana.press("Tab", SHIFT)
    assert ana.focused("#people-filter")
    ana.press("Tab")
    assert ana.js(at) == "user-1", "it stops where one was"
    ana.fill("#people-filter", "user-7")
    ana.press("Tab")
    assert ana.js(at) == "user-7" and ana.js(stops) == 1
    ana.press("Tab")
    assert ana.js(at) is None, "and then it leaves the list"
