# SPDX-License-Identifier: MIT
"""A page that is loaded again: by its user, after it was discarded, or after a crash."""
import json

import pytest

from browser_user import GREETED, NEEDS_TABS, TALK, in_browser
from helpers import PASSWORD, SETTINGS
from test_browser_network import GAPS, RECONNECT, kill
from test_browser_private import SECRET, UNREADABLE, pair

pytestmark = in_browser("reload")

PHONE = (360, 640)
FULL = """
const put = Storage.prototype.setItem;
Storage.prototype.setItem = function (key, value) {
    if (this === sessionStorage && value.length > 600) throw new DOMException("", "QuotaExceededError");
    put.call(this, key, value);
};
"""
NO_STORAGE = """
for (const name of ["sessionStorage", "localStorage", "indexedDB"]) {
    Object.defineProperty(window, name, {get() { throw new DOMException("", "SecurityError"); }});
}
"""


@pytest.fixture(params=["desktop", "phone"])
def size(request):
    """The window, and whether it is a phone's."""
    return {"size": PHONE if request.param == "phone" else (1000, 700)}


def end_process(person):
    """The process of the page ends without notice, and the page cannot do anything more."""
    person.forgive("crash")
    person.browser.post("Page.crash", person.session)
    person.wait_for(lambda: person.crashed, "the page to have crashed")


def load_again(person):
    """The browser loads the page again after its process has ended."""
    person.call("Page.reload")
    person.wait("() => document.body?.dataset.link === 'online'", patience=RECONNECT)


def kept(person):
    return person.js("() => JSON.stringify([...Object.entries(sessionStorage)])")


def wait_kept(person, text):
    person.wait_for(lambda: text in kept(person), f"{text} in sessionStorage")


def leave(person):
    person.click("#settings-button")
    person.click("#leave")
    person.wait_visible("#join-form")
    person.wait(GREETED, SETTINGS["server_name"], what="the form to be ready")


# ---- The room ------------------------------------------------------------------------------------


def test_reload_comes_back_into_the_room_without_asking(house, size):
    ana, bo = house.members("ana", "bo", path="/rooms/tea", **size)
    ana.say("before")
    bo.sees("before", by="ana")
    bo.say("me too")
    ana.sees("me too", by="bo")
    ana.type("a draft")
    ana.reload()
    ana.wait_online()
    assert ana.visible("#room") and not ana.visible("#join-form")
    assert ana.value("#room-input") == "a draft"
    bo.say("after")
    ana.sees("after", by="bo")
    assert ana.texts() == ["before", "me too", "after"]
    assert [m["own"] for m in ana.messages()] == [True, False, False]
    assert ana.count(GAPS) == 0 and sorted(bo.people()) == ["ana", "bo"]
    assert PASSWORD not in ana.js("() => location.href") and ana.warnings == 0
    ana.picture(f"reload-{size['size'][0]}")


def test_reload_misses_nothing_that_was_said_meanwhile(open_house):
    """More was said than the history of a newcomer has."""
    house = open_house(history=2)
    ana, bo = house.members("ana", "bo")
    bo.say("before")
    ana.sees("before")
    ana.open("about:blank")
    texts = [f"meanwhile {number}" for number in range(7)]
    for text in texts:
        bo.say(text)
        bo.sees(text, state="sent")
    ana.open(ana.url())
    ana.wait_online()
    ana.sees(texts[-1])
    assert ana.texts() == ["before", *texts]
    assert ana.count(GAPS) == 0


def test_crashed_page_comes_back(house):
    ana, bo = house.members("ana", "bo")
    bo.say("before")
    ana.sees("before")
    end_process(ana)
    load_again(ana)
    bo.say("after")
    ana.sees("after", by="bo")
    assert ana.texts() == ["before", "after"] and ana.count(GAPS) == 0


