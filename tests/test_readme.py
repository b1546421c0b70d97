# SPDX-License-Identifier: MIT
"""The README says the same in English and in Chinese, as far as a program can tell.

What has no language has to be the same in both: code, settings with their defaults, files, links,
and which headings, lists and tables follow each other.
"""
import re

import pytest

from helpers import ROOT

NAMES = ["README.md", "README-CN.md"]
PAGES = {name: (ROOT / name).read_text() for name in NAMES}
FENCED = re.compile(r"^```(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]+)\)")


def prose(page):
    return FENCED.sub("", page)


def fenced(page):
    return FENCED.findall(page)


def code(page):
    """What stands between backquotes, wherever it stands."""
    return sorted(set(re.findall(r"`([^`\n]+)`", prose(page))))


def settings(page):
    """The keys in their order, each with its default."""
    return re.findall(r"^\| (`\w+`) \| (.*?) ?\|", page, re.MULTILINE)


def files(page):
    """Of the tables of files: the floor and the name, in their order."""
    return re.findall(r"^\| (\d?) *\| (`\w+\.c`) \|", page, re.MULTILINE)


def bold(page):
    """How much stands in bold type, section by section."""
    return [part.count("**") for part in re.split(r"^##+ ", page, flags=re.MULTILINE)]


def targets(page):
    """Where links and pictures lead to, but for other languages and places in the page itself."""
    links = LINK.findall(page) + re.findall(r'(?:src|srcset)="([^"]+)"', page)
    return sorted(link for link in links if link[0] != "#" and link not in NAMES)


def shape(page):
    """What each line is, where it is a heading or an entry of a list or table."""
    return re.findall(r"^(##+ |- |\d\. |\|)", prose(page), re.MULTILINE)


def anchors(page):
    """What headings are called in links: letters and digits, in lower case, blanks as hyphens."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("part", [fenced, code, settings, files, bold, targets, shape])
def test_both_have_the_same(part):
    english, chinese = (part(PAGES[name]) for name in NAMES)
    assert english == chinese and len(english) > 4


@pytest.mark.parametrize("name, other", [NAMES, NAMES[::-1]])
def test_each_leads_to_the_other_in_its_first_lines(name, other):
    assert f"]({other})" in PAGES[name].split("\n\n")[1]


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name):
    links = [link for link in LINK.findall(PAGES[name]) if not link.startswith("https:")]
    for link in links:
        path, _, place = link.partition("#")
        page = (ROOT / (path or name)).read_text()
        assert not place or place in anchors(page), link
    assert len(links) > 5
