#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a cluster costs: one server alone, and one, two and three nodes that share a redis-server, with `appendfsync`
"everysec" and "always", all on this machine. Writes the table into docs/SCALING.md, between its two markers.

Two loads, on all nodes at once, a room for each node, so that the engine carries all of them:
  calm   in each room 2 members, 200 broadcasts a second of all rooms together: from saying to hearing
  full   in each room 10 members, each with 16 broadcasts under way: broadcasts per second, CPU. It comes last: after it
         the engine rewrites its file

--rounds N   rounds, in each of which every set-up runs both loads once (5)
--seconds N  of each load (4)
--print      leaves the page alone
"""
import argparse
import json
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "SCALING.md"
BEGIN, END = "<!-- cluster: begin -->", "<!-- cluster: end -->"
PASSWORD = "bench-of-a-cluster"
SETTINGS = {
    "SSL": False, "server_ip": "127.0.0.1", "server_port": 0, "server_name": "bench", "server_password": PASSWORD,
    "max_messages_per_second": 0, "max_bytes_per_second": 0, "max_clients_per_address": 0, "history": 0,
}
UNPACKED = ROOT / "build" / "unpacked" / "usr" / "bin"  # by tools/deps
REDIS_SERVER = shutil.which("redis-server", path=f"{os.environ['PATH']}:{UNPACKED}")
PATIENCE = 30  # s until a program is ready
RATE = 200     # broadcasts per second of the calm load
SETUPS = [("alone", None, 1)] + [(f"{sync}, {count}", sync, count) for sync in ("everysec", "always")
                                 for count in (1, 2, 3)]


def wait_until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
    return value


def cpu_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Setup:
    """The programs of one set-up, for as long as the block lasts."""

    def __init__(self, folder, sync, count):
        self.folder, self.sync, self.count = Path(folder), sync, count
        self.engine, self.nodes, self.ports = None, [], []

    def start(self, command, name):
        with open(self.folder / name, "wb") as out:
            return subprocess.Popen(command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def __enter__(self):
        try:
            if self.sync:
                self.start_engine()
            for number in range(self.count):
                self.start_node(number)
        except BaseException:
            self.__exit__()
            raise
        return self

    def start_engine(self):
        path = self.folder / "redis.sock"
        self.engine = self.start(
            [REDIS_SERVER, "--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "yes",
             "--appendfsync", self.sync, "--maxmemory-policy", "noeviction"], "engine.log")

        def listens():
            with socket.socket(socket.AF_UNIX) as line:
                return line.connect_ex(str(path)) == 0
        wait_until(listens, "redis-server")

    def start_node(self, number):
        engine = {"cluster_engine": f"unix:{self.folder / 'redis.sock'}"} if self.sync else {}
        config = self.folder / f"node-{number}.json"
        config.write_text(json.dumps(SETTINGS | engine))
        config.chmod(0o600)
        out = self.folder / f"node-{number}.log"
        self.nodes.append(self.start([ROOT / "ragnarok", "-c", config], out.name))
        found = wait_until(lambda: re.search(r"http://\S+:(\d+)/", out.read_text()), f"node {number}")
        self.ports.append(int(found[1]))

    def __exit__(self, *_):
        for process in [*self.nodes, self.engine]:
            if process:
                process.terminate()
        for process in [*self.nodes, self.engine]:
            if process:
                process.wait(PATIENCE)

    def run(self, seconds, *options):
        """Runs a load in a room of each node. Returns the reports, and the engine's CPU seconds."""
        before = cpu_seconds(self.engine.pid) if self.engine else 0
        runs = [
            subprocess.Popen(
                [ROOT / "build" / "load", "--v2", "--json", "--port", str(port), "--pid", str(node.pid), "--path",
                 f"/rooms/r{number}", "--password", PASSWORD, "--seconds", str(seconds), *map(str, options)],
                stdout=subprocess.PIPE, text=True)
            for number, (port, node) in enumerate(zip(self.ports, self.nodes))]
        texts = [run.communicate()[0] for run in runs]
        assert all(run.returncode == 0 for run in runs), texts
        engine = cpu_seconds(self.engine.pid) - before if self.engine else 0
        return [json.loads(text) for text in texts], engine


def measure(sync, count, seconds):
    with tempfile.TemporaryDirectory(prefix="bc-") as folder, Setup(folder, sync, count) as setup:
        calm, _ = setup.run(seconds, "--members", 2, "--senders", 1, "--rate", max(1, RATE // count))
        full, engine = setup.run(seconds, "--members", 10, "--senders", 10, "--window", 16)
    said = sum(report["sent"] for report in full)
    return {
        "rate": sum(report["sent"] / report["seconds"] for report in full),
        "node": sum(report["server_cpu_seconds"] for report in full) / said * 1e6,
        "engine": engine / said * 1e6,
        "p50": statistics.mean(report["latency_us"]["p50"] for report in calm) / 1000,
        "p99": max(report["latency_us"]["p99"] for report in calm) / 1000,
    }


def table(records, rounds, load):
    def cell(name, figure, form):
        values = [record[figure] for record in records[name]]
        return form.format(statistics.median(values)) + f" ({form.format(min(values))}–{form.format(max(values))})"

    rows = [
        f"{rounds} rounds, two cores, load average {load:.1f} at the start. Medians, least and greatest value. Generator, "
        "nodes and engine share the cores; the disk is that of the machine that measured.", "",
        "| set-up | broadcasts/s | µs of nodes' CPU each | µs of the engine's CPU each | calm: p50, ms | p99, ms |",
        "|---|---|---|---|---|---|",
    ]
    for name, sync, count in SETUPS:
        title = f"`{sync}`, {count} node{'s' * (count > 1)}" if sync else "one server, no cluster"
        rows.append(f"| {title} | {cell(name, 'rate', '{:,.0f}')} | {cell(name, 'node', '{:.1f}')} | "
                    f"{cell(name, 'engine', '{:.1f}') if sync else '-'} | {cell(name, 'p50', '{:.2f}')} | "
                    f"{cell(name, 'p99', '{:.2f}')} |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--print", action="store_true")
    options = parser.parse_args()
    if not REDIS_SERVER:
        sys.exit("bench: redis-server is not there: run tools/deps test")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # and stop the programs, too
    load, records = os.getloadavg()[0], {name: [] for name, _, _ in SETUPS}
    for number in range(options.rounds):
        turn = number % len(SETUPS)
        for name, sync, count in SETUPS[turn:] + SETUPS[:turn]:
            records[name].append(measure(sync, count, options.seconds))
            print(name, records[name][-1], file=sys.stderr, flush=True)
    text = table(records, options.rounds, load)
    print(text)
    if not options.print:
        before, rest = PAGE.read_text().split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
