# SPDX-License-Identifier: MIT
"""The README and docs/OPERATING.md say the same in English and in Chinese, as far as a program can tell.

Everything that is not prose must be the same in both: code, settings with their defaults, files,
links, and the order of headings, lists and tables.
"""
import re
from pathlib import Path

import pytest

from helpers import ROOT

pytestmark = pytest.mark.plain_run("nothing of it is C")

PAIRS = [("README.md", "README-CN.md"), ("docs/OPERATING.md", "docs/OPERATING-CN.md")]
NAMES = [name for pair in PAIRS for name in pair]
PAGES = {name: (ROOT / name).read_text() for name in NAMES}
README_LINES_MAX = 180
FENCED = re.compile(r"^```(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)]+)\)")


def prose(page):
    return FENCED.sub("", page)


def fenced(page):
    return FENCED.findall(page)


def code(page):
    """All texts between backquotes."""
    return sorted(set(re.findall(r"`([^`\n]+)`", prose(page))))


def settings(page):
    """The keys in their order, each with its default."""
    return re.findall(r"^\| (`\w+`) \| (.*?) ?\|", page, re.MULTILINE)


def bold(page):
    """The amount of bold text, section by section."""
    return [part.count("**") for part in re.split(r"^##+ ", page, flags=re.MULTILINE)]


def targets(page):
    """Where links and pictures lead to, but for places in the page itself. Of a page that is there in
    both languages, it does not matter which one it is, nor what the place in it is called."""
    links = LINK.findall(page) + re.findall(r'(?:src|srcset)="([^"]+)"', page)
    alike = {Path(name).name: Path(pair[0]).name for pair in PAIRS for name in pair}

    def common(link):
        name = Path(link.partition("#")[0]).name
        return alike.get(name, link)

    return sorted(common(link) for link in links if link[0] != "#")


def shape(page):
    """The kind of each line that is a heading or an entry of a list or table."""
    return re.findall(r"^(##+ |- |\d\. |\|)", prose(page), re.MULTILINE)


def anchors(page):
    """What headings are called in links: letters and digits, in lower case, blanks as hyphens."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0])
@pytest.mark.parametrize("part", [fenced, code, bold, targets, shape])
def test_both_have_the_same(part, pair):
    english, chinese = (part(PAGES[name]) for name in pair)
    assert english == chinese and len(english) > 4


def test_both_have_the_same_settings():
    english, chinese = (settings(PAGES[name]) for name in PAIRS[1])
    assert english == chinese and len(english) > 20


def test_the_readme_is_short():
    for name in PAIRS[0]:
        assert len(PAGES[name].splitlines()) <= README_LINES_MAX


@pytest.mark.parametrize("name, other", [*PAIRS, *(pair[::-1] for pair in PAIRS)])
def test_each_leads_to_the_other_in_its_first_lines(name, other):
    assert f"]({Path(other).name})" in PAGES[name].split("\n\n")[1]


def local_links(name, page):
    """Each link of a page to a file here: the link, the file, and the place in it."""
    for link in LINK.findall(page):
        if not link.startswith("https:"):
            path, _, place = link.partition("#")
            yield link, (ROOT / name).parent / path if path else ROOT / name, place


DOCUMENTS = [str(path.relative_to(ROOT)) for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name):
    links = list(local_links(name, (ROOT / name).read_text()))
    for link, file, place in links:
        assert file.exists(), link
        assert not place or place in anchors(file.read_text()), link
    assert len(links) > 5 or name not in NAMES


def test_a_chinese_page_leads_to_chinese_pages():
    english = {Path(pair[0]).name for pair in PAIRS}
    for pair in PAIRS:
        for link, file, _ in local_links(pair[1], PAGES[pair[1]]):
            assert file.name not in english or link == Path(pair[0]).name, link
