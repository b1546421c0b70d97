# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests; helpers.py says what a test has at hand."""
import contextlib
import os

import pytest

from browser import Browser
from helpers import Server, held_port
from person import House
from terminal import Terminal

os.environ.pop("SUDO_UID", None)  # the server refuses sudo; tests of that set it themselves


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


@pytest.fixture
def open_house(request, chromium, serve, authority):
    """Starts servers with changed settings; at the end no page may have had a fault."""
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
