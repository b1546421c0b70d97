#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""`make bench`: Ragnarok, the two floors and the peers under the same loads, in one run on one machine.

For each round, workload and transport every contestant has its turn, in a rotating order, so that
other load on the machine affects all of them equally. The server is pinned to one CPU, the
load generator to another. The first round is the most important, and each round begins with
its most important jobs. When the time is up, the least important ones are left out, and the report
counts them.

A contestant that cannot be started is skipped and named. A failed run is recorded as failed, and
the others go on. Writes bench.json (everything) and bench.jsonl (the generator's reports) to
--build; report.py makes a table and a picture of it.

QUICK=1  a part of the workloads, one round, in less than two minutes
"""
import argparse
import contextlib
import dataclasses
import datetime
import itertools
import json
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import report

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"

ROUNDS = 3
BUDGET_SECONDS = 820  # of the 15 minutes; building and reporting take some
QUICK_BUDGET_SECONDS = 105
START_SECONDS = 10  # for a server to say where it listens
STOP_SECONDS = 3  # from SIGTERM to SIGKILL
GRACE_SECONDS = 5  # for the generator to end by itself when its time is up
HOPELESS_SECONDS = 10  # a peer that takes longer to fail is not tried again
WARM_UP = {"members": 20, "senders": 4, "window": 8, "seconds": 1}
PRIVATE_WARM_UP = {"members": 20, "private": True, "seconds": 1}  # where nothing else is said
PRESENCE_MS = 50  # peers gather joins so long before they send the list, as Ragnarok does
DESCRIPTORS_ASIDE = 200  # descriptors of a process that are not for members
DESCRIPTORS_MAX = 100000  # where there is no limit

LISTENING = re.compile(r"(?:listening on |https?://)127\.0\.0\.1:(\d+)")


class Trouble(Exception):
    """The reason why a server could not be started, or a run gave no figure."""


# ---- Workloads -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    load: dict  # options of the generator
    seconds: float  # what a run takes, roughly
    floor: bool = True  # whether the floor takes part
    fresh: bool = False  # whether each run gets a server of its own
    quick: bool = False  # whether it is part of QUICK=1
    peers_last: bool = False  # whether peers run once only, after everything else
    alone: bool = False  # whether only Ragnarok can: by ragnarok.v2
    timeout: int = 20
    threads: bool = False  # whether the bare threads take part
    ring: int = None  # room_buffer_bytes for Ragnarok, which gets a fresh server for it

    def is_fresh(self, contestant):
        return self.fresh or (self.ring is not None and contestant.name == "ragnarok")


def room(members=100, window=8, size=100):
    return {"members": members, "senders": 10, "window": window, "size": size, "seconds": 1}


def at_once(members):
    return {"members": members, "joins_at_once": True, "rate": 4, "messages": 4}


def workloads(most, quick=False):
    """The workloads, the most important first. `most`: members that the descriptor limit allows."""
    arrivals = at_once(min(most, 2500 if quick else 10000)) | {"v2": True}
    flap = {"members": 200, "idle": 4, "flap": 1, "v2": True}
    thousand, five_thousand, ten_thousand = (min(most, n) for n in (1000, 5000, 10000))
    slow = {"members": 100, "senders": 10, "rate": 50, "seconds": 2}
    pairs = {"members": 200, "private": True, "seconds": 1}
    visits = {"members": 64, "visits": True, "seconds": 1}
    idle = {"members": thousand, "idle": 3}
    crowd = {"members": five_thousand, "idle": 3}
    return [
        Workload("A", room(), 1.3, quick=True),
        Workload("C", slow, 2.3, floor=False, quick=True),
        Workload("D1", idle, 4, floor=False, fresh=True, quick=True),
        Workload("F", visits, 1.2, quick=True),
        Workload("E", pairs, 1.3, floor=False, threads=True, quick=True),
        Workload("J", arrivals, 8, False, True, quick=True, alone=True, timeout=60),
        Workload("K", flap, 5, False, quick=True, alone=True),
        Workload("B", room(members=thousand), 2),
        Workload("A1", room(window=1), 1.3),
        Workload("A3", room(window=3), 1.3),
        Workload("G4", room(size=4096), 1.3, ring=64 * 1024 * 1024),
        Workload("J1", at_once(thousand), 2.5, floor=False),
        Workload("J10", at_once(ten_thousand), 12, False, peers_last=True, timeout=60),
        Workload("G64", room(window=1, size=65400), 1.5, ring=64 * 1024 * 1024),
        Workload("D5", crowd, 8, False, True, peers_last=True, timeout=40),
    ]


@dataclasses.dataclass
class Contestant:
    name: str
    command: list
    packages: list
    skipped: str = None  # the reason for not taking part

    @property
    def warm_up(self):
        return PRIVATE_WARM_UP if self.name == "threads" else WARM_UP


def contestants(build):
    own = [ROOT / "ragnarok" if build == ROOT / "build" else build / "ragnarok"]
    gorilla = ["golang-go", "golang-github-gorilla-websocket-dev"]
    return [
        Contestant("ragnarok", own, ["libssl3"]),
        Contestant("floor", [build / "floor"], ["libssl3"]),
        Contestant("threads", [build / "threads"], ["libssl3"]),
        Contestant("lws", [build / "lws_peer"], ["libwebsockets-dev"]),
        Contestant("gorilla", [build / "gorilla_peer"], gorilla),
        Contestant("ws", ["node", PEERS / "ws_peer.js"], ["nodejs", "node-ws"]),
        Contestant(
            "websockets",
            [sys.executable, PEERS / "websockets_peer.py"],
            ["python3", "python3-websockets"],
        ),
    ]


@dataclasses.dataclass(frozen=True)
class Job:
    contestant: Contestant
    workload: Workload
    tls: bool
    round: int

    @property
    def key(self):
        return self.contestant.name, self.workload.name, self.tls

    @property
    def compared(self):
        """The same for all jobs whose figures are compared."""
        return self.round, self.workload.name, self.tls


def takes_part(contestant, workload, extra):
    """Whether it runs: in a round, or after everything else."""
    if contestant.name == "floor":
        return workload.floor and not extra
    if contestant.name == "threads":
        return workload.threads and not extra
    if contestant.name == "ragnarok":
        return not extra
    if workload.alone:
        return False
    return workload.peers_last == extra


def schedule(everyone, loads, rounds):
    """All jobs, the most important first."""
    jobs = []
    for number in range(rounds + 1):
        extra = number == rounds
        for place, workload in enumerate(loads):
            entrants = [c for c in everyone if takes_part(c, workload, extra)]
            shift = (number + place) % len(entrants) if entrants else 0
            for tls in (False, True):
                for contestant in entrants[shift:] + entrants[:shift]:
                    jobs.append(Job(contestant, workload, tls, number))
    return jobs


# ---- Servers -------------------------------------------------------------------------------------


class Machine:
    """The CPUs of server and generator, and the folder with the servers' files."""

    def __init__(self, folder):
        cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.load_cpu = cpus[0], cpus[-1]
        self.folder = folder
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        self.descriptors = DESCRIPTORS_MAX if limit == resource.RLIM_INFINITY else limit
        self.most_members = min(self.descriptors, DESCRIPTORS_MAX) - DESCRIPTORS_ASIDE
        self.certificate, self.key = folder / "self-signed.crt", folder / "self-signed.pem"

    def pin(self, cpu):
        """Runs in a child before exec."""

        def prepare():
            os.sched_setaffinity(0, {cpu})
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            resource.setrlimit(resource.RLIMIT_NOFILE, (self.descriptors, hard))

        return prepare

    def configure(self, tls, ring):
        """Ragnarok's settings: the defaults, with limits so high that nobody is refused."""
        settings = {
            "SSL": tls,
            "SSL_Cert": str(self.certificate),
            "SSL_Key": str(self.key),
            "server_ip": "127.0.0.1",
            "server_port": 0,
            "server_name": "bench",
            "server_password": "",
            "max_clients": min(4 * self.most_members, 100_000),  # a quarter for newcomers
            "max_clients_per_address": 0,
            "max_messages_per_second": 0,
            "max_bytes_per_second": 0,
            "handshake_timeout_seconds": 60,
            "login_timeout_seconds": 60,
            "log_level": "warn",
        }
        if ring is not None:
            settings["room_buffer_bytes"] = ring
        path = self.folder / f"{'tls' if tls else 'plain'}.json"
        path.write_text(json.dumps(settings, indent=2))
        return path

    def arguments(self, contestant, tls, ring):
        if contestant.name == "ragnarok":
            return ["-c", self.configure(tls, ring)]
        secure = ["--tls", "--cert", self.certificate, "--key", self.key] if tls else []
        return ["--port", "0", "--presence", PRESENCE_MS, *secure]


def complaint(text):
    """The line of a program's output that names the fault: one with "Error" (it may be inside a
    traceback), else the first."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if "Error" in line] or lines
    return lines[0] if lines else ""


class Server:
    def __init__(self, machine, contestant, tls, ring=None):
        folder = Path(tempfile.mkdtemp(dir=machine.folder, prefix=contestant.name))
        self.out, self.errors = folder / "stdout", folder / "stderr"
        command = [*contestant.command, *machine.arguments(contestant, tls, ring)]
        try:
            with open(self.out, "wb") as out, open(self.errors, "wb") as errors:
                self.process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=errors,
                    env={**os.environ, "NODE_PATH": "/usr/share/nodejs"},
                    preexec_fn=machine.pin(machine.server_cpu),
                )
        except OSError as error:
            raise Trouble(f"cannot start: {error.strerror}") from error
        try:
            self.port = self.wait_listening()
        except BaseException:
            self.stop()
            raise

    def wait_listening(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            match = LISTENING.search(self.out.read_text(errors="replace"))
            if match:
                return int(match.group(1))
            if self.process.poll() is not None:
                said = complaint(self.errors.read_text(errors="replace"))
                raise Trouble(said or f"ended with {self.process.returncode}")
            time.sleep(0.01)
        raise Trouble(f"not listening after {START_SECONDS} s")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


# ---- Running -------------------------------------------------------------------------------------


def command_line(options):
    """members=5 becomes --members 5, tls=True --tls."""
    for name, value in options.items():
        if value is not False:
            yield "--" + name.replace("_", "-")
            if value is not True:
                yield str(value)


class Bench:
    def __init__(self, machine, load):
        self.machine, self.load = machine, load
        self.servers = {}  # running servers, by contestant and transport
        self.hopeless = set()  # jobs that are not tried again
        self.took = {}  # seconds of a job's latest run

    def run_load(self, server, options, timeout):
        """Runs the generator once. Returns its report; raises Trouble if it found a fault."""
        options = {**options, "port": server.port, "pid": server.process.pid, "timeout": timeout}
        process = subprocess.Popen(
            [str(self.load), "--json", *command_line(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=self.machine.pin(self.machine.load_cpu),
        )
        try:
            out, error = process.communicate(timeout=timeout + GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            raise Trouble(f"the generator did not end within {timeout + GRACE_SECONDS} s") from None
        finally:
            process.kill()
            process.wait()
        if process.returncode != 0:
            ended = server.process.poll()
            died = "" if ended is None else f"the server ended with {ended}; "
            raise Trouble(died + (complaint(error) or f"load ended with {process.returncode}"))
        return json.loads(out)

    @contextlib.contextmanager
    def serving(self, job):
        """The server for a job: one that has run before, and is warm, unless the job wants a fresh
        one. If anything goes wrong it is stopped, so that nothing of it reaches the next run."""
        fresh = job.workload.is_fresh(job.contestant)
        place = (job.contestant.name, job.tls)
        kept = None if fresh else self.servers.pop(place, None)
        server = kept or Server(self.machine, job.contestant, job.tls, job.workload.ring)
        try:
            if not fresh and not kept:
                warm_up = {**job.contestant.warm_up, "tls": job.tls}
                self.run_load(server, warm_up, job.workload.timeout)
            yield server
        except BaseException:
            server.stop()
            raise
        if fresh:
            server.stop()
        else:
            self.servers[place] = server

    def run(self, job):
        """Returns the record of a job; its `failed` is the reason for a missing figure, or None."""
        began, figures, failed = time.monotonic(), None, None
        options = {**job.workload.load, "tls": job.tls}
        try:
            with self.serving(job) as server:
                figures = self.run_load(server, options, job.workload.timeout)
        except Trouble as trouble:
            failed = str(trouble)
        took = self.took[job.key] = time.monotonic() - began
        if failed and took > HOPELESS_SECONDS and job.contestant.name != "ragnarok":
            self.hopeless.add(job.key)
        return {
            "contestant": job.contestant.name,
            "workload": job.workload.name,
            "tls": job.tls,
            "round": job.round,
            "failed": failed,
            "report": figures,
        }

    def expected(self, jobs):
        """Estimates how many seconds they take."""
        return sum(self.took.get(job.key, job.workload.seconds) for job in jobs)

    def run_all(self, jobs, budget, keep):
        """Runs the jobs for which there is time, and passes each result to `keep`. Jobs that are
        compared with each other are all begun, or none. Returns the number of jobs left out."""
        began, cut = time.monotonic(), 0
        for _, group in itertools.groupby(jobs, key=lambda job: job.compared):
            group = [job for job in group if job.key not in self.hopeless]
            if time.monotonic() - began + self.expected(group) > budget:
                cut += len(group)
                continue
            for job in group:
                spent = time.monotonic() - began
                if spent > budget:
                    cut += 1
                    continue
                record = self.run(job)
                keep(record)
                print(f"{spent:5.0f} s  {report.brief(record)}", flush=True)
        return cut

    def close(self):
        for server in self.servers.values():
            server.stop()


def find_missing(machine, everyone):
    """Starts each contestant once. One that cannot be started is skipped, with the reason; without
    Ragnarok, which also makes the certificate for all, there is nothing to compare."""
    for contestant in everyone:
        try:
            Server(machine, contestant, contestant.name == "ragnarok").stop()
        except Trouble as trouble:
            contestant.skipped = str(trouble)
            print(f"skipped: {contestant.name}: {trouble}", flush=True)
    if everyone[0].skipped:
        sys.exit("bench: nothing to compare without Ragnarok")
    return [contestant for contestant in everyone if not contestant.skipped]


# ---- The machine ---------------------------------------------------------------------------------


def output_of(*command):
    """What a command prints, or "" where there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    except OSError:
        return ""
    return done.stdout.strip()


def versions(packages):
    return output_of("dpkg-query", "-W", "-f", "${Package} ${Version}\n", *packages).splitlines()


def describe(machine):
    model = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cpus": os.cpu_count(),
        "server_cpu": machine.server_cpu,
        "load_cpu": machine.load_cpu,
        "kernel": f"{platform.system()} {platform.release()}",
        "descriptors": machine.descriptors,
        "load_average": os.getloadavg()[0],
    }


