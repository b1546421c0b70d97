# SPDX-License-Identifier: MIT
"""Private conversations in a real browser: encrypted, verified, changed, none; and bad input."""
import json

from browser import read_qr
from browser_user import NEEDS_CAMERA, TALK, in_browser
from helpers import PASSWORD, wait_until
from line import Line

pytestmark = in_browser("private")

SECRET = "the eagle lands at nine 4711"

# A malicious server: `window.evil` changes each outgoing message.
EVIL = """
const send = WebSocket.prototype.send;
window.evil = null;
window.sockets = new Set();
WebSocket.prototype.send = function (data) {
    window.sockets.add(this);
    const message = JSON.parse(data);
    const sealed = message.msgType === "PrivateMessage" && message.Seq > 0; // no receipts
    const changed = sealed && window.evil ? window.evil(message) : [message];
    for (const each of changed) send.call(this, JSON.stringify(each));
};
window.flip = (hex, at) => hex.slice(0, at) + (hex[at] === "0" ? "1" : "0") + hex.slice(at + 1);
"""
BAD_TIMES = """
const parse = JSON.parse;
const times = [1e300, "soon", null, -8.65e15, {}];
JSON.parse = (...given) => {
    const message = parse(...given);
    if (message?.msgType === "PrivateMessage" && times.length) message.Time = times.pop();
    return message;
};
"""
UNREADABLE = "#talk .notice[data-kind=unreadable]"


def pair(house, **options):
    """Ana and Bo, each with their conversation open and encrypted."""
    ana, bo = house.person(**options), house.person(**options)
    ana.before_load(EVIL)
    ana.join("ana")
    bo.join("bo")
    for person, other in ((ana, "bo"), (bo, "ana")):
        person.talk_to(other)
        person.talk_state("encrypted")
    return ana, bo


def letters(person):
    """The sealed texts on a person's connection, in both directions."""
    return [frame for frame in private_frames(person) if frame.get("Seq")]


def private_frames(person):
    frames = [frame for frame in person.frames if '"PrivateMessage"' in frame.replace(" ", "")]
    return [json.loads(frame) for frame in frames]


def test_private_talk_is_encrypted(house):
    """No part of the text is on any connection, and nobody else receives anything."""
    ana, bo = pair(house)
    (cem,) = house.members("cem")
    ana.whisper(SECRET)
    assert not bo.hears(SECRET, by="ana")["plain"]
    ana.hears(SECRET, state="arrived")
    bo.whisper("understood: " + SECRET)
    ana.hears("understood: " + SECRET, by="bo")
    ana.picture("private-encrypted")
    assert [len(letters(person)) for person in (ana, bo, cem)] == [2, 2, 0]
    assert not private_frames(cem)
    for person in (ana, bo, cem):
        wire = "".join(person.frames)
        assert SECRET not in wire and SECRET.encode().hex() not in wire
        assert SECRET not in "".join(person.texts())
    for frame in private_frames(ana):
        assert frame["Enc"] == "hpke-v2" and len(frame["text"]) == 2 * (128 + 16)
        assert frame["KeyOrigin"] == f"https://127.0.0.1:{house.server.port}"
    house.server.keep_secret(SECRET)  # nor is it in the server's log


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
    unread = """() => document.querySelector("#talk-list [data-name=ana] button")?.dataset.unread === "2" """
    bo.wait(unread, what="two unread messages of ana")
    badges = """() => [...document.querySelectorAll("#people .badge")]
        .filter(badge => badge.checkVisibility()).map(badge => badge.textContent)"""
    assert bo.js(badges) == ["2"]
    bo.picture("private-unread")
    bo.talk_to("ana")
    bo.hears("are you there?", by="ana")
    assert bo.texts(TALK) == ["psst", "are you there?"]


def test_verify(house):
    """Both see the same number; after confirming it, a user sees the conversation as verified."""
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


