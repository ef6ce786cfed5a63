"""Prints what a guest costs in each language: the smallest application, as `wasgi new` begins it.

Usage: python3 benches/guests.py PROGRAM [LANGUAGE...]. Build: `wasgi build` with its tools installed and nothing compiled. Compile: the host's
own, once a file: the time until it serves less that of the second time. Start-up: a request with a new instance less one with a reused one, medians of 30 requests over loopback. Requests a second:
wrk, two connections for five seconds, load and server on the same machine. The machine decides about the figures; their relations mean something.
"""

import http.client
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

# Language: template, `wasgi.toml`.
LANGUAGES = {
    "Rust": ("rust", ""),
    "C": ("c", ""),
    "Go (net/http)": ("go", ""),
    "JavaScript, StarlingMonkey (Fetch)": ("javascript", ""),
    "JavaScript, QuickJS (Fetch)": ("javascript", '[javascript]\nengine = "quickjs"\n'),
    "Python": ("wsgi", ""),
}


def seconds(command, **options):
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True, **options)
    return time.monotonic() - started


def ask(address):
    connection = http.client.HTTPConnection(address, timeout=60)
    started = time.perf_counter()
    connection.request("GET", "/")
    reply = connection.getresponse()
    text = reply.read()
    assert reply.status == 200 and text.startswith(b"Hello from hello"), text
    took = (time.perf_counter() - started) * 1e3
    connection.close()
    return took


def serve(program, file, cache, isolation):
    command = [program, "serve", str(file), "--bind", "127.0.0.1:0", "--cache-dir", str(cache), "--isolation", isolation]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().split("//")[1].strip()
        for _ in range(5):
            ask(address)
        median = statistics.median(ask(address) for _ in range(30))
        loaded = subprocess.run(["wrk", "-t1", "-c2", "-d5", f"http://{address}/"], check=True, capture_output=True, text=True).stdout
        assert "Non-2xx" not in loaded, loaded
        return median, float(re.search(r"Requests/sec:\s+([\d.]+)", loaded)[1])
    finally:
        server.terminate()
        server.wait()


def ready(program, file, cache):
    """The time until it serves; the first time with what is compiled then."""
    started = time.monotonic()
    server = subprocess.Popen([program, "serve", str(file), "--bind", "127.0.0.1:0", "--cache-dir", str(cache)], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout.readline().startswith("ready")
        return time.monotonic() - started
    finally:
        server.terminate()
        server.wait()


def measured(program, template, settings):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        subprocess.run([program, "new", "-t", template, "hello"], check=True, capture_output=True, cwd=folder)
        if settings:
            (folder / "hello/wasgi.toml").write_text(settings)
        # A target folder of its own: what another application compiled is not this one's.
        building = seconds([program, "build", "hello"], cwd=folder, env={**os.environ, "CARGO_TARGET_DIR": str(folder / "target")})
        file = folder / "hello/dist/hello.wasm"
        cache = folder / "cache"
        compiling = ready(program, file, cache) - ready(program, file, cache)
        fresh, fresh_rate = serve(program, file, cache, "request")
        reused, reused_rate = serve(program, file, cache, "reuse")
        return file.stat().st_size, building, compiling, fresh - reused, reused, fresh_rate, reused_rate


def main():
    program, *wanted = sys.argv[1:]
    print("| language | size MiB | build s | compile s | start-up ms | request ms, reused | requests/s fresh | requests/s reused |")
    print("|---|---|---|---|---|---|---|---|")
    for language in wanted or LANGUAGES:
        size, building, compiling, start, reused, fresh_rate, reused_rate = measured(program, *LANGUAGES[language])
        figures = f"{size / (1 << 20):.1f} | {building:.1f} | {compiling:.1f} | {start:.2f} | {reused:.2f} | {fresh_rate:.0f} | {reused_rate:.0f}"
        print(f"| {language} | {figures} |", flush=True)


main()
