"""The exported ``call``: one request through a WSGI application."""

import os

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.application import Iterable

from . import environ as _environ, exc_info
from .body import Body
from .start_response import start_response

_application = None
_variables = {}


def serve(application, variables):
    """Says which application is called, and what it set in ``os.environ`` while it was imported: the runtime empties that."""
    global _application, _variables
    _application, _variables = application, variables


class Application(exports.Application):
    def call(self, environ):
        global _variables
        if _variables:
            for name, value in _variables.items():
                os.environ.setdefault(name, value)
            _variables = {}
        environ = _environ.from_pairs(environ)
        input = environ["wsgi.input"]
        body = None
        try:
            body = Body(_application(environ, start_response), input)
            return Iterable(body, body.count())
        except BaseException as error:
            failed = exc_info.of(error)
        if body is None:
            input.release()
        else:
            try:
                body.close()
            except Err:
                # What ended the request first is what is told.
                pass
        raise Err(failed)
