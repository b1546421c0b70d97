# SPDX-License-Identifier: MIT
"""The benchmark itself: the statistics of bench/report.py, and the handling of servers that fail,
take too long, or are missing in bench/run.py."""
import json
import re
import sys
import time
import xml.etree.ElementTree

import pytest

from helpers import PATIENCE, ROOT

sys.path.insert(0, str(ROOT / "bench"))
import report  # noqa: E402
import run  # noqa: E402

pytestmark = pytest.mark.plain_run("nothing of it is C")

EVERYBODY = ["ragnarok", "floor", "threads", "lws", "gorilla", "ws", "websockets"]
LOADS = {
    "A": {"members": 100},
    "C": {"members": 100, "rate": 50},
    "D1": {"members": 1000},
    "E": {"members": 200},
    "F": {"members": 64},
}


def figures(speed, **changes):
    """A report of the generator; `speed`: deliveries per second, visits, and so on."""
    return {
        "members": 100,
        "deliveries_per_s": speed,
        "cpu_us_per_delivery": 1e6 / speed,
        "latency_us": {"p50": speed, "p99": 2 * speed, "p999": 3 * speed, "max": 4 * speed},
        "rss_kib_before": 1000,
        "rss_kib_after": 3000,
        "server_cpu_seconds": 1,
        "visits": speed,
        "seconds": 1,
        "join_seconds": 0.5,
        "join_busy": 0.2,
        "busy": 0.5,
    } | changes


def one(contestant, speed, number=0, workload="A", tls=False, **changes):
    return {
        "contestant": contestant,
        "workload": workload,
        "tls": tls,
        "round": number,
        "failed": None,
        "report": figures(speed, **changes),
    }


def rounds(contestant, *speeds, **options):
    return [one(contestant, speed, number, **options) for number, speed in enumerate(speeds)]


def failed(contestant, reason, number=0):
    return one(contestant, 1, number) | {"failed": reason, "report": None}


def measured(runs, skipped=None, **changes):
    """The bench.json of run.py."""
    names = {run["workload"] for run in runs}
    return {
        "date": "2026-01-02",
        "commit": "abc1234",
        "quick": False,
        "machine": {
            "cpu": "a CPU",
            "cpus": 2,
            "server_cpu": 0,
            "load_cpu": 1,
            "kernel": "Linux 6",
            "descriptors": 20000,
            "load_average": 0.5,
        },
        "seconds": 60,
        "cut": 0,
        "contestants": [
            {"name": name, "skipped": (skipped or {}).get(name), "versions": [f"{name}-lib 1"]}
            for name in EVERYBODY
        ],
        "workloads": [{"name": n, "load": load} for n, load in LOADS.items() if n in names],
        "runs": runs,
    } | changes


