"""Requests before there are requests: what an application, and this package, do only the first time is then done in the image.

They come the way of all others, but end before the host, which serves none now. Each comes three times: the second time CPython specialises
the code that runs, and what is specialised in the image no request has to specialise, and write, again.
"""

import contextlib

from componentize_py_types import Err
from wit_world.imports import errors, input as host_input, latin1, response

from . import environ, gateway

_TIMES = 3


def adapter():
    """The way of a request through this package, without an application."""
    for _ in range(_TIMES):
        gateway.seed()
        _request(_nothing, "/")


def request(application, path):
    """Sends GET ``path`` to the application, whole; its status, or what it raised."""
    for _ in range(_TIMES):
        status = _request(application, path)
    return status


def _nothing(environ, start_response):
    environ["wsgi.errors"].write("")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]


def _request(application, path):
    gateway.rehearse(application)
    with _deaf() as statuses:
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
    return statuses[-1] if statuses else "start_response was not called"


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


@contextlib.contextmanager
def _deaf():
    """What goes to the host stays here; the statuses."""
    statuses = []
    stand_ins = (
        (response, "start_response", lambda status, headers, exc_info: statuses.append(status)),
        (response, "early_hints", lambda headers: None),
        (response, "write", lambda data: None),
        (latin1, "chunk", lambda text: None),
        (latin1, "whole", lambda text: None),
        (errors, "write", lambda text: None),
        (host_input, "read", lambda most: b""),
    )
    real = [(module, name, getattr(module, name)) for module, name, _ in stand_ins]
    for module, name, stand_in in stand_ins:
        setattr(module, name, stand_in)
    try:
        yield statuses
    finally:
        for module, name, function in real:
            setattr(module, name, function)
