"""Prints what it costs a guest to open and read a template, and to ask for its time, in microseconds.

Usage: python3 benches/files.py PROGRAM. The application does each of them 2000 times in one request of a reused instance; median of 9.
"""

import pathlib
import statistics
import subprocess
import sys
import tempfile
import urllib.request

APP = '''
import os
import time


def read(path):
    with open(path) as file:
        return file.read()


def app(environ, start_response):
    path, _, folder = environ["QUERY_STRING"].partition("@")
    name = f"{folder}/template.html"
    if folder != "/0/templates":
        with open(name, "w") as file:
            file.write("x" * 3000)
    work = {"read": lambda: read(name), "stat": lambda: os.stat(name)}[path]
    started = time.perf_counter()
    for _ in range(2000):
        work()
    took = (time.perf_counter() - started) / 2000 * 1e6
    start_response("200 OK", [])
    return [str(took).encode()]
'''


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "source/templates").mkdir(parents=True)
        (folder / "source/app.py").write_text(APP)
        (folder / "source/templates/template.html").write_text("x" * 3000)
        file = folder / "files.wasm"
        subprocess.run([program, "build", str(folder / "source"), "-o", str(file)], check=True, capture_output=True)
        command = [program, "serve", str(file), "--bind", "127.0.0.1:0", "--isolation", "reuse", "--concurrency", "1", "--data", str(folder / "data"), "--tenant", "bench-files"]
        command += ["--guest-cpu", "60s", "--head-timeout", "60s"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            address = server.stdout.readline().split("  ")[1].strip()
            for place in ("/0/templates", "/tmp", "/data"):
                for what in ("read", "stat"):
                    ask = lambda: float(urllib.request.urlopen(f"{address}/?{what}@{place}").read())
                    ask()
                    print(f"{what:>5} {place:<13} {statistics.median(ask() for _ in range(9)):6.1f} us")
        finally:
            server.terminate()
            server.wait()


main()
