"""`make bench`: wasgi beside its peers, row by row, on the loopback; what it prints is docs/benchmarks.md.

    python3 benches/bench.py WASGI BARE WASMTIME PEERS WORK OUTPUT

PEERS is a virtual environment (peers.txt), WORK where components are built. Environment: ROW measures one row, or all that begin with it and a
dash, and writes no document; BESIDE names other builds of wasgi, which are measured instead of the peers; ROUNDS (3) and SECONDS (4) say how often, and for how long, a server is loaded. Server and load share the machine. In
each round every server of a row is begun, warmed (each byte of each response is compared then), loaded by `wrk -t1 -c16`, and ended: A B C A B C.
"""

import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import document
from rows import ROWS, Builds
from servers import Served

CONNECTIONS = 16
WARM_UP = 2
HERE = Path(__file__).parent


def load(url, seconds, sent, expected):
    """What wrk counted."""
    words = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s", "-s", str(HERE / "load.lua"), url, "--", sent, expected]
    said = subprocess.run(words, check=True, capture_output=True, text=True, timeout=seconds + 60).stdout
    return json.loads(said.strip().splitlines()[-1])


def measured(row, server, seconds, folder):
    """One turn of one server."""
    expected, sent = folder / "expected", folder / "sent"
    expected.write_bytes(row.body)
    sent.write_bytes(row.sent or b"")
    sending = str(sent) if row.sent else ""
    with Served(server, row) as served:
        warm = load(served.url(), WARM_UP, sending, str(expected))
        if warm["wrong"] or not warm["requests"]:
            raise SystemExit(f"{row.name}: {server.name}: {warm['wrong']} of {warm['requests']} responses differ\n{served.said()}")
        before = served.cpu()
        figures = load(served.url(), seconds, sending, "")
        cpu = (served.cpu() - before) / max(figures["requests"], 1) * 1e6
        return {**figures, "rate": figures["requests"] / figures["seconds"], "cpu": cpu, "memory": served.memory()}


def measure(row, servers, rounds, seconds):
    """Every server of a row in turn: medians, and the spread of the rate."""
    turns = {server.name: [] for server in servers}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds):
            for server in servers:
                turns[server.name].append(measured(row, server, seconds, Path(folder)))
                print(f"{row.name} {number + 1}/{rounds} {server.name}: {turns[server.name][-1]['rate']:.0f}/s", file=sys.stderr, flush=True)
    return {name: summary(found) for name, found in turns.items()}


def summary(turns):
    rates = [turn["rate"] for turn in turns]
    figures = {name: statistics.median(turn[name] for turn in turns) for name in ("rate", "cpu", "p50", "p99", "memory")}
    return {**figures, "least": min(rates), "greatest": max(rates), "failed": sum(turn["failed"] for turn in turns)}


def main():
    builds, output = Builds(*sys.argv[1:6]), Path(sys.argv[6])
    only, rounds, seconds = os.environ.get("ROW", ""), int(os.environ.get("ROUNDS", "3")), int(os.environ.get("SECONDS", "4"))
    rows = [row for row in ROWS if not only or row.name == only or row.name.startswith(f"{only}-")]
    if not rows:
        raise SystemExit(f"there is no row {only}; there are: {', '.join(row.name for row in ROWS)}")
    found = {}
    for row in rows:
        row = dataclasses.replace(row, base="wasgi, new") if builds.beside and not row.workers else row
        found[row.name] = measure(row, list(builds.servers(row)), rounds, seconds)
        print(document.table(row, found[row.name]), flush=True)
        (builds.work / "found.json").write_text(json.dumps(found))
    if builds.beside:
        return
    print(document.targets(found))
    if not only:
        output.write_text(document.whole(ROWS, found, builds, rounds, seconds, CONNECTIONS))
        print(f"written: {output}")


main()
