# SPDX-License-Identifier: MIT
"""The modules of the page that need no document, in Node.js, which has WebCrypto."""
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import PATIENCE

FILES = sorted(Path(__file__).parent.glob("test_*.mjs"))


@pytest.mark.plain_run("nothing of it is C")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_in_node(file):
    node = shutil.which("node")
    assert node, "Node.js is missing: apt-get install nodejs"
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", file],
        capture_output=True,
        text=True,
        timeout=12 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
