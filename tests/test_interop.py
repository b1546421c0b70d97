# SPDX-License-Identifier: MIT
"""The page in Chromium and ragchat: two implementations of the private messages, one meaning."""
import random

from helpers import PATIENCE, wait_until
from person import TALK, in_browser
from terminal import FAST, Listener, run

pytestmark = in_browser("interop")

COUNT = 200
LETTERS = "abc XYZ 09 äß 日本語 שלום привет 👍🏽 👨‍👩‍👧 🇩🇪 e\u0301 \"'\\<&>{}[]\u00a0\u2028\t"


def random_texts(seed):
    """Texts of one line, each once, of 1 to 300 characters that are no trouble to type."""
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
    ben.wait("Type yes")
    assert digits in "".join(filter(str.isdigit, ben.text()))
    ben.say("yes")
    ben.wait("ana is verified")
    ben.say("/msg ana we have compared")
    ben.wait(r"you to ana \[verified\]: we have compared")
