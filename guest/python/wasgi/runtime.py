"""Runs once, when the runtime is built: what every application finds in memory, before there is an application."""

import importlib
import os
import shutil

from . import database, event_loop, frameworks, hashing, missing, randomness, threads

# The generated bindings are not there at run time.
_BINDINGS = ("exports.application", "exports.direct", "exports.release", "exports.rewind") + tuple(
    f"imports.{name}" for name in ("types", "input", "errors", "response", "latin1", "hashing")
)

# What the frameworks import in their first request: it costs a fresh instance milliseconds, and the image a few kilobytes.
_USUAL = (
    "email.utils",
    "encodings.ascii",
    "encodings.idna",
    "encodings.latin_1",
    "encodings.unicode_escape",
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


def build(folder):
    """Copies the guest's own standard library to ``folder``/python, compiled, and makes the interpreter ready to be kept."""
    for name in _BINDINGS:
        importlib.import_module(f"wit_world.{name}")
    for name in _USUAL:
        importlib.import_module(name)
    for part in (hashing, randomness, event_loop, threads, database, missing, frameworks):
        part.install()
    compile_all(["/python"])
    _copy("/python", f"{folder}/python")


def sources(folder):
    """The files below ``folder``, with the folders that they are in."""
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        for name in sorted(files):
            yield root, name


def compile_all(folders):
    """Machine-independent code for the modules that are not imported yet: a fresh instance would compile them in each request."""
    import py_compile

    for folder in folders:
        for root, name in sources(folder):
            if name.endswith(".py"):
                py_compile.compile(f"{root}/{name}", doraise=False, quiet=2)


_LEFT_OUT = ("test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip")


def _copy(source, target):
    for root, folders, files in os.walk(source):
        folders[:] = [name for name in folders if name not in _LEFT_OUT]
        there = target + root[len(source) :]
        os.makedirs(there, exist_ok=True)
        for name in files:
            if not name.endswith((".so", ".a", ".o")):
                shutil.copyfile(f"{root}/{name}", f"{there}/{name}")
                status = os.stat(f"{root}/{name}")
                os.utime(f"{there}/{name}", ns=(status.st_atime_ns, status.st_mtime_ns))