@NEEDS_TABS
def test_discarded_phone_tab_shows_what_it_showed(house):
    """A phone that is short of memory ends the process of a tab in the background, and loads the page
    again when its user comes back to the tab."""
    ana, bo = house.members("ana", "bo", path="/rooms/tea", size=PHONE)
    bo.say("before")
    ana.sees("before", by="bo")
    for person in (ana, bo):
        person.expect_cut()
    kill(house)
    ana.wait_link("waiting", "connecting")
    ana.say("unsent")
    ana.sees("unsent", state="sending")
    ana.type("a draft")
    cover = ana.cover()
    end_process(ana)
    house.restart()
    bo.wait_online(RECONNECT)
    bo.say("meanwhile")
    cover.close()
    load_again(ana)
    bo.sees("unsent", by="ana")
    ana.sees("unsent", state="sent")
    assert sorted(ana.texts()) == ["before", "meanwhile", "unsent"] and ana.texts()[0] == "before"
    assert ana.value("#room-input") == "a draft" and ana.text("#room-title") == "tea · Ks"
    assert sorted(ana.people()) == ["ana", "bo"]


def test_the_only_member_of_a_room_keeps_what_was_said(house):
    """The room is gone with its last member, and another one is opened by the reload."""
    (ana,) = house.members("ana", path="/rooms/alone")
    ana.say("to myself")
    ana.sees("to myself", state="sent")
    ana.come_back()
    assert ana.texts() == ["to myself"]
    ana.say("again")
    ana.sees("again", state="sent")
    assert ana.texts() == ["to myself", "again"]


def test_unsent_message_is_delivered_once_after_a_reload(house, size):
    """The browser warns before, because it does not tell a reload from a closed tab."""
    ana, bo = house.members("ana", "bo", **size)
    ana.expect_cut()
    kill(house)
    ana.wait_link("waiting", "connecting")
    bo.expect_cut()
    ana.say("one")
    ana.say("two")
    ana.sees("two", state="sending")
    house.restart()
    ana.reload()
    assert ana.warnings == 1
    ana.wait_online(RECONNECT)
    ana.sees("two", state="sent")
    bo.wait_online(RECONNECT)
    bo.sees("two", by="ana")
    ana.say("three")
    bo.sees("three")
    assert ana.texts() == bo.texts() == ["one", "two", "three"]


# The server's echo of our own text gets lost: the page cannot know that it arrived.
DEAF = """
const parse = JSON.parse;
window.deaf = false;
JSON.parse = (...given) => {
    const message = parse(...given);
    return window.deaf && message?.msgType === "Broadcast" ? null : message;
};
"""


def test_message_that_had_arrived_is_not_said_again(house):
    ana, bo = house.person(), house.person()
    ana.before_load(DEAF)
    ana.join("ana")
    bo.join("bo")
    ana.js("() => { window.deaf = true; }")
    ana.say("once")
    bo.sees("once", by="ana")
    ana.sees("once", state="sending")
    ana.reload()
    ana.sees("once", state="sent")
    ana.say("and on")
    bo.sees("and on")
    assert ana.texts() == bo.texts() == ["once", "and on"]


def test_closing_warns_only_while_something_is_unsent(house):
    (ana,) = house.members("ana")
    ana.say("sent")
    ana.sees("sent", state="sent")
    ana.type("a draft")
    ana.reload()
    ana.wait_online()
    assert ana.warnings == 0 and ana.value("#room-input") == "a draft"
    ana.expect_cut()
    ana.offline()
    ana.wait_lost()
    ana.say("unsent")
    ana.sees("unsent", state="sending")
    ana.offline(False)
    ana.js("() => { location.href = 'about:blank'; }")
    ana.wait("() => location.href === 'about:blank'")
    assert ana.warnings == 1


def test_password_that_was_changed_is_asked_for_after_a_reload(house):
    (ana,) = house.members("ana")
    ana.say("before")
    ana.sees("before", state="sent")
    ana.expect_cut()
    kill(house)
    house.settings["server_password"] = "another"
    house.restart()
    ana.reload()
    ana.wait_visible("#banner-password")
    assert "was changed" in ana.text("#banner-text") and ana.texts() == ["before"]
    ana.fill("#banner-password", "another")
    ana.press("Enter")
    ana.wait_online(RECONNECT)
    ana.come_back()


def test_invitation_survives_a_reload_before_joining(house):
    ana = house.person()
    ana.arrive()
    ana.reload()
    ana.wait(GREETED, SETTINGS["server_name"], what="the form to be ready")
    assert ana.value("#join-password") == PASSWORD
    assert ana.js("() => location.hash") == ""