def measure(machine, build, quick, options):
    """The whole content of bench.json."""
    budget = options.seconds or (QUICK_BUDGET_SECONDS if quick else BUDGET_SECONDS)
    began, everyone = time.monotonic(), contestants(build)
    result = {
        "date": datetime.date.today().isoformat(),
        "commit": output_of("git", "describe", "--always", "--dirty"),
        "quick": quick,
        "machine": describe(machine),
    }
    present = find_missing(machine, everyone)
    loads = [w for w in workloads(machine.most_members, quick) if w.quick or not quick]
    loads = [w for w in loads if not options.only or w.name in options.only]
    jobs = schedule(present, loads, 1 if quick else ROUNDS)
    bench, records = Bench(machine, build / "load"), []
    with open(build / "bench.jsonl", "w", encoding="utf-8") as lines:

        def keep(record):
            records.append(record)
            print(json.dumps(record), file=lines, flush=True)

        try:
            cut = bench.run_all(jobs, budget, keep)
        finally:
            bench.close()
    return result | {
        "seconds": round(time.monotonic() - began),
        "cut": cut,
        "contestants": [
            {"name": c.name, "skipped": c.skipped, "versions": versions(c.packages)}
            for c in everyone
        ],
        "workloads": [{"name": w.name, "load": w.load} for w in loads],
        "runs": records,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="folder of the programs")
    parser.add_argument("--seconds", type=int, help="to measure (QUICK=1: 105, else 820)")
    parser.add_argument("--only", nargs="+", metavar="WORKLOAD", help="A, A1, A3, B, C, D1, ...")
    options = parser.parse_args()
    build = options.build.resolve()
    if not (build / "load").exists():
        sys.exit(f"bench: {build / 'load'} is not built")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: stopped"))  # and stop the servers too
    quick = os.environ.get("QUICK", "") not in ("", "0")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        result = measure(Machine(Path(folder)), build, quick, options)
    (build / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    print(report.tables(result))


if __name__ == "__main__":
    main()
