# SPDX-License-Identifier: MIT
"""ragchat and who is here: changes of the list, and a room of thousands, of which only the number is told."""
import asyncio
import json

import pytest

from crowd import Crowd
from helpers import PATIENCE, wait_until
from terminal import Listener, Terminal
from test_ragchat_servers import NONCE, Fake

MEMBERS = sorted(["ana", "Bob", "bo b", "émile z", *(f"user-{n:04}" for n in range(5000))], key=str.casefold)


class Large(Fake):
    """Answers GetUsers with MEMBERS. Without `users` the client gets only their number."""

    def __init__(self, users=None):
        self.users = users
        self.mute, self.refuses = False, None
        super().__init__(self.play)

    async def play(self, server):
        await self.tell("Hello", PasswordRequired=False, Nonce=NONCE)
        join = await self.hear()
        await self.tell("Joined", Name=join["Name"], Room="", Epoch="e", LastId=0)
        users = {} if self.users is None else {"Users": self.users}
        await self.tell("OnlineUsers", Version=1, Count=len(MEMBERS), **users)
        while True:
            message = await self.hear()
            if message["msgType"] == "GetUsers" and not self.mute:
                await self.answer(message)
            elif message["msgType"] == "Broadcast":
                await self.tell("Broadcast", **{**message, "SrcUser": join["Name"]})

    async def answer(self, question):
        if self.refuses:
            await self.tell("Error", Code=self.refuses, text="not so", Ref=question["Ref"])
            return
        start = question.get("Prefix", "").casefold()
        found = [name for name in MEMBERS if name.casefold().startswith(start)]
        limit = question["Limit"]
        answer = {"Count": len(MEMBERS), "Users": found[:limit], "More": len(found) > limit}
        await self.tell("Users", **answer, Ref=question["Ref"])

    def order(self, *messages):
        """Sends messages now."""
        for message in messages:
            send = self.tell(**{"kind": "Presence", **message})
            asyncio.run_coroutine_threadsafe(send, self.loop).result(PATIENCE)

    async def tell(self, kind, **fields):
        await self.client.send(json.dumps({**fields, "msgType": kind}))


@pytest.fixture
def large():
    servers = []

    def begin(**options):
        servers.append(Large(**options))
        return servers[-1]

    yield begin
    for server in servers:
        server.stop()


def test_who_shows_the_number_and_the_first_names(large, homes):
    server = large()
    ana = Terminal(server, "ana", homes("ana"), NO_COLOR="1", columns=200)
    ana.wait("5004 here; /w tells who")
    ana.say("/w")
    ana.wait('5004 here: ana, "bo b", Bob, user-0000, user-0001')
    ana.wait("there are more: /w START shows names that begin so")
    assert "user-0096, ..." in ana.text().replace("\n", "")
    ana.say("/w User-499 ")
    ana.wait("here: user-4990, user-4991.*user-4999\n")
    ana.say("/w nobody")
    ana.wait("nobody's name begins like that")
    ana.say("/w " + 33 * "x")
    ana.wait("no name begins like that: ")
    server.refuses = "too_fast"
    ana.say("/w")
    ana.wait("the server does not tell who is here: not so")
    assert [message.get("Prefix") for message in server.of("GetUsers")] == [None, "User-499", "nobody", None]


def test_one_question_at_a_time(large, homes):
    server = large()
    server.mute = True
    ana = Terminal(server, "ana", homes("ana"), NO_COLOR="1")
    ana.wait("5004 here")
    ana.say("/w")
    ana.say("/w bo")
    ana.wait("the last answer has not come yet")
    ana.type("user-49\t")
    wait_until(lambda: server.of("GetUsers"), "the question")  # else it may be lost with the line
    server.loop.call_soon_threadsafe(server.client.transport.abort)
    ana.wait("the answer was lost with the connection")
    assert len(server.of("GetUsers")) == 1


def test_tab_asks_the_server(large, homes):
    server = large()
    ana = Terminal(server, "ana", homes("ana"), NO_COLOR="1")
    ana.wait("5004 here")
    ana.type("/msg user-499\t")
    ana.wait("user-4990  user-4991")
    ana.type("7\t")
    ana.wait_row("> /msg user-4997")
    ana.type("\x15/msg bo\t")
    ana.wait_for(lambda: len(server.of("GetUsers")) == 3, "the third question")
    ana.wait("bo b  Bob")
    ana.type("b\t")
    ana.wait_row("> /msg Bob")
    ana.type("\x15/msg ém\t")
    ana.wait_row('> /msg "émile z"')
    ana.type("\x15/q\t")
    ana.wait_row("> /quit")
    assert len(server.of("GetUsers")) == 5


WRONG = ["eve\x1b[2J", "Eva\x9b2J", "Evi\u202e", "evo\nevo"]