def test_leaving_forgets_name_password_and_texts_of_the_tab(house):
    (ana,) = house.members("ana")
    ana.say("before")
    ana.sees("before", state="sent")
    wait_kept(ana, "before")
    assert PASSWORD in kept(ana)
    leave(ana)
    assert "before" not in kept(ana) and PASSWORD not in kept(ana)
    assert ana.value("#join-password") == ""


def test_duplicated_tab_takes_over_and_does_not_fight(house):
    """A browser copies sessionStorage into a duplicate of the tab."""
    ana, bo = house.members("ana", "bo")
    ana.say("before")
    bo.sees("before")
    record = ana.js("() => ({...sessionStorage})")
    copy = house.person(context=ana.context)
    copy.before_load(f"if (!sessionStorage.length) Object.assign(sessionStorage, {json.dumps(record)});")
    copy.open(copy.url())
    copy.wait_online()
    ana.wait_link("taken")
    copy.say("from the copy")
    bo.sees("from the copy", by="ana")
    assert copy.texts() == ["before", "from the copy"] and sorted(bo.people()) == ["ana", "bo"]
    ana.reload()
    copy.wait_link("taken")
    ana.wait_online()
    assert ana.texts() == ["before", "from the copy"] == bo.texts()


def test_full_storage_leaves_out_what_is_shown_first(house):
    ana = house.person()
    ana.before_load(FULL)
    ana.join("ana")
    ana.say("x" * 700)
    ana.sees("x" * 700, state="sent")
    ana.come_back()
    ana.say("back")
    ana.sees("back", state="sent")
    assert "x" * 700 not in kept(ana)


def test_without_storage_the_page_works_and_asks_again(house):
    ana = house.person()
    ana.before_load(NO_STORAGE)
    ana.join("ana")
    ana.say("hello")
    ana.sees("hello", state="sent")
    ana.reload()
    ana.wait(GREETED, SETTINGS["server_name"], what="the form to be ready")
    ana.join("ana")


# ---- Private conversations -----------------------------------------------------------------------

# All that IndexedDB and the storages hold, as one text.
HELD = """async () => {
    const show = (key, value) => value instanceof ArrayBuffer || ArrayBuffer.isView(value)
        ? String.fromCharCode(...new Uint8Array(value.buffer ?? value)) : value;
    const said = [{...sessionStorage}, {...localStorage}];
    for (const {name} of await indexedDB.databases()) {
        const done = request => new Promise(resolve => { request.onsuccess = () => resolve(request.result); });
        const database = await done(indexedDB.open(name));
        for (const store of database.objectStoreNames) {
            const records = database.transaction(store).objectStore(store);
            said.push(await done(records.getAllKeys()));
            said.push(await done(database.transaction(store).objectStore(store).getAll()));
        }
        database.close();
    }
    return JSON.stringify(said, show);
}"""
TALK_GAPS = "#talk .notice[data-kind=gap]"
KEPT = """async () => {
    const open = indexedDB.open("ragnarok-kept");
    await new Promise(resolve => { open.onsuccess = resolve; });
    const all = open.result.transaction("records").objectStore("records").getAllKeys();
    await new Promise(resolve => { all.onsuccess = resolve; });
    open.result.close();
    return all.result;
}"""


def keep(person, mode):
    """Sets in Settings for how long private conversations are kept."""
    person.click("#settings-button")
    person.wait_visible("#kept")
    person.js("""mode => {
        const choice = document.querySelector("#kept");
        choice.value = mode;
        choice.dispatchEvent(new Event("change"));
    }""", mode)
    person.click("#settings .close")
    person.wait_hidden("#settings")


def wait_kept_talk(person, other):
    """Waits until the conversation is on the device."""
    has = f"async name => (await ({KEPT})()).some(key => key.endsWith(`talk ${{name}}`))"
    person.wait(has, other, what=f"the conversation with {other} to be kept")


def no_alarm(*people):
    for person in people:
        assert person.count(TALK_GAPS) == person.count(UNREADABLE) == 0


