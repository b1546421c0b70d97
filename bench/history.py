#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a history file costs: Ragnarok without one, and with history_sync "process" and "power", under the loads A,
A1 and C, in one run. Writes the table into docs/PERFORMANCE.md, between its two markers.

--before PROGRAM  also measures an earlier Ragnarok, without a history file, under these loads, E and D1
--rounds N        rounds, in each of which every server runs every load once (5)
"""
import argparse
import dataclasses
import json
import signal
import statistics
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import report
import run

BEGIN, END = "<!-- history: begin -->", "<!-- history: end -->"
SYNC = {"before": None, "off": None, "process": "process", "power": "power"}
FIGURES = [
    ("A", "deliveries"),
    ("A", "cpu"),
    ("A1", "deliveries"),
    ("A1", "cpu"),
    ("C", "p50"),
    ("C", "p99"),
    ("C", "cpu"),
    ("E", "deliveries"),
    ("E", "cpu"),
    ("D1", "memory"),
]


class HistoryMachine(run.Machine):
    """Gives each server the settings of its name, and each start a history file of its own."""

    starts = 0

    def arguments(self, contestant, tls, ring):
        settings = json.loads(self.configure(tls, ring).read_text())
        if SYNC[contestant.name]:
            self.starts += 1
            file = self.folder / f"{contestant.name}-{self.starts}.db"
            settings |= {"history_file": str(file), "history_sync": SYNC[contestant.name]}
        path = self.folder / f"{contestant.name}.json"
        path.write_text(json.dumps(settings))
        return ["-c", path]


def loads_of(machine, name):
    """The loads of a server; those of E and D1 only tell what the program costs without a file."""
    names = {"A", "A1", "C"} if SYNC[name] else {"A", "A1", "C", "E", "D1"}
    return [load for load in run.workloads(machine.most_members) if load.name in names]


def jobs_of(machine, servers, rounds):
    for number in range(rounds):
        turned = servers[number % len(servers) :] + servers[: number % len(servers)]
        for load in run.workloads(machine.most_members):
            for server in turned:
                if load.name in {each.name for each in loads_of(machine, server.name)}:
                    yield run.Job(server, dataclasses.replace(load, fresh=load.name == "D1"), False, number)


def value(records, server, load, figure):
    """The figures of a server by round."""
    take = report.METRICS[figure].take
    return {
        record["round"]: take(record["report"])
        for record in records
        if (record["contestant"], record["workload"]) == (server, load) and not record["failed"]
    }


def cell(records, server, load, figure):
    """The median, and the median of the ratios to "off" within the rounds."""
    own, base = value(records, server, load, figure), value(records, "off", load, figure)
    if not own:
        return ""
    shown = report.METRICS[figure].show(statistics.median(own.values()))
    ratios = [own[number] / base[number] for number in own if base.get(number)]
    if server == "off" or not ratios:
        return shown
    return f"{shown} ({statistics.median(ratios):.2f})"


def table(records, servers, rounds, machine):
    names = [server.name for server in servers]
    rows = [
        f"{rounds} rounds, {machine['cpu']}, load average {machine['load_average']:.1f} at the start; "
        'medians, and in brackets the median of the ratios to "off" within the rounds.',
        "",
        "| | " + " | ".join(names) + " |",
        "|---|" + "---|" * len(names),
    ]
    for load, figure in FIGURES:
        cells = [cell(records, name, load, figure) for name in names]
        if any(cells):
            rows.append(f"| {load}: {report.METRICS[figure].title} | " + " | ".join(cells) + " |")
    failed = [record for record in records if record["failed"]]
    rows += [""] + [f"Failed: {r['contestant']} {r['workload']}: {r['failed']}" for r in failed]
    return "\n".join(rows).strip()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="an earlier program to compare with")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # and stop the servers too
    programs = {name: run.ROOT / "ragnarok" for name in SYNC} | {"before": options.before}
    servers = [run.Contestant(n, [program], []) for n, program in programs.items() if program]
    records = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=run.ROOT / "build") as folder:
        machine = HistoryMachine(Path(folder))
        about = run.describe(machine)
        bench = run.Bench(machine, run.ROOT / "build" / "load")
        try:
            bench.run_all(list(jobs_of(machine, servers, options.rounds)), 3600, records.append)
        finally:
            bench.close()
    text = table(records, servers, options.rounds, about)
    print(text)
    page = report.PAGE.read_text()
    before, rest = page.split(BEGIN)
    report.PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