@pytest.mark.parametrize("is_listed", [False, True])
def test_no_name_that_tab_completes_controls_the_terminal(large, homes, monkeypatch, is_listed):
    monkeypatch.setattr("test_ragchat_counted.MEMBERS", WRONG)
    server = large(users=WRONG if is_listed else None)
    ana = Terminal(server, "ana", homes("ana"), NO_COLOR="1")
    ana.wait("here; /w tells who")
    for number, name in enumerate(WRONG, 1):
        ana.type(f"\x15/msg {name[:3]}\t")
        asked = 0 if is_listed else number
        ana.wait_for(lambda n=asked: len(server.of("GetUsers")) == n, "the question")
        server.order({"kind": "Broadcast", "SrcUser": "bob", "text": f"call {number}"})
        ana.wait(f"bob: call {number}")
        assert ana.row() == f"> /msg {name[:3]}"
    for part in ("\x1b[2J", "\x9b", "\u202e", "\u21b5"):
        assert part.encode() not in ana.raw


def test_an_answer_for_another_line_changes_nothing(large, homes):
    server = large()
    server.mute = True
    ana = Terminal(server, "ana", homes("ana"), NO_COLOR="1")
    ana.wait("5004 here")
    ana.type("user-499\t")
    wait_until(lambda: server.of("GetUsers"), "the question")
    question = server.of("GetUsers")[0]
    assert (question["Prefix"], question["Limit"]) == ("user-499", 20)
    ana.type("x")
    ana.wait_row("> user-499x")
    answer = {"Count": 5004, "Users": ["user-4997"], "More": False, "Ref": question["Ref"]}
    server.order({"kind": "Users", **answer}, {"kind": "Broadcast", "SrcUser": "bob", "text": "end"})
    ana.wait("bob: end")
    assert ana.row() == "> user-499x"


def test_changes_are_told_and_the_room_grows_too_large(large, homes):
    """A name in Joined and Left is nobody who came or left."""
    server = large(users=["ana"])
    ana = Terminal(server, "ana", homes("ana"), NO_COLOR="1")
    ana.wait("1 here; /w tells who")
    server.order({"Since": 1, "Version": 2, "Count": 3, "Joined": ["bob", "eve"]})
    ana.wait("2 people came")
    server.order({"Since": 2, "Version": 3, "Count": 2, "Left": ["bob", "eve"], "Joined": ["eve"]})
    ana.wait("bob left")
    ana.say("/w")
    ana.wait("here: ana, eve")
    ana.say("/w E")
    ana.wait("here: eve")
    server.order({"Since": 2, "Version": 3, "Left": ["eve"]}, {"Since": 3, "Version": 4, "Count": 2001})
    ana.wait("2001 here: too many to tell who came")
    server.order({"kind": "OnlineUsers", "Version": 9, "Count": 3, "Users": ["ana", "Zoe", "zo"]})
    server.order({"kind": "Broadcast", "SrcUser": "zo", "text": "listed again"})
    ana.wait("listed again")
    ana.wait("3 here; /w tells who")
    ana.say("/w z")
    ana.wait("here: zo, Zoe")
    assert ana.text().count(" left") == 1 and "Zoe came" not in ana.text()
    assert not server.of("GetUsers")


def test_scripts_get_changes_as_they_come(large, homes):
    change = {"Since": 1, "Version": 2, "Count": 5005}
    server = large()
    ear = Listener(server, "ear", homes("ear"))
    assert ear.of("OnlineUsers") == [{"Version": 1, "Count": len(MEMBERS), "msgType": "OnlineUsers"}]
    server.order(change, {**change, "Count": 7}, {"kind": "Broadcast", "SrcUser": "bob", "text": "end"})
    ear.wait(1)
    assert ear.of("Presence") == [{**change, "msgType": "Presence"}]
    assert ear.end()[0] == 0


@pytest.mark.plain_run("two thousand members take too long under a sanitizer")
def test_with_a_server_of_two_thousand(serve, homes):
    server = serve(max_clients=3000, max_clients_per_address=0)
    ana = Terminal(server, "ana", homes("ana"), NO_COLOR="1")
    ana.wait("1 here; /w tells who")
    with Crowd(server, 2001, "user", "listen", "127.0.0.1"):
        ana.wait(r"200\d here: too many to tell who came")
        ana.say("/w User-1234")
        ana.wait("here: user-1234")
        ana.say("/w user-20")
        ana.wait("here: user-20, user-200, user-2000")
        ana.type("/msg user-199\t")
        ana.wait("user-199 +user-1990")
        ana.say("9 psst")
        ana.wait('not sent to user-1999: "psst": there are no keys')
        ana.say("/msg user-2001 psst")
        ana.wait('not sent to user-2001: "psst": nobody of that name is here')
    ana.wait(r"(?s)nobody of that name.*\d here; /w tells who")
