"""1, 100 and 1 000 Python tenants on one host, most of them idle: what an idle one costs, and what the first request after idleness waits for.

Usage: python3 tests/tenants/density.py PROGRAM GUESTS DOCUMENT [TENANTS...]. The three sizes together write the document. Twenty components differ (real applications: each carries a module of its own
beside Flask or a plain callable); the others are copies of them under other tenants' names, with one release each component
(`shared_release`). Two hundred components in Rust differ by a section. Figures are of this machine, and mean something beside each other.
"""

import os
import pathlib
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time

from harness import Host, Table, ROOT, app, ask, build, memory

PROGRAM, GUESTS = sys.argv[1], pathlib.Path(sys.argv[2])
DOCUMENT = pathlib.Path(sys.argv[3])
SIZES = [int(word) for word in sys.argv[4:]]
WHOLE = [1, 100, 1000]
DISTINCT = 20
RUST = 200
SECONDS = 10
# Applications that are compiled while another serves.
FURTHER = 5


def distinct(folder):
    """Twenty applications that differ; every fourth is the Flask example."""
    files = []
    for number in range(DISTINCT):
        source = folder / f"source-{number}"
        if number % 4 == 0:
            subprocess.run(["cp", "-r", str(ROOT / "guest/examples/flask"), str(source)], check=True)
            (source / "wasgi.toml").write_text('[build]\nwarm = ["/"]\n')
        else:
            subprocess.run(["cp", "-r", str(ROOT / "tests/tenants/neighbour"), str(source)], check=True)
        (source / f"own_{number}.py").write_text(f"NUMBER = {number}\n")
        build(PROGRAM, source, folder / f"{number}.wasm", "-e", "SECRET_KEY=density")
        files.append(folder / f"{number}.wasm")
    return files


def rust(folder):
    whole = (GUESTS / "behaviours.wasm").read_bytes()
    for number in range(RUST):
        name = f"r{number:03}".encode()
        file = folder / f"rust-{number}.wasm"
        file.write_bytes(whole + b"\0" + bytes([1 + len(name)]) + bytes([len(name)]) + name)
        yield file


def main():
    table = Table(
        ("tenants", 8), ("Rust beside", 11), ("start s", 8), ("all answered", 12), ("private MiB, idle", 18), ("KiB a tenant", 12),
        ("first p50/p99 ms", 17), ("again p50/p99 ms", 17), ("zipf req/s", 10), ("p99 ms", 8),
    )
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        files, others = distinct(work), list(rust(work))
        base, rows, compiled = None, [], ""
        for size in SIZES:
            beside = others if size >= 1000 else []
            short = 'reuse_idle = "2s"'
            apps = [
                app(f"t{number}", files[number % DISTINCT], isolation="reuse", shared_release=True, limits=short, env={"SECRET_KEY": "density"})
                for number in range(size)
            ]
            apps += [app(f"r{number}", file, isolation="reuse", limits=short, check="/hello") for number, file in enumerate(beside)]
            began = time.monotonic()
            with Host(PROGRAM, apps, host=f"workers = 2\nmax_apps = {2 * (size + len(beside)) + 10}", cache=work / "cache") as host:
                started = time.monotonic() - began
                names = [(f"t{number}", "/") for number in range(size)] + [(f"r{number}", "/hello") for number in range(len(beside))]
                random.Random(1).shuffle(names)

                def walk():
                    times, bad = [], 0
                    for name, path in names:
                        since = time.monotonic()
                        status, _ = ask(host.port, name, path)
                        times.append((time.monotonic() - since) * 1e3)
                        bad += status != 200
                    return sorted(times), bad

                first, bad = walk()
                # All of them idle for longer than they may keep an instance.
                time.sleep(8)
                private = sum(memory(pid)[1] for pid in host.workers())
                again, bad_again = walk()
                # Beside the first table row's one tenant.
                base = base or (private, len(names))
                more = len(names) - base[1]
                each = f"{(private - base[0]) / more / 1024:.0f}" if more else "-"
                rate, p99, failed = zipf(host, names)
                quantile = lambda times, part: times[min(len(times) - 1, int(len(times) * part))]
                cells = [
                    size, len(beside), f"{started:.1f}", f"{2 * len(names) - bad - bad_again}/{2 * len(names)}", f"{private / 2**20:.0f}", each,
                    f"{quantile(first, .5):.1f}/{quantile(first, .99):.1f}", f"{quantile(again, .5):.1f}/{quantile(again, .99):.1f}", f"{rate:.0f}", f"{p99:.1f}",
                ]
                rows.append(cells)
                table.row(*cells, good=bad == bad_again == failed == 0)
                if size == 1:
                    compiled = further(host, files[1:FURTHER + 1])
                    print(compiled)
    if SIZES == WHOLE and not table.bad:
        DOCUMENT.write_text(document([name for name, _ in table.columns], rows, compiled))
    table.end("make density")


