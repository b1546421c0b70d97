# SPDX-License-Identifier: MIT
"""What of the page needs no document, without a browser: Node.js has WebCrypto."""
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers import PATIENCE

HERE = Path(__file__).parent


@pytest.mark.skipif(bool(os.environ.get("SAN")), reason="nothing of it is C")
@pytest.mark.parametrize("story", ["test_e2e.mjs", "test_talks.mjs", "test_web.mjs"])
def test_in_node(story):
    node = shutil.which("node")
    assert node, "Node.js is missing: apt-get install nodejs"
    done = subprocess.run(
        [node, "--test", "--test-reporter=spec", HERE / story],
        capture_output=True,
        text=True,
        timeout=12 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
