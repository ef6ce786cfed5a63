"""The rows of `make bench`: which application, which request, and who serves it. Components are built when a row is measured, once."""

import functools
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from servers import Server

APPS = Path(__file__).parent / "apps"
HELLO, PAGE, WAITED = b"Hello, world!", b"x" * 10_240, b"waited"
ECHOED = bytes(range(256)) * 40
BOOKS = "".join(f'<li class="{("even", "odd")[n % 2]}">{n}: VOLUME {n}, {100 * n} pages</li>\n' for n in range(1, 21))
BOOKS = f"<!doctype html>\n<title>20 books</title>\n<body><ul>\n{BOOKS}</ul></body>\n".encode()
# The WASI of componentize-js 0.23.
ENGINE_WASI = "0.2.10"
# What both reuse an instance for: wasgi's default.
REUSE = 1000


@dataclass(frozen=True)
class Row:
    """An application and a request: path, the body that must come, the body that is sent."""

    name: str
    title: str
    app: str
    path: str = "/"
    body: bytes = HELLO
    sent: bytes | None = None
    # What is built for `wasmtime serve`, the native servers, and which of all a ratio is taken to.
    http: str | None = None
    native: bool = False
    base: str = "wasmtime serve, new"
    # Numbers of workers that wasgi has in turn, instead of peers.
    workers: tuple[int, ...] = ()


def four(language, title, **rest):
    """What every plain application is asked."""
    yield Row(language, f"{title} hello", language, **rest)
    yield Row(f"{language}-page", f"{title}, 10 KB body", language, "/page", PAGE, **rest)
    yield Row(f"{language}-echo", f"{title}, echo of 10 KB", language, "/echo", ECHOED, ECHOED, **rest)
    yield Row(f"{language}-wait", f"{title}, 10 ms of waiting", language, "/wait", WAITED, **rest)


ROWS = (
    *four("rust", "Rust", http="cargo", base="bare hyper"),
    *four("python", "Python", http="componentize-py", native=True, base="gunicorn"),
    Row("flask", "Flask hello", "flask", http="componentize-py", native=True, base="gunicorn"),
    Row("django", "Django, a template", "django", body=BOOKS, http="componentize-py", native=True, base="gunicorn"),
    Row("javascript", "JavaScript hello", "javascript", http="componentize-js"),
    Row("go", "Go hello (net/http)", "go", base="wasgi, new"),
    Row("workers", "Python hello, by the number of workers", "python", base="wasgi, new, 1 worker", workers=tuple(sorted({1, os.cpu_count()}))),
)
ISOLATIONS = (("new", "request"), ("rewound", "rewind"), ("reused", "reuse"))


