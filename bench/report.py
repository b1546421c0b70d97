#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Makes a table and a picture of the figures of run.py: `report.py build/bench.json`.

Writes the table into docs/PERFORMANCE.md, between its two markers, and docs/performance.svg. Every
number in them, and whether a goal is met, is computed from the runs; nothing is typed by hand.

A figure is the median of its runs. A ratio is the median of the ratios within each round, so that
both sides ran in the same minute. The best peer is the one with the best median.
If a run of Ragnarok failed, its goal is not met; a peer is judged by its good runs.
"""
import collections
import dataclasses
import html
import json
import math
import statistics
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "PERFORMANCE.md"
PICTURE = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

LIMIT_BUSY = 0.9  # above this the generator counts as the limit
MARK = "†"  # marks such a figure
LIMITED = f"The generator was busy {LIMIT_BUSY:.0%} of the time or more: the server may do better."
REASON_MAX = 160  # characters of a failed run's reason

OURS, FLOOR, THREADS = "ragnarok", "floor", "threads"
TITLES = {
    "ragnarok": "Ragnarok",
    "floor": "the floor",
    "threads": "bare threads",
    "lws": "libwebsockets (C)",
    "gorilla": "gorilla (Go)",
    "ws": "ws (Node)",
    "websockets": "websockets (Python)",
}
PEERS = [name for name in TITLES if name not in (OURS, FLOOR, THREADS)]
WORKLOADS = {
    "A": "{members} members, window 8",
    "A1": "{members} members, window 1",
    "A3": "{members} members, window 3",
    "B": "{members} members, window 8",
    "C": "{rate} broadcasts a second to {members}",
    "D1": "{members} idle members",
    "D5": "{members} idle members",
    "E": "private ping-pong, {members} members",
    "F": "connecting",
    "G4": "texts of 4 KiB",
    "G64": "texts of 64 KiB",
    "J": "{members} join at once, by ragnarok.v2",
    "J1": "{members} join at once",
    "J10": "{members} join at once",
    "K": "one joins and leaves without end, {members} others",
}


# ---- Numbers -------------------------------------------------------------------------------------


def digits(value):
    """Three significant digits, without an exponent."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(value))))}f}"


def with_steps(value, steps):
    """A number with the largest unit that fits it: [(1e6, " M"), ..., (1, "")]."""
    for size, unit in steps:
        if abs(value) >= size:
            break
    return digits(value / size) + unit


def rate(value):
    return with_steps(value, [(1e6, " M"), (1e3, " k"), (1, "")])


def microseconds(value):
    return with_steps(value, [(1e6, " s"), (1e3, " ms"), (1, " µs")])


def size(value):
    return with_steps(value, [(1e6, " MB"), (1e3, " kB"), (1, " B")])


def kibibytes(value):
    return digits(value) + " KiB"


@dataclasses.dataclass(frozen=True)
class Metric:
    title: str
    show: object  # number -> text
    take: object  # the generator's report -> number
    more: bool = False  # whether more is better
    busy: str = None  # the report's field for the generator's load, if that can be the limit


METRICS = {
    "deliveries": Metric("deliveries/s", rate, lambda r: r["deliveries_per_s"], True, "busy"),
    "cpu": Metric("server CPU per delivery", microseconds, lambda r: r["cpu_us_per_delivery"]),
    "p50": Metric("latency p50", microseconds, lambda r: r["latency_us"]["p50"]),
    "p99": Metric("latency p99", microseconds, lambda r: r["latency_us"]["p99"]),
    "p999": Metric("latency p99.9", microseconds, lambda r: r["latency_us"]["p999"]),
    "slowest": Metric("a broadcast at all", microseconds, lambda r: r["latency_us"]["max"]),
    "memory": Metric(
        "RSS per member",
        kibibytes,
        lambda r: (r["rss_kib_after"] - r["rss_kib_before"]) / r["members"],
    ),
    "set-ups": Metric("set-ups/s", rate, lambda r: r["visits"] / r["seconds"], True, "busy"),
    "set-up cpu": Metric(
        "server CPU per set-up",
        microseconds,
        lambda r: 1e6 * r["server_cpu_seconds"] / r["visits"],
    ),
    "generator": Metric("generator busy", "{:.0%}".format, lambda r: r["busy"]),
    "join cpu": Metric(
        "server CPU per join",
        microseconds,
        lambda r: 1e6 * r["server_join_cpu_seconds"] / r["members"],
    ),
    "join bytes": Metric(
        "bytes of names per member", size, lambda r: r["join_users_bytes"] / r["members"]
    ),
    "flap bytes": Metric(
        "bytes a second to each other",
        size,
        lambda r: r["users_bytes"] / r["members"] / r["seconds"],
    ),
    "flaps": Metric("joins a second", rate, lambda r: r["flaps"] / r["seconds"], True),
    "joined": Metric(
        "all in and settled", microseconds, lambda r: 1e6 * r["join_seconds"], busy="join_busy"
    ),
}

