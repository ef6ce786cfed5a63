"""sqlite3 where instances share files: with locks, and with a place to write.

The guest's SQLite is built without locks. A database in a kept folder is opened with SQLite's ``unix-dotfile`` VFS, whose lock is a folder
beside it, which the host answers with a lock of the operating system. And a database that an application keeps beside its code, which
cannot be written, lies in ``/data`` under the same name instead; what the bundle has there is its first content.
"""

import contextlib
import gc
import os
import shutil
import sys
from urllib.parse import parse_qsl, quote, unquote, urlencode

from . import hooks

APP = "/0/"
DATA = "/data/"
# Folders beside the code that lie in /data as they are, by the host's mounts.
_KEPT = (DATA, "/0/instance/", "/0/media/")


def _in_data(path):
    """Where the database that is named ``path`` lies, and whether others may use it at the same time."""
    if path.startswith(APP) and not path.startswith(_KEPT) and os.path.isdir(DATA):
        kept = DATA + path[len(APP) :]
        _fill(path, kept)
        path = kept
    return path, path.startswith(_KEPT)


def _fill(path, kept):
    os.makedirs(os.path.dirname(kept), exist_ok=True)
    if os.path.exists(kept) or not os.path.exists(path):
        return
    part = f"{kept}.{os.urandom(6).hex()}.part"
    try:
        shutil.copyfile(path, part)
        # Not a rename: another instance may have been faster, and written.
        os.link(part, kept)
    except FileExistsError:
        pass
    finally:
        os.unlink(part)


def place(database, uri):
    """What to open instead of ``database``, and whether that is a URI."""
    if uri and isinstance(database, str) and database.startswith("file:"):
        name, _, query = database[5:].partition("#")[0].partition("?")
        options = parse_qsl(query, keep_blank_values=True)
        path = unquote(name[2:] if name.startswith("//") else name)
    else:
        path, options = os.fsdecode(database), []
    named = dict(options)
    if path in ("", ":memory:") or named.get("mode") == "memory" or "vfs" in named:
        return database, uri
    whole = os.path.abspath(path)
    path, shared = _in_data(whole)
    if path == whole and not shared:
        return database, uri
    if shared:
        options.append(("vfs", "unix-dotfile"))
    return f"file:{quote(path)}?{urlencode(options)}", True


def _sqlite3(module):
    import _sqlite3
    import sqlite3.dbapi2

    connect = _sqlite3.connect

    def connected(database, *args, **kwargs):
        # The eighth positional parameter is uri.
        given = args[6] if len(args) > 6 else kwargs.get("uri", False)
        database, uri = place(database, given)
        if len(args) > 6:
            args = (*args[:6], uri, *args[7:])
        else:
            kwargs["uri"] = uri
        connection = connect(database, *args, **kwargs)
        if _importing and database != ":memory:":
            _opened.append((connection, (database, *args), {name: value for name, value in kwargs.items() if name != "factory"}))
        return connection

    connected.__name__, connected.__doc__, connected.__module__ = "connect", connect.__doc__, "sqlite3"
    _sqlite3.connect = sqlite3.dbapi2.connect = module.connect = connected


def install():
    """For whoever imports sqlite3."""
    hooks.after_import("sqlite3", _sqlite3)


# Connections to files that were opened while the application was imported, and how.
_opened = []
_importing = False


def watch():
    """From now on connections are noted: an import begins."""
    global _importing
    _importing = True


def forget():
    """The import is over: no file stays open from a release to a request. What was opened is opened again in each instance; those are
    returned."""
    global _importing, _opened
    _importing = False
    django = sys.modules.get("django.db")
    if django is not None and sys.modules["django.conf"].settings.configured:
        django.connections.close_all()
    engines = sys.modules.get("sqlalchemy.engine")
    if engines is not None:
        for found in gc.get_objects():
            # Not isinstance(): it asks proxies, which may have nothing to answer for.
            if issubclass(type(found), engines.Engine) and not _in_memory(found):
                found.dispose()
    gc.collect()
    # One reference is the list's, one the loop's, and one that of the call: nobody else has it.
    _opened = [entry for entry in _opened if sys.getrefcount(entry[0]) > 2 and _is_open(entry[0])]
    for connection, _, _ in _opened:
        connection.close()
    return [str(args[0]) for _, args, _ in _opened]


def _in_memory(engine):
    """A database in memory lives in the image as it is, and would be gone with its connection."""
    return engine.dialect.name == "sqlite" and (engine.url.database or ":memory:").startswith((":memory:", "file::memory:"))


def _is_open(connection):
    try:
        connection.total_changes
    except Exception:
        return False
    return True


@contextlib.contextmanager
def closed():
    """Meanwhile nothing is opened again."""
    global _opened
    kept, _opened = _opened, []
    try:
        yield
    finally:
        _opened = kept


def reopen():
    """An instance begins: what was open when its memory was kept is opened again."""
    global _opened
    for connection, args, kwargs in _opened:
        kept = connection.row_factory, connection.text_factory
        connection.__init__(*args, **kwargs)
        connection.row_factory, connection.text_factory = kept
    _opened = []
