# SPDX-License-Identifier: MIT
"""The page under failures: crashed servers, cut networks, ghosts, second tabs."""
import json
import signal

from browser_user import in_browser
from helpers import PATIENCE
from line import Line

pytestmark = in_browser("network")

GAPS = "#room .notice[data-kind=missed], #room .notice[data-kind=restart]"
RECONNECT = 3 * PATIENCE  # backing off takes its time
PHONE = (390, 844)
# Delays every timer of the page that is longer than a moment by an hour.
NO_TIME_COMES = """
const later = window.setTimeout;
window.setTimeout = (act, ms, ...more) => later(act, ms > 100 ? 3_600_000 : ms, ...more);
"""


def kill(house):
    """Kills the server, as in a power cut."""
    house.server.expected_status = -signal.SIGKILL
    house.server.signal(signal.SIGKILL)
    house.server.wait_end()


def test_server_killed_and_started_again(house):
    """Text typed meanwhile arrives once; a notice says that messages may be missing."""
    ana, bo = house.members("ana", "bo")
    ana.say("before")
    bo.sees("before")
    for person in (ana, bo):
        person.expect_cut()
    kill(house)
    for person in (ana, bo):
        person.wait_link("connecting", "waiting")
        person.wait_visible("#banner")
    ana.say("meanwhile one")
    ana.say("meanwhile two")
    ana.sees("meanwhile two", state="sending")
    ana.picture("network-server-gone")
    house.restart()
    for person in (ana, bo):
        person.wait_online(RECONNECT)
        person.wait_hidden("#banner")
    ana.sees("meanwhile one", state="sent")
    ana.sees("meanwhile two", state="sent")
    ana.say("after")
    for person in (ana, bo):
        person.sees("after", by="ana")
        assert person.texts() == ["before", "meanwhile one", "meanwhile two", "after"]
        assert person.count(GAPS) == 1, "the new server does not know what the old one said"
    ana.picture("network-server-back")


def test_server_that_is_stopped_says_so(house):
    (ana,) = house.members("ana")
    ana.expect_cut()
    house.server.finish()
    ana.wait_visible("#banner")
    assert ana.text("#banner-text").strip()
    house.restart()
    ana.wait_online(RECONNECT)


def test_try_now(house):
    """The button does not wait for the next attempt, which never comes here."""
    ana = house.person()
    ana.before_load(NO_TIME_COMES)
    ana.join("ana")
    ana.expect_cut()
    kill(house)
    ana.wait_link("waiting")
    house.restart()
    ana.click("#banner-button")
    ana.wait_online()


def test_try_now_in_a_conversation_on_a_phone(house):
    """A conversation has the whole page there, but it does not cover what is said of the connection."""
    ana = house.person()
    ana.before_load(NO_TIME_COMES)
    ana.join("ana")
    house.members("bo")
    ana.resize(*PHONE, phone=True)
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    for person in house.people:
        person.expect_cut()
    kill(house)
    ana.wait_link("waiting")
    ana.picture("network-phone-talk")
    house.restart()
    ana.click("#banner-button")
    ana.wait_online()
    assert ana.visible("#talk")


def test_password_that_was_changed_meanwhile(house):
    """The page asks for it in the banner; the typed text arrives."""
    ana, bo = house.members("ana", "bo")
    bo.expect_cut()
    ana.expect_cut()
    kill(house)
    for person in (ana, bo):
        person.wait_link("waiting", "connecting")
    ana.say("meanwhile")
    house.settings["server_password"] = "new & better"
    house.restart()
    for person in (ana, bo):
        person.wait_link("stopped", patience=RECONNECT)
        person.wait_visible("#banner-password")
        assert "was changed" in person.text("#banner-text"), "nothing was typed that could be wrong"
    ana.picture("network-password-changed")
    ana.fill("#banner-password", "a guess")
    ana.press("Enter")
    ana.wait("() => document.querySelector('#banner-password').value === ''")
    ana.wait_link("stopped")
    ana.wait_text("#banner-text", "That is not the password.")
    for person in (ana, bo):
        person.fill("#banner-password", "new & better")
        person.press("Enter")
        person.wait_online(RECONNECT)
        person.wait_hidden("#banner")
    bo.sees("meanwhile", by="ana")
    ana.sees("meanwhile", state="sent")


