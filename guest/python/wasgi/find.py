"""Finds the application in a module, as ``flask --app`` does."""

import inspect
import sys
import traceback

_NAMES = ("app", "application")
_FACTORIES = ("create_app", "make_app")


class NotFound(Exception):
    """No application, or more than one; the text says what to type."""


def application(module, name):
    """The WSGI application ``name`` of ``module``; without a name, the one that can be meant."""
    found = _named(module, name) if name else _only(module)
    if not callable(found):
        raise NotFound(f"`{module.__name__}:{name}` is {type(found).__name__}, which is no WSGI application")
    if inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(type(found), "__call__", None)):
        raise NotFound(f"the application in `{module.__name__}` is an ASGI application; wasgi serves WSGI (PEP 3333)")
    return found


def _named(module, name):
    name, call, arguments = name.partition("(")
    if call and arguments.strip() != ")":
        raise NotFound(f"a factory is called without arguments; `{name}({arguments}` has some")
    try:
        found = module
        for part in name.strip().split("."):
            found = getattr(found, part)
    except AttributeError:
        raise NotFound(f"the module `{module.__name__}` has no `{name}`") from None
    if call or name in _FACTORIES:
        return _made(found, name)
    return found


def _only(module):
    for name in _NAMES:
        found = getattr(module, name, None)
        if callable(found):
            return found
    flask = sys.modules.get("flask")
    if flask is not None:
        apps = {name: value for name, value in vars(module).items() if isinstance(value, flask.Flask)}
        if len({id(value) for value in apps.values()}) == 1:
            return next(iter(apps.values()))
        if apps:
            names = ", ".join(f"`{module.__name__}:{name}`" for name in sorted(apps))
            raise NotFound(f"the module `{module.__name__}` has {len(apps)} Flask applications; name one of {names}")
    for name in _FACTORIES:
        found = getattr(module, name, None)
        if inspect.isfunction(found):
            return _made(found, name)
    tried = ", ".join(f"`{name}`" for name in _NAMES + tuple(f"{name}()" for name in _FACTORIES))
    raise NotFound(f"the module `{module.__name__}` has no application; looked for {tried} and a Flask instance")


def _made(factory, name):
    try:
        inspect.signature(factory).bind()
    except TypeError:
        raise NotFound(f"the factory `{name}` needs arguments; make one that takes none") from None
    return factory()


def told(error):
    """The traceback of an application that raised while it was imported, without the frames of this package and of the import system."""
    own = __file__.rpartition("/")[0] + "/"
    hidden = lambda name: name.startswith((own, "<frozen importlib")) or name.endswith("/wasgi_entry.py") or "/importlib/" in name
    lines = ["Traceback (most recent call last):\n"]
    lines += traceback.format_list([frame for frame in traceback.extract_tb(error.__traceback__) if not hidden(frame.filename)])
    lines += traceback.format_exception_only(type(error), error)
    return "".join(lines)
