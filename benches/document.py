"""docs/benchmarks.md, from what `make bench` measured."""

import os
import platform
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
# Row, server, at least how many times as fast as which: the targets of the design.
TARGETS = (
    ("rust", "wasgi, new", 3.5, "wasmtime serve, new"),
    ("rust", "wasgi, rewound", 8, "wasmtime serve, new"),
    ("rust", "wasgi, reused", 0.5, "bare hyper"),
    ("rust", "wasgi, reused", 1.4, "wasmtime serve, reused"),
    ("python", "wasgi, new", 4, "wasmtime serve, new"),
    ("python", "wasgi, rewound", 1, "gunicorn"),
    ("python", "wasgi, reused", 4, "gunicorn"),
    ("python", "wasgi, reused", 0.5, "granian"),
    ("flask", "wasgi, new", 5, "wasmtime serve, new"),
    ("flask", "wasgi, rewound", 1, "gunicorn"),
    ("flask", "wasgi, reused", 1.6, "gunicorn"),
    ("flask", "wasgi, reused", 0.7, "granian"),
)


def table(row, found):
    """One row of the run: each server beside the one that is the measure."""
    base = found[row.base]["rate"]
    lines = [f"### {row.title} (`ROW={row.name}`)", "", f"| server | requests/s | spread | × {row.base} | CPU µs | p50 ms | p99 ms | MiB |", "|---|--:|--:|--:|--:|--:|--:|--:|"]
    for name, figures in found.items():
        spread = f"{figures['least']:.0f}–{figures['greatest']:.0f}"
        failed = f" ({figures['failed']} requests failed)" if figures["failed"] else ""
        lines.append(
            f"| {name}{failed} | {figures['rate']:.0f} | {spread} | {figures['rate'] / base:.2f} | {figures['cpu']:.0f} "
            f"| {figures['p50']:.2f} | {figures['p99']:.2f} | {figures['memory']:.0f} |"
        )
    return "\n".join([*lines, ""])


def targets(found):
    """Each target of a row that was measured, beside the figure."""
    measured = [target for target in TARGETS if target[0] in found]
    if not measured:
        return ""
    lines = ["| row | server | target | measured | |", "|---|---|--:|--:|---|"]
    ratios = [found[row][name]["rate"] / found[row][base]["rate"] for row, name, _, base in measured]
    met = sum(ratio >= least for (*_, least, _), ratio in zip(measured, ratios))
    for (row, name, least, base), ratio in zip(measured, ratios):
        lines.append(f"| {row} | {name} | ≥ {least} × {base} | {ratio:.2f} | {'met' if ratio >= least else '**missed**'} |")
    return "\n".join([*lines, "", f"{met} of {len(measured)} are met.", ""])


def whole(rows, found, builds, rounds, seconds, connections):
    tables = "\n".join(table(row, found[row.name]) for row in rows)
    notes, profiles = ((HERE / name).read_text() for name in ("notes.md", "profiles.md"))
    return f"""# Benchmarks

Written by `make bench SECONDS={seconds} ROUNDS={rounds}`; `make bench ROW=flask` prints one row. Server and load share the machine, over loopback: `wrk -t1 -c{connections} -d{seconds}s`,
{rounds} rounds in turn, each server begun anew and warmed in each; every byte of every response of the warm-up is compared. Medians; the spread is
of the rate. CPU is the time that all processes of a server used for a request: it varies less than the rate where machines are shared. Memory is of all processes of a server, shared pages counted once (PSS), after the load. **Only the relations of one run mean
something.** wasgi runs with its default limits and all its checks, in a release build: *new* is `isolation = "request"`, *rewound* `"rewind"`,
*reused* `"reuse"`. The same source serves in wasgi and in the native servers; `wasmtime serve` runs a wasi:http component of it. Applications in
Python have `[build] warm = ["/"]`: their page is asked for when their memory is drawn, as a server is warmed; `wasmtime serve`'s components are drawn behind the import. Guests
run componentize-py's CPython 3.14.

{machine(builds)}

## Targets

{targets(found)}
{notes}
## Profiles

Of the workers, under the load of a row, as `make profile` printed them (it writes benches/profiles.md): the shares of their samples.

{profiles}
## All rows

{tables}"""


def machine(builds):
    """What it was measured on, and with what."""
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), platform.machine())
    memory = int(next(line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))) / 2**20
    versions = [said([builds.wasgi, "--version"]), said([builds.wasmtime, "--version"]), f"CPython {platform.python_version()}"]
    versions.append(f"commit {said(['git', 'describe', '--always', '--dirty'])}")
    versions += [line.replace("==", " ") for line in (HERE / "peers.txt").read_text().split()]
    return f"{os.cpu_count()} × {processor}, {memory:.0f} GiB, Linux {platform.release()}; {', '.join(versions)}."


def said(words):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True).stdout.strip()
