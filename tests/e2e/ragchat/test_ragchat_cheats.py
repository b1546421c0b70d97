# SPDX-License-Identifier: MIT
"""ragchat's private messages through a server that cheats (fake_room.py)."""
import re

import pytest

from fake_room import CARD, FakeRoom
from helpers import wait_until
from terminal import OK, PARTLY, Listener, Terminal, run, said


@pytest.fixture
def room():
    fake = FakeRoom()
    yield fake
    fake.stop()


def names(room, *expected):
    wait_until(lambda: sorted(room.clients) == sorted(expected), f"{expected} to be in")


def test_no_false_alarm_after_lost_lines(room, homes, terminal):
    """Each side loses its connection, and one is restarted; each report appears once."""
    ana, ear = terminal(room, "ana"), Listener(room, "bob", homes("bob"))
    for number in range(6):
        ana.say(f"/msg bob text {number}")
        ear.wait(number + 1, "PrivateMessage")
        room.cut("bob" if number % 2 else "ana")
        names(room, "ana", "bob")
    ana.wait("connected again", times=3)
    ana.say("/msg bob the end")
    ear.wait(7, "PrivateMessage")
    assert ear.texts("PrivateMessage") == [f"text {number}" for number in range(6)] + ["the end"]
    assert not ear.of("Missing")
    assert "confirmed" not in ana.text() and "did not arrive" not in ana.text()


@pytest.mark.parametrize("whose", ["ana", "bob"])
def test_a_dropped_message_is_not_hidden_by_cutting_a_line(room, homes, terminal, whose):
    ana, ear = terminal(room, "ana"), Listener(room, "bob", homes("bob"))
    ana.say("/msg bob one")
    ear.wait(1, "PrivateMessage")
    room.fate = lambda sender, message: []
    ana.say("/msg bob DO NOT COME")
    ana.wait(said("encrypted", "you to bob", "DO NOT COME"))
    room.fate = lambda sender, message: [message]
    room.cut(whose)
    ear.wait(2, "PrivateMessage")
    assert ear.texts("PrivateMessage") == ["one", "DO NOT COME"]


def test_a_dropped_message_is_told_with_the_next(room, homes, terminal):
    ana, ear = terminal(room, "ana"), Listener(room, "bob", homes("bob"))
    dropped = []

    def drop_second(sender, message):
        if message["Seq"] == 2 and not dropped:
            dropped.append(message)
            return []
        return [message]

    room.fate = drop_second
    for text in ("one", "two", "three"):
        ana.say(f"/msg bob {text}")
    ear.wait(3, "PrivateMessage")
    assert ear.texts("PrivateMessage") == ["one", "three", "two"]
    assert [message["Missing"] for message in ear.of("Missing")] == [1]


def test_a_ref_decides_nothing(room, homes, terminal):
    """Renamed and duplicated messages are shown once each, and duplicates are reported."""
    ana, ear = terminal(room, "ana"), Listener(room, "bob", homes("bob"))
    room.fate = lambda sender, message: [{**message, "Ref": "ab" * 16}] * 2
    for text in ("yes", "yes", "no"):
        ana.say(f"/msg bob {text}")
    shown = lambda: [message for message in ear.of("PrivateMessage") if "Unreadable" not in message]
    wait_until(lambda: len(shown()) == 3, "three texts")
    assert [message["text"] for message in shown()] == ["yes", "yes", "no"]
    again = ear.wait(6, "PrivateMessage")
    assert [message.get("Unreadable") for message in again] == [None, "replayed"] * 3


def test_refs_are_random_and_hide_nothing(room, homes, terminal):
    ana, ear = terminal(room, "ana"), Listener(room, "bob", homes("bob"))
    for _ in range(3):
        ana.say("hello")
    ear.wait(3)
    refs = [message["Ref"] for message in room.of("ana", "Broadcast")]
    assert len(set(refs)) == 3 and all(re.fullmatch("[0-9a-f]{32}", ref) for ref in refs)
    assert len({ref[:8] for ref in refs}) == 3
    for text in ("mallory was here", "HELP, call the police", "HELP, call the police"):
        said = {"msgType": "Broadcast", "SrcUser": "cleo", "TgtUser": "", "Ref": "ab" * 16}
        room.run(room.tell("bob", **said, text=text))
    room.run(room.tell("bob", msgType="Broadcast", SrcUser="cleo", TgtUser="", text="end"))
    ear.wait(6)
    assert ear.texts()[3:] == ["mallory was here", "HELP, call the police", "end"]


