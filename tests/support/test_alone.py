# SPDX-License-Identifier: MIT
"""How tools/pytest_alone gives a test that failed beside others a second run."""
import os
import subprocess
import sys

import pytest

from helpers import PATIENCE, ROOT

pytestmark = pytest.mark.plain_run("nothing of it is C")

SAMPLE = """
import os, pytest

BESIDE = "RUN_ALONE" in os.environ

@pytest.mark.xdist_group("all")
@pytest.mark.parametrize("name", ["a@b", "c d"])
def test_alone(name):
    assert not BESIDE or name == "c d"

def test_right(): pass
"""
WRONG = "\ndef test_wrong(): assert False"
FOUND = "\ndef test_found(): assert not BESIDE, 'ThreadSanitizer: data race'"
MANY = "\n@pytest.mark.parametrize('number', range(3))\ndef test_many(number): assert not BESIDE"


def run(folder, sample, *options):
    """The exit status and the last line."""
    (folder / "test_sample.py").write_text(sample)
    paths = [str(ROOT / "tests"), str(ROOT / "tests" / "support"), *sys.path]
    environment = {**os.environ, "SAN": "", "PYTHONPATH": os.pathsep.join(paths)}
    environment.pop("RUN_ALONE", None)  # of a run that this test is part of
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "pytest_alone", "-q", "-p", "conftest", *options],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=6 * PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize("options", [[], ["-n", "2", "--dist", "loadgroup"]], ids=["one-process", "xdist"])
def test_what_failed_beside_others_runs_once_more(tmp_path, options):
    status, closing = run(tmp_path, SAMPLE, *options)
    assert status == 0 and closing.startswith("1 passed")


def test_what_fails_alone_fails_the_run(tmp_path):
    status, closing = run(tmp_path, SAMPLE + WRONG)
    assert status == 1 and closing.startswith("1 failed, 1 passed")


@pytest.mark.parametrize("options", [[], ["-n", "2"]], ids=["one-process", "xdist"])
@pytest.mark.parametrize("more", [FOUND, MANY], ids=["sanitizer", "many"])
def test_findings_and_many_failures_get_no_second_run(tmp_path, more, options):
    """A worker of xdist has seen only some of them."""
    status, closing = run(tmp_path, SAMPLE + more, *options)
    assert status == 1 and " failed, 2 passed" in closing
