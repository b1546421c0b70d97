# SPDX-License-Identifier: MIT
"""Private conversations in a real browser: encrypted, verified, changed, none; and bad input."""
import json

from browser import read_qr
from helpers import wait_until
from person import TALK, in_browser

pytestmark = in_browser("private")

SECRET = "the eagle lands at nine 4711"

# What whoever holds the server could do to a message: `window.evil` changes each that goes out.
EVIL = """
const send = WebSocket.prototype.send;
window.evil = null;
WebSocket.prototype.send = function (data) {
    const message = JSON.parse(data);
    const sealed = message.msgType === "PrivateMessage" && message.Enc;
    const changed = sealed && window.evil ? window.evil(message) : [message];
    for (const each of changed) send.call(this, JSON.stringify(each));
};
window.flip = (hex, at) => hex.slice(0, at) + (hex[at] === "0" ? "1" : "0") + hex.slice(at + 1);
"""
UNREADABLE = "#talk .notice[data-kind=unreadable]"


def pair(house, **options):
    """Ana and Bo, each with the conversation open that is encrypted by then."""
    ana, bo = house.person(**options), house.person(**options)
    ana.before_load(EVIL)
    ana.join("ana")
    bo.join("bo")
    for person, other in ((ana, "bo"), (bo, "ana")):
        person.talk_to(other)
        person.talk_state("encrypted")
    return ana, bo


def private_frames(person):
    frames = [frame for frame in person.frames if '"PrivateMessage"' in frame.replace(" ", "")]
    return [json.loads(frame) for frame in frames]


def test_private_talk_is_encrypted(house):
    """Nothing of the text is on any wire, in either direction, and nobody else gets anything."""
    ana, bo = pair(house)
    (cem,) = house.members("cem")
    ana.whisper(SECRET)
    assert not bo.hears(SECRET, by="ana")["plain"]
    ana.hears(SECRET, state="sent")
    bo.whisper("understood: " + SECRET)
    ana.hears("understood: " + SECRET, by="bo")
    ana.picture("private-encrypted")
    assert [len(private_frames(person)) for person in (ana, bo, cem)] == [2, 2, 0]
    for person in (ana, bo, cem):
        wire = "".join(person.frames)
        assert SECRET not in wire and SECRET.encode().hex() not in wire
        assert SECRET not in "".join(person.texts())
    for frame in private_frames(ana):
        assert frame["Enc"] == "hpke-v1" and len(frame["text"]) == 2 * (64 + 16)
    house.server.keep_secret(SECRET)  # nor does it stand in the server's log


def test_many_private_messages_keep_their_order(house):
    ana, bo = pair(house)
    texts = [f"secret number {number}" for number in range(20)]
    for text in texts:
        ana.whisper(text)
    bo.hears(texts[-1])
    assert bo.texts(TALK) == texts
    assert bo.count(UNREADABLE) == 0


def test_unread_private_messages_are_counted(house):
    ana, bo = house.members("ana", "bo")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.whisper("psst")
    ana.whisper("are you there?")
    unread = """() => [...document.querySelectorAll("[data-name=ana] button.person")]
        .some(button => button.dataset.unread === "2")"""
    bo.wait(unread, what="two unread messages of ana")
    bo.picture("private-unread")
    bo.talk_to("ana")
    bo.hears("are you there?", by="ana")
    assert bo.texts(TALK) == ["psst", "are you there?"]


def test_verify(house):
    """Both see the same number; who says that it matches, sees the conversation as verified."""
    ana, bo = pair(house)
    number = ana.safety_number()
    assert number == bo.safety_number()
    assert read_qr(ana.picture("private-safety-number")) == f"ragnarok-verify:{number}"
    ana.click("#safety-verify")
    ana.wait_hidden("#safety")
    ana.talk_state("verified")
    bo.press("Escape")
    bo.wait_hidden("#safety")
    bo.talk_state("encrypted")
    ana.whisper("now I know that it is you")
    bo.hears("now I know that it is you", by="ana")
    ana.picture("private-verified")
    ana.come_back()
    ana.talk_to("bo")
    ana.talk_state("verified")