def rows(text, *words):
    """The cells of every table row that contains all words."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    found = [line for line in lines if all(word in line for word in words)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found]


# ---- Medians, ratios, markings -------------------------------------------------------------------


def test_median_and_range():
    text = report.tables(measured(rounds("ragnarok", 1e6, 5e6, 2e6) + rounds("floor", 4e6)))
    assert "2.00 M (1.00–5.00 M)" in rows(text, "A:", "deliveries/s", "4.00 M")[0]


def test_ratio_is_the_median_of_the_rounds():
    """8/2, 3/1, 9/9: the median is 3, while that of the medians would be 8/2."""
    runs = rounds("ragnarok", 8e6, 3e6, 9e6) + rounds("floor", 2e6, 1e6, 9e6)
    (row,) = rows(report.tables(measured(runs)), "0.85 × the floor", "plain")
    assert row[-2:] == ["3.00 (1.00–4.00) × the floor", "yes"]


def test_ratio_counts_common_rounds_only():
    runs = rounds("ragnarok", 8e6, 3e6) + [failed("floor", "too slow"), one("floor", 1e6, 1)]
    (row,) = rows(report.tables(measured(runs)), "0.85 × the floor", "plain")
    assert row[-2] == "3.00 × the floor"


@pytest.mark.parametrize("ours, met", [(0.849e6, "**no**"), (0.85e6, "yes")])
def test_goal_is_met_at_its_bound(ours, met):
    text = report.tables(measured(rounds("ragnarok", ours) + rounds("floor", 1e6)))
    (row,) = rows(text, "0.85 × the floor", "plain")
    assert row[-1] == met
    assert f"{int(met == 'yes')} of 4 are met." in text


def test_best_peer_has_the_best_median():
    """The best peer has the most deliveries, or the lowest latency; the floor is not a peer."""
    runs = rounds("ragnarok", 40e3) + rounds("ws", 2e3) + rounds("lws", 1e3) + rounds("floor", 9e3)
    (row,) = rows(report.tables(measured(runs)), "20 × the best peer")
    assert row[-2:] == ["20.0 × ws (Node)", "yes"]
    runs = [
        r for n, s in (("ragnarok", 4), ("ws", 8), ("lws", 5)) for r in rounds(n, s, workload="C")
    ]
    (row,) = rows(report.tables(measured(runs)), "latency p50", "best peer", "plain")
    assert row[-2:] == ["0.800 × libwebsockets (C)", "yes"]


def test_bare_threads_are_a_floor_and_no_peer():
    """Private messages are compared with them, and apart from that with the best peer."""
    runs = [
        r
        for name, speed in (("ragnarok", 9e3), ("threads", 10e3), ("lws", 3e3))
        for r in rounds(name, speed, workload="E")
    ]
    text = report.tables(measured(runs))
    assert rows(text, "0.9 × bare threads", "plain")[0][-2:] == ["0.900 × bare threads", "yes"]
    assert rows(text, "best peer", "plain")[0][-2] == "3.00 × libwebsockets (C)"


def test_memory_per_member():
    text = report.tables(measured(rounds("ragnarok", 1, workload="D1")))
    assert rows(text, "RSS per member", "10.0 KiB", "plain")[0][3] == "20.0 KiB"


@pytest.mark.parametrize("busy, mark", [(0.89, ""), (0.9, "†")])
def test_busy_generator_marks_figure_and_ratio(busy, mark):
    runs = rounds("ragnarok", 1e6) + rounds("floor", 1e6, busy=busy)
    text = report.tables(measured(runs))
    assert rows(text, "0.85 × the floor", "plain")[0][-2] == f"1.00 × the floor{mark}"
    assert rows(text, "A:", "deliveries/s")[-1][2:4] == ["1.00 M", f"1.00 M{mark}"]
    assert "† The generator was busy 90% of the time or more" in text


def test_plain_and_tls_are_kept_apart():
    runs = rounds("ragnarok", 1e6) + rounds("ragnarok", 5e5, tls=True)
    plain, tls = report.tables(measured(runs)).split("### All figures, TLS")
    assert rows(plain, "A:", "deliveries/s")[-1][2] == "1.00 M"
    assert rows(tls, "A:", "deliveries/s")[0][2] == "500 k"


@pytest.mark.parametrize(
    "value, text", [(0, "0"), (0.01234, "0.0123"), (1234, "1.23 k"), (2.5e6, "2.50 M")]
)
def test_three_digits(value, text):
    assert report.rate(value) == text


# ---- Failures are reported -----------------------------------------------------------------------


def test_failed_run_of_ours_is_no_success():
    """The figures of the other rounds and their ratio do not compensate for it."""
    runs = [failed("ragnarok", "3 lost, 0 doubled"), one("ragnarok", 9e6, 1)]
    text = report.tables(measured(runs + rounds("floor", 1e6, 1e6)))
    (row,) = rows(text, "0.85 × the floor", "plain")
    assert row[-1] == "**no**" and "failed in 1 of 2 runs" in row[-2]
    assert "1. Ragnarok, A plain: 1 of 2 runs failed: 3 lost, 0 doubled" in text


def test_peer_that_always_fails():
    text = report.tables(measured(rounds("ragnarok", 1e6) + [failed("gorilla", "too slow")]))
    assert "failed [1]" in rows(text, "A:", "deliveries/s")[-1]
    assert "1. gorilla (Go), A plain: 1 of 1 runs failed: too slow" in text
    assert rows(text, "20 × the best peer")[0][-1] == "not measured"


def test_long_reason_is_cut():
    text = report.tables(measured(rounds("ragnarok", 1e6) + [failed("ws", "x" * 5000)]))
    assert "x" * report.REASON_MAX in text and "x" * (report.REASON_MAX + 1) not in text


def test_skipped_peer_is_named():
    text = report.tables(measured(rounds("ragnarok", 1e6), skipped={"ws": "cannot start: no node"}))
    assert "Skipped: ws (Node), cannot start: no node." in text
    assert not rows(text, "ws (Node)") and rows(text, "gorilla (Go)")


def test_circumstances():
    bench = measured(rounds("ragnarok", 1e6), cut=7, quick=True)
    bench["machine"]["load_cpu"] = 0
    text = report.tables(bench)
    assert "2026-01-02 at abc1234" in text and "a CPU" in text and "ws-lib 1" in text
    assert "The time was up before 7 of the runs." in text
    assert "**QUICK=1" in text and "**Server and generator shared a CPU" in text


def test_one_line_for_each_run():
    assert re.match(r"A\s+plain ws\s+deliveries/s 2.00 M, ", report.brief(one("ws", 2e6)))
    assert report.brief(failed("ws", "too slow")).endswith("failed: too slow")


# ---- The page and the picture --------------------------------------------------------------------


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Makes a page to write to, and `bench.json`; returns the page."""
    page = tmp_path / "page.md"
    page.write_text(f"# Über\n{report.BEGIN}\nold\n{report.END}\n\nend without a line feed")
    monkeypatch.setattr(report, "PAGE", page)
    monkeypatch.setattr(report, "PICTURE", tmp_path / "picture.svg")
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(measured(rounds("ragnarok", 1e6) + rounds("floor", 2e6))))
    monkeypatch.setattr(sys, "argv", ["report.py", str(file)])
    return page


