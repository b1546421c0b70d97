# SPDX-License-Identifier: MIT
"""tools/cluster: `make cluster` starts an engine and servers, and ends them."""
import re
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from cluster import REDIS_SERVER
from helpers import COMMAND, PATIENCE, ROOT, held_port, wait_until


def processes_with(text):
    """Ids of processes whose command line has it."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text in entry.read_bytes().replace(b"\0", b" ").decode(errors="replace"):
                found.append(int(entry.parent.name))
        except OSError:
            pass  # it has just ended
    return found


def start(folder, port):
    return subprocess.Popen(
        [ROOT / "tools" / "cluster", "--servers", "1", "--port", str(port), "--server", COMMAND[0]],
        env={"TMPDIR": str(folder), "PATH": f"{Path(REDIS_SERVER).parent}:/usr/bin:/bin"},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)  # fmt: skip


@pytest.mark.plain_run("it starts the programs only")
def test_a_long_path_for_temporary_files_is_no_hindrance(tmp_path):
    if not REDIS_SERVER or len(COMMAND) != 1:
        pytest.skip("redis-server is not installed")
    folder = tmp_path / ("long" * 25)
    folder.mkdir()
    with held_port() as port:
        tool = start(folder, port)
        assert tool.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        tool.send_signal(signal.SIGINT)
        assert tool.wait(PATIENCE) == 0
        tool.stdout.close()


@pytest.mark.plain_run("it starts the programs only")
def test_it_starts_a_cluster_and_leaves_nothing():
    if not REDIS_SERVER or len(COMMAND) != 1:
        pytest.skip("redis-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="tool-"))  # the path of a Unix socket must be short
    with held_port() as port:
        tool = start(folder, port)
        assert tool.stdout.readline() == f"http://127.0.0.1:{port}/\n"
        assert re.match("They share", tool.stdout.readline())
        assert len(processes_with(str(folder))) >= 2
        tool.send_signal(signal.SIGINT)
        assert tool.wait(PATIENCE) == 0
        tool.stdout.close()
    wait_until(lambda: not processes_with(str(folder)), "the end of all programs")
    folder.rmdir()  # fails if something is left