ROWS = [
    *[(w, name) for w in ("A", "A1", "A3", "B") for name in ("deliveries", "cpu", "generator")],
    *[("C", name) for name in ("p50", "p99", "p999", "cpu")],
    *[("D1", "memory"), ("D5", "memory")],
    *[("E", name) for name in ("deliveries", "cpu", "generator")],
    *[("F", name) for name in ("set-ups", "set-up cpu", "generator")],
    *[(w, name) for w in ("G4", "G64") for name in ("deliveries", "generator")],
    *[("J", name) for name in ("joined", "join cpu", "join bytes")],
    *[(w, name) for w in ("J1", "J10") for name in ("joined", "slowest")],
    *[("K", name) for name in ("flap bytes", "flaps")],
]


# ---- The goals -----------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Goal:
    workload: str
    metric: str
    against: str  # "floor", "threads", "peer", "set-up": a ratio; "": the figure itself
    plain: float = None  # the bound; None: no goal
    tls: float = None

    def bound(self, tls):
        return self.tls if tls else self.plain


AGAINST = {"floor": "the floor", "threads": "bare threads", "peer": "the best peer", "set-up": "its set-up in F"}
GOALS = [
    Goal("A", "deliveries", "floor", 0.85, 0.85),
    Goal("A", "deliveries", "peer", 20, 5),
    Goal("B", "deliveries", "floor", 0.85, 0.85),
    Goal("B", "deliveries", "peer", 20, 5),
    Goal("A1", "deliveries", "floor", 0.8, 0.8),
    Goal("A1", "deliveries", "peer", 5, 3),
    Goal("A3", "deliveries", "floor", 0.8, 0.8),
    Goal("A3", "deliveries", "peer", 5, 3),
    Goal("C", "p50", "peer", 1, 1),
    Goal("C", "p99", "peer", 1, 1),
    Goal("C", "cpu", "peer", 1, 1),
    Goal("D1", "memory", "", 10, 30),
    Goal("D5", "memory", "", 10, 30),
    Goal("E", "deliveries", "threads", 0.9, 0.9),
    Goal("E", "deliveries", "peer", 0.8, 0.8),
    Goal("F", "set-up cpu", "peer", None, 1),
    Goal("F", "set-ups", "", 30000, None),
    Goal("G4", "deliveries", "peer", 3, 1.4),
    Goal("G64", "deliveries", "peer", 1, 1),
    Goal("J", "joined", "", 3e6, None),
    Goal("J", "join cpu", "set-up", None, 1.3),
    Goal("J1", "joined", "", 1e6, 1e6),
    Goal("J10", "slowest", "", 150e3, 150e3),
    Goal("K", "flap bytes", "", 1000, 1000),
]


# ---- Figures -------------------------------------------------------------------------------------


class Figure:
    """One metric of one contestant, over all runs."""

    def __init__(self, runs, metric):
        self.metric = metric
        self.by_round = {r["round"]: metric.take(r["report"]) for r in runs if not r["failed"]}
        self.failures = [r["failed"][:REASON_MAX] for r in runs if r["failed"]]
        self.runs = len(runs)
        busy = [r["report"][metric.busy] for r in runs if metric.busy and not r["failed"]]
        self.limited = bool(busy) and statistics.median(busy) >= LIMIT_BUSY

    @property
    def median(self):
        return statistics.median(self.by_round.values())

    def __bool__(self):
        return bool(self.by_round)

    def __str__(self):
        return spread(self.by_round.values(), self.metric.show) + MARK * self.limited


