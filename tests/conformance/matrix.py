"""``make conformance``: holds wasgi and its peers to the rules, one after the other on loopback, prints the matrix, and writes it down.

    python3 matrix.py WASGI COMPONENT PACKAGES OUTPUT

``PACKAGES`` is the virtual environment with the peers. A peer that ends or hangs is started again; what ended it is left out of the matrix.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wsgi_conformance.peers import PEERS
from wsgi_conformance.rules import RULES
from wsgi_conformance.run import run
from wsgi_conformance.wire import Wire

HERE = Path(__file__).parent
CLOCK = 1


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Server:
    """A server under test, started again when it has ended or hangs."""

    def __init__(self, name, words, clock=None):
        self.name, self.words, self.clock, self.process = name, words, clock, None
        self.notes = tempfile.TemporaryDirectory()
        self.port = free_port()

    def start(self):
        words = [word.format(port=self.port, notes=self.notes.name) for word in self.words]
        environment = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "WASGI_CACHE_DIR")}
        environment["LANG"] = "C.UTF-8"
        environment["WSGI_CONFORMANCE_NOTES"] = self.notes.name
        self.process = subprocess.Popen(words, cwd=HERE, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        end = time.monotonic() + 60
        while not self.answers(0.5):
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"{self.name} does not start: {' '.join(words)}")
            time.sleep(0.1)

    def answers(self, patience):
        try:
            return Wire(f"http://127.0.0.1:{self.port}", patience=patience).raw(b"GET / HTTP/1.0\r\n\r\n").status == 200
        except OSError:
            return False

    def stop(self):
        for kind in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, kind)
                self.process.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue

    def check(self, result):
        """After each case: is it still there?"""
        if self.answers(1):
            return
        if not self.answers(3):
            if self.process.poll() is not None:
                result["outcome"] = "left out"
            self.stop()
            self.start()

    def results(self):
        self.start()
        try:
            return run(f"http://127.0.0.1:{self.port}", clock=self.clock, patience=3.0, watch=self.check)
        finally:
            self.stop()


def ours(wasgi, component, isolation):
    limits = ["--head-read-timeout", f"{CLOCK}s", "--idle-timeout", f"{CLOCK}s"]
    words = [wasgi, "serve", component, "--bind", "127.0.0.1:{port}", "--isolation", isolation, "--data", "{notes}", "-e", "WSGI_CONFORMANCE_NOTES=/data", *limits]
    return Server(f"wasgi ({isolation})", words, CLOCK)


def cell(results):
    """One rule of one server, over its cases and versions."""
    outcomes = {result["outcome"] for result in results}
    if "failed" in outcomes:
        return "✗" if any(result["outcome"] == "failed" and result["level"] == "MUST" for result in results) else "○"
    for outcome, shown in (("left out", "·"), ("passed", "✓"), ("deferred", "deferred"), ("beside", "tests")):
        if outcome in outcomes:
            return shown
    return "–"


def proofs():
    """The tests of this repository that carry each rule's id."""
    found = {}
    for path in sorted(HERE.parent.parent.glob("src/**/*.rs")) + sorted(HERE.parent.glob("it/*.rs")):
        for name in re.findall(r"fn ((?:[sa]\d+_)+\w*)", path.read_text(encoding="utf-8")):
            for id in ids(name):
                found.setdefault(id, []).append(f"`{path.relative_to(HERE.parent.parent)}` {name}")
    return found


def ids(name):
    """The rules in a test's name: ``s1_s3_to_s5_…``."""
    words, found = name.split("_"), []
    for at, word in enumerate(words):
        if word == "to" and found and at + 1 < len(words) and re.fullmatch(r"[sa]\d+", words[at + 1]):
            kind, first, last = found[-1][0], int(found[-1][1:]), int(words[at + 1][1:])
            found += [f"{kind}{number}" for number in range(first + 1, last)]
        elif re.fullmatch(r"[sa]\d+", word):
            found.append(word.upper())
        else:
            break
    return found


