"""Mixed tenants for a long time: at the end, memory, descriptors and instances are where they began.

Usage: python3 tests/tenants/soak.py PROGRAM GUESTS [SECONDS]. Prints a row every tenth of the time. The beginning is measured when every tenant has
been asked for a while, and all are at rest; so is the end.
"""

import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

from harness import Host, Neighbour, Table, ROOT, app, ask, build, memory, open_files, tenant, wait_for

PROGRAM, GUESTS = sys.argv[1], pathlib.Path(sys.argv[2])
SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 1800
CLIENTS = 6
# What may be more at the end: what an allocator keeps, and what runs now and then.
MEMORY, FILES = 24 << 20, 16
LIMITS = 'guest_cpu = "100ms"\nhead_timeout = "1s"\nprogress_timeout = "1s"\nclose_grace = "200ms"\nmax_traps = 1000000'
ASKED = {
    "python": ["/"],
    "reused": ["/hello", "/large", "/close", "/raise-after-first", "/trap-in-call", "/log-flood/10", "/tmp/1"],
    "fresh": ["/hello", "/two-chunks", "/never-start", "/trap-in-next", "/grow-memory/64", "/loop-in-call", "/exit/1", "/tmp-files/50", "/crlf"],
    "go": ["/", "/nowhere"],
    "javascript": ["/", "/nowhere"],
}


def main():
    table = Table(("minutes", 8), ("requests", 10), ("no answer", 9), ("RSS MiB: supervisor, workers", 28), ("descriptors", 14), ("instances", 10), ("neighbour p99 ms", 16))
    with tempfile.TemporaryDirectory() as folder:
        built = build(PROGRAM, ROOT / "tests/tenants/neighbour", pathlib.Path(folder) / "hello.wasm")
        behaviours = GUESTS / "behaviours.wasm"
        versions = [behaviours, pathlib.Path(folder) / "two.wasm"]
        versions[1].write_bytes(behaviours.read_bytes() + b"\x00\x05\x03twox")

        def apps(version):
            short = 'reuse_idle = "2s"'
            return [
                tenant("python", ""),
                app("neighbour", built, isolation="reuse", limits=short),
                app("python", built),
                app("reused", behaviours, isolation="reuse", limits=f"{LIMITS}\n{short}", check="/hello"),
                app("fresh", versions[version % 2], limits=LIMITS, check="/hello"),
                app("go", GUESTS / "grid-go.wasm", isolation="reuse", limits=short, check="/hello"),
                app("javascript", GUESTS / "grid-quickjs.wasm", isolation="reuse", limits=short, check="/hello"),
            ]

        with Host(PROGRAM, apps(0), host="workers = 2", extra="") as host:
            counts, lock, ended = {"asked": 0, "lost": 0}, threading.Lock(), threading.Event()

            def client(seed):
                choose = random.Random(seed)
                while not ended.is_set():
                    name = choose.choice(list(ASKED))
                    status, _ = ask(host.port, name, choose.choice(ASKED[name]))
                    with lock:
                        counts["asked"] += 1
                        counts["lost"] += status is None

            def load(seconds, deploys):
                ended.clear()
                threads = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
                neighbour = Neighbour(host.port)
                for thread in threads:
                    thread.start()
                end = time.monotonic() + seconds
                while (left := end - time.monotonic()) > 0:
                    time.sleep(min(left, 15))
                    if deploys:
                        deploys.append(None)
                        host.configure(apps(len(deploys)))
                        host.process.send_signal(signal.SIGHUP)
                ended.set()
                for thread in threads:
                    thread.join()
                return neighbour.stop()

            def rest():
                """Nothing runs, and nothing idles."""
                quiet = wait_for(lambda: all(one["instances"] == one["running"] == one["waiting"] == 0 for one in host.tenants().values()))
                workers = host.workers()
                pids = [host.process.pid, *workers]
                return quiet, workers, [memory(pid)[0] for pid in pids], [open_files(pid) for pid in pids]

            quiet = Neighbour(host.port)
            time.sleep(4)
            alone = quiet.stop().p99()
            load(min(60, SECONDS / 4), [None])
            _, workers, before_memory, before_files = rest()
            began, deploys = time.monotonic(), [None]

            def row(neighbour, good=True):
                pids = [host.process.pid, *host.workers()]
                sizes, files = [memory(pid)[0] >> 20 for pid in pids], [open_files(pid) for pid in pids]
                instances = sum(one["instances"] for one in host.tenants().values())
                p99 = f"{neighbour.p99():.1f}" if neighbour else ""
                table.row(f"{(time.monotonic() - began) / 60:.1f}", counts["asked"], counts["lost"], sizes, files, instances, p99, good=good)

            row(None)
            for _ in range(10):
                neighbour = load(SECONDS / 10, deploys)
                row(neighbour, good=not neighbour.bad and counts["lost"] == 0)
            at_rest, now, after_memory, after_files = rest()
            same = now == workers
            good = at_rest and same
            good = good and all(after - before <= MEMORY for before, after in zip(before_memory, after_memory))
            good = good and all(after - before <= FILES for before, after in zip(before_files, after_files))
            row(None, good=bool(good))
            print(f"deployments: {len(deploys) - 1}; the neighbour alone: {alone:.1f} ms; at the end, workers {'the same' if same else 'others'}")
    table.end("make soak")


main()
