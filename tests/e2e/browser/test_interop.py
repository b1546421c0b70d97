# SPDX-License-Identifier: MIT
"""The page in Chromium and ragchat: two compatible implementations of private messages."""
import random

from browser_user import TALK, in_browser
from helpers import PATIENCE, wait_until
from terminal import FAST, Listener, run

pytestmark = in_browser("interop")

COUNT = 200
LETTERS = "abc XYZ 09 äß 日本語 שלום привет 👍🏽 👨‍👩‍👧 🇩🇪 e\u0301 \"'\\<&>{}[]\u00a0\u2028\t"


def random_texts(seed):
    """Distinct one-line texts of 1 to 300 characters that are simple to type."""
    dice = random.Random(seed)
    letters = [letter for letter in LETTERS if letter not in "\t\u2028"]
    texts = ("".join(dice.choices(letters, k=dice.randint(1, 300))) for _ in range(COUNT))
    return [f"{number}: {text} ." for number, text in enumerate(texts)]


def test_from_the_page_to_ragchat_and_back(open_house, homes, terminal):
    """200 random messages each way, and one safety number."""
    house = open_house(**FAST)
    (ana,) = house.members("ana")
    ear = Listener(house.server, "ben", homes("ben"))
    ana.talk_to("ben").talk_state("encrypted")
    texts = random_texts(1)
    for text in texts:
        ana.whisper(text)
    messages = ear.wait(COUNT, "PrivateMessage")
    assert [message["text"] for message in messages] == texts
    assert all(message["Encrypted"] for message in messages)
    ear.end()

    texts = random_texts(2)
    status, _, err = run(house.server, "ben", homes("ben"), "--to", "ana", text="\n".join(texts))
    assert status == 0, err

    def heard():
        return [m for m in ana.messages(TALK) if m["author"] == "ben"]

    wait_until(lambda: len(heard()) >= COUNT, "all that ben said", 3 * PATIENCE)
    assert [message["text"] for message in heard()] == texts
    assert not any(message["plain"] for message in heard())

    ben = terminal(house.server, "ben")
    ana.talk_state("encrypted")
    digits = ana.safety_number()
    ben.say("/verify ana")
    ben.wait("the last 5 digits >")
    assert digits in "".join(filter(str.isdigit, ben.text()))
    ben.say(digits[-5:])
    ben.wait("ana is verified")
    ben.say("/msg ana we have compared")
    ben.wait(r"\[verified\] you to ana: we have compared")
