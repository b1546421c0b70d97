# SPDX-License-Identifier: MIT
"""The set-up of two machines in docs/OPERATING.md, played on one."""
import json
import re
import shlex
import shutil
import subprocess

import pytest

from cluster import Engine
from helpers import PATIENCE, ROOT, join, scenario

PAGE = (ROOT / "docs" / "OPERATING.md").read_text()
SECTION = PAGE.split("## Two machines\n", 1)[1].split("\n## ", 1)[0]


def block(language):
    return re.search(rf"```{language}\n(.*?)```", SECTION, re.DOTALL)[1]


def write_settings(folder):
    """The page's redis.conf, but for the addresses."""
    lines = [line for line in block("redis").splitlines() if not re.match("bind |port ", line)]
    assert len(lines) == len(block("redis").splitlines()) - 2
    (folder / "redis.conf").write_text("\n".join(lines) + "\n")
    return folder / "redis.conf"


class OpenEngine(Engine):
    """Nobody may ask it without a password."""

    def answers(self):
        return self.path.exists()


@scenario
async def test_the_two_machines_of_the_page(cluster, tmp_path):
    both = cluster()
    both.engine.finish()
    both.engine = OpenEngine(both.folder, (), name="page", conf=write_settings(tmp_path))
    settings = json.loads("{" + block("json") + "}")
    assert settings["cluster_engine"].startswith("tcp:")
    settings["cluster_engine"] = f"unix:{both.engine.path}"
    one, two = both.node(**settings), both.node(**settings)
    ana = await join(one, "Ana")
    bob = await join(two, "Bob")
    await ana.send("Broadcast", text="it works")
    assert (await bob.message())["text"] == "it works"
    await bob.send("PrivateMessage", TgtUser="Ana", text="it does", Ref=1)
    assert (await bob.message())["msgType"] == "Delivered"
    for node in (one, two):
        node.keep_secret(settings["cluster_password"])
        node.keep_secret(settings["cluster_secret"])


def compose_command():
    """How the compose file starts the engine."""
    compose = (ROOT / "contrib" / "docker" / "cluster.yaml").read_text()
    program, *options = shlex.split(re.search(r"^ +command: (redis-server .*)$", compose, re.MULTILINE)[1])
    assert program == "redis-server"
    return options


def test_the_compose_file_starts_the_engine_of_the_page():
    given = compose_command()
    settings = {name.removeprefix("--"): value for name, value in zip(given[::2], given[1::2], strict=True)}
    assert settings.pop("protected-mode") == "no"  # it is in a network of the servers only
    for name, value in settings.items():
        assert f"{name} {value or chr(34) * 2}\n" in block("redis")
    assert set(settings) == {"appendonly", "appendfsync", "save", "maxmemory-policy"}


@scenario
async def test_the_engine_of_the_compose_file(cluster):
    both = cluster()
    both.engine.finish()
    both.engine = Engine(both.folder, compose_command(), name="compose")
    ana, bob = await join(both.node(), "Ana"), await join(both.node(), "Bob")
    await ana.send("Broadcast", text="it works")
    assert (await bob.message())["text"] == "it works"


# ---- Units ----

STAND_IN = "[Service]\nExecStart=/bin/true\n"


def install_units(folder):
    """The page's commands, with `folder` in place of /etc/systemd/system, which they fill."""
    commands = block("sh").replace("sudo ", "").replace("/etc/systemd/system", str(folder))
    commands = commands.replace("systemctl daemon-reload", "true")
    subprocess.run(["sh", "-euc", commands], cwd=ROOT, check=True, timeout=PATIENCE)
    unit = (ROOT / "contrib" / "systemd" / "ragnarok.service").read_text()
    (folder / "ragnarok.service").write_text(unit.replace("/usr/bin/ragnarok", "/bin/true"))
    (folder / "redis-server.service").write_text(STAND_IN)


@pytest.mark.plain_run("nothing of it is C")
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
def test_systemd_understands_the_units_of_the_page(tmp_path):
    install_units(tmp_path)
    drop_ins = sorted(path.parent.name for path in tmp_path.glob("*.d/cluster.conf"))
    assert drop_ins == ["ragnarok.service.d", "redis-server.service.d"]
    units = [tmp_path / path.removesuffix(".d") for path in drop_ins]

    def complaints():
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", *units],
            capture_output=True, text=True, check=False, timeout=6 * PATIENCE,
        )  # fmt: skip
        return [line for line in done.stderr.splitlines() if str(tmp_path) in line]

    assert complaints() == []
    for name in drop_ins:
        with open(tmp_path / name / "cluster.conf", "a", encoding="ascii") as file:
            file.write("[Unit]\nNoSuchKey=1\n")
    assert len(complaints()) == 2, "so it had read them"


def constant(path, name):
    return int(re.search(rf"\b{name} = (\d+)", (ROOT / path).read_text())[1])


@pytest.mark.plain_run("nothing of it is C")
def test_the_unit_leaves_the_time_for_an_end_that_the_page_says():
    parts = [
        constant("room/bridge.h", "BRIDGE_FINISH_MS"),
        constant("ragnarok.c", "DRAIN_MS"),
        constant("room/bridge.h", "BRIDGE_CLOSE_MS"),
    ]
    said = re.search(r"at most (\d+) s, and `TimeoutStopSec` is (\d+): (\d) s .*?, (\d) s .*?, (\d) s ",
                     " ".join(SECTION.split()))  # fmt: skip
    unit = (ROOT / "contrib" / "systemd" / "ragnarok.service").read_text()
    allowed = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1])
    assert [int(number) for number in said.groups()] == [sum(parts) // 1000, allowed, *(part // 1000 for part in parts)]
    assert allowed > sum(parts) / 1000