def test_network_cut_and_back(house):
    """Nothing is lost or duplicated, in either direction."""
    ana, bo = house.members("ana", "bo")
    bo.say("before")
    ana.sees("before")
    ana.expect_cut()
    ana.offline()
    ana.wait_lost()
    bo.say("while ana is away")
    bo.sees("while ana is away", state="sent")
    ana.say("from the tunnel")
    ana.sees("from the tunnel", state="sending")
    ana.picture("network-offline")
    assert "while ana is away" not in ana.texts() and "from the tunnel" not in bo.texts()
    ana.offline(False)
    ana.wait_online(RECONNECT)
    bo.sees("from the tunnel", by="ana")
    ana.sees("from the tunnel", state="sent")
    bo.say("welcome back")
    expected = ["before", "while ana is away", "from the tunnel", "welcome back"]
    for person in (ana, bo):
        person.sees("welcome back")
        assert person.texts() == expected
        assert person.count(GAPS) == 0
        assert sorted(person.people()) == ["ana", "bo"]


def test_what_could_not_be_filled_in_is_said(open_house):
    """More messages were sent than the server keeps."""
    house = open_house(history=5, max_message_bytes=8192, room_buffer_bytes=81920)
    ana, bo = house.members("ana", "bo")
    ana.say("before")
    bo.sees("before")
    ana.expect_cut()
    ana.offline()
    ana.wait_lost()
    talker = house.stranger("talker")
    for text in ["x" * 4000] * 40 + ["the end"]:
        talker.send_text(json.dumps({"msgType": "Broadcast", "text": text}))
    bo.sees("the end")
    ana.offline(False)
    ana.wait_online(RECONNECT)
    ana.sees("the end")
    assert ana.count(GAPS) == 1
    ana.picture("network-gap")


def test_own_stale_connection_is_replaced(open_house):
    """The server still holds the dead connection; the same key takes the name over."""
    line = Line()
    house = open_house(allowed_origins=[f"https://127.0.0.1:{line.port}"])
    line.far = house.server.port
    (bo,) = house.members("bo")
    ana = house.person()
    ana.expect_cut()
    direct, house.server.port = house.server.port, line.port
    ana.join("ana")
    house.server.port = direct
    bo.wait("() => document.querySelector('#online-count').dataset.count === '2'")
    ana.say("hello")
    bo.sees("hello", by="ana")
    line.cut()
    ana.wait_link("connecting", "waiting")
    bo.say("are you there?")
    ana.wait_online(RECONNECT)
    ana.sees("are you there?", by="bo")
    ana.say("back again")
    bo.sees("back again", by="ana")
    assert sorted(bo.people()) == ["ana", "bo"]
    assert ana.texts() == bo.texts() == ["hello", "are you there?", "back again"]
    line.close()


def test_a_second_tab_takes_over(house):
    ana, bo = house.members("ana", "bo")
    other = house.person(context=ana.context)
    other.arrive()
    assert other.value("#join-name") == "ana"
    other.press("Enter")
    other.wait_online()
    ana.wait_link("taken")
    ana.wait_visible("#banner-button")
    ana.picture("network-taken-over")
    other.say("from the second tab")
    bo.sees("from the second tab", by="ana")
    assert sorted(bo.people()) == ["ana", "bo"]
    ana.click("#banner-button")
    ana.wait_online()
    other.wait_link("taken")
    ana.say("from the first tab")
    bo.sees("from the first tab", by="ana")
    assert bo.texts() == ["from the second tab", "from the first tab"] == ana.texts()
