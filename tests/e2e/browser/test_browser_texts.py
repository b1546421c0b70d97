# SPDX-License-Identifier: MIT
"""How texts are shown: code, names, emoji."""
from browser_user import in_browser

pytestmark = in_browser("room")

PHONE = (360, 640)
NO_SIDEWAYS = "() => document.scrollingElement.scrollWidth <= innerWidth"


def test_code_keeps_its_lines(house):
    """A block of code scrolls sideways, also by keyboard; the page does not."""
    ana, bo = house.members("ana", "bo", size=PHONE)
    line = "pthread_create(&t, NULL, serve, (void *)(intptr_t)client); /* one line */"
    ana.say(f"```c\n{line}\n```")
    bo.wait_visible("#room .text pre")
    shape = """() => {
        const pre = document.querySelector("#room .text pre");
        const style = getComputedStyle(pre);
        const text = pre.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
        return [Math.round(text / parseFloat(style.lineHeight)), pre.scrollWidth > pre.clientWidth, pre.tabIndex];
    }"""
    assert bo.js(shape) == [1, True, 0]
    assert bo.js(NO_SIDEWAYS)
    bo.picture("text-code")


def test_code_is_copied_by_a_button(house):
    (ana,) = house.members("ana", size=PHONE)
    for permission in ("clipboard-read", "clipboard-write"):
        ana.allow(permission)
    ana.type("```\nint x;\nint y;\n```\nand so on")
    ana.press("Enter")
    copy = "#room [data-state=sent] .text .copy"
    ana.wait_visible(copy)
    assert ana.js("s => document.querySelector(s).ariaLabel", copy) == "Copy the code"
    assert ana.js("() => document.querySelector('#room .text').innerText") == "int x;\nint y;\nand so on"
    ana.click(copy)
    ana.wait("s => document.querySelector(s).ariaLabel === 'Copied'", copy)
    assert ana.js("() => navigator.clipboard.readText()") == "int x;\nint y;"
    ana.picture("text-copy")


def test_names_are_marked_behind_an_at(house):
    ana, bo = house.members("ana", "bo")
    ana.wait_text("#online-count", "2")
    ana.say("@bo and @Ana, but not @cem")
    marks = "() => [...document.querySelectorAll('#room .text mark')].map(item => item.textContent)"
    for person in (ana, bo):
        person.sees("@bo and @Ana, but not @cem")
        assert person.js(marks) == ["@bo", "@Ana"]
    assert bo.js("() => document.querySelector('#room .message').dataset.mention") == "true"


def test_emoji_alone_are_large(house):
    ana, bo = house.members("ana", "bo")
    for text in ("🎉", "👍🏽😀", "fine 👍"):
        ana.say(text)
        bo.sees(text)
    size = """() => [...document.querySelectorAll("#room .text")]
        .map(item => parseFloat(getComputedStyle(item).fontSize))"""
    one, two, words = bo.js(size)
    assert one > two > words == 16
    bo.picture("text-emoji")
