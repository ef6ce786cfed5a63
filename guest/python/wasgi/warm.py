"""Requests before there are requests: what an application, and this package, do only the first time is then done in the image.

They come the way of all others, to the host and back: it knows that nobody asks (``release.prepare``), and answers as if somebody did. What
stood in its place would be specialised in its place: the second time CPython specialises the code that runs, and what is specialised in the
image no request has to specialise, and write, again. It also remembers of each branch which way it took the last sixteen times: behind so many
equal requests, one more leaves that as it was.
"""

import time

from componentize_py_types import Err

from . import database, environ, gateway, start_response as _start_response

_TIMES = 17
# A page that takes longer than a fraction of this has less of it, and an import has a limit of CPU time. In seconds.
_LONG = 0.25
_LEAST = 3


def adapter():
    """The way of an instance's first request through this package, without an application."""
    with database.closed():
        for _ in range(_TIMES):
            gateway.serve(_nothing)
            _call("/")


def request(application, path):
    """Sends GET ``path`` to the application, whole; its status, or what it raised. What fails is not repeated."""
    began = time.monotonic()
    for times in range(_TIMES):
        if times >= _LEAST and time.monotonic() - began > _LONG:
            break
        gateway.rehearse(application)
        status = _call(path)
        if not status.startswith(("2", "3")):
            break
    return status


def _nothing(environ, start_response):
    environ["wsgi.errors"].write("")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def _call(path):
    direct = gateway.Direct()
    try:
        if not direct.call(_environ(path)):
            try:
                while direct.next():
                    pass
            finally:
                direct.close()
    except Err as err:
        return f"{err.value.kind}: {err.value.message}"
    return _start_response.status() or "start_response was not called"


def _environ(path):
    path, _, query = path.partition("?")
    pairs = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "REQUEST_URI": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "localhost",
        "wsgi.version": "1.0",
        "wsgi.url_scheme": "http",
        "wsgi.multithread": "0",
        "wsgi.multiprocess": "1",
        "wsgi.run_once": "0",
        "wsgi.input_terminated": "1",
        "wasgi.request_id": "0",
    }
    return environ.BETWEEN.join(part for pair in pairs.items() for part in pair)
