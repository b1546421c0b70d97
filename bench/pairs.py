#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares two Ragnarok programs, such as before and after a change: both run in each round, in alternating order, so
that other work of the machine affects both alike. Prints the medians with the least and the greatest value, and the
median of the ratios of AFTER to the other within the rounds.

usage: pairs.py BEFORE [AFTER] [--only E A1 ...] [--plain | --tls] [--rounds 9] [--threads]

--threads  also measures the bare threads where they take part (E), and compares AFTER with them
"""
import argparse
import signal
import statistics
import sys
import tempfile
from pathlib import Path

sys.dont_write_bytecode = True
import report
import run


def entrants(options):
    """The programs in turn. All but the bare threads are started as Ragnarok is."""
    yield "before", run.Contestant("ragnarok", [options.before.resolve()], [])
    yield "after", run.Contestant("ragnarok", [options.after.resolve()], [])
    if options.threads:
        yield "threads", run.Contestant("threads", [run.ROOT / "build" / "threads"], [])


def measure(options, machine):
    """Yields (workload, transport, name, round, report) for each good run; prints the reason of each other."""
    loads = [load for load in run.workloads(machine.most_members) if load.name in options.only]
    turns = list(entrants(options))
    benches = {name: run.Bench(machine, run.ROOT / "build" / "load") for name, _ in turns}
    try:
        for number in range(options.rounds):
            turns = turns[1:] + turns[:1]
            for load in loads:
                for tls in options.transports:
                    for name, contestant in turns:
                        if name == "threads" and not load.threads:
                            continue
                        record = benches[name].run(run.Job(contestant, load, tls, number))
                        if record["failed"]:
                            print(f"{load.name} {report.transport(tls)} {name}: {record['failed']}")
                        else:
                            yield load.name, tls, name, number, record["report"]
    finally:
        for bench in benches.values():
            bench.close()


def row_of(found, load, tls, metric, name):
    """The figure of a program, and the median of the ratios of AFTER to it."""
    take, show = report.METRICS[metric].take, report.METRICS[metric].show
    theirs, after = ({n: take(r) for n, r in found.get((load, tls, who), {}).items()} for who in (name, "after"))
    if not theirs:
        return None
    ratios = [after[number] / theirs[number] for number in after if theirs.get(number)]
    ratio = report.spread(ratios, report.digits) if ratios and name != "after" else ""
    title = report.METRICS[metric].title
    return load, report.transport(tls), title, name, report.spread(theirs.values(), show), ratio


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=run.ROOT / "ragnarok")
    parser.add_argument("--only", nargs="+", default=["E"], metavar="WORKLOAD")
    parser.add_argument("--plain", dest="transports", action="store_const", const=[False])
    parser.add_argument("--tls", dest="transports", action="store_const", const=[True])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", action="store_true")
    parser.set_defaults(transports=[False, True])
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # and stop the servers too
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        machine = run.Machine(Path(folder))
        run.Server(machine, next(entrants(options))[1], True).stop()  # makes the certificate
        for load, tls, name, number, figures in measure(options, machine):
            found.setdefault((load, tls, name), {})[number] = figures
    rows = [("load", "over", "figure", "program", "median", "after : it")]
    for load in options.only:
        for tls in options.transports:
            for metric in (metric for workload, metric in report.ROWS if workload == load):
                rows += [row_of(found, load, tls, metric, name) for name in ("before", "after", "threads")]
    print(report.table([row for row in rows if row]))


if __name__ == "__main__":
    main()
