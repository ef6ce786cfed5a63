"""The exported ``call``: one request through a WSGI application."""

import sys

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.application import Iterable

from . import database, environ as _environ, exc_info
from .body import BODY
from .start_response import start_response

_application = None
_begun = True


def serve(application):
    """Says which application is called. What is in memory now is where all instances begin: the first request of each must differ."""
    global _application, _begun
    _application, _begun = application, False


def _begin():
    """What the first request of an instance begins with."""
    global _begun
    _begun = True
    database.reopen()
    # `secrets`, `uuid4` and `os.urandom` ask the host; only this module keeps a state.
    random = sys.modules.get("random")
    if random is not None:
        random.seed()


class Application(exports.Application):
    def call(self, environ):
        if not _begun:
            _begin()
        environ = _environ.from_pairs(environ)
        input = environ["wsgi.input"]
        body = None
        try:
            body = BODY.begin(_application(environ, start_response), input)
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