def spread(values, show):
    """The median, and the range if there is more than one value."""
    text = show(statistics.median(values))
    if len(values) < 2:
        return text
    low, high = show(min(values)).split(), show(max(values)).split()
    if low[1:] == high[1:]:
        low = low[:1]  # print the unit once
    return f"{text} ({' '.join(low)}–{' '.join(high)})"


class Result:
    def __init__(self, bench):
        self.bench = bench
        self.loads = {workload["name"]: workload["load"] for workload in bench["workloads"]}
        self.runs = collections.defaultdict(list)
        for run in bench["runs"]:
            self.runs[run["contestant"], run["workload"], run["tls"]].append(run)

    def figure(self, contestant, workload, tls, metric):
        return Figure(self.runs[contestant, workload, tls], METRICS[metric])

    def best_peer(self, workload, tls, metric):
        """The name of the best peer, or None when none has a figure."""
        good = {}
        for name in PEERS:
            figure = self.figure(name, workload, tls, metric)
            if figure:
                good[name] = figure.median
        choose = max if METRICS[metric].more else min
        return choose(good, key=good.get) if good else None

    def title(self, workload):
        return WORKLOADS[workload].format(**self.loads[workload])


def ratios(ours, theirs):
    """The ratio of each round that both have; without such a round, the ratio of the medians."""
    common = [n for n in ours.by_round if theirs.by_round.get(n)]
    return [ours.by_round[n] / theirs.by_round[n] for n in common] or [ours.median / theirs.median]


def compare(result, goal, tls, ours):
    """Our ratio to what the goal names, and its text; None where either is missing."""
    if goal.against == "set-up":
        set_up = result.figure(OURS, "F", tls, "set-up cpu")
        if not (ours and set_up):
            return None, ""
        return statistics.median(ratios(ours, set_up)), spread(ratios(ours, set_up), digits)
    best = goal.against == "peer"
    other = result.best_peer(goal.workload, tls, goal.metric) if best else goal.against
    theirs = result.figure(other, goal.workload, tls, goal.metric)
    if not (ours and theirs and theirs.median):
        return None, ""
    found = ratios(ours, theirs)
    text = f"{spread(found, digits)} × {TITLES[other]}{MARK * theirs.limited}"
    return statistics.median(found), text


@dataclasses.dataclass
class Verdict:
    goal: Goal
    tls: bool
    ours: Figure
    wanted: str
    ratio: str
    met: bool  # None: not measured


def judge(result, goal, tls):
    metric, bound = METRICS[goal.metric], goal.bound(tls)
    ours = result.figure(OURS, goal.workload, tls, goal.metric)
    if goal.against:
        value, ratio = compare(result, goal, tls, ours)
        wanted = f"{bound:g} × {AGAINST[goal.against]}"
    else:
        value, ratio = (ours.median if ours else None), ""
        wanted = metric.show(bound)
    met = None
    if ours.failures:
        met = False
        ratio += f" failed in {len(ours.failures)} of {ours.runs} runs"
    elif value is not None:
        met = value >= bound if metric.more else value <= bound
    return Verdict(goal, tls, ours, f"{'≥' if metric.more else '≤'} {wanted}", ratio.strip(), met)


def verdicts(result):
    return [
        judge(result, goal, tls)
        for goal in GOALS
        if goal.workload in result.loads
        for tls in (False, True)
        if goal.bound(tls) is not None
    ]


# ---- Tables --------------------------------------------------------------------------------------


def table(rows):
    """Markdown with columns of even width, readable as plain text."""
    if len(rows) < 2:
        return "Nothing."
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |"
        for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def transport(tls):
    return "TLS" if tls else "plain"


def goals_table(result):
    rows = [("workload", "over", "figure", "Ragnarok", "goal", "ratio", "met")]
    for v in verdicts(result):
        rows.append(
            (
                f"{v.goal.workload}: {result.title(v.goal.workload)}",
                transport(v.tls),
                METRICS[v.goal.metric].title,
                str(v.ours) if v.ours else "-",
                v.wanted,
                v.ratio or "-",
                {True: "yes", False: "**no**", None: "not measured"}[v.met],
            )
        )
    return table(rows)


