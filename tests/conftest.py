# SPDX-License-Identifier: MIT
"""Fixtures of the end-to-end tests; helpers.py says what a test has at hand."""
import pytest

from helpers import Server


@pytest.fixture
def serve(tmp_path):
    """Starts a server with changed settings; at the end each is stopped and held to account."""
    servers = []

    def start(**changes):
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, **changes))
        return servers[-1]

    yield start
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