def document(columns):
    versions = ", ".join(package.replace("==", " ") for package, _ in PEERS.values())
    rows = [["rule", "", *columns]]
    for rule in (rule for rule in RULES if rule.id.startswith("S")):
        cells = [cell([result for result in results if result["id"] == rule.id]) for results in columns.values()]
        # What no client can see is said of wasgi alone.
        cells = [shown if shown != "tests" or name.startswith("wasgi") else "" for name, shown in zip(columns, cells)]
        rows.append([f"{rule.id} {rule.text}", rule.level, *cells])
    counts = {mark: [sum(row[at] == mark for row in rows[1:]) for at in range(2, len(columns) + 2)] for mark in "✓○✗"}
    lines = ["| " + " | ".join(row) + " |" for row in [rows[0], ["---"] * len(rows[0]), *rows[1:], *([f"**{mark}**", "", *map(str, count)] for mark, count in counts.items())]]
    tests = proofs()
    places = ["| rule | source | cases of the suite | tests of this repository |", "|---|---|---|---|"]
    for rule in RULES:
        cases = sorted({result["case"] for results in columns.values() for result in results if result["id"] == rule.id and result["case"]})
        where = "deferred: " + rule.deferred if rule.deferred else "<br>".join(tests.get(rule.id, []))
        places.append(f"| {rule.id} | {rule.source} | {'<br>'.join(cases)} | {where} |")
    return TEXT.format(versions=versions, matrix="\n".join(lines), places="\n".join(places)), lines


TEXT = """# Conformance: wasgi beside its peers

Written by `make conformance`, which anybody can run: it serves `tests/conformance/wsgi_conformance/app.py` with each server, natively on
loopback and with the server's own defaults (of wasgi, the clocks are set to a second, so that they can be seen), drives it over raw sockets with HTTP/1.0 and HTTP/1.1, and holds what comes to 83 rules of PEP 3333,
the RFCs and practice. `tests/conformance/README.md` says how to hold another server to them.

Versions: {versions}.

✓ holds in all cases · ○ all that the rule demands, and not all that it, or practice, recommends · ✗ does not hold in a case that it demands · – the server does not offer it, or was not told of it · *tests* no client can see it:
wasgi's own tests prove it · *deferred* not in this version · `·` left out, for it ends the server.

A default is not a verdict: several peers can be configured to hold more. A rule that says SHOULD, or whose source is practice, is a choice; and the
list is the one that wasgi was built to.

{matrix}

The rules A1 to A14 are an application's; `wasgi serve --strict` looks for them.

## What wasgi does on purpose

- **S75**: a coding that is not `chunked` alone is refused with 501, also `gzip, chunked`, which a server may understand.
- **S15**: a field with `_` in its name is dropped, and the request served: refusing it would break clients that mean no harm.
- **S21**: a field by which proxies speak of clients never reaches an application, unless the operator named the proxy and the field.
- **S37**: an upload above the limit is refused before the application is called; the limit is `--max-body`.

## Where each rule is proven

{places}
"""


def main():
    wasgi, component, packages, output = sys.argv[1:]
    servers = [ours(wasgi, component, isolation) for isolation in ("request", "reuse")]
    for name, (_, words) in PEERS.items():
        servers.append(Server(name, [word.replace("{bin}", f"{packages}/bin") for word in words]))
    # Two at a time: what is measured is order, not speed.
    with ThreadPoolExecutor(2) as pool:
        columns = dict(zip((server.name for server in servers), pool.map(Server.results, servers)))
    text, lines = document(columns)
    Path(output).write_text(text, encoding="utf-8")
    print("\n".join(lines))
    own = [result for name, results in columns.items() if name.startswith("wasgi") for result in results]
    failed = [f"{result['case']} (HTTP/{result['http']})" for result in own if result["outcome"] not in ("passed", "beside", "deferred")]
    missing = [rule.id for rule in RULES if not rule.deferred and rule.id not in proofs() and not any(result["id"] == rule.id and result["case"] for result in own)]
    if failed or missing:
        raise SystemExit(f"wasgi fails {failed}; nothing proves {missing}")


if __name__ == "__main__":
    main()
