"""The exported ``call``: one request through a WSGI application."""

import os

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.application import Iterable

from . import environ as _environ, exc_info
from .body import Body
from .errors import ERRORS
from .start_response import start_response

_application = None
_variables = {}


def serve(application, variables):
    """Says which application is called, and what it set in ``os.environ`` while it was imported: the runtime empties that."""
    global _application, _variables
    _application, _variables = application, variables


class _Exchange:
    """What must not outlive its request."""

    __slots__ = ("input",)

    def __init__(self, input):
        self.input = input

    def release(self):
        self.input.release()
        ERRORS.attach(None)


class Application(exports.Application):
    def call(self, environ, input, errors):
        global _variables
        if _variables:
            for name, value in _variables.items():
                os.environ.setdefault(name, value)
            _variables = {}
        ERRORS.attach(errors)
        environ = _environ.from_pairs(environ, input)
        exchange = _Exchange(environ["wsgi.input"])
        body = None
        try:
            body = Body(_application(environ, start_response), exchange)
            return Iterable(body, body.count())
        except BaseException as error:
            failed = exc_info.of(error)
        if body is None:
            exchange.release()
        else:
            try:
                body.close()
            except Err:
                # What ended the request first is what is told.
                pass
        raise Err(failed)
