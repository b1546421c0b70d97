# SPDX-License-Identifier: MIT
"""Directories are layers: an include points down, or stays within its own directory.

A new directory takes one line here. docs/ARCHITECTURE.md says what each layer is for.
"""
import re
import subprocess
from pathlib import Path

import pytest

from helpers import ROOT

pytestmark = pytest.mark.plain_run("nothing of it is run")

# From below. Places in one line stand side by side, and include nothing of each other.
LAYERS = [
    ["ws"],
    ["lib"],
    ["lib/http", "lib/json"],
    ["lib/crypto"],
    ["net", "json_msg"],
    ["base", "client/term", "client/keys"],
    ["delivery", "store", "cluster", "client"],
    ["room"],
    ["server/limits", "server/http", "server/cert"],
    ["server"],
    ["ragnarok"],
]
HEIGHT = {place: height for height, line in enumerate(LAYERS) for place in line}
CLIENT_USES = {"ws", "lib", "lib/http", "lib/json", "lib/crypto", "net", "json_msg", "client", "client/term", "client/keys"}
OUTSIDE = ("tests/", "bench/", "web/", "tools/", "docs/", "man/", "contrib/")
ROOT_ENTRIES_MAX, MODULES_MAX, LINES_MAX, COLUMNS_MAX, TOUR_LINES_MAX = 31, 12, 600, 100, 150


def tracked(*patterns):
    answer = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True)
    if answer.returncode != 0:
        pytest.skip("no git, or no repository: the files are not known")
    return answer.stdout.split()


def sources():
    return [file for file in tracked("*.c", "*.h") if not file.startswith(OUTSIDE)]


def place(file):
    """The directory of a file; a file at the top is a place of its own."""
    parent = str(Path(file).parent)
    return Path(file).stem if parent == "." else parent


def includes(file):
    return re.findall(r'^#include "([^"]+)"', (ROOT / file).read_text(), re.MULTILINE)


def test_each_file_stands_in_a_known_place():
    assert {place(file) for file in sources()} <= set(HEIGHT)


def test_no_include_points_up_or_across():
    wrong = [
        f"{file} includes {other}"
        for file in sources()
        for other in includes(file)
        if place(other) != place(file) and HEIGHT[place(other)] >= HEIGHT[place(file)]
    ]
    assert wrong == []


def test_the_terminal_client_uses_nothing_of_the_server():
    wrong = [
        f"{file} includes {other}"
        for file in sources()
        if place(file).startswith("client")
        for other in includes(file)
        if place(other) not in CLIENT_USES
    ]
    assert wrong == []


def test_includes_start_at_the_top():
    wrong = [
        f"{file} includes {other}"
        for file in tracked("*.c", "*.h")
        for other in includes(file)
        if not ((ROOT / other).exists() or ((ROOT / file).parent / other).exists() and file.startswith(("bench/", "tests/")))
        and not (ROOT / "tests" / "support" / other).exists()
    ]
    assert wrong == []


def test_the_top_is_short():
    entries = {file.split("/")[0] for file in tracked()}
    assert len({entry for entry in entries if not entry.startswith(".")}) <= ROOT_ENTRIES_MAX


def test_no_directory_holds_too_many_modules():
    modules = {}
    for file in sources():
        if file.endswith(".h"):
            modules.setdefault(place(file), []).append(file)
    assert {name: files for name, files in modules.items() if len(files) > MODULES_MAX} == {}


def test_unit_tests_mirror_the_tree():
    """A directory of unit tests bears the name of the directory that it tests; of the top, it is tests/unit."""
    folders = {str(Path(file).parent) for file in tracked("tests/unit/*.c", "tests/unit/*.mjs")}
    known = {"tests/unit", "tests/unit/web"} | {f"tests/unit/{place}" for place in HEIGHT}
    assert folders <= known
    assert [file for file in tracked("tests/*.py") if file.count("/") == 1] == ["tests/conftest.py", "tests/test_layers.py"]


def test_no_file_is_too_long():
    files = tracked("*.c")
    lengths = {file: len((ROOT / file).read_text().splitlines()) for file in files}
    assert {file: count for file, count in lengths.items() if count > LINES_MAX} == {}


def test_no_line_is_too_long():
    lines = [(file, at, len(line)) for file in sources() for at, line in enumerate((ROOT / file).read_text().splitlines(), 1)]
    assert [line for line in lines if line[2] > COLUMNS_MAX] == []


def test_the_programs_of_the_tour_stand_alone_and_are_short():
    """They are outside of the layers: they include nothing but each other's headers."""
    files = tracked("docs/tour/*.[ch]")
    assert len(files) >= 5
    assert {other for file in files for other in includes(file)} <= set(files)
    lengths = {file: len((ROOT / file).read_text().splitlines()) for file in files}
    assert {file: count for file, count in lengths.items() if count > TOUR_LINES_MAX} == {}


def test_the_architecture_names_each_file_and_no_other():
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`([\w/]+\.c)`", page))
    files = {file for file in sources() if file.endswith(".c")}
    short = {file: file.removeprefix("server/").removeprefix("client/") for file in files}
    assert [file for file in files if not {file, short[file]} & named] == []
    assert named <= files | set(short.values())


DEFINITION = re.compile(r"^[a-z][\w *]*?[ *](\w+)\([^;{]*?\)\n\{", re.MULTILINE)
TYPE = re.compile(r"^((?:struct|enum|union) \w+) \{", re.MULTILINE)


def test_no_name_is_defined_in_two_files():
    """Functions and types; but each program has a main."""
    found = {}
    for file in sources():
        text = re.sub(r"/\*.*?\*/", "", (ROOT / file).read_text(), flags=re.DOTALL)
        names = TYPE.findall(text) + (DEFINITION.findall(text) if file.endswith(".c") else [])
        for name in set(names) - {"main"}:
            found.setdefault(name, []).append(file)
    assert len(found) > 1000
    assert {name: files for name, files in found.items() if len(files) > 1} == {}
