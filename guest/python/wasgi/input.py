"""``wsgi.input``: the request's body as a buffered binary file (PEP 3333, "Input and Error Streams").

What ends a body too early is an ``OSError``, never an end: Werkzeug and Django turn it into 400 themselves.
"""

import io

from componentize_py_types import Err
from wit_world.imports import input as host
from wit_world.imports.input import InputError

_BUFFER = 65536


class RequestTooLarge(OSError):
    """The body is longer than the operator allows."""


def _error(error):
    if error == InputError.TOO_LARGE:
        return RequestTooLarge("the request's body is larger than the limit")
    if error == InputError.TIMED_OUT:
        return TimeoutError("the request's body did not arrive in time")
    if error == InputError.MALFORMED:
        return OSError("the request's body is malformed")
    return ConnectionResetError("the client disconnected")


class _Raw(io.RawIOBase):
    """What the host gives: at least one byte a call, or the end."""

    def readable(self):
        return True

    def readinto(self, buffer):
        try:
            data = host.read(len(buffer))
        except Err as err:
            error = _error(err.value)
        else:
            buffer[: len(data)] = data
            return len(data)
        raise error


class Input:
    """A buffered reader of one continuous stream (S31 to S34), which is made when it is first used: most requests have no body."""

    __slots__ = ("_stream", "_released")

    def __init__(self):
        self._stream = None
        self._released = False

    def _open(self):
        if self._stream is None:
            self._stream = io.BufferedReader(_Raw(), _BUFFER)
            if self._released:
                self._stream.close()
        return self._stream

    def read(self, size=-1):
        return self._open().read(size)

    def readline(self, size=-1):
        return self._open().readline(size)

    def readlines(self, hint=-1):
        return self._open().readlines(hint)

    def __iter__(self):
        self._open().__iter__()
        return self

    def __next__(self):
        return self._open().__next__()

    def __enter__(self):
        self._open().__enter__()
        return self

    def __exit__(self, *exc_info):
        self._open().close()

    def __getattr__(self, name):
        # All else that a buffered reader has.
        return getattr(self._open(), name)

    def release(self):
        """The request has ended: what the application kept of this object is dead."""
        self._released = True
        if self._stream is not None:
            self._stream.close()


io.BufferedIOBase.register(Input)
