# SPDX-License-Identifier: MIT
"""Metrics of the process, connections that were never used, and the dashboard and alerts that read them."""
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from helpers import PATIENCE, ROOT, UNPACKED, Raw, descriptors_of, request, wait_until

CONTRIB = ROOT / "contrib"
RULES = (CONTRIB / "prometheus" / "ragnarok.rules.yml").read_text()
DASHBOARD = json.loads((CONTRIB / "grafana" / "ragnarok.json").read_text())


def samples(server):
    """Each sample with its labels, to its value."""
    with Raw(server) as client:
        text = client.exchange(request("/metrics", {"Host": f"127.0.0.1:{server.port}"})).body.decode()
    lines = (line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, value in lines}


def test_the_process_is_measured_inside_of_the_sandbox(serve):
    server = serve()
    idle = descriptors_of(server.pid)
    with Raw(server), Raw(server):
        wait_until(lambda: descriptors_of(server.pid) == idle + 2, "two connections")
        assert samples(server)["process_open_fds"] == idle + 3, "and the one that asks"
    found = samples(server)
    statm = open(f"/proc/{server.pid}/statm").read().split()
    resident = int(statm[1]) * os.sysconf("SC_PAGESIZE")
    assert resident / 2 < found["process_resident_memory_bytes"] < resident * 2
    assert 0 < found["process_cpu_seconds_total"] < 60 * PATIENCE
    assert abs(time.time() - found["process_start_time_seconds"]) < 6 * PATIENCE
    limits = open(f"/proc/{server.pid}/limits").read()
    assert found["process_max_fds"] == int(re.search(r"Max open files +(\d+)", limits)[1])


def test_the_build_is_named(serve):
    version = re.search(r'VERSION "(.*)"', (ROOT / "lib" / "version.h").read_text())[1]
    assert samples(serve())[f'ragnarok_build_info{{version="{version}"}}'] == 1


def failures(found):
    return [value for name, value in found.items() if "handshake_failures" in name]


@pytest.mark.parametrize("abort", [False, True], ids=["closed", "reset"])
def test_a_connection_that_was_never_used_is_no_failure(serve, tls, abort):
    """As browsers open them in advance: before TLS, and after it."""
    server, ways = serve(SSL=tls), [False, True] if tls else [False]
    for spoken in ways:
        client = Raw(server, tls=spoken)
        if abort:
            client.reset()
        else:
            client.socket.close()

    def counted():
        found = samples(server)
        return found if found["ragnarok_unused_connections_total"] == len(ways) else None

    assert failures(wait_until(counted, f"{len(ways)} unused")) == [0, 0]


def test_a_connection_that_broke_off_is_one(serve, tls):
    server = serve(SSL=tls)
    with Raw(server, tls=False) as client:
        client.send(b"\x16\x03\x01\x02\x00\x01" if tls else b"GET / HTT")
    wait_until(lambda: sorted(failures(samples(server))) == [0, 1], "one failure")
    assert samples(server)["ragnarok_unused_connections_total"] == 0


# ---- contrib -------------------------------------------------------------------------------------


def known(server):
    """The names of all metrics."""
    return {re.split(r"[{ ]", name)[0] for name in samples(server)}


def metrics_in(expression):
    return set(re.findall(r"\b(?:ragnarok|process)_\w+", expression))


def expressions():
    alerts = re.findall(r"^ +expr: (.*)$", RULES, re.MULTILINE)
    panels = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
    return alerts, panels


def test_alerts_and_dashboard_name_metrics_that_exist(serve):
    names = known(serve(SSL=True))
    alerts, panels = expressions()
    assert len(alerts) > 8 and len(panels) > 15
    for expression in [*alerts, *panels]:
        assert metrics_in(expression) <= names, expression
        assert metrics_in(expression) or expression.startswith("up{"), expression


def test_the_dashboard_shows_every_metric(serve):
    """But for the parts of histograms that a panel does not need."""
    shown = set().union(*(metrics_in(expression) for expression in expressions()[1]))
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in known(serve(SSL=True))}
    assert families == {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}


def test_alerts_name_labels_that_exist(serve):
    names = set(samples(serve()))
    labelled = re.findall(r"\b((?:ragnarok)_\w+\{[^}]*\})", " ".join(expressions()[0]))
    assert len(labelled) >= 4 and set(labelled) <= names


def test_each_panel_has_a_place_of_its_own():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


PROMTOOL = shutil.which("promtool", path=f"{UNPACKED}/bin:{os.environ['PATH']}")


@pytest.mark.skipif(not PROMTOOL, reason="promtool is not installed")
def test_promtool_accepts_the_rules():
    subprocess.run(
        [PROMTOOL, "check", "rules", CONTRIB / "prometheus" / "ragnarok.rules.yml"],
        check=True, capture_output=True, timeout=PATIENCE,
    )  # fmt: skip