# A detector that sees the code that the test holds before the camera.
DETECTOR = """
window.inView = [];
window.BarcodeDetector = class {
    static async getSupportedFormats() { return ["ean_13", "qr_code"]; }
    async detect(video) {
        if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA) throw new DOMException("no frame");
        return window.inView.map(rawValue => ({rawValue}));
    }
};
"""
LIVE = """() => {
    const video = document.querySelector("#safety-video");
    window.stream = video.srcObject ?? window.stream;
    return window.stream?.getTracks().filter(track => track.readyState === "live").length ?? 0;
}"""
RESULT = "result => document.querySelector('#safety-result').dataset.result === result"


def scanning(person):
    """Switches the camera on in the open sheet."""
    person.click("#safety-scan")
    person.wait(f"() => ({LIVE})() === 1", what="the camera to be on")
    assert person.visible("#safety-video") and not person.visible("#safety-qr")


@NEEDS_CAMERA
def test_scanned_code_is_equal_or_not(house):
    """With the browser's own camera and a detector, the page compares; then the camera is off."""
    ana = house.person()
    ana.before_load(DETECTOR)
    ana.allow("camera")
    ana.join("ana")
    (bo,) = house.members("bo")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    digits = ana.safety_number()
    scanning(ana)
    ana.picture("private-scanning")
    ana.js("() => { window.inView = ['https://example.org/']; }")
    ana.wait(RESULT, "other")
    assert ana.js(LIVE) == 1, "it is no safety number: one may go on looking for it"
    other = digits[:-1] + ("1" if digits[-1] == "0" else "0")
    ana.js("code => { window.inView = [`ragnarok-verify:${code}`]; }", other)
    ana.wait(RESULT, "different")
    assert ana.js(LIVE) == 0 and not ana.visible("#safety-verify") and ana.visible("#safety-qr")
    ana.picture("private-scan-different")
    ana.js("() => { window.inView = []; }")
    scanning(ana)
    assert not ana.visible("#safety-verify"), "not before an equal one was seen"
    ana.js("code => { window.inView = [`ragnarok-verify:${code}`]; }", digits)
    ana.wait(RESULT, "equal")
    assert ana.js(LIVE) == 0
    ana.picture("private-scan-equal")
    ana.click("#safety-verify")
    ana.talk_state("verified")


@NEEDS_CAMERA
def test_camera_is_off_when_the_sheet_is_closed(house):
    ana = house.person()
    ana.before_load(DETECTOR)
    ana.allow("camera")
    ana.join("ana")
    house.members("bo")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.safety_number()
    scanning(ana)
    ana.press("Escape")
    ana.wait_hidden("#safety")
    ana.wait(f"() => ({LIVE})() === 0", what="the camera to be off")
    ana.safety_number()
    assert not ana.visible("#safety-video") and ana.text("#safety-result") == ""


@NEEDS_CAMERA
def test_camera_that_may_not_be_used_is_said(house):
    ana = house.person()
    ana.before_load(DETECTOR)
    ana.allow("camera", "denied")
    ana.join("ana")
    house.members("bo")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.safety_number()
    ana.click("#safety-scan")
    ana.wait(RESULT, "failed")
    assert "camera" in ana.text("#safety-result") and ana.visible("#safety-qr")


def test_no_scanner_is_promised_where_there_is_none(house):
    ana = house.person()
    ana.before_load("delete window.BarcodeDetector;")
    ana.join("ana")
    house.members("bo")
    ana.talk_to("bo")
    ana.talk_state("encrypted")
    ana.safety_number()
    assert not ana.visible("#safety-scan")


def test_code_of_the_safety_number_is_not_the_servers(house):
    """The page draws the code without a request to the server."""
    ana, _ = pair(house)
    frames = len(ana.frames)
    number = ana.safety_number()
    assert read_qr(ana.picture("private-own-code")) == f"ragnarok-verify:{number}"
    assert not any("Qr" in frame or number in frame for frame in ana.frames)
    assert not any('"text"' in frame for frame in ana.frames[frames:])


ALONE = "() => document.querySelector('#online-count').dataset.count === '1'"


