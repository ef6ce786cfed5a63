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


class Input(io.BufferedReader):
    """read, readline, readlines and iteration over one continuous stream (S31 to S34)."""

    def __init__(self):
        super().__init__(_Raw(), _BUFFER)

    def release(self):
        """The request has ended: what the application kept of this object is dead."""
        self.close()
