# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests; helpers.py says what a test has at hand."""
import collections
import contextlib
import json
import os
import re
from pathlib import Path

import pytest

from browser import Browser
from browser_user import House
from helpers import SANITIZER as FINDING
from helpers import Server, held_port
from terminal import Terminal

os.environ.pop("SUDO_UID", None)  # the server refuses sudo; tests of that set it themselves

# What make check leaves to make test: it takes a browser, a crowd, a proxy, valgrind, or waits.
SLOW = (
    "e2e/browser/",
    "e2e/cluster/test_cluster_failures.py",
    "e2e/cluster/test_hostile_engine.py",
    "e2e/cluster/test_lost_answers.py",
    "e2e/cluster/test_wandering.py",
    "e2e/load/",
    "e2e/http/test_behind_proxy.py",
    "e2e/limits/",
    "e2e/ragchat/test_ragchat_",
    "e2e/service/test_service.py",
    "e2e/service/test_tcache.py",
    "e2e/tls/test_tls.py",
    "support/test_alone.py",  # starts pytest itself
    "support/test_skips.py",
)

# Under ThreadSanitizer these find nothing: the server has one connection at a time there, or has not
# started its threads.
ONE_CLIENT = (
    "docs/",
    "e2e/http/test_bundle.py",
    "e2e/http/test_qr.py",
    "e2e/protocol/test_conformance.py",
    "e2e/protocol/test_origin.py",
    "e2e/service/test_first_start.py",
    "e2e/service/test_startup.py",
    "e2e/tls/test_local_ca.py",
    "e2e/tls/test_trust_page.py",
)

SANITIZER = os.environ.get("SAN", "")
NAMED_MAX = 3  # a reason for more skips than this is named with their count alone
ALONE_MAX = 3  # if more tests than this fail, something is wrong, and nothing runs again
GROUP = re.compile(r"@[^]]*$")  # what xdist adds to the name of a test in a group


def pytest_collection_modifyitems(config, items):
    """Marks the slow ones, deselects what a run under a sanitizer cannot show, and spreads the browsers."""
    kept, others = [], []
    for item in items:
        if item.nodeid.startswith(SLOW):
            item.add_marker("slow")
        if item.nodeid.startswith("e2e/ragchat/"):
            item.add_marker(pytest.mark.no_tsan("ragchat has one thread"))
        if item.nodeid.startswith(ONE_CLIENT):
            item.add_marker(pytest.mark.no_tsan("one connection at a time"))
        (kept if fits_sanitizer(item) else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
    items[:] = spread_groups(kept)


def spread_groups(items):
    """The order in which workers take the tests: the groups, the largest first, at even distances in the
    first four fifths of the single tests. So few browsers compete at a time, while other tests wait for a
    clock, and no long group is left to one worker at the end."""
    groups, singles = collections.defaultdict(list), []
    for item in items:
        mark = item.get_closest_marker("xdist_group")
        (groups[mark.args[0]] if mark else singles).append(item)
    step = len(singles) * 4 // 5 // max(len(groups), 1)
    ordered = []
    for group in sorted(groups.values(), key=len, reverse=True):
        ordered += group + singles[:step]
        del singles[:step]
    return ordered + singles


def fits_sanitizer(item):
    if SANITIZER and item.get_closest_marker("plain_run"):
        return False
    return not ("thread" in SANITIZER and item.get_closest_marker("no_tsan"))


def pytest_terminal_summary(terminalreporter):
    """Names what was skipped: a line for each reason."""
    skipped = collections.defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        skipped[report.longrepr[2].removeprefix("Skipped: ")].append(report.nodeid)
    for reason, tests in sorted(skipped.items()):
        names = ": " + ", ".join(sorted(tests)) if len(tests) <= NAMED_MAX else ""
        terminalreporter.write_line(f"skipped {len(tests)} ({reason}){names}")
    if not hasattr(terminalreporter.config, "workerinput"):  # a worker has seen only some of the tests
        choose_alone(terminalreporter)


def choose_alone(terminalreporter):
    """Names for tools/pytest_alone the tests that may run once more: few, and not what a sanitizer found."""
    failed = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])]
    found = [report for report in failed if FINDING.search(report.longreprtext)]
    if "RUN_ALONE" in os.environ and 0 < len(failed) <= ALONE_MAX and not found:
        root = terminalreporter.config.rootpath
        tests = sorted({str(root / GROUP.sub("", report.nodeid)) for report in failed})
        Path(os.environ["RUN_ALONE"]).write_text(json.dumps(tests))