ALONE = "() => document.querySelector('#online-count').dataset.count === '1'"


def become_another(house, person, name, witness):
    """The name comes back with a new identity, as after a lost phone or in a theft. It is free when the
    one who stays sees that."""
    person.click("#settings-button")
    person.click("#leave")
    person.wait_visible("#join-form")
    witness.wait(ALONE, what="the name to be free")
    other = house.person()
    other.join(name)
    return other


def test_changed_key_blocks_until_it_is_accepted(house):
    ana, bo = pair(house)
    ana.whisper("first")
    bo.hears("first")
    bo = become_another(house, bo, "bo", ana)
    ana.talk_state("changed")
    ana.wait_visible("#talk-accept")
    ana.picture("private-key-changed")
    assert ana.js("() => document.querySelector('#talk-send').disabled")
    frames = len(private_frames(ana))
    ana.click("#talk-input")
    ana.insert("is it you?")
    ana.press("Enter")
    bo.talk_to("ana")
    bo.talk_state("encrypted")
    bo.whisper("it is me, with a new phone")
    bo.hears("it is me, with a new phone", state="unread")
    assert "it is me, with a new phone" not in ana.texts(TALK)
    assert not any(f["text"] for f in private_frames(ana)[frames:] if f.get("TgtUser") == "bo")
    ana.click("#talk-accept")
    ana.talk_state("encrypted")
    ana.hears("it is me, with a new phone", by="bo")
    ana.whisper("welcome back")
    bo.hears("welcome back", by="ana")
    assert bo.texts(TALK) == ["it is me, with a new phone", "welcome back"]


def test_changed_key_of_a_verified_person_is_verified_no_more(house):
    ana, bo = pair(house)
    before = ana.safety_number()
    ana.click("#safety-verify")
    ana.wait_hidden("#safety")
    ana.talk_state("verified")
    become_another(house, bo, "bo", ana)
    ana.talk_state("changed")
    ana.wait_visible("#talk-notice")
    ana.picture("private-verified-key-changed")
    ana.click("#talk-accept")
    ana.talk_state("encrypted")
    assert ana.safety_number() != before


def test_somebody_without_keys(house):
    """Sending to them takes an explicit choice; what they send is marked as not encrypted."""
    eve = house.stranger("eve")
    (ana,) = house.members("ana")
    ana.talk_to("eve")
    ana.talk_state("none")
    ana.wait_visible("#talk-allow-plain")
    ana.picture("private-none")
    assert ana.js("() => document.querySelector('#talk-send').disabled")
    ana.click("#talk-input")
    ana.insert("not yet")
    ana.press("Enter")
    eve.send_text(json.dumps({"msgType": "PrivateMessage", "TgtUser": "ana", "text": "hi, ana"}))
    assert ana.hears("hi, ana", by="eve")["plain"]
    assert private_frames(ana)[-1]["SrcUser"] == "eve", "ana has sent nothing"
    ana.click("#talk-allow-plain")
    ana.wait_hidden("#talk-allow-plain")
    ana.whisper("in the open")
    while (message := eve.message()).get("text") != "in the open":
        assert message.get("text") != "not yet"
    assert message["SrcUser"] == "ana" and "Enc" not in message
    assert ana.hears("in the open", state="sent")["plain"]
    ana.picture("private-plain")


def test_plaintext_from_somebody_with_keys_is_marked(house):
    """Bo's keys are remembered; then somebody without keys comes under that name."""
    ana, bo = pair(house)
    bo.click("#settings-button")
    bo.click("#leave")
    ana.wait(ALONE, what="bo to be gone")
    eve = house.stranger("bo")
    eve.send_text(json.dumps({"msgType": "PrivateMessage", "TgtUser": "ana", "text": "trust me"}))
    assert ana.hears("trust me", by="bo")["plain"]
    ana.picture("private-plain-from-known")


# ---- Bad input -----------------------------------------------------------------------------------


