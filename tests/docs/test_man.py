# SPDX-License-Identifier: MIT
"""The man pages name exactly the options and settings that exist, and are valid mdoc."""
import re
import shutil
import subprocess

import pytest

from helpers import COMMAND, PATIENCE, ROOT
from terminal import RAGCHAT

pytestmark = pytest.mark.plain_run("nothing of it is C")

PAGES = sorted((ROOT / "man").glob("*.[15]"))


def options_of(text):
    """The options at the beginning of lines of a summary or a page, short and long."""
    return set(re.findall(r"(?<![\w-])--?[\w][\w-]*", text))


def page(name):
    return (ROOT / "man" / name).read_text()


@pytest.mark.parametrize("command, name", [(COMMAND, "ragnarok.1"), (RAGCHAT, "ragchat.1")])
def test_every_option(command, name):
    done = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    lines = re.findall(r"^ +(-.*?)(?:  |$)", done.stdout, re.MULTILINE)
    helped = options_of("\n".join(lines))
    items = re.findall(r"^\.It Fl (.*)$", page(name), re.MULTILINE)
    listed = {f"-{word}" for item in items for word in re.sub(r" Ar \w+", "", item).split(" , ")}
    assert listed == helped and len(helped) > 4


def test_every_exit_status():
    done = subprocess.run(
        [*RAGCHAT, "--help"], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    summary = done.stdout.split("Exit status:")[1]
    statuses = set(re.findall(r"(?:^| )(\d) ", summary))
    assert statuses == set(re.findall(r"^\.It (\d)$", page("ragchat.1"), re.MULTILINE))
    assert len(statuses) == 7


def test_every_setting_with_its_default():
    table = (ROOT / "docs" / "OPERATING.md").read_text().split("## Settings", 1)[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) ?\|", table, re.MULTILINE)
    items = re.findall(
        r"^\.It Li (\w+)(?: Pq default: (.*))?$", page("ragnarok.json.5"), re.MULTILINE
    )
    written = {name: default.replace(r"\(dq", '"') for name, default in items}
    assert written == {name: default.strip("`") for name, default in rows} and len(rows) > 20


@pytest.mark.skipif(not shutil.which("mandoc"), reason="mandoc is not installed")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_is_good_mdoc(path):
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", path], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_pages_are_there():
    assert [path.name for path in PAGES] == ["ragchat.1", "ragnarok.1", "ragnarok.json.5"]
