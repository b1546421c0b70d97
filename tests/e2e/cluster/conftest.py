# SPDX-License-Identifier: MIT
"""Fixtures of the tests of several servers that share their rooms."""
import pytest

from cluster import REDIS_SERVER, Cluster


@pytest.fixture
def cluster(tmp_path):
    """Starts an engine; `cluster.node()` starts a node."""
    if not REDIS_SERVER:
        pytest.skip("redis-server is not installed")
    clusters = []

    def start(**changes):
        clusters.append(Cluster(tmp_path, **changes))
        return clusters[-1]

    yield start
    for each in clusters:
        each.finish()