def figures_table(result, tls, notes):
    """All figures over one transport; reasons of failed runs are added to `notes`."""
    names = [c["name"] for c in result.bench["contestants"] if not c["skipped"]]
    rows = [("workload", "figure", *[TITLES[name] for name in names])]
    for workload, metric in ROWS:
        if workload not in result.loads:
            continue
        cells = []
        for name in names:
            figure = result.figure(name, workload, tls, metric)
            cell = str(figure) if figure else "failed" if figure.failures else "-"
            if figure.failures:
                note = (
                    f"{TITLES[name]}, {workload} {transport(tls)}: {len(figure.failures)} of "
                    f"{figure.runs} runs failed: {figure.failures[0]}"
                )
                if note not in notes:
                    notes.append(note)
                cell += f" [{notes.index(note) + 1}]"
            cells.append(cell)
        if set(cells) != {"-"}:
            title = f"{workload}: {result.title(workload)}"
            rows.append((title, METRICS[metric].title, *cells))
    return table(rows)


def circumstances(result):
    bench, machine = result.bench, result.bench["machine"]
    texts = [
        f"Measured on {bench['date']} at {bench['commit'] or 'an unknown commit'}, in"
        f" {bench['seconds']} s: {machine['cpu']}, {machine['cpus']} CPUs (server on number"
        f" {machine['server_cpu']}, generator on {machine['load_cpu']}), {machine['kernel']},"
        f" {machine['descriptors']} descriptors, load average {machine['load_average']:.2f} at the"
        " start."
    ]
    if machine["server_cpu"] == machine["load_cpu"]:
        texts.append("**Server and generator shared a CPU: the figures mean little.**")
    if bench["quick"]:
        texts.append("**QUICK=1: a part of the workloads, one run of each.**")
    if bench["cut"]:
        texts.append(f"The time was up before {bench['cut']} of the runs.")
    for contestant in bench["contestants"]:
        if contestant["skipped"]:
            texts.append(f"Skipped: {TITLES[contestant['name']]}, {contestant['skipped']}.")
    packages = sorted({line for c in bench["contestants"] for line in c["versions"]})
    texts.append(f"Packages: {', '.join(packages)}.")
    return "\n".join(texts)


def tables(bench):
    """Everything that was measured, as Markdown."""
    result = Result(bench)
    judged = verdicts(result)
    met = sum(v.met is True for v in judged)
    notes = []
    plain, tls = (figures_table(result, over, notes) for over in (False, True))
    parts = [
        circumstances(result),
        "### The goals",
        f"{met} of {len(judged)} are met.",
        goals_table(result),
        "### All figures, plain",
        plain,
        "### All figures, TLS",
        tls,
        f"{MARK} {LIMITED} A dash: does not take part, or no time was left.",
        "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1)),
    ]
    return "\n\n".join(part for part in parts if part)


def brief(run):
    """One run in one line, for progress output."""
    name = f"{run['workload']:4} {transport(run['tls']):5} {run['contestant']:10}"
    if run["failed"]:
        return f"{name} failed: {run['failed'][:REASON_MAX]}"
    metrics = [METRICS[metric] for workload, metric in ROWS if workload == run["workload"]]
    return f"{name} " + ", ".join(f"{m.title} {m.show(m.take(run['report']))}" for m in metrics)


# ---- The picture ---------------------------------------------------------------------------------

STYLE = """
  text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1c1c1a; }
  .title { font-size: 14px; font-weight: 600; }
  .faint { fill: #62615c; }
  .strong { font-weight: 600; }
  .paper { fill: #fcfcfb; }
  .bar { fill: #b9b8b0; }
  .ours { fill: #1f6fd0; }
  .floor { fill: none; stroke: #62615c; stroke-dasharray: 3 2; }
  .range { stroke: #1c1c1a; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f2f1ec; }
    .faint { fill: #a8a79f; }
    .paper { fill: #171716; }
    .bar { fill: #5f5e58; }
    .ours { fill: #4a94ea; }
    .floor { stroke: #a8a79f; }
    .range { stroke: #f2f1ec; }
  }
"""

PANELS = [("A", "deliveries"), ("C", "p99"), ("D1", "memory")]
MARGIN, PANEL_WIDTH, LABEL_WIDTH, BAR_WIDTH = 20, 430, 130, 190
HEAD_HEIGHT, ROW_HEIGHT, BAR_HEIGHT, GAP = 46, 22, 14, 24


