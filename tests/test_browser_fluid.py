# SPDX-License-Identifier: MIT
"""The page stays fluid in a room where 5,000 messages were said and 500 users are."""
import json
import statistics
import time

from helpers import PATIENCE
from person import AT_BOTTOM, in_browser

pytestmark = in_browser("fluid")

MESSAGES, USERS, SAMPLES = 5000, 500, 50
WORK_MAX = 50  # milliseconds of script, style and layout for a new message: the median
NODES_MAX = 12000  # elements
JOIN_MAX = 3 * PATIENCE  # seconds to come in where all of that is history
LIMITS = {
    "max_messages_per_second": 0,
    "max_bytes_per_second": 0,
    "max_clients_per_address": 0,
    "ping_interval_seconds": 600,
}

# Notes for each broadcast how long it takes to be painted: from the event to a task that runs
# behind the next frame.
WATCH = """
window.painted = [];
const Socket = window.WebSocket;
window.WebSocket = class extends Socket {
    constructor(...given) {
        super(...given);
        this.addEventListener("message", event => {
            if (!event.data.includes('"Broadcast"')) return;
            const start = performance.now();
            requestAnimationFrame(() => {
                const channel = new MessageChannel();
                channel.port1.onmessage = () => window.painted.push(performance.now() - start);
                channel.port2.postMessage(0);
            });
        });
    }
};
"""


def say(talker, number):
    text = f"Message {number} of *many*: see https://example.org/{number} or `code`."
    talker.send_text(json.dumps({"msgType": "Broadcast", "text": text}))


def work(person):
    """Milliseconds that the page has spent so far on script, styles and layout."""
    listed = person.call("Performance.getMetrics")["metrics"]
    values = {entry["name"]: entry["value"] for entry in listed}
    busy = ("ScriptDuration", "RecalcStyleDuration", "LayoutDuration")
    return 1000 * sum(values[name] for name in busy)


def cost_of_one(person, talker, number):
    """What a new message takes: work, and the time until it is painted."""
    before = work(person)
    seen = person.js("() => window.painted.length")
    say(talker, number)
    person.wait("seen => window.painted.length > seen", seen, what="the message to be painted")
    return work(person) - before, person.js("() => window.painted.at(-1)")


def test_full_room(open_house, capsys):
    house = open_house(**LIMITS, max_clients=2 * USERS)
    ana = house.person()
    ana.before_load(WATCH)
    ana.join("ana")
    ana.call("Performance.enable")
    talker = house.stranger("talker")
    for number in range(MESSAGES):
        say(talker, number)
    ana.wait_text("#room .message .text", f"Message {MESSAGES - 1} ")
    for number in range(USERS):
        house.stranger(f"user-{number}")
    everybody = "count => document.querySelector('#online-count').dataset.count === count"
    ana.wait(everybody, str(USERS + 2), what="all users to be counted")
    costs = [cost_of_one(ana, talker, MESSAGES + number) for number in range(SAMPLES)]
    busy, painted = (statistics.median(figures) for figures in zip(*costs))
    nodes = ana.count("*")
    ana.picture("fluid-full-room")
    with capsys.disabled():
        print(
            f"\n{MESSAGES} messages, {USERS} users: a new one takes {busy:.1f} ms of work"
            f" and is painted after {painted:.1f} ms; {nodes} elements"
        )
    assert ana.js(AT_BOTTOM, "room")
    assert busy < WORK_MAX
    assert nodes < NODES_MAX


def test_long_history(open_house, capsys):
    """Who comes in where 5,000 messages are sent as history does not wait for long."""
    house = open_house(**LIMITS, history=MESSAGES)
    talker = house.stranger("talker")
    for number in range(MESSAGES):
        say(talker, number)
    while not talker.message()["text"].startswith(f"Message {MESSAGES - 1} "):
        pass
    start = time.monotonic()
    (ana,) = house.members("ana")
    ana.wait_text("#room .message .text", f"Message {MESSAGES - 1} ")
    took = time.monotonic() - start
    with capsys.disabled():
        print(f"\n{MESSAGES} messages of history: in after {took:.1f} s")
    assert took < JOIN_MAX and ana.count("*") < NODES_MAX
