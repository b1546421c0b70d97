# SPDX-License-Identifier: MIT
"""What a user sets for this device: theme, text size, sound."""
import pytest

from browser_user import GREETED, NEEDS_TABS, in_browser

pytestmark = in_browser("look")

GROUND = "() => getComputedStyle(document.body).backgroundColor"
SCHEME = "() => getComputedStyle(document.documentElement).colorScheme"
BAR = """() => [...document.querySelectorAll("meta[name=theme-color]")]
    .find(meta => matchMedia(meta.media || "all").matches).content"""
CHOOSE = """(selector, value) => {
    const field = document.querySelector(selector);
    field.value = value;
    field.dispatchEvent(new Event("change"));
    return field.value;
}"""
# Counts the tones that are started.
TONES = """
window.tones = 0;
const start = OscillatorNode.prototype.start;
OscillatorNode.prototype.start = function (...given) {
    window.tones++;
    return start.apply(this, given);
};
"""


def set_to(person, selector, value):
    """Chooses a value of a field in the settings."""
    person.click("#settings-button")
    person.wait_visible(selector)
    assert person.js(CHOOSE, selector, value) == value
    person.press("Escape")


@pytest.mark.parametrize("system,chosen", [("light", "dark"), ("dark", "light")])
def test_theme_outranks_the_system_and_is_kept(house, system, chosen):
    other = house.person()
    other.prefer(color_scheme=chosen)
    other.arrive()
    wanted = [other.js(look) for look in (GROUND, SCHEME, BAR)]
    ana = house.person()
    ana.prefer(color_scheme=system)
    ana.join("ana")
    before = [ana.js(look) for look in (GROUND, SCHEME, BAR)]
    assert all(one != another for one, another in zip(before, wanted))
    set_to(ana, "#look-theme", chosen)
    assert [ana.js(look) for look in (GROUND, SCHEME, BAR)] == wanted
    ana.click("#settings-button")
    ana.click("#leave")
    ana.wait_visible("#join-form")
    ana.wait(GREETED, "Ks", what="the form to be ready")
    for look, value in zip((GROUND, SCHEME, BAR), wanted):
        ana.wait(f"value => ({look})() === value", value, what="the form to look like that, too")
    ana.join("ana")
    set_to(ana, "#look-theme", "")
    assert [ana.js(look) for look in (GROUND, SCHEME, BAR)] == before


@pytest.mark.parametrize("path", ["/", "/trust"])
def test_theme_is_there_before_the_script(house, path):
    """So another one does not flash first: here the script never comes."""
    ana = house.person()
    ana.prefer(color_scheme="light")
    ana.arrive()
    before = ana.js(GROUND)
    ana.js("() => { localStorage.setItem('ragnarok.theme', 'dark'); localStorage.setItem('ragnarok.size', 'large'); }")
    ana.call("Fetch.enable", patterns=[{"urlPattern": "*/app-*.js"}])
    ana.js("() => { window.before = true; }")
    ana.call("Page.navigate", url=ana.url(path))
    ana.wait("() => !window.before && !!document.querySelector('main')")
    assert ana.js(SCHEME) == "dark" and ana.js(GROUND) != before
    assert ana.js("() => document.documentElement.dataset.size") == "large"
    ana.call("Fetch.disable")
    if path == "/":
        ana.wait(GREETED, "Ks", what="the form to be ready")
    assert ana.js(SCHEME) == "dark"


def test_text_size(house):
    size = "() => parseFloat(getComputedStyle(document.querySelector('#room .text')).fontSize)"
    (ana,) = house.members("ana")
    ana.say("hello")
    ana.sees("hello", state="sent")
    sizes = []
    for value in ("small", "", "large", "larger"):
        set_to(ana, "#look-size", value)
        sizes.append(ana.js(size))
    assert sizes == sorted(set(sizes)) and sizes[1] == 16 and sizes[0] >= 13
    assert ana.js("() => document.scrollingElement.scrollWidth <= innerWidth")
    ana.picture("settings-larger")


def test_damaged_choices_count_as_none(house):
    ana = house.person()
    ana.arrive()
    before = ana.js(GROUND)
    ana.js("() => { localStorage.setItem('ragnarok.theme', 'constructor'); }")
    ana.reload()
    ana.wait(GREETED, "Ks", what="the form to be ready")
    assert ana.js(GROUND) == before


@NEEDS_TABS
def test_sound_for_mentions_while_away(house):
    ana = house.person()
    ana.before_load(TONES)
    ana.join("ana")
    (bo,) = house.members("bo")
    ana.click("#settings-button")
    ana.click("#sound")
    ana.wait("() => window.tones === 1", what="the tone that the switch lets one hear")
    ana.press("Escape")
    bo.say("@ana, here")
    ana.sees("@ana, here")
    cover = ana.cover()
    bo.say("not for you")
    bo.say("@ana, away")
    ana.wait("() => window.tones === 2", what="a tone for the mention")
    cover.close()
    ana.click("#settings-button")
    ana.click("#sound")
    ana.press("Escape")
    cover = ana.cover()
    bo.say("@ana, silent")
    ana.sees("@ana, silent")
    assert ana.js("() => window.tones") == 2
    cover.close()
