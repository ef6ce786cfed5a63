"""The exported ``release``: imports an application under its tenant's environment, and runs its commands.

A plan is JSON: ``module`` and ``name`` of the application, ``manage`` (its ``manage.py``), ``warm`` (paths that are requested), ``threads``
(``inline``), ``stubs`` (names), ``image`` (whether memory is kept as a release); at build also ``compile`` (folders), ``static`` (a folder for what
Django collects) and ``development``. A report is JSON: ``error`` (``kind`` and ``text``), ``traceback``, ``missing`` (modules), ``secrets`` (places),
``warm`` (path and status), ``django`` (settings that matter), ``words`` (of memory, which the release has otherwise).
"""

import gc
import importlib
import json
import os
import sys

from wit_world import exports

from . import database, find, frameworks, gateway, heap, missing, randomness, runtime, threads, warm
from .secret_watch import SecretWatch

APP = "/0"
# The time that the host gives to every folder of a bundle (`src/artifact/bundle.rs`).
_FOLDER_TIME = 1


class Release(exports.Release):
    def prepare(self, plan):
        plan = json.loads(plan)
        report = {"error": None, "traceback": None, "missing": [], "secrets": [], "warm": [], "frameworks": [], "django": None, "words": None}
        try:
            _begin(plan)
            runtime.compile_all(plan.get("compile", ()))
            if plan.get("module") is not None:
                application = _import(plan, report)
                _finish(plan, report, application)
        except BaseException as error:
            _told(error, report)
        return json.dumps(report)

    def manage(self, plan, arguments):
        plan = json.loads(plan)
        report = {"error": None, "traceback": None, "missing": []}
        try:
            _begin(plan)
            return frameworks.manage(plan, arguments, lambda: _import(plan, {}))
        except SystemExit as left:
            if isinstance(left.code, str):
                print(left.code, file=sys.stderr)
            return left.code & 255 if isinstance(left.code, int) else int(left.code is not None)
        except BaseException as error:
            _told(error, report)
        finally:
            sys.stdout.flush()
        print(report["traceback"] or report["error"]["text"], file=sys.stderr)
        return 1


def _begin(plan):
    # Its state is the runtime's image's, which all applications have: what an import draws nobody else is to know.
    randomness.renew()
    # What the import system knows of these folders, it learned when there was no application in them.
    sys.path_importer_cache.clear()
    # As CPython has them: the application's folder, the standard library, the packages.
    sys.path[:] = [APP, "/python", "/1", "/python/fallback"]
    # An application is started in its own folder.
    if os.path.isdir(APP):
        os.chdir(APP)
    if plan.get("threads") == "inline":
        threads.set_inline()
    missing.stub(plan.get("stubs", ()))


def _import(plan, report):
    database.watch()
    with SecretWatch(APP) as watch:
        module = importlib.import_module(plan["module"])
        application = find.application(module, plan.get("name"))
    report["secrets"] = watch.places
    return application


def _finish(plan, report, application):
    if plan.get("development"):
        application = frameworks.developed(application)
    report["frameworks"] = frameworks.found()
    report["django"] = frameworks.django_settings(plan)
    report["warm"] = [{"path": path, "status": warm.request(application, path)} for path in plan.get("warm", ())]
    gc.collect()
    database.forget()
    _settle_finders()
    if plan.get("image"):
        report["words"] = heap.immortal()
    # This empties the interpreter's lists of objects to use again as well: what they had is scattered over the heap.
    gc.collect()
    # The collector never looks at what is in the image: to look would be to write, in every instance anew.
    gc.freeze()
    heap.plug()
    # It fills those lists anew.
    warm.adapter()
    gateway.serve(application)
    # With what that has left.
    gc.freeze()


def _told(error, report):
    report["frameworks"] = frameworks.found()
    if isinstance(error, find.NotFound):
        report["error"] = {"kind": "not-found", "text": str(error)}
        return
    if isinstance(error, frameworks.Refused):
        report["error"] = {"kind": "refused", "text": str(error)}
        return
    variable = _variable(error)
    if variable is not None:
        report["error"] = {"kind": "environment", "text": variable}
        report["traceback"] = find.told(error)
        return
    report["error"] = {"kind": "raised", "text": f"{type(error).__name__}: {error}"}
    report["traceback"] = find.told(error)
    report["missing"] = _missing(error)


def _variable(error):
    """The variable that was asked of os.environ and is not there."""
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    if not isinstance(error, KeyError) or frames is None or not error.args:
        return None
    code = frames.tb_frame.f_code
    return str(error.args[0]) if code.co_qualname == "_Environ.__getitem__" else None


def _missing(error):
    """The modules that an ImportError and its causes miss."""
    names, seen = [], set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, ImportError) and error.name and error.name not in names and error.name not in sys.modules:
            names.append(error.name)
        error = error.__cause__ or error.__context__
    return names


def _settle_finders():
    """The import system lists a folder again when its time has changed, which costs a call to the host for each name in it. The folders
    of a bundle never change: what is known of them now stays true."""
    for path, finder in sys.path_importer_cache.items():
        if hasattr(finder, "_fill_cache"):
            finder._fill_cache()
            finder._path_mtime = _FOLDER_TIME