def become_another(house, person, name, witness, count=1):
    """The name comes back with a new identity, as after a lost phone or a theft. Waits until the
    remaining user sees that the name is free: `count` users are left then."""
    person.click("#settings-button")
    person.click("#leave")
    person.wait_visible("#join-form")
    looks = "n => document.querySelector('#online-count').dataset.count === `${n}`"
    witness.wait(looks, count, what="the name to be free")
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
    """Sending to them needs an explicit choice; their messages are marked as not encrypted."""
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
    """Bo's keys are remembered; then somebody without keys joins under that name."""
    ana, bo = pair(house)
    bo.click("#settings-button")
    bo.click("#leave")
    ana.wait(ALONE, what="bo to be gone")
    eve = house.stranger("bo")
    eve.send_text(json.dumps({"msgType": "PrivateMessage", "TgtUser": "ana", "text": "trust me"}))
    assert ana.hears("trust me", by="bo")["plain"]
    ana.picture("private-plain-from-known")


# ---- Several tabs, several devices ----------------------------------------------------------------


def test_a_second_tab_keeps_a_verified_key(house):
    """Ana's tab under another name has never met bo; the first tab's verification holds there."""
    ana, bo = pair(house)
    tab = house.person(context=ana.context).join("anna")
    ana.safety_number()
    ana.click("#safety-verify")
    ana.wait_hidden("#safety")
    ana.talk_state("verified")
    tab.talk_to("bo")
    tab.talk_state("verified")
    bo.click("#settings-button")
    bo.click("#leave")
    tab.wait("() => document.querySelector('#online-count').dataset.count === '2'")
    mallory = house.person().join("bo")
    mallory.talk_to("anna")
    mallory.talk_state("encrypted")
    mallory.whisper("it is me, bo")
    mallory.hears("it is me, bo", state="unread")
    for person in (ana, tab):
        person.talk_state("changed")
    assert tab.texts(TALK) == []
    mallory.click("#settings-button")
    mallory.click("#leave")
    tab.wait("() => document.querySelector('#online-count').dataset.count === '2'")
    house.person(context=bo.context).join("bo")
    for person in (ana, tab):
        person.talk_state("verified")


def test_a_key_that_one_tab_accepts_is_known_in_the_other(house):
    ana, bo = pair(house)
    ana.whisper("hello")
    bo.hears("hello")
    tab = house.person(context=ana.context).join("anna")
    tab.talk_to("bo")
    tab.talk_state("encrypted")
    become_another(house, bo, "bo", ana, count=2)
    for person in (ana, tab):
        person.talk_state("changed")
    ana.click("#talk-accept")
    for person in (ana, tab):
        person.talk_state("encrypted")


def test_phone_and_laptop_are_no_alarm_once_both_are_accepted(house):
    ana, phone = pair(house)
    phone.whisper("from the phone")
    ana.hears("from the phone")
    laptop = become_another(house, phone, "bo", ana)
    ana.talk_state("changed")
    ana.click("#talk-accept")
    ana.talk_state("encrypted")
    laptop.click("#settings-button")
    laptop.click("#leave")
    ana.wait(ALONE, what="bo to be gone")
    phone = house.person(context=phone.context).join("bo")
    phone.talk_to("ana")
    phone.talk_state("encrypted")
    phone.whisper("from the phone again")
    ana.hears("from the phone again", by="bo")
    ana.whisper("good to see you")
    ana.hears("good to see you", state="arrived")
    assert ana.count("#talk .notice[data-kind=unreadable], #talk .notice[data-kind=gap]") == 0


def test_a_key_that_was_not_compared_marks_its_messages(house):
    ana, phone = pair(house)
    ana.safety_number()
    ana.click("#safety-verify")
    ana.talk_state("verified")
    laptop = become_another(house, phone, "bo", ana)
    ana.talk_state("changed")
    ana.click("#talk-accept")
    ana.talk_state("encrypted")
    laptop.talk_to("ana")
    laptop.talk_state("encrypted")
    laptop.whisper("from the laptop")
    ana.hears("from the laptop", by="bo")
    assert ana.text("#talk .message[data-doubt=true] .warn-mark") == "By a key that you have not compared"


