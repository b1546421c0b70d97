# SPDX-License-Identifier: MIT
"""Runs build/load, the load generator, and checks its report.

LOAD        its command; default: ./build/load of this repository
LOAD_SCALE  how much of each load, in (0, 1], for sanitizers and valgrind; default: 1
"""
import json
import os
import shlex
import subprocess

from helpers import PASSWORD, PATIENCE, ROOT, SCALE

COMMAND = shlex.split(os.environ.get("LOAD", str(ROOT / "build" / "load")))
LOAD_SCALE = float(os.environ.get("LOAD_SCALE", "1"))
TIMEOUT = int(100 * SCALE)


def scaled(count, least=1):
    return max(least, int(count * LOAD_SCALE))


def arguments(port, tls, options):
    """A command line: members=5 becomes --members 5, tls=True --tls."""
    given = {"host": "127.0.0.1", "port": port, "timeout": TIMEOUT, "json": True, "tls": tls}
    for name, value in {**given, **options}.items():
        if value is not False:
            yield "--" + name.replace("_", "-")
            if value is not True:
                yield str(value)


def load(server, **options):
    """Runs the load generator against the server; returns its report on success."""
    options = {"password": PASSWORD, "pid": server.pid, **options}
    done = subprocess.run(
        [*COMMAND, *arguments(server.port, server.tls, options)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT + PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stderr == ""
    report = json.loads(done.stdout)
    flaws = {name: report[name] for name in ("lost", "doubled", "swapped", "errors")}
    assert not any(flaws.values()), report
    return report
