"""The exported calls: one request through a WSGI application, as hosts of any kind call it, and as one that knows Python does."""

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.application import Iterable

from . import database, environ as _environ, exc_info, randomness
from .body import BODY, Body
from .start_response import begin as _begin_response, start_response

_application = None
_begun = True


def serve(application):
    """Says which application is called. What is in memory now is where all instances begin: the first request of each must differ."""
    global _application, _begun
    _application, _begun = application, False
    randomness.forget()


def rehearse(application):
    """The same, before there is an instance that could begin."""
    global _application, _begun
    _application, _begun = application, True


def _begin():
    """What the first request of an instance begins with."""
    global _begun
    _begun = True
    database.reopen()
    randomness.begin()


def _call(environ, answered):
    """Calls the application; what ``answered`` makes of its iterable."""
    if not _begun:
        _begin()
    _begin_response()
    input = environ["wsgi.input"]
    body = None
    try:
        body = BODY.begin(_application(environ, start_response), input)
        return answered(body)
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


class Application(exports.Application):
    def call(self, environ):
        return _call(_environ.from_pairs(environ), lambda body: Iterable(body, body.count()))


class Direct(exports.Direct):
    def call(self, environ):
        whole = _call(_environ.from_text(environ), Body.pass_whole)
        if whole:
            BODY.close()
        return whole

    def next(self):
        try:
            return BODY.pass_next()
        except BaseException as error:
            failed = exc_info.of(error)
        raise Err(failed)

    def close(self):
        BODY.close()
