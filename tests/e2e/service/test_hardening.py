# SPDX-License-Identifier: MIT
"""Hardening of the built programs against code execution.

Checked with readelf: random addresses (PIE), read-only tables (full RELRO), no executable data (NX),
stack canaries, FORTIFY, and no library path that others could write to.
"""
import os
import re
import shlex
import shutil
import subprocess

import pytest

import helpers

TALKER = shlex.split(os.environ.get("RAGCHAT", str(helpers.ROOT / "ragchat")))
PROGRAMS = {"ragnarok": helpers.COMMAND[-1], "ragchat": TALKER[-1]}

pytestmark = [
    pytest.mark.plain_run("a sanitizer brings guards of its own"),
    pytest.mark.skipif(not shutil.which("readelf"), reason="readelf is not installed"),
]


def readelf(path, option):
    command = ["readelf", "--wide", option, str(path)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def guards(path):
    """The hardening features of a program."""
    head, segments = readelf(path, "--file-header"), readelf(path, "--segments")
    dynamic, symbols = readelf(path, "--dynamic"), readelf(path, "--dyn-syms")
    stack = re.search(r"GNU_STACK.* (R?W?E?) +0x", segments)
    loads = re.findall(r"LOAD .* 0x\w+ (R?)[ ]?(W?)[ ]?(E?) +0x", segments)
    checked = set(re.findall(r" __(\w+)_chk", symbols)) - {"stack"}
    return {
        "PIE": bool(re.search(r"Type: +DYN", head) and re.search(r"FLAGS_1.* PIE", dynamic)),
        "RELRO": "GNU_RELRO" in segments,
        "BIND_NOW": bool(re.search(r"FLAGS.*\b(BIND_)?NOW\b", dynamic)),
        "NX": bool(stack) and "E" not in stack.group(1) and bool(loads),
        "W^X": not any(write and run for _, write, run in loads),
        "canary": "__stack_chk_fail" in symbols,
        "FORTIFY": len(checked) > 0,
        "no path of its own": not re.search(r"\((RPATH|RUNPATH)\)", dynamic),
        "no text that is written": "(TEXTREL)" not in dynamic,
    }


@pytest.mark.parametrize("name", PROGRAMS)
def test_guards_are_in_the_program(name):
    missing = [guard for guard, there in guards(PROGRAMS[name]).items() if not there]
    assert missing == []


def test_a_program_without_guards_is_noticed(tmp_path):
    source, program = tmp_path / "soft.c", tmp_path / "soft"
    source.write_text("int main(void) { return 0; }\n")
    soft = "-no-pie -fno-pie -z norelro -z lazy -z execstack -fno-stack-protector -U_FORTIFY_SOURCE"
    subprocess.run(
        ["cc", *soft.split(), "-Wl,-rpath,/tmp", "-o", str(program), str(source)],
        check=True,
        capture_output=True,
    )
    found = guards(program)
    assert [guard for guard, there in found.items() if there] == ["W^X", "no text that is written"]