def test_page_is_replaced_between_its_marks_only(page):
    for _ in range(2):
        report.main()
        text = page.read_text()
        assert text.startswith(f"# Über\n{report.BEGIN}\nMeasured on 2026-01-02")
        assert text.endswith(f"\n{report.END}\n\nend without a line feed")
        assert "old" not in text and text.count("### The goals") == 1


@pytest.mark.parametrize("text", ["", "{0}", "{1}", "{1}{0}", "{0}{0}{1}", "{0}{1}{1}"])
def test_page_without_its_marks_is_left_alone(page, text):
    page.write_text(text.format(report.BEGIN, report.END))
    with pytest.raises(SystemExit, match="once each"):
        report.main()
    assert page.read_text() == text.format(report.BEGIN, report.END)


def drawn(bench):
    """Every element of the picture by its name; the picture must be well-formed."""
    root = xml.etree.ElementTree.fromstring(report.picture(bench))
    elements = [(item.tag.split("}")[1], item) for item in root.iter()]
    return root, lambda name: [item for tag, item in elements if tag == name]


def test_picture():
    runs = rounds("ragnarok", 1e6, 3e6, 2e6) + rounds("floor", 4e6) + [failed("ws", "a < b & c")]
    root, find = drawn(measured(runs))
    width, height = map(float, root.get("viewBox").split()[2:])
    bars = {bar.get("class"): float(bar.get("width")) for bar in find("rect")}
    assert bars["floor"] == pytest.approx(2 * bars["ours"], rel=0.01)
    for bar in find("rect"):
        assert float(bar.get("x", 0)) + float(bar.get("width")) <= width
        assert float(bar.get("y", 0)) + float(bar.get("height")) <= height
    texts = ["".join(text.itertext()) for text in find("text")]
    assert "Deliveries/s, plain" in texts and "2.00 M" in texts
    assert "failed" in texts and len(find("line")) == 1


def test_picture_of_nothing():
    _, find = drawn(measured([failed("ragnarok", "nothing")]))
    assert all(rect.get("class") == "paper" for rect in find("rect"))


def test_picture_in_the_docs_is_well_formed():
    root = xml.etree.ElementTree.parse(ROOT / "docs" / "performance.svg").getroot()
    assert root.tag.endswith("}svg")


# ---- The order of the runs -----------------------------------------------------------------------


def contestants(*names):
    return [run.Contestant(name, ["true"], []) for name in names]


def test_each_has_its_turn_in_each_round():
    everyone = contestants(*EVERYBODY)
    jobs = run.schedule(everyone, run.workloads(20000), 3)
    turns = [(job.contestant.name, job.tls, job.round) for job in jobs if job.workload.name == "A"]
    entrants = [name for name in EVERYBODY if name != "threads"]
    assert len(turns) == len(set(turns)) == len(entrants) * 2 * 3
    openers = {job.contestant.name for job in jobs if job.workload.name == "A" and not job.tls}
    assert openers == set(entrants)
    first = [turn[0] for turn in turns if turn[1] is False][:: len(entrants)]
    assert len(set(first)) == 3, "the order does not rotate"


def test_who_takes_part():
    jobs = run.schedule(contestants(*EVERYBODY), run.workloads(20000), 2)
    took = {(job.contestant.name, job.workload.name) for job in jobs}
    assert ("floor", "A") in took and ("floor", "C") not in took
    assert [workload for name, workload in took if name == "threads"] == ["E"]
    late = [job for job in jobs if job.workload.name == "J10" and job.contestant.name == "ws"]
    assert [job.round for job in late] == [2, 2], "once over each transport, when all else is done"


def test_no_more_members_than_descriptors():
    assert max(workload.load["members"] for workload in run.workloads(3000)) == 3000


