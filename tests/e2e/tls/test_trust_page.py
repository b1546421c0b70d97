# SPDX-License-Identifier: MIT
"""The page /trust and the CA's certificate, as a browser gets them before it trusts."""
import hashlib
import html.parser
import re

import pytest

from certificates import FINGERPRINT, openssl
from helpers import Raw, request
from page_files import served

CA_PATH = "/ragnarok-ca.crt"
HOST = {"Host": "127.0.0.1"}


def get(server, path, method="GET", **fields):
    with Raw(server) as raw:
        return raw.exchange(request(path, {**HOST, **fields}, method=method))


@pytest.fixture
def ours(serve):
    return serve(SSL=True)


@pytest.fixture
def brought(serve, tmp_path):
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x", "-days", "30",
            "-addext", "subjectAltName=IP:127.0.0.1",
            "-keyout", "self-signed.pem", "-out", "self-signed.crt", folder=tmp_path)  # fmt: skip
    return serve(SSL=True, SSL_Cert="../self-signed.crt", SSL_Key="../self-signed.pem")


class Page(html.parser.HTMLParser):
    """A page: its text, its links, and its tags, which must be closed in order."""

    VOID = {"meta", "link", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.text, self.languages = [], [], "", set()
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert tag != "script" or attrs in ({}, {"src": "/trust.js"})
        assert not any(name.startswith("on") or name == "style" for name in attrs)
        self.links += [attrs[name] for name in ("href", "src") if name in attrs]
        self.languages |= {attrs["lang"]} if "lang" in attrs else set()
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(server):
    answer = get(server, "/trust")
    assert answer.status == 200 and answer.fields["content-type"] == "text/html; charset=utf-8"
    text = answer.body.decode()
    assert "{{" not in text and "<!--if" not in text and "<!--end" not in text
    return Page(text)


def test_the_page_shows_the_fingerprint_that_the_start_printed(ours):
    shown = set(FINGERPRINT.findall(page(ours).text))
    (printed,) = re.findall(rf"To trust it: SHA-256 ({FINGERPRINT.pattern})", ours.printed())
    assert shown == {printed}


def test_the_download_has_that_fingerprint_and_is_the_authority(ours):
    answer = get(ours, CA_PATH)
    assert (answer.status, answer.fields["content-type"]) == (200, "application/x-x509-ca-cert")
    digest = hashlib.sha256(answer.body).hexdigest().upper()
    assert digest == FINGERPRINT.findall(page(ours).text)[0].replace(":", "")
    (authority,) = ours.tls_context().get_ca_certs(binary_form=True)[-1:]
    assert answer.body == authority


def test_all_links_of_the_page_lead_somewhere(ours):
    links = set(page(ours).links)
    assert CA_PATH in links and served("icon.svg") in links and "/" in links
    for link in links:
        assert link.startswith(("/", "#")), "nothing is fetched from anywhere else"
        if link.startswith("/"):
            assert get(ours, link).status == 200, link


def test_it_is_said_in_two_languages_and_for_every_system(ours):
    said = page(ours)
    assert {"en", "zh-Hans"} <= said.languages
    for system in ("Android", "iPhone", "Windows", "macOS", "Linux"):
        assert said.text.count(system) >= 2, system
    for way_back in ("remove it", "移除"):
        assert said.text.count(way_back) >= 5


def test_a_certificate_that_was_brought_is_not_offered(brought):
    said = page(brought)
    assert "gave it a certificate" in said.text and not FINGERPRINT.search(said.text)
    assert CA_PATH not in said.links
    assert get(brought, CA_PATH).status == 404
    assert "To trust it" not in brought.printed()


def test_a_plain_server_has_nothing_to_trust(serve):
    server = serve()
    said = page(server)
    assert "nothing to trust" in said.text and not FINGERPRINT.search(said.text)
    assert CA_PATH not in said.links
    assert get(server, CA_PATH).status == 404


@pytest.mark.parametrize("path", ["/trust", CA_PATH])
def test_what_did_not_change_is_not_sent_again(ours, path):
    first = get(ours, path)
    again = get(ours, path, **{"If-None-Match": first.fields["etag"]})
    assert (again.status, again.body) == (304, b"")
    head = get(ours, path, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert int(head.fields["content-length"]) == len(first.body)


def test_the_authoritys_key_is_not_served(ours):
    for path in ("/ragnarok-ca.pem", "/self-signed.pem", "/../ragnarok-ca.pem"):
        assert get(ours, path).status in (400, 404)
