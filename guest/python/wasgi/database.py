"""sqlite3 where instances share files: with locks, and with a place to write.

The guest's SQLite is built without locks. A database in a kept folder is opened with SQLite's ``unix-dotfile`` VFS, whose lock is a folder
beside it, which the host answers with a lock of the operating system. And a database that an application keeps beside its code, which
cannot be written, lies in ``/data`` under the same name instead; what the bundle has there is its first content.
"""

import os
import shutil
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
        return connect(database, *args, **kwargs)

    connected.__name__, connected.__doc__, connected.__module__ = "connect", connect.__doc__, "sqlite3"
    _sqlite3.connect = sqlite3.dbapi2.connect = module.connect = connected


def install():
    """For whoever imports sqlite3."""
    hooks.after_import("sqlite3", _sqlite3)


def forget():
    """Lets go of connections that were opened while the application was imported: no file stays open from a release to a request."""
    import gc
    import sys

    django = sys.modules.get("django.db")
    if django is not None:
        django.connections.close_all()
    engines = sys.modules.get("sqlalchemy.engine")
    if engines is not None:
        for found in gc.get_objects():
            if isinstance(found, engines.Engine):
                found.dispose()
    sqlite = sys.modules.get("_sqlite3")
    left = [] if sqlite is None else [found for found in gc.get_objects() if isinstance(found, sqlite.Connection)]
    open_files = []
    for connection in left:
        try:
            files = [row[2] for row in connection.execute("PRAGMA database_list") if row[2]]
        except sqlite.Error:
            continue
        open_files += files
    return open_files
