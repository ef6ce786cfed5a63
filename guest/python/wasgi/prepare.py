"""Runs once, at build, in the guest: imports the application, finds it, and reports to the builder.

The report is a file in a folder that exists at build only. Whatever goes wrong is told there, so that a person reads the application's own
traceback and not one of the tools.
"""

import importlib
import json
import os
import sys

from . import find, gateway


class Stop(Exception):
    """The build cannot go on; the report says why."""


def prepare(folder):
    """Does what ``plan.json`` in ``folder`` says, and writes ``report.json`` beside it.

    The plan: module and name of the application, or none; app (its folder), compile (folders), copy (pairs of folders).
    """
    with open(f"{folder}/plan.json", encoding="utf-8") as file:
        plan = json.load(file)
    report = {"error": None, "traceback": None, "missing": [], "secrets": []}
    try:
        before = dict(os.environ)
        if plan["module"] is not None:
            application = _application(plan, report)
            gateway.serve(application, {name: value for name, value in os.environ.items() if before.get(name) != value})
            _import_bindings()
            _import_usual()
        _compile(plan["compile"])
        _copy(plan["copy"])
        _settle_finders()
    except BaseException as error:
        if report["error"] is None:
            report["error"] = {"kind": "raised", "text": f"{type(error).__name__}: {error}"}
            report["traceback"] = find.told(error)
        _write(folder, report)
        raise Stop("see the report") from None
    _write(folder, report)


def _application(plan, report):
    watch = _SecretWatch(plan["app"])
    with watch:
        try:
            module = importlib.import_module(plan["module"])
            application = find.application(module, plan["name"])
        except find.NotFound as error:
            report["error"] = {"kind": "not-found", "text": str(error)}
            raise
        except BaseException as error:
            report["error"] = {"kind": "raised", "text": f"{type(error).__name__}: {error}"}
            report["traceback"] = find.told(error)
            report["missing"] = _missing(error)
            raise
    report["secrets"] = watch.places
    return application


def _write(folder, report):
    with open(f"{folder}/report.json", "w", encoding="utf-8") as file:
        json.dump(report, file)


def _missing(error):
    """The modules that an ImportError and its causes miss."""
    names, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ImportError) and error.name and error.name not in names:
            names.append(error.name)
        error = error.__cause__ or error.__context__
    return names


def _import_bindings():
    """The generated bindings are not there at run time."""
    for name in ("types", "input", "errors", "response", "latin1"):
        importlib.import_module(f"wit_world.imports.{name}")
    importlib.import_module("wit_world.exports.application")


# What the frameworks import in their first request: it costs a fresh instance milliseconds, and the image a few kilobytes.
_USUAL = (
    "email.utils",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "html",
    "http.cookies",
    "linecache",
    "mimetypes",
    "stringprep",
    "tempfile",
    "traceback",
    "unicodedata",
    "uuid",
    "zoneinfo",
)


def _import_usual():
    for name in _USUAL:
        importlib.import_module(name)


# The time that the host gives to every folder of a bundle (`src/artifact/bundle.rs`).
_FOLDER_TIME = 1


def _settle_finders():
    """The import system lists a folder again when its time has changed, which costs a call to the host for each name in it. The folders
    of a bundle never change: what is known of them now stays true."""
    for path, finder in sys.path_importer_cache.items():
        if hasattr(finder, "_fill_cache"):
            finder._fill_cache()
            finder._path_mtime = _FOLDER_TIME


def _sources(folder):
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            yield root, name


def _compile(folders):
    """Machine-independent code for the modules that are not imported yet: a fresh instance would compile them in each request."""
    import py_compile

    for folder in folders:
        for root, name in _sources(folder):
            if name.endswith(".py"):
                py_compile.compile(f"{root}/{name}", doraise=False, quiet=2)


def _copy(pairs):
    """What only the guest can see, above all its own standard library, to where the builder finds it."""
    for source, target in pairs:
        for root, folders, files in os.walk(source):
            folders[:] = [name for name in folders if name not in ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip")]
            there = target + root[len(source) :]
            os.makedirs(there, exist_ok=True)
            for name in files:
                if name.endswith((".so", ".a", ".o")):
                    continue
                with open(f"{root}/{name}", "rb") as file:
                    data = file.read()
                with open(f"{there}/{name}", "wb") as file:
                    file.write(data)
                status = os.stat(f"{root}/{name}")
                os.utime(f"{there}/{name}", ns=(status.st_atime_ns, status.st_mtime_ns))


class _SecretWatch:
    """Notes where the application takes random bytes while it is imported: they are then the same in every instance of the build."""

    def __init__(self, folder):
        self._folder = folder + "/"
        self._urandom = os.urandom
        self.places = []

    def __enter__(self):
        os.urandom = self._watched
        self._random = sys.modules.get("random")
        if self._random is not None:
            self._random._urandom = self._watched

    def __exit__(self, *exc):
        os.urandom = self._urandom
        random = sys.modules.get("random")
        if random is not None:
            random._urandom = self._urandom

    def _watched(self, size):
        frame = sys._getframe(1)
        while frame is not None:
            name = frame.f_code.co_filename
            if name.startswith(self._folder):
                place = f"{name[len(self._folder):]}:{frame.f_lineno}"
                if place not in self.places:
                    self.places.append(place)
                break
            # Random bytes that a library takes while it is imported are its own affair.
            if name.startswith("<frozen importlib"):
                break
            frame = frame.f_back
        return self._urandom(size)