class Builds:
    """Where the programs lie, and what is built of the applications."""

    def __init__(self, wasgi, bare, wasmtime, peers, work):
        self.wasgi, self.bare, self.wasmtime, self.peers, self.work = (Path(path).resolve() for path in (wasgi, bare, wasmtime, peers, work))
        self.work.mkdir(parents=True, exist_ok=True)
        # Other builds of wasgi, to see what a change brings: they are measured in turn with this one, and no peers are.
        self.beside = [Path(path).resolve() for path in os.environ.get("BESIDE", "").split()]

    def servers(self, row):
        """Those of a row, in their order."""
        for program in (self.wasgi, *self.beside):
            file = self.component(row.app, program)
            label = "wasgi" if program == self.wasgi else program.name
            for name, isolation in ISOLATIONS:
                words = (str(program), "serve", str(file), "--bind", "127.0.0.1:{port}", "--isolation", isolation)
                if not row.workers:
                    yield Server(f"{label}, {name}", words)
                for workers in row.workers:
                    yield Server(f"{label}, {name}, {workers} {'worker' if workers == 1 else 'workers'}", (*words, "--workers", str(workers)))
        if self.beside or row.workers:
            return
        if row.http:
            serve = [str(self.wasmtime), "serve", "-S", "cli", "--allow-precompiled", str(self.compiled(row.app, row.http)), "--addr", "127.0.0.1:{port}"]
            yield Server("wasmtime serve, new", tuple(serve))
            # StarlingMonkey's guests answer their first request, and then none.
            if row.http != "componentize-js":
                yield Server("wasmtime serve, reused", (*serve, "--max-instance-reuse-count", str(REUSE)))
        if row.native:
            yield from self.native(APPS / row.app)
        if row.app == "rust":
            yield Server("bare hyper", (str(self.bare), "127.0.0.1:{port}"))

    def native(self, folder):
        """CPython's servers, two processes each, where they have processes."""
        program = lambda name: str(self.peers / "bin" / name)
        yield Server("gunicorn", (program("gunicorn"), "--workers", "2", "--bind", "127.0.0.1:{port}", "app:application"), folder)
        granian = (program("granian"), "--interface", "wsgi", "--workers", "2", "--host", "127.0.0.1", "--port", "{port}", "app:application")
        yield Server("granian", granian, folder)
        uwsgi = ("--http11-socket", "127.0.0.1:{port}", "--master", "--die-on-term", "--processes", "2", "--disable-logging", "--module", "app:application")
        yield Server("uWSGI", (program("uwsgi"), *uwsgi), folder)
        yield Server("waitress", (program("waitress-serve"), "--listen", "127.0.0.1:{port}", "app:application"), folder)

    @functools.cache
    def component(self, app, program):
        """The application for wasgi, as this build of it makes it."""
        file = self.work / (f"{app}.wasm" if program == self.wasgi else f"{app}-{program.name}.wasm")
        what = f"{APPS / app}" if app in ("rust", "javascript", "go") else "app:application"
        run([program, "build", what, "-o", file], APPS / app)
        return file

    @functools.cache
    def compiled(self, app, tool):
        """The same application over wasi:http, and wasmtime's machine code of it."""
        file = self.work / f"{app}-http.wasm"
        {"cargo": self.cargo, "componentize-py": self.componentize_py, "componentize-js": self.componentize_js}[tool](app, file)
        run([self.wasmtime, "compile", file, "-o", file.with_suffix(".cwasm")], self.work)
        return file.with_suffix(".cwasm")

    def cargo(self, app, file):
        target = self.work / "target"
        run(["cargo", "build", "--locked", "--quiet", "--release", "--target", "wasm32-wasip2", "--target-dir", target], APPS / f"{app}-http")
        (target / f"wasm32-wasip2/release/bench_{app}_http.wasm").replace(file)

    def componentize_py(self, app, file):
        source = self.work / f"{app}-source"
        run(["rm", "-rf", source])
        run(["cp", "-r", APPS / app, source])
        (source / "app.py").rename(source / "application.py")
        (source / "app.py").write_text((APPS / "http/app.py").read_text())
        # The very packages that the native servers import.
        paths = ["-p", source, "-p", next(self.peers.glob("lib/python3*/site-packages"))]
        run([self.peers / "bin/componentize-py", "-q", "-d", self.wit(), "-w", "wasi:http/proxy@0.2.12", "componentize", "app", *paths, "-o", file])

    def componentize_js(self, app, file):
        run(["npm", "ci", "--silent", "--no-audit", "--no-fund"], APPS / "http")
        # The engine exports the world of an older version, of which this one is a superset.
        wit = self.work / "wit"
        for source in self.wit().rglob("*.wit"):
            target = wit / source.relative_to(self.wit())
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(source.read_text().replace("0.2.12", ENGINE_WASI))
        run(["node", "componentize.mjs", APPS / app / "http.js", wit, f"wasi:http/proxy@{ENGINE_WASI}", file], APPS / "http")

    def wit(self):
        """The WIT of wasi:http: the crate that the Rust component is made with brings it."""
        words = ["cargo", "metadata", "--locked", "--format-version", "1"]
        told = json.loads(subprocess.run(words, cwd=APPS / "rust-http", check=True, capture_output=True).stdout)
        return next(Path(package["manifest_path"]).parent / "wit" for package in told["packages"] if package["name"] == "wasip2")


def run(words, folder=None):
    subprocess.run([str(word) for word in words], cwd=folder, check=True, stdout=subprocess.DEVNULL)