# ---- Servers and runs ----------------------------------------------------------------------------

LISTEN = "import time; print('listening on 127.0.0.1:9', flush=True); time.sleep(600)"
BROKEN = "raise OSError('no such library')"
GOOD = "import json; print(json.dumps({'deliveries_per_s': 1}))"
BAD = "import sys; print('load: 1 lost', file=sys.stderr); sys.exit(1)"
STUCK = "import time; time.sleep(600)"


def script(text):
    return [sys.executable, "-c", text, "--"]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """This machine, without pinning, because others may use the CPUs."""
    monkeypatch.setattr(run.Machine, "pin", lambda *_: None)
    monkeypatch.setattr(run, "START_SECONDS", 6 * PATIENCE)
    return run.Machine(tmp_path)


@pytest.fixture
def bench(machine, tmp_path):
    """Makes a Bench whose generator is a few lines of Python; stops its servers at the end."""
    made = []

    def make(text):
        load = tmp_path / "load"
        load.write_text(f"#!{sys.executable}\n{text}\n")
        load.chmod(0o755)
        made.append(run.Bench(machine, load))
        return made[-1]

    yield make
    for one_bench in made:
        one_bench.close()


def job(name="ws", server=LISTEN, **changes):
    workload = run.Workload("A", {"members": 2}, 0.1, **changes)
    return run.Job(run.Contestant(name, script(server), []), workload, False, 0)


def test_good_run(bench):
    keeper = bench(GOOD)
    record = keeper.run(job())
    assert record["failed"] is None and record["report"] == {"deliveries_per_s": 1}
    (server,) = keeper.servers.values()
    assert server.process.poll() is None, "it was to be kept for the next run"
    keeper.close()
    assert server.process.poll() is not None


def test_fresh_server_is_not_kept(bench):
    keeper = bench(GOOD)
    assert keeper.run(job(fresh=True))["failed"] is None
    assert not keeper.servers


def test_run_with_a_broken_promise_has_no_figure(bench):
    keeper = bench(BAD)
    record = keeper.run(job())
    assert record["failed"] == "load: 1 lost" and record["report"] is None
    assert not keeper.servers, "nothing of it may reach the next run"


def test_server_that_cannot_start(bench):
    assert bench(GOOD).run(job(server=BROKEN))["failed"] == "OSError: no such library"


def test_generator_that_does_not_end(bench, monkeypatch):
    monkeypatch.setattr(run, "GRACE_SECONDS", 0.2)
    record = bench(STUCK).run(job(timeout=0.1))
    assert record["failed"].startswith("the generator did not end within")


def test_hopeless_peer_is_not_asked_again(bench, monkeypatch):
    monkeypatch.setattr(run, "HOPELESS_SECONDS", 0)
    keeper, records = bench(BAD), []
    jobs = [job("ws"), job("ragnarok")]
    for _ in range(2):
        keeper.run_all(jobs, 60, records.append)
    assert [record["contestant"] for record in records] == ["ws", "ragnarok", "ragnarok"]


def test_what_there_is_no_time_for_is_counted(bench):
    records = []
    assert bench(GOOD).run_all([job(), job("lws")], -1, records.append) == 2
    assert not records


def test_a_missing_peer_is_skipped_by_name(machine, capsys):
    everyone = [
        run.Contestant("ragnarok", script(LISTEN), []),
        run.Contestant("lws", ["/nowhere/lws_peer"], []),
        run.Contestant("ws", script(BROKEN), []),
        run.Contestant("gorilla", script(LISTEN), []),
    ]
    present = run.find_missing(machine, everyone)
    assert [contestant.name for contestant in present] == ["ragnarok", "gorilla"]
    said = capsys.readouterr().out
    assert "skipped: lws: cannot start: No such file" in said
    assert "skipped: ws: OSError: no such library" in said


def test_nothing_to_compare_without_ragnarok(machine):
    everyone = [run.Contestant("ragnarok", ["/nowhere/ragnarok"], [])]
    with pytest.raises(SystemExit, match="without Ragnarok"):
        run.find_missing(machine, everyone)


def test_server_that_will_not_go_is_killed(machine, monkeypatch):
    monkeypatch.setattr(run, "STOP_SECONDS", 0.2)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + LISTEN
    server = run.Server(machine, run.Contestant("ws", script(deaf), []), False)
    began = time.monotonic()
    server.stop()
    assert server.process.poll() == -9 and time.monotonic() - began < 60


def test_options_become_a_command_line():
    words = run.command_line({"members": 5, "joins_at_once": True, "tls": False})
    assert list(words) == ["--members", "5", "--joins-at-once"]
