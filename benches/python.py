"""Prints what each Python example costs: build, size, and the first request of a new instance, of a warmed one, and of a reused one.

Usage: python3 benches/python.py PROGRAM [EXAMPLE...]. Times are wall-clock milliseconds of one request over loopback, the median of 15; the
machine and its load decide about them, so that only their relations mean something.
"""

import http.client
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Example: what is asked, what is walked through in the tests.
EXAMPLES = {
    "flask": ("/", "templates, sessions, forms, uploads, downloads, streams"),
    "notes": ("/login", "blueprints, SQLAlchemy, accounts, uploads, async views"),
    "django": ("/admin/login/", "admin, auth, sessions, CSRF, uploads, i18n, static"),
    "bottle": ("/", "routes, templates, sqlite3, cookies, uploads"),
    "falcon": ("/images", "media, streams, uploads"),
    "pyramid": ("/", "routes, Jinja2, sessions, static views"),
    "wsgidav": ("/", "PUT, COPY, MOVE, LOCK, PROPFIND, Range"),
    "pypiserver": ("/simple/", "twine upload, pip install"),
    "dulwich": ("/info/refs?service=git-upload-pack", "its own test suite, with git"),
}
SECRETS = ["-e", "SECRET_KEY=bench"]


def build(program, example, folder, warm):
    source = folder / "source"
    subprocess.run(["cp", "-r", str(ROOT / "guest/examples" / example), str(source)], check=True)
    settings = source / "wasgi.toml"
    text = settings.read_text() if settings.exists() else ""
    text = re.sub(r"(?m)^\[build\]\n(?:(?!\[).*\n)*", "", text)
    settings.write_text(text + (f'\n[build]\nwarm = ["{EXAMPLES[example][0]}"]\n' if warm else ""))
    file = folder / f"{example}.wasm"
    started = time.monotonic()
    subprocess.run([program, "build", str(source), "-o", str(file), *SECRETS], check=True, capture_output=True)
    return file, time.monotonic() - started


def ask(address, path):
    connection = http.client.HTTPConnection(address, timeout=60)
    started = time.perf_counter()
    connection.request("GET", path)
    reply = connection.getresponse()
    reply.read()
    took = (time.perf_counter() - started) * 1e3
    connection.close()
    return took, reply.status


def serve(program, file, path, isolation, tenant, data):
    command = [program, "serve", str(file), "--bind", "127.0.0.1:0", "--data", str(data), "--tenant", tenant, "--isolation", isolation, *SECRETS]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = server.stdout.readline().split("//")[1].strip()
        for _ in range(3):
            ask(address, path)
        asked = [ask(address, path) for _ in range(15)]
        return statistics.median(took for took, _ in asked), {status for _, status in asked}
    finally:
        server.terminate()
        server.wait()


def versions(example):
    lines = (ROOT / "guest/examples" / example / "requirements.txt").read_text().split()
    return ", ".join(line.replace("==", " ") for line in lines)


def main():
    program, *wanted = sys.argv[1:]
    print("| example | of | walked by the tests | build s | size MiB | new ms | warmed ms | reused ms |")
    print("|---|---|---|---|---|---|---|---|")
    for example in wanted or EXAMPLES:
        path, walked = EXAMPLES[example]
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            data = folder / "data"
            (folder / "cold").mkdir()
            (folder / "warm").mkdir()
            subprocess.run(["git", "init", "--quiet", "--bare", str(data)], check=True)
            file, seconds = build(program, example, folder / "cold", warm=False)
            warmed, _ = build(program, example, folder / "warm", warm=True)
            new, statuses = serve(program, file, path, "request", f"bench-{example}", data)
            warm, _ = serve(program, warmed, path, "request", f"bench-{example}-warm", data)
            reused, _ = serve(program, file, path, "reuse", f"bench-{example}", data)
            assert statuses == {200}, (example, statuses)
            size = file.stat().st_size / (1 << 20)
            print(f"| {example} | {versions(example)} | {walked} | {seconds:.1f} | {size:.1f} | {new:.1f} | {warm:.1f} | {reused:.1f} |", flush=True)


main()
