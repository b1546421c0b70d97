# SPDX-License-Identifier: MIT
"""Attacks of a few addresses or one member on all others; `make soak` (tools/soak) runs them.

Each attack has its own server with default settings, and lasts some seconds. It returns figures, and a
list of broken promises. Meanwhile two canaries talk in a separate room: both must receive each message,
and few may take longer than a second (WORDS_LATE).
"""
import asyncio
import contextlib
import json
import re
import signal
import tempfile
import threading
import time
from pathlib import Path

from crowd import Crowd
from flood import Flood
from helpers import PING, PONG, SCALE, TEXT, Canaries, Cut, Raw, Server, frame, wait_until
from hostile_clients import (
    FOUR,
    LONG,
    PACES,
    PRESENCE_RATE,
    bytes_out,
    come_from_afar,
    flap_burst,
    hello_of,
    read_at_pace,
    victims,
)
from server_control import cpu_seconds

WORDS_LATE = 0.05  # of all messages may take longer than SCALE seconds,
WORDS_LATE_LEAST = 3  # or this many, which is one bad moment of the machine
WORD_EVERY = 0.1  # seconds
ROOMS = 100  # max_rooms by default
PING_INTERVAL, PING_LEAST = 30, 5  # seconds: by default; where there is no time for that


class Words(threading.Thread):
    """The talk of the canaries, until it is stopped."""

    def __init__(self, canaries):
        super().__init__(daemon=True)
        self.canaries, self.stop, self.took, self.flaw = canaries, threading.Event(), [], None

    def run(self):
        while not self.stop.wait(WORD_EVERY):
            begin = time.monotonic()
            try:
                self.canaries.talk()
            except Exception as flaw:  # for any reason: a message did not arrive as it should
                self.flaw = f"a canary did not hear word {self.canaries.words}: {flaw!r}"
                return
            self.took.append(time.monotonic() - begin)

    def judge(self):
        self.stop.set()
        self.join()
        took = sorted(self.took)
        late = sum(each > SCALE for each in took)
        wrong = [self.flaw] if self.flaw else []
        if not took or late > max(WORDS_LATE_LEAST, WORDS_LATE * len(took)):
            wrong.append(f"{late} of {len(took)} words of the canaries took over {SCALE:.0f} s")
        figures = {"words of the canaries, late": (len(took), late)}
        if took:
            middle, most = took[len(took) // 2], took[-1]
            figures["a word, median and longest (ms)"] = f"{1000 * middle:.0f}, {1000 * most:.0f}"
        return figures, wrong


# ---- The attacks ---------------------------------------------------------------------------------


def silent_churn(server, seconds):
    """Four addresses open 2,000 connections a second and say nothing."""
    counts, end = {"came in": 0, "kept out": 0}, time.monotonic() + seconds
    with Flood(server, 2000, "silent", *FOUR) as flood:
        while time.monotonic() < end:
            try:
                asyncio.run(come_from_afar(server, sum(counts.values()) % 90))
                counts["came in"] += 1
            except Exception:  # there are many kinds of refusal
                counts["kept out"] += 1
    wrong = [f"{counts['kept out']} were kept out"] if counts["kept out"] else []
    if not counts["came in"]:
        wrong.append("nobody tried to come in")
    return {**counts, "strangers": flood.count}, wrong


def flapper(server, seconds):
    """One address comes and goes as fast as it can, in a room of 600 with long names."""
    crowd = [f"127.0.{block}.2" for block in range(10, 16)]
    with Crowd(server, 600, LONG, "listen", *crowd) as listening:
        with Crowd(server, 8, "flapper", "flap", "127.0.3.1") as flapping:
            before, begin = bytes_out(server), time.monotonic()
            time.sleep(seconds)
            sent, elapsed = bytes_out(server) - before, time.monotonic() - begin
    wrong = []
    if sent > 608 * PRESENCE_RATE * elapsed + flap_burst(608, flapping.report["came"]):
        wrong.append(f"{sent} bytes were sent in {elapsed:.0f} s")
    if listening.report["closed"]:
        wrong.append(f"{listening.report['closed']} members of the room were closed")
    figures = {
        "joins": flapping.report["came"],
        "sent (kB)": sent // 1000,
        "seconds": int(elapsed),
    }
    return figures, wrong


def loud_address(server, seconds):
    """99 members of one address talk as fast as they can; six elsewhere read 0.3 to 10 MB/s."""
    return talk_loudly(server, seconds, "127.0.3.1")


def loud_addresses(server, seconds):
    """99 members of four addresses talk as fast as they can; six elsewhere read 0.3 to 10 MB/s."""
    return talk_loudly(server, seconds, *FOUR)


def talk_loudly(server, seconds, *addresses):
    with victims(server) as got:
        with Crowd(server, 99, "loud", "talk", *addresses) as crowd:
            time.sleep(seconds)
    closed = got.count(None)
    wrong = [f"{closed} of {len(got)} readers were closed"] if closed else []
    return {"read": got, "pace": PACES, "sent": crowd.report["sent"]}, wrong


def private_flood(server, seconds):
    """40 members of one address write to one that reads 0.5 MB/s, as fast as they can."""
    end = threading.Event()
    with Raw(server, receive_buffer=16384, address="127.0.9.1") as raw:
        raw.join("victim")
        timer = threading.Timer(seconds, end.set)
        with Crowd(server, 40, "loud", "private:victim", "127.0.3.1") as crowd:
            timer.start()
            got = read_at_pace(raw, 500_000, end)
    wrong = [] if got else ["the receiver was closed"]
    return {"received": got, "sent": crowd.report["sent"]}, wrong


def guess(server, address, number):
    """One wrong password from there; the code that answers it."""
    with Raw(server, address=address) as raw:
        raw.upgrade()
        raw.message()
        password = f"not-the-password-{number}"
        raw.send_text(json.dumps({"msgType": "Join", "Name": "ana", "Password": password}))
        return raw.message()["Code"]


def guessers(server, seconds):
    """Wrong passwords from many addresses while a stranger knocks: all of them are in the log."""
    wrong_passwords, number, end = 0, 0, time.monotonic() + seconds
    with Flood(server, 1000, "silent", "127.0.1.1"):
        while time.monotonic() < end and number < 4 * 200:
            address = f"127.0.{20 + number // 4}.9"
            wrong_passwords += guess(server, address, number) == "wrong_password"
            number += 1
            time.sleep(0.1)  # a pace, not a wait: at a higher rate the log may leave lines out
    lines = len(re.findall(r" warn wrong_password address=127.0.\d+.9 ", server.log()))
    figures = {"wrong passwords, in the log": (wrong_passwords, lines), "guesses": number}
    wrong = []
    if lines != wrong_passwords or not lines:
        wrong.append(f"{lines} of {wrong_passwords} wrong passwords are in the log")
    if " turned_away " not in server.log():
        wrong.append("the stranger who knocks was never turned away: that was no attack")
    return figures, wrong


REPLAYS, REPLAYS_COST = 160, 0.2  # a second, from four addresses; of a core


def replayed_hellos(server, seconds):
    """A ClientHello is sent again and again by four addresses, with an expensive group."""
    usual = core_share(server, seconds / 4)
    with Flood(server, REPLAYS, hello_of("P-384").hex(), *FOUR) as flood:
        time.sleep(1)  # the burst of each
        cost = core_share(server, seconds) - usual
    wrong = [f"they cost {cost:.0%} of a core"] if cost > REPLAYS_COST else []
    return {"replayed": flood.count, "of a core, and without": f"{cost:.1%}, {usual:.1%}"}, wrong


def core_share(server, seconds):
    """The share of one core that the server uses in that time."""
    begin, before = time.monotonic(), cpu_seconds(server)
    time.sleep(seconds)
    return (cpu_seconds(server) - before) / (time.monotonic() - begin)


def hoarder(server, seconds):
    """One address opens a room with each connection; others can open rooms still."""
    rooms, honest, refused, end = 0, 0, 0, time.monotonic() + seconds
    with contextlib.ExitStack() as stack:
        for number in range(90):
            raw = stack.enter_context(Raw(server, address="127.0.3.1"))
            with contextlib.suppress(AssertionError):  # too_many_rooms
                raw.join("hoarder", f"/rooms/hoard-{number}")
                rooms += 1
        while time.monotonic() < end:
            honest += 1
            with Raw(server, address=f"127.0.{30 + honest % 100}.1") as raw:
                try:
                    raw.join("ana", f"/rooms/honest-{honest}")
                except (AssertionError, Cut, OSError):
                    refused += 1
            time.sleep(0.2)  # not to wait for something: at a human pace
    wrong = [f"{refused} of {honest} honest rooms were refused"] if refused or not honest else []
    if rooms > ROOMS // 4:
        wrong.append(f"one address took {rooms} rooms")
    return {"hoarded, of": (rooms, ROOMS), "honest rooms, refused": (honest, refused)}, wrong


def freeze(server, seconds):
    """After a quiet time, the process stands still for longer than the ping timeout."""
    interval = PING_INTERVAL if seconds >= 2.1 * PING_INTERVAL else PING_LEAST
    with contextlib.ExitStack() as stack:
        members = [stack.enter_context(Raw(server)) for _ in range(20)]
        for number, member in enumerate(members):
            member.join(f"quiet-{number}")
        set_ping_interval(server, interval)
        time.sleep(0.87 * interval)  # seconds of silence
        server.signal(signal.SIGSTOP)
        time.sleep(1.17 * interval)  # seconds frozen
        server.signal(signal.SIGCONT)
        lost = sum(not answers_ping(member) for member in members)
    wrong = [f"{lost} of {len(members)} members were lost"] if lost else []
    return {"interval of pings (s)": interval, "lost": lost}, wrong


def set_ping_interval(server, interval):
    settings = json.loads(server.config.read_text())
    server.config.write_text(json.dumps({**settings, "ping_interval_seconds": interval}))
    server.signal(signal.SIGHUP)
    wait_until(lambda: " reloaded " in server.log(), "a reload")


def answers_ping(member):
    """Whether a member is pinged first, and served after that."""
    text = f"{member.socket.getsockname()} is here"
    try:
        while (opcode := member.next_frame()[0]) != PING:
            if opcode != TEXT:
                return False
        member.send(frame(PONG, b""))
        member.send_text(json.dumps({"msgType": "Broadcast", "text": text}))
        while text.encode() not in member.next_frame()[1]:
            pass
        return True
    except (Cut, OSError):
        return False


# ---- All of them ---------------------------------------------------------------------------------

ATTACKS = {  # by name: the function, and settings that are not the default
    silent_churn: {"SSL": True},
    flapper: {},
    loud_address: {"too_fast_seconds": 0},
    loud_addresses: {"too_fast_seconds": 0},
    private_flood: {"too_fast_seconds": 0},
    guessers: {"log_addresses": True, "max_clients_per_address": 20},
    replayed_hellos: {"SSL": True},
    hoarder: {},
    freeze: {"SSL": True},
}


def run_attack(attack, settings, seconds):
    """The figures and broken promises of one attack on its own server."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), **settings)
        canaries = Canaries(server)
        words = Words(canaries)
        if attack is not freeze:  # the canaries would stand still like the server
            words.start()
        try:
            figures, wrong = attack(server, seconds)
            if attack is not freeze:
                said, unsaid = words.judge()
                figures, wrong = {**figures, **said}, [*wrong, *unsaid]
            canaries.check(attack.__name__)
        except Exception as flaw:  # continue with the next attack
            figures, wrong = {}, [f"{type(flaw).__name__}: {flaw}"]
        finally:
            words.stop.set()
            canaries.close()
        try:
            server.finish()
        except Exception as flaw:  # continue here too
            wrong.append(f"the end of the server: {flaw}")
    return figures, wrong