def test_a_delayed_number_captures_no_line(room, homes, terminal):
    """The comparison ends with the next line; text being typed is no answer."""
    ana = terminal(room, "ana")
    Listener(room, "bob", homes("bob"))
    names(room, "ana", "bob")
    room.holds_keys = True
    ana.say("/verify bob")
    wait_until(lambda: room.held, "GetKeys")
    ana.say("see you at 8?")
    ana.wait("ana: see you at 8")
    ana.type("ye")
    ana.wait_row("> ye")
    room.release_keys()
    ana.say("s")
    ana.wait("ana: yes")
    assert "safety number" not in ana.text() and "verified" not in ana.text()


def test_the_line_is_emptied_when_the_question_comes(room, homes, terminal):
    ana = terminal(room, "ana")
    Listener(room, "bob", homes("bob"))
    names(room, "ana", "bob")
    room.holds_keys = True
    ana.say("/verify bob")
    wait_until(lambda: room.held, "GetKeys")
    ana.type("ye")
    ana.wait_row("> ye")
    room.release_keys()
    ana.wait("type its last 5 digits")
    ana.wait_row("the last 5 digits >")
    for answer in ("yes", "12"):
        ana.say(answer)
        ana.wait("bob is not marked")
        ana.say("/verify bob")
        ana.wait_row("the last 5 digits >")
    room.cut("ana")
    names(room, "ana", "bob")
    ana.say("345")
    ana.wait("bob is not marked", times=3)
    assert not room.of("ana", "Broadcast")
    ana.say("to the room")
    ana.wait("ana: to the room")


def test_a_server_that_does_not_know_its_name(room, homes, terminal):
    """ragchat joins without keys on the same connection, and tells the reason."""
    room.refuses = lambda join: "wrong_origin" if "Proof" in join else None
    ana = terminal(room, "ana")
    ana.wait(f"messages are off: the server does not know itself as http://127.0.0.1:{room.port}")
    ana.wait("allowed_origins")
    assert len(room.of("ana", "Join")) == 2
    Listener(room, "bob", homes("bob"))
    names(room, "ana", "bob")
    refused = room.of("bob", "Join")[0]
    room.cards["bob"] = {field: refused[field] for field in CARD}
    ana.say("/msg bob secret")
    ana.wait("not sent to bob.*private messages are off")
    assert not room.of("ana", "PrivateMessage")
    ana.say("hello all")
    ana.wait("ana: hello all")


def test_a_script_succeeds_only_when_it_is_confirmed(room, homes):
    Listener(room, "bob", homes("bob"))
    names(room, "bob")
    lines = "".join(f"line {number}\n" for number in range(100))
    assert run(room, "cron", homes("cron"), "--to", "bob", text=lines)[0] == OK
    room.fate = lambda sender, message: []
    status, _, err = run(room, "cron", homes("cron"), "--to", "bob", text="lost\n")
    assert status == PARTLY and 'bob has not confirmed "lost"' in err


def test_names_that_say_something_take_no_place(room, homes):
    """4,096 of them; then somebody new can be written to, and writes."""
    ana = Terminal(room, "ana", homes("ana"))
    ana.wait("1 here")
    for number in range(4096):
        said = {"msgType": "PrivateMessage", "SrcUser": f"n{number}", "text": "."}
        room.run(room.tell("ana", **said))
    ana.wait("n4095")
    bob = Terminal(room, "bob", homes("bob"))
    bob.wait("2 here")
    ana.say("/msg bob hello")
    bob.wait(said_to("ana", "hello"))
    bob.say("/msg ana I am here")
    ana.wait(said_to("bob", "I am here"))


def said_to(who, text):
    return said("encrypted", f"{who} to you", text)