def test_private_conversation_and_its_draft_survive_reloads(house, size):
    ana, bo = pair(house, **size)
    ana.whisper(SECRET)
    bo.hears(SECRET, by="ana")
    bo.whisper("understood")
    ana.hears("understood", by="bo")
    ana.hears(SECRET, state="arrived")
    ana.type("a draft", TALK)
    wait_kept_talk(ana, "bo")
    for person in (ana, bo):
        person.come_back()
        person.talk_state("encrypted")
        assert person.texts(TALK) == [SECRET, "understood"]
    assert ana.value("#talk-input") == "a draft"
    ana.picture(f"reload-private-{size['size'][0]}")
    for number in range(2):
        bo.whisper(f"to you {number}")
        ana.hears(f"to you {number}", by="bo")
        ana.whisper(f"to you, too {number}")
        bo.hears(f"to you, too {number}", by="ana")
        ana.hears(f"to you, too {number}", state="arrived")
        bo.hears(f"to you {number}", state="arrived")
        ana.come_back()
        bo.come_back()
        for person in (ana, bo):
            person.talk_state("encrypted")
    texts = [SECRET, "understood", "to you 0", "to you, too 0", "to you 1", "to you, too 1"]
    assert ana.texts(TALK) == bo.texts(TALK) == texts
    no_alarm(ana, bo)
    assert ana.warnings == bo.warnings == 0


def test_kept_conversation_is_encrypted_on_the_device(house):
    ana, bo = pair(house)
    ana.whisper(SECRET)
    bo.hears(SECRET)
    for person, other in ((ana, "bo"), (bo, "ana")):
        wait_kept_talk(person, other)
        assert SECRET not in person.js(HELD)


# From now on the device takes nothing any more: what the page has not written by then, it never writes.
STALL = "() => { SubtleCrypto.prototype.encrypt = () => new Promise(() => {}); }"


@pytest.mark.parametrize("device", ["quick", "stalled"])
def test_unsent_private_message_is_delivered_once_after_a_reload(house, device):
    ana, bo = pair(house)
    ana.whisper("before")
    bo.hears("before")
    ana.hears("before", state="arrived")
    wait_kept_talk(ana, "bo")
    if device == "stalled":
        ana.js(STALL)
    ana.expect_cut()
    ana.offline()
    ana.wait_lost()
    ana.whisper("from the tunnel")
    ana.hears("from the tunnel", state="sending")
    ana.offline(False)
    ana.reload()
    ana.wait_online(RECONNECT)
    ana.hears("from the tunnel", state="arrived")
    bo.whisper("welcome back")
    ana.hears("welcome back")
    assert ana.texts(TALK) == bo.texts(TALK) == ["before", "from the tunnel", "welcome back"]
    no_alarm(ana, bo)


def test_crashed_private_conversation_comes_back(house):
    ana, bo = pair(house)
    bo.whisper("before")
    ana.hears("before")
    bo.hears("before", state="arrived")  # so it is kept there
    end_process(ana)
    load_again(ana)
    ana.talk_state("encrypted")
    bo.whisper("after")
    ana.hears("after", by="bo")
    assert ana.texts(TALK) == ["before", "after"]
    no_alarm(ana, bo)


def test_session_ends_with_the_tab_and_a_week_does_not(house):
    ana, bo = pair(house)
    for mode, expected in (("session", []), ("week", [SECRET])):
        keep(ana, mode)
        ana.whisper(SECRET)
        ana.hears(SECRET, state="arrived")
        wait_kept_talk(ana, "bo")
        ana.close()
        house.people.remove(ana)
        ana = house.person(context=ana.context)
        ana.join("ana")
        ana.talk_to("bo")
        ana.talk_state("encrypted")
        assert ana.texts(TALK) == expected
    bo.whisper("again")
    ana.hears("again")
    no_alarm(ana, bo)


def test_nothing_private_is_kept_when_it_is_off(house):
    ana, bo = pair(house)
    keep(ana, "off")
    ana.whisper(SECRET)
    ana.hears(SECRET, state="arrived")
    assert ana.js(KEPT) == []
    ana.come_back()
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    assert ana.texts(TALK) == []
    bo.whisper("hello")
    ana.hears("hello")
    no_alarm(ana, bo)
    ana.click("#settings-button")
    assert ana.value("#kept") == "off"


