# SPDX-License-Identifier: MIT
"""The files of the page as a browser gets them, made of web/ as tools/embed makes them."""
import functools
import sys

from helpers import ROOT

sys.path.insert(0, str(ROOT / "tools"))
import bundle  # noqa: E402


@functools.lru_cache
def page_files():
    """Each file by its name."""
    return {file.name: file for file in bundle.bundle(ROOT / "web")}


def served(name):
    """The path under which a file of web/ is served: /app-0123456789ab.js for app.js."""
    stem, _, ending = name.rpartition(".")
    found = [f"/{other}" for other in page_files() if other.startswith(stem + "-") and other.endswith("." + ending)]
    assert len(found) == 1, f"{name}: {found}"
    return found[0]