def further(host, files):
    """How long the compiler works at the first application, whose interpreter nobody had compiled, and at those that come when it serves."""
    for number, file in enumerate(files):
        status, said = host.admin("POST", "/apps", app(f"further-{number}", file, isolation="reuse", env={"SECRET_KEY": "density"}))
        if status not in (200, 201):
            raise SystemExit(f"a further application is not deployed: {said}")
    took = [(float(one), float(other)) for one, other in re.findall(r" is prepared in ([0-9.]+) s, .* its release compiled in ([0-9.]+) s", host.logged())]
    first, others = took[0], took[1:]
    if len(others) != len(files):
        raise SystemExit(f"{len(others)} of {len(files)} further applications were compiled:\n{host.logged()[-2000:]}")
    return (
        f"Compiling, processes and checks included: the first Python application {first[0]:.2f} s, and {first[1]:.2f} s its release; each of {len(others)} further ones, one by one, "
        f"{statistics.median(one for one, _ in others):.2f} s and {statistics.median(other for _, other in others):.2f} s, together {statistics.median(one + other for one, other in others):.2f} s (medians)."
    )


def document(columns, rows, compiled):
    line = lambda cells: f"| {' | '.join(str(cell) for cell in cells)} |"
    table = "\n".join([line(columns), line("--:" for _ in columns), *(line(cells) for cells in rows)])
    return f"""# Density

Written by `make density`: Python tenants on one host of two workers, release build, on {os.cpu_count()} cores; load and host share the machine. {DISTINCT}
components differ: real applications, {DISTINCT // 4} of them Flask (a page of two templates, warmed: `[build] warm`), the others plain callables; the rest are copies of them under other tenants' names, with one
release each component (`shared_release`). Beside 1 000 of them stand {RUST} components in Rust that differ by a section. Every tenant is asked
once ("first": its code is loaded then), left alone until no instance is left (`reuse_idle = "2s"`), measured, and asked again ("again": the first request
after idleness); then all are asked at random for {SECONDS} seconds, by a Zipf distribution, by eight clients that open a connection a request.
Private memory is that of the workers together, while all are idle; "KiB a tenant" is what each has added beside one tenant.

{table}

{compiled}

The targets: all answer; at most 1 MiB of private memory for an idle tenant; first request after idleness within 20 ms at p99; a further application compiled in half a second.
"""


def zipf(host, names):
    """Requests a second over all tenants, few of which are asked often; their 99th percentile, and how many were not answered well."""
    weights = [1 / (rank + 1) for rank in range(len(names))]
    times, failed, lock, end = [], 0, threading.Lock(), time.monotonic() + SECONDS

    def client(seed):
        nonlocal failed
        choose = random.Random(seed)
        while time.monotonic() < end:
            (name, path), since = choose.choices(names, weights)[0], time.monotonic()
            status, _ = ask(host.port, name, path)
            with lock:
                times.append((time.monotonic() - since) * 1e3)
                failed += status != 200

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times.sort()
    return len(times) / SECONDS, times[int(len(times) * 0.99)] if times else float("nan"), failed


main()