def test_two_tabs_have_one_conversation_one_after_the_other(house):
    """Of two tabs that keep the same conversations, the paused one loads what the other added."""
    ana, bo = pair(house)
    keep(ana, "week")
    ana.whisper("one")
    ana.hears("one", state="arrived")
    other = house.person(context=ana.context)
    other.join("ana")
    other.talk_to("bo")
    other.talk_state("encrypted")
    ana.wait_link("taken")
    ana.wait("() => document.querySelector('#talk-send').disabled")
    other.whisper("two")
    other.hears("two", state="arrived")
    ana.click("#banner-button")
    other.wait_link("taken")
    ana.wait_online()
    ana.talk_state("encrypted")
    assert ana.texts(TALK) == ["one", "two"]
    bo.whisper("three")
    ana.hears("three")
    assert bo.texts(TALK) == ["one", "two", "three"]
    no_alarm(ana, bo)


def test_leaving_forgets_the_conversations_but_not_the_keys(house):
    ana, bo = pair(house)
    number = ana.safety_number()
    ana.press("Escape")
    keep(ana, "week")
    ana.whisper(SECRET)
    ana.hears(SECRET, state="arrived")
    leave(ana)
    assert not any("talk" in key for key in ana.js(KEPT))
    ana.join("ana")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    assert ana.texts(TALK) == [] and ana.safety_number() == number
    bo.talk_state("encrypted")


# ---- Signed in -----------------------------------------------------------------------------------


def test_nobody_stays_signed_in_who_did_not_ask_for_it(house):
    (ana,) = house.members("ana")
    other = house.person(context=ana.context)
    other.arrive(password=None)
    assert not other.js("() => document.querySelector('#join-keep').checked")
    assert not any("signin" in key for key in ana.js(KEPT))


def test_signed_in_on_this_device(house, size):
    ana = house.person(**size)
    ana.arrive()
    ana.fill("#join-name", "ana")
    ana.click("#join-keep")
    ana.picture(f"join-keep-{size['size'][0]}")
    ana.click("#join-button")
    ana.wait_online()
    ana.close()
    house.people.remove(ana)
    ana = house.person(context=ana.context, **size)
    ana.open(ana.url())
    ana.wait_online()
    assert PASSWORD not in ana.js(HELD.replace("[{...sessionStorage}, {...localStorage}]", "[]"))
    leave(ana)
    other = house.person(context=ana.context, **size)
    other.arrive(password=None)
    assert not other.js("() => document.querySelector('#join-keep').checked")


def test_password_that_was_changed_ends_the_sign_in(house):
    ana = house.person()
    ana.arrive()
    ana.fill("#join-name", "ana")
    ana.click("#join-keep")
    ana.click("#join-button")
    ana.wait_online()
    ana.close()
    house.people.remove(ana)
    kill(house)
    house.settings["server_password"] = "another"
    house.restart()
    ana = house.person(context=ana.context)
    ana.open(ana.url())
    ana.wait_text("#join-error", "That is not the password.")
    ana.wait("async () => (await (" + KEPT + ")()).every(key => !key.startsWith('signin'))")
    ana.fill("#join-password", "another")
    ana.click("#join-button")
    ana.wait_online()


# What is wider than the sheet of the settings.
TOO_WIDE = """() => {
    const sheet = document.querySelector("#settings");
    const right = sheet.getBoundingClientRect().right - parseFloat(getComputedStyle(sheet).paddingRight);
    return [...sheet.querySelectorAll("section, section *")]
        .filter(one => one.getBoundingClientRect().right > right + 1).map(one => one.outerHTML);
}"""


def test_forgetting_everything_asks_once_and_ends_every_tab(house, size):
    ana, bo = pair(house, **size)
    number = ana.safety_number()
    ana.press("Escape")
    ana.click("#talk-close")
    ana.click("#settings-button")
    ana.click("#forget")
    ana.wait_visible("#forget-ask")
    assert ana.js(TOO_WIDE) == []
    ana.picture(f"forget-{size['size'][0]}")
    ana.click("#forget-no")
    ana.wait_hidden("#forget-ask")
    other = house.person(context=ana.context, **size)
    other.join("cem")
    ana.click("#forget")
    ana.click("#forget-yes")
    for person in (ana, other):
        person.wait_visible("#join-form")
        person.wait(GREETED, SETTINGS["server_name"], what="the form to be ready")
        assert person.value("#join-name") == person.value("#join-password") == ""
    held = ana.js(HELD)
    assert "contacts" not in held and "identity" not in held and "talk" not in held
    ana.join("ana")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    assert ana.safety_number() != number
    bo.talk_state("changed")