def test_flipped_bits_are_never_shown(house):
    ana, bo = pair(house)
    flips = {
        "text": "[{...m, text: flip(m.text, 9)}]",
        "EncKey": "[{...m, EncKey: flip(m.EncKey, 9)}]",
        "Sig": "[{...m, Sig: flip(m.Sig, 9)}]",
        "Seq": "[{...m, Seq: m.Seq + 5}]",
        "KeySignature": "[{...m, KeySignature: flip(m.KeySignature, 9)}]",
        "IdentityKey": "[{...m, IdentityKey: flip(m.IdentityKey, 9)}]",
        "SessionKey": "[{...m, SessionKey: flip(m.SessionKey, 9)}]",
        "shape": "[{...m, text: 'zz'}]",
    }
    for number, (field, change) in enumerate(flips.items(), 1):
        ana.js(f"() => {{ window.evil = m => {change}; }}")
        ana.whisper(f"secret with bad {field}")
        ana.hears(f"secret with bad {field}", state="unread")
        bo.wait("(s, n) => document.querySelectorAll(s).length === n", UNREADABLE, number)
    assert bo.texts(TALK) == []
    for person, who in ((ana, "sender"), (bo, "receiver")):
        person.picture(f"private-unreadable-{who}")
    ana.js("() => { window.evil = null; }")
    ana.whisper("and now untouched")
    bo.hears("and now untouched", by="ana")
    assert bo.texts(TALK) == ["and now untouched"]
    wire = "".join(ana.frames + bo.frames)
    assert "secret with bad" not in wire, "nothing is answered by plaintext"


def test_replay_is_shown_once(house):
    ana, bo = pair(house)
    ana.js("() => { window.evil = m => [m, {...m, Ref: `${m.Ref}x`}]; }")
    ana.whisper("once only")
    bo.hears("once only")
    bo.wait("s => document.querySelectorAll(s).length === 1", UNREADABLE)
    assert bo.texts(TALK) == ["once only"]


def test_reordered_messages_are_not_shown_out_of_order(house):
    ana, bo = pair(house)
    hold = """() => {
        const held = [];
        window.evil = m => (held.push(m) === 2 ? held.splice(0).reverse() : []);
    }"""
    ana.js(hold)
    ana.whisper("first")
    ana.whisper("second")
    bo.hears("second")
    bo.wait_visible("#talk .notice[data-kind=gap]")
    bo.wait_visible(UNREADABLE)
    assert bo.texts(TALK) == ["second"]


def test_stolen_and_forged_messages_are_never_shown(house):
    """Eve, without keys, sends what she has got hold of, and what she has made up."""
    ana, bo = pair(house)
    ana.whisper(SECRET)
    bo.hears(SECRET)
    stolen = private_frames(ana)[0]
    eve = house.stranger("eve")
    bo.wait("() => document.querySelector('#online-count').dataset.count === '3'")
    forged = {**stolen, "text": "00" * 80, "Sig": "ab" * 64}
    for message in (stolen, forged):
        eve.send_text(json.dumps({**message, "TgtUser": "bo", "Ref": "eve-1"}))
        notice = eve.message()
        while notice["msgType"] != "PrivateMessage":
            notice = eve.message()
        assert (notice["Notice"], notice["Code"]) == ("unreadable", "bad_signature"), notice
    bo.talk_to("eve")
    bo.wait("s => document.querySelectorAll(s).length >= 1", UNREADABLE)
    assert bo.texts(TALK) == []
    bo.talk_to("ana")
    assert bo.texts(TALK) == [SECRET]


def test_message_from_another_room_is_not_shown(house):
    ana, bo = pair(house)
    ana.js("() => { window.kept = []; window.evil = m => { kept.push(m); return []; }; }")
    ana.whisper(SECRET)
    message = wait_until(lambda: ana.js("() => window.kept[0]"), "the message that was held back")
    eve = house.stranger("ana", "/rooms/tea")
    cem = house.person(context=bo.context).join("bo", "/rooms/tea")
    eve.send_text(json.dumps(message))
    notice = eve.message()
    while notice["msgType"] != "PrivateMessage":
        notice = eve.message()
    assert notice["Notice"] == "unreadable"
    assert SECRET not in cem.js("() => document.body.textContent")
