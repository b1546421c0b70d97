# SPDX-License-Identifier: MIT
"""How a run of the tests ends: conftest.py names what was skipped."""
import os
import subprocess
import sys

import pytest

from helpers import PATIENCE, ROOT

pytestmark = pytest.mark.plain_run("nothing of it is C")

SAMPLE = """
import pytest

@pytest.mark.parametrize("number", range(4))
def test_often(number):
    pytest.skip("no network")

@pytest.mark.skipif(True, reason="no strace")
def test_once(): pass

@pytest.mark.plain_run("takes no part")
def test_plain(): pass
"""


def run(folder, *options, **environment):
    (folder / "test_sample.py").write_text(SAMPLE)
    paths = [str(ROOT / "tests"), str(ROOT / "tests" / "support"), *sys.path]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "conftest", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
        check=False,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one-process", "xdist"])
def test_skips_are_named_by_reason(tmp_path, options):
    *_, first, second, closing = run(tmp_path, *options, SAN="")
    assert first == "skipped 4 (no network)"
    assert second == "skipped 1 (no strace): test_sample.py::test_once"
    assert closing.startswith("1 passed, 5 skipped")


def test_plain_run_is_deselected_under_a_sanitizer(tmp_path):
    assert "5 skipped, 1 deselected" in run(tmp_path, SAN="thread")[-1]