def element(name, text=None, **attributes):
    """One element of SVG; class_ stands for class, and _ in a name for -."""
    named = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items())
    inside = "".join(f' {key}="{html.escape(str(value))}"' for key, value in named)
    return f"<{name}{inside}/>" if text is None else f"<{name}{inside}>{html.escape(text)}</{name}>"


def bar(name, figure, scale, x, y):
    """One contestant's line in a panel. `scale`: pixels for 1."""
    kind = {OURS: "ours", FLOOR: "floor"}.get(name, "bar")
    label = "strong" if name == OURS else "faint"
    middle = y + BAR_HEIGHT / 2
    start = x + LABEL_WIDTH
    yield element("text", TITLES[name], x=start - 8, y=y + 11, text_anchor="end", class_=label)
    if not figure:
        text = "failed" if figure.failures else "not measured"
        yield element("text", text, x=start, y=y + 11, class_="faint")
        return
    values = figure.by_round.values()
    width = max(1, round(figure.median * scale, 1))
    end = start + round(max(values) * scale, 1)
    yield element("rect", x=start, y=y, width=width, height=BAR_HEIGHT, class_=kind)
    if len(values) > 1:
        low = start + round(min(values) * scale, 1)
        yield element("line", x1=low, x2=end, y1=middle, y2=middle, class_="range")
    shown = figure.metric.show(figure.median) + MARK * figure.limited
    yield element("text", shown, x=max(end, start + width) + 6, y=y + 11, class_=label)


def taking_part(result, workload):
    """The contestants in the panels of a workload: the same for plain and TLS."""
    names = [c["name"] for c in result.bench["contestants"] if not c["skipped"]]
    return [n for n in names if any(result.runs[n, workload, tls] for tls in (False, True))]


def panel(result, workload, metric, tls, x, y):
    names = taking_part(result, workload)
    figures = {name: result.figure(name, workload, tls, metric) for name in names}
    most = max((max(f.by_round.values()) for f in figures.values() if f), default=0) or 1
    better = "more is better" if METRICS[metric].more else "less is better"
    title = METRICS[metric].title
    title = f"{title[0].upper()}{title[1:]}, {transport(tls)}"
    under = f"{workload}: {result.title(workload)}; {better}"
    yield element("text", title, x=x, y=y + 16, class_="title")
    yield element("text", under, x=x, y=y + 34, class_="faint")
    for place, (name, figure) in enumerate(figures.items()):
        yield from bar(name, figure, BAR_WIDTH / most, x, y + HEAD_HEIGHT + place * ROW_HEIGHT)


def picture(bench):
    """The most important figures, as SVG: one colour for ours, light and dark."""
    result, y, parts = Result(bench), MARGIN, []
    for workload, metric in PANELS:
        if workload not in result.loads:
            continue
        for column, tls in enumerate((False, True)):
            parts += panel(result, workload, metric, tls, MARGIN + column * PANEL_WIDTH, y)
        y += HEAD_HEIGHT + ROW_HEIGHT * len(taking_part(result, workload)) + GAP
    note = f"Bars: medians. Lines: from the least run to the greatest. {MARK} {LIMITED}"
    parts.append(element("text", note, x=MARGIN, y=y, class_="faint"))
    width, height = 2 * (PANEL_WIDTH + MARGIN), y + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
            element("title", "Ragnarok and its peers, measured in one run"),
            f"<style>{STYLE}</style>",
            element("rect", width=width, height=height, rx=6, class_="paper"),
            *parts,
            "</svg>\n",
        ]
    )


def write_page(text):
    page = PAGE.read_text(encoding="utf-8")
    if page.count(BEGIN) != 1 or page.count(END) != 1 or page.index(BEGIN) > page.index(END):
        sys.exit(f"report: {PAGE} must hold {BEGIN} and, below it, {END}, once each")
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: report.py build/bench.json")
    with open(sys.argv[1], encoding="utf-8") as file:
        bench = json.load(file)
    write_page(tables(bench))
    PICTURE.write_text(picture(bench), encoding="utf-8")


if __name__ == "__main__":
    main()
