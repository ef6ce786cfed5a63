"""`make profile`: where the workers' time goes under the load of a row, by perf; what it prints is benches/profiles.md, a part of docs/benchmarks.md.

    python3 benches/profile.py WASGI BARE WASMTIME PEERS WORK OUTPUT

The arguments are those of bench.py. Environment: ROW profiles one row, and writes nothing; SECONDS (4) says for how long. docs/profiling.md says how to
look closer.
"""

import collections
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rows import ROWS, Builds
from servers import Served, tree

CONNECTIONS, HERTZ, MOST, WARM_UP = 16, 999, 8, 2
NAMES = ("rust", "python", "flask", "django")
KINDS = ("guest", "host", "C library", "kernel")


def recorded(row, server, seconds, folder):
    """The shares of the workers' samples: of each kind, and of each symbol."""
    data = f"{folder}/perf.data"
    with Served(server, row) as served:
        loading = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{WARM_UP + seconds + 2}s", served.url()]
        with subprocess.Popen(loading, stdout=subprocess.DEVNULL) as load:
            subprocess.run(["sleep", str(WARM_UP)], check=True)
            workers = [str(pid) for pid in tree(served.process.pid) if is_worker(pid)]
            words = ["perf", "record", "-q", "-F", str(HERTZ), "-o", data, "-p", ",".join(workers), "--", "sleep", str(seconds)]
            subprocess.run(words, check=True, stderr=subprocess.DEVNULL)
            load.wait()
    said = subprocess.run(
        ["perf", "report", "--stdio", "--no-children", "--sort", "dso,symbol", "--field-separator", "\t", "-i", data],
        check=True, capture_output=True, text=True,
    ).stdout
    kinds, symbols = collections.Counter(), collections.Counter()
    for line in said.splitlines():
        if line.startswith("#") or line.count("\t") < 2:
            continue
        share, library, symbol = (part.strip() for part in line.split("\t")[:3])
        kind = kind_of(library, symbol)
        kinds[kind] += float(share.rstrip("%"))
        symbols[kind, name_of(symbol)] += float(share.rstrip("%"))
    if not kinds:
        raise SystemExit(f"{row.name}: {server.name}: perf has no samples of {workers}\n{said[:500]}")
    return kinds, symbols


def is_worker(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip() == b"wasgi worker"
    except OSError:
        return False


def kind_of(library, symbol):
    if symbol.startswith("[k]"):
        return "kernel"
    # A file of the cache has a digest for a name.
    if "wasm[" in symbol or "wasm_trampoline" in symbol or re.fullmatch(r"[0-9a-f]{32,}.*", library):
        return "guest"
    return "C library" if library.startswith(("libc.", "ld-", "libm.")) else "host"


def name_of(symbol):
    """The symbol without its mark, its place in a module, and its parameters."""
    name = re.sub(r"wasm\[\d+\]::function\[\d+\](::)?", "", symbol.split("] ", 1)[-1])
    return re.sub(r"<.*>::|::h[0-9a-f]{16}$", "", name)[:48] or "a function without a name"


def table(row, found):
    lines = [f"### {row.title} (`ROW={row.name}`)", "", f"| server | {' | '.join(KINDS)} | the most of it, in % |", f"|---|{'--:|' * len(KINDS)}---|"]
    for name, (kinds, symbols) in found:
        most = ", ".join(f"`{symbol}` {share:.0f}" for (_, symbol), share in symbols.most_common(MOST))
        lines.append(f"| {name} | {' | '.join(f'{kinds[kind]:.0f} %' for kind in KINDS)} | {most} |")
    return "\n".join([*lines, ""])


def main():
    builds, output = Builds(*sys.argv[1:6]), Path(sys.argv[6])
    only, seconds = os.environ.get("ROW", ""), int(os.environ.get("SECONDS", "4"))
    tables = []
    for row in ROWS:
        if row.name != only if only else row.name not in NAMES:
            continue
        servers = [server for server in builds.servers(row) if server.name.startswith("wasgi,")]
        with tempfile.TemporaryDirectory() as folder:
            tables.append(table(row, [(server.name, recorded(row, server, seconds, folder)) for server in servers]))
        print(tables[-1], flush=True)
    if not tables:
        raise SystemExit(f"there is no row {only}; there are: {', '.join(row.name for row in ROWS)}")
    if not only:
        output.write_text("\n".join(tables))
        print(f"written: {output}")


main()