def test_each_name_has_an_identity_key_of_its_own(house):
    """The key does not link a user's names, or a name in two rooms."""
    ana, bo = house.members("ana", "bo")
    other = house.person(context=ana.context).join("whistleblower")
    keys = []
    for name, who in (("ana", bo), ("whistleblower", bo)):
        who.talk_to(name)
        who.talk_state("encrypted")
    for frame in bo.frames:
        if '"UserKeys"' in frame:
            keys.append(json.loads(frame)["IdentityKey"])
    assert len(keys) == 2 and len(set(keys)) == 2
    assert other.name == "whistleblower"


# ---- A server that drops things -------------------------------------------------------------------


def test_a_message_that_was_swallowed_with_the_line_goes_again(house):
    ana, bo = pair(house)
    ana.whisper("one")
    ana.hears("one", state="arrived")
    ana.js("() => { window.evil = m => { window.kept = m; return []; }; }")
    ana.whisper("two: it is a trap")
    ana.wait("() => window.kept !== undefined")
    ana.js("() => { window.evil = null; for (const one of window.sockets) one.close(); }")
    bo.hears("two: it is a trap", by="ana")
    ana.hears("two: it is a trap", state="arrived")
    assert bo.texts(TALK) == ["one", "two: it is a trap"]
    assert bo.count("#talk .notice[data-kind=gap]") == bo.count(UNREADABLE) == 0


def test_a_server_that_does_not_know_the_address_lets_in_without_keys(open_house):
    """By http through another port the origin is not one of the server's; the page says so."""
    house = open_house(SSL=False)
    line = Line(house.server.port)
    ana = house.person()
    ana.follow(f"http://127.0.0.1:{line.port}/#{PASSWORD}")
    ana.fill("#join-name", "ana")
    ana.click("#join-button")
    ana.wait_online()
    ana.wait_visible("#room .notice[data-kind=info]")
    assert "allowed_origins" in ana.text("#room .notice[data-kind=info]")
    bo = house.person()
    bo.follow(f"http://127.0.0.1:{house.server.port}/#{PASSWORD}")
    bo.fill("#join-name", "bo")
    bo.click("#join-button")
    bo.wait_online()
    ana.talk_to("bo")
    ana.talk_state("none")
    bo.talk_to("ana")
    bo.talk_state("none")
    joins = [json.loads(frame) for frame in ana.frames if '"Join"' in frame]
    assert ["IdentityKey" in join for join in joins] == [True, False]
    line.close()


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
    bo.wait_visible("#talk .notice[data-kind=gap]")
    for field in flips:  # once they are known to be missing, they are sent again
        bo.hears(f"secret with bad {field}", by="ana")
        ana.hears(f"secret with bad {field}", state="arrived")
    assert bo.texts(TALK)[0] == "and now untouched" and len(bo.texts(TALK)) == 1 + len(flips)
    wire = "".join(ana.frames + bo.frames)
    assert "secret with bad" not in wire, "nothing is answered by plaintext"


def test_a_bad_time_does_not_end_a_conversation(house):
    """The server's time is invalid; that message and the later ones are shown."""
    ana = house.person()
    ana.before_load(BAD_TIMES)
    ana.join("ana")
    (bo,) = house.members("bo")
    bo.talk_to("ana")
    bo.talk_state("encrypted")
    for number in range(6):
        bo.whisper(f"secret {number}")
    ana.talk_to("bo")
    ana.hears("secret 5")
    assert ana.texts(TALK) == [f"secret {number}" for number in range(6)]


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
        window.evil = m => (held.push(m), [[], [], held.slice().reverse()][held.length] ?? [m]);
    }"""
    ana.js(hold)
    ana.whisper("first")
    ana.whisper("second")
    bo.hears("second")
    bo.wait_visible("#talk .notice[data-kind=gap]")
    bo.wait_visible(UNREADABLE)
    bo.hears("first")  # it was sent again
    assert bo.texts(TALK) == ["second", "first"]


def test_stolen_and_forged_messages_are_never_shown(house):
    """Eve, without keys, sends captured and invented messages."""
    ana, bo = pair(house)
    ana.whisper(SECRET)
    bo.hears(SECRET)
    stolen = letters(ana)[0]
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