@pytest.fixture
def serve(tmp_path):
    """Starts a server with changed settings; at the end each is stopped and held to account."""
    servers, ports = [], contextlib.ExitStack()

    def start(**changes):
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        if not {"server_ip", "server_port"} & changes.keys():
            changes["server_port"] = ports.enter_context(held_port())
        servers.append(Server(folder, **changes))
        return servers[-1]

    with ports:
        yield start
        finish_all(servers)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Servers for tests that leave nothing in them, one for each module and set of settings: a start,
    and an end with a search for leaks, take longer than a request."""
    servers = {}

    def start(**changes):
        key = repr(sorted(changes.items()))
        if key not in servers:
            servers[key] = Server(tmp_path_factory.mktemp("shared"), **changes)
        return servers[key]

    yield start
    finish_all(servers.values())


def finish_all(servers):
    """Ends them all, and says what was wrong with the first that was at fault."""
    failures = []
    for server in servers:
        try:
            server.finish()
        except Exception as failure:  # the others still have to be ended
            failures.append(failure)
    if failures:
        raise failures[0]


@pytest.fixture(params=[False, True], ids=["plain", "tls"])
def tls(request):
    """Runs a test twice: over plain TCP and over TLS."""
    return request.param


# ---- The page, in a browser ----------------------------------------------------------------------

FAILED = pytest.StashKey()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Notes what fails, for the pictures that are taken of it."""
    outcome = yield
    if call.when == "call":
        item.stash[FAILED] = outcome.get_result().failed


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A server that has started once: what it has made for its TLS serves all the others."""
    server = Server(tmp_path_factory.mktemp("authority"), SSL=True)
    server.finish()
    return server


@pytest.fixture(scope="session")
def chromium(tmp_path_factory, authority):
    """One browser for all tests of this process; it trusts what the server asks people to trust."""
    browser = Browser(tmp_path_factory.mktemp("chromium"), authority.folder / "ragnarok-ca.crt")
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def whole_chromium(tmp_path_factory, authority):
    """The same with windows and devices, for tests marked whole_browser."""
    folder, root = tmp_path_factory.mktemp("whole-chromium"), authority.folder / "ragnarok-ca.crt"
    browser = Browser(folder, root, whole=True)
    yield browser
    browser.close()


@pytest.fixture
def open_house(request, serve, authority):
    """Starts servers with changed settings; at the end no page may have had a fault."""
    whole = request.node.get_closest_marker("whole_browser")
    chromium = request.getfixturevalue("whole_chromium" if whole else "chromium")
    houses = []

    def start(**changes):
        houses.append(House(chromium, serve, authority, **changes))
        return houses[-1]

    yield start
    name = request.node.name if request.node.stash.get(FAILED, True) else None
    faults = [fault for house in houses for fault in house.close(name)]
    assert not faults, faults


@pytest.fixture
def house(open_house):
    """A server with a page, as config.json has it."""
    return open_house()


# ---- The terminal client -------------------------------------------------------------------------


@pytest.fixture
def homes(tmp_path):
    """A folder for the keys of whoever is named; at the end all terminals are closed."""

    def home(name):
        folder = tmp_path / f"home-{name}"
        folder.mkdir(exist_ok=True)
        return folder

    yield home
    while Terminal.opened:
        Terminal.opened.pop().close()


@pytest.fixture
def terminal(homes):
    """Opens ragchat on a terminal and waits until it is in."""

    def start(server, name, *options, **changes):
        folder = changes.pop("folder", None) or homes(name)
        opened = Terminal(server, name, folder, *options, **changes)
        opened.wait(r"\d+ here; /w tells who")
        return opened

    return start
