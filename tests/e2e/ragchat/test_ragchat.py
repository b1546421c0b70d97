# SPDX-License-Identifier: MIT
"""ragchat on a terminal: typing, editing, what is shown, and how it ends."""
import os
import re
import signal
import unicodedata

import pyte
import pytest

from helpers import PASSWORD, join, scenario
from terminal import Terminal


def test_what_is_typed_is_said(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob")
    ana.wait("bob came")
    ana.say("Hello, is anybody here?")
    for screen in (ana, bob):
        screen.wait(r"\d\d:\d\d ana: Hello, is anybody here\?")
    ana.wait_row(">")
    ana.say("/quit")
    assert ana.end() == 0
    bob.wait("ana left")


def test_a_message_that_arrives_does_not_tear_the_line(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob")
    ana.wait("bob came")
    ana.type("half a sent")
    ana.wait_row("> half a sent")
    bob.say("I interrupt")
    ana.wait("bob: I interrupt")
    ana.wait_row("> half a sent")
    ana.type("ence")
    ana.wait_row("> half a sentence")
    assert ana.text().count("half a") == 1
    ana.say("")
    bob.wait("ana: half a sentence")


@pytest.mark.parametrize(
    "typed, seen",
    [
        ("日本語\x7fx", "> 日本x"),  # wide characters, one at a time
        ("日本語\x1b[D\x1b[D\x7fx", "> x本語"),
        ("a👍🏽\x7fb", "> ab"),  # an emoji with its skin tone
        ("a👨\u200d👩\u200d👧\x7fb", "> ab"),  # a family of three, joined
        ("a🇩🇪🇫🇷\x7fb", "> a🇩🇪b"),  # flags are two letters each
        ("e\u0301x\x1b[D\x1b[Dy", "> ye\u0301x"),  # an accent of its own stays with its letter
        ("one two three\x17\x17x", "> one x"),
        ("one two\x01\x0bthree \x19", "> three one two"),
        ("abc\x02\x02\x04", "> ac"),
        ("abc\x1b[H\x1b[3~", "> bc"),
        ("one two\x1bb\x1bd", "> one"),
        ("x\x1b[99;99;99ny", "> xy"),  # an unknown key
    ],
)
def test_keys(serve, terminal, typed, seen):
    ana = terminal(serve(), "ana")
    ana.type(typed)

    def look():
        row = unicodedata.normalize("NFC", ana.row())
        return row == unicodedata.normalize("NFC", seen)

    ana.wait_for(look, f"{seen!r}")


def test_a_long_line_stays_in_its_row(serve, terminal):
    ana = terminal(serve(), "ana", columns=30)
    ana.type("0123456789" * 10 + "end")
    ana.wait(r"(?m)^> .*end$")
    rows = [row for row in ana.lines() if "456789" in row]
    assert len(rows) == 1 and len(rows[0]) < 30
    ana.type("\x01")
    ana.wait(r"(?m)^> 01234567890123")
    ana.say("")
    ana.wait("ana: 0123456789")


def test_resizing_keeps_what_was_typed(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob")
    ana.type("still here " * 4)
    ana.wait("(still here ?){4}")
    ana.resize(30)
    ana.wait(r"(?m)^> .*here$")
    bob.say("and more")
    ana.wait("bob: and more")
    ana.resize(100)
    ana.wait("> still here still here still here still here")
    ana.say("")
    bob.wait("still here still here still here still here")


def test_tab_completes_names_and_commands(serve, terminal):
    server = serve()
    ana = terminal(server, "ana")
    terminal(server, "Berta"), terminal(server, "Bernd Müller")
    ana.wait('"Bernd Müller" came|2 people came')
    ana.type("/ver\t")
    ana.wait_row("> /verify")
    ana.type("ber\t")
    ana.wait_row("> /verify Ber")
    ana.type("\t")
    ana.wait("Bernd Müller  Berta")
    ana.type("n\t")
    ana.wait_row("> /verify Bernd Müller")
    ana.type("\x15bert\t")
    ana.wait_row("> Berta:")


def test_history(serve, terminal):
    ana = terminal(serve(), "ana")
    for text in ("first", "second"):
        ana.say(text)
        ana.wait(f"ana: {text}")
    ana.type("draft\x1b[A")
    ana.wait_row("> second")
    ana.type("\x1b[A\x1b[A")
    ana.wait_row("> first")
    ana.type("\x0e\x0e")
    ana.wait_row("> draft")


def test_a_lone_escape_holds_nothing_up(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob")
    ana.type("abc\x1b")
    bob.say("are you there?")
    ana.wait(r"bob: are you there\?")


def test_a_paste_of_several_lines_is_one_message(serve, terminal):
    """A paste is sent with Return, not before, and is only text."""
    ana = terminal(serve(), "ana")
    ana.type("\x1b[200~one\rtwo\n\r\n/quit\r\x1b[201~")
    ana.wait_row("> one↵two↵↵/quit")
    ana.type("\x17\x1b\rx")
    ana.wait_row("> one↵two↵↵↵x")
    ana.say("")
    ana.wait("(?m)ana: one\n      two\n\n\n      x$")


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnirts\u2066\x08\x7f\rana: fake"


def test_nobody_can_look_like_somebody_else(serve, terminal):
    """Neither by a name nor by a text that fills the row and continues like a message."""
    server = serve()
    ana = terminal(server, "ana", columns=40, NO_COLOR="1")

    @scenario
    async def send():
        eve = await join(server, "bob to you [verified]")
        forged = "12:00 bob to you [verified]: pay eve"
        await eve.send("Broadcast", text="forged")
        await eve.send("Broadcast", text="日本❤️" * 40 + forged + "x" * 80 + forged)
        await eve.messages(2)

    send()
    ana.wait("left")
    assert '"bob to you [verified]": forged' in ana.text()
    message = ana.text().split(": forged\n")[1].split("\n--")[0].split("\n")
    assert len(message) > 8 and all(row.startswith("      ") for row in message[1:])
    assert all(len(row) <= 40 for row in message)


@pytest.mark.parametrize("wide", ["\u4dc0", "\u00b1", "\U0001d300", "\U0001f1e6\u200b"])
def test_no_text_gets_to_the_start_of_a_row(serve, terminal, monkeypatch, wide):
    """Also if the terminal draws a character wider than we expect, like those with newer Unicode
    tables, and East Asian ones."""
    width = pyte.screens.wcwidth
    monkeypatch.setattr(pyte.screens, "wcwidth", lambda c: 2 if c == wide[0] else width(c))
    server = serve()
    ana = terminal(server, "ana", columns=40, NO_COLOR="1")
    forged = "09:04 [verified] bob to you: the code?"

    @scenario
    async def send():
        eve = await join(server, "eve")
        for count in range(12, 20):
            await eve.send("Broadcast", text=wide * count + "." + forged)
        await eve.messages(8)

    send()
    ana.wait("eve left")
    starts = re.compile(r"\d\d:\d\d eve:( |$)|      |-- |>|$")
    wrong = [row for row in ana.lines() if not starts.match(row)]
    assert not wrong, ana.text()


def test_what_others_send_never_commands_the_terminal(serve, terminal):
    """ECMA-48 sequences, C0, C1, DEL and bidi overrides; a newline does not begin a message."""
    server = serve()
    ana = terminal(server, "ana", NO_COLOR="1")
    ana.wait("1 here")
    ana.pump()
    before = len(ana.raw)

    @scenario
    async def send():
        eve = await join(server, "eve")
        await eve.send("Broadcast", text=HOSTILE)
        await eve.send("Broadcast", text="two\n12:00 bob: lines\tand a tab")
        await eve.send("PrivateMessage", TgtUser="ana", text=HOSTILE)
        await eve.messages(2)

    send()
    ana.wait("eve left")
    written = ana.raw[before:].decode()
    assert "owned" in written and not re.search(
        "[\x07\x08\x7f-\x9f\u202a-\u202e\u2066-\u2069]", written
    )
    assert set(re.findall(r"\x1b\[[0-9?;]*(.)", written)) <= set("JCAK")
    assert "\x1b]" not in written
    assert not re.search(r"(?m)^\d\d:\d\d bob: lines", ana.text())
    assert "\ufffd]0;owned\ufffd\ufffd[2J\ufffd31m" in ana.text().replace("\n", "")


def test_names_have_colours_unless_they_are_unwanted(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob", NO_COLOR="1")
    ana.say("in colour")
    for screen in (ana, bob):
        screen.wait("ana: in colour")
    assert re.search(rb"\x1b\[1;3[1-6]mana\x1b\[0m", ana.raw)
    assert not re.search(rb"\x1b\[[0-9;]*m", bob.raw)


def test_commands(serve, terminal):
    server = serve()
    ana = terminal(server, "ana")
    terminal(server, "bob")
    ana.wait("bob came")
    ana.say("/help")
    ana.wait(r"/verify NAME .*compare")
    ana.say("/w")
    ana.wait("here: ana, bob")
    ana.say("/nonsense")
    ana.wait("not said: there is no such command")
    ana.say("/msg bob")
    ana.wait("it goes like this: /msg NAME TEXT")
    ana.say("//slashed")
    ana.wait("ana: /slashed")
    ana.type("draft")
    ana.wait_row("> draft")
    ana.type("\x03")
    ana.wait_row(">")
    ana.type("\x04")
    assert ana.end() == 0


def test_a_blank_before_a_command_does_not_say_it_to_the_room(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob")
    ana.wait("bob came")
    ana.say(" /msg bob secret")
    bob.wait(r"\[encrypted\] ana to you: secret")
    ana.say(" /mgs bob secret")
    ana.wait("not said: there is no such command")
    ana.say("  //slashed")
    bob.wait("ana: /slashed")
    assert "ana:  /msg" not in bob.text() and "mgs" not in bob.text()


def test_actions(serve, terminal):
    server = serve()
    ana, bob = terminal(server, "ana", NO_COLOR="1"), terminal(server, "bob", NO_COLOR="1")
    ana.wait("bob came")
    ana.say("/me waves")
    ana.say("/msg bob /me nods")
    for screen in (ana, bob):
        screen.wait(r"(?m)^\d\d:\d\d \* ana waves$")
    bob.wait(r"\[encrypted\] ana to you: \* ana nods")
    ana.wait(r"\[encrypted\] you to bob: \* you nods")


def test_another_name(serve, terminal):
    """A new name is a new person: it has its own key, and no state of the old one."""
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob")
    ana.say("/msg bob as ana")
    bob.wait("ana to you: as ana")
    ana.say("/nick Ana Maria")
    ana.wait('you are "Ana Maria" now')
    bob.wait("ana left")
    bob.wait('"Ana Maria" came')
    ana.say("here I am")
    bob.wait('"Ana Maria": here I am')
    ana.say("/msg bob as Ana Maria")
    bob.wait(r'\[encrypted\] "Ana Maria" to you: as Ana Maria')
    ana.say("/nick ANA MARIA")
    ana.wait('you are "ANA MARIA" now')
    ana.wait("2 here; /w tells who", 2)  # only who is in can change names
    ana.say("/nick Bob")
    ana.wait('you cannot be Bob: .*; coming back as "ANA MARIA"')
    ana.wait("connected again")
    ana.say("still here")
    bob.wait('"ANA MARIA": still here')
    ana.say("/nick \u202e")
    ana.say("/nick ANA MARIA")
    ana.wait("your name stays: that is your name already")


def test_the_user_list_is_sorted_as_people_expect(serve, terminal):
    server = serve()
    ana = terminal(server, "ana")

    @scenario
    async def come():
        peers = [await join(server, name) for name in ("Zoe", "bob", "Élodie", "Bea", "émile")]
        await peers[-1].presence("ana", "Zoe", "bob", "Élodie", "Bea", "émile")
        ana.wait("mile came")
        ana.say("/w")
        ana.wait("here: ana, Bea, bob, Zoe, Élodie, émile")

    come()


def test_forgetting_somebody(serve, terminal, homes):
    server = serve()
    ana, bob = terminal(server, "ana"), terminal(server, "bob")
    ana.wait("bob came")
    ana.say("/forget bob")
    ana.wait("no key of bob is known")
    ana.say("/msg bob hello")
    ana.wait(r"\[encrypted\] you to bob: hello")
    ana.say("/forget bob")
    ana.wait("1 key of bob forgotten")
    bob.say("/quit")
    assert bob.end() == 0
    ana.wait("bob left")
    other = terminal(server, "bob", folder=homes("another bob"))
    ana.say("/msg bob hello again")
    other.wait(r"\[encrypted\] ana to you: hello again")
    assert "another key" not in ana.text()


@pytest.mark.parametrize("how", ["\x04", "\x03", signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_every_end_gives_the_terminal_back(serve, terminal, how):
    ana = terminal(serve(), "ana")
    if isinstance(how, str):
        ana.type(how)
    else:
        os.kill(ana.pid, how)
    assert ana.end() == 0
    assert b"\x1b[?7l" in ana.raw
    assert ana.raw.endswith(b"\x1b[?7h\x1b[?2004l")


def test_ctrl_z_stops_and_fg_goes_on(serve, terminal):
    """As a job of a shell: a session's leader, as elsewhere here, cannot be stopped that way."""
    shell = ["bash", "-c", 'set -m; "$0" "$@"; echo "it stopped"; read -r; fg']
    ana = terminal(serve(), "ana", wrap=shell)
    ana.type("typed\x1a")
    ana.wait("(?m)^it stopped")
    assert ana.raw.count(b"\x1b[?7h") == ana.raw.count(b"\x1b[?7l") == 1
    ana.type("\n")
    ana.wait_row("> typed")
    ana.type("\x03\x04")
    assert ana.end() == 0
    assert ana.raw.count(b"\x1b[?7h") == ana.raw.count(b"\x1b[?7l") == 2


def test_the_password_is_asked_for_without_echo(serve, homes):
    server = serve()
    ana = Terminal(server, "ana", homes("ana"), RAGNAROK_PASSWORD=None)
    ana.wait("Password:")
    ana.say("not the one")
    ana.wait("that is not the password")
    ana.wait("Password:", times=2)  # input before the prompt is discarded
    ana.say(PASSWORD)
    ana.wait("1 here")
    assert PASSWORD not in ana.raw.decode() and b"not the one" not in ana.raw


def test_a_window_that_is_resized_is_no_answer(serve, homes):
    ana = Terminal(serve(), "ana", homes("ana"), RAGNAROK_PASSWORD=None)
    ana.wait("Password:")
    ana.resize(100)
    ana.say(PASSWORD)
    ana.wait("1 here")


def test_coming_back_after_the_server_was_restarted(serve, terminal, tmp_path):
    server = serve()
    ana = terminal(server, "ana")
    server.signal(signal.SIGTERM)
    ana.wait(r"connection is lost \(.*\); trying again")
    ana.say("said meanwhile")
    server.wait_end()
    serve(server_port=server.port)
    ana.wait("connected again; something may be missing")
    ana.wait("ana: said meanwhile")
    assert ana.text().count("trying again") == 1
