"""start_response and write() (PEP 3333, "The start_response() Callable")."""

from componentize_py_types import Err
from wit_world.imports import response

from . import chunk, exc_info as _exc_info


class WriteError(OSError):
    """A chunk could not be sent."""


def _check(status, headers):
    """What only Python can see (S3, S48); everything else is checked by the host."""
    try:
        _check_types(status, headers)
    except TypeError as error:
        return error
    return None


def _check_types(status, headers):
    if type(status) is not str:
        raise TypeError(f"the status must be str, not {type(status).__name__}")
    if type(headers) is not list:
        raise TypeError(f"the headers must be a list, not {type(headers).__name__}")
    for header in headers:
        if type(header) is not tuple or len(header) != 2:
            raise TypeError(f"a header must be a tuple of a name and a value, not {header!r}")
        name, value = header
        if type(name) is not str or type(value) is not str:
            raise TypeError(f"a header's name and value must be str: {header!r}")


_status = _declared = None


def status():
    """The status of the head of this request, if it has one."""
    return _status


def declared():
    """The Content-Length of the head of this request, as it is, if it has one."""
    return _declared


def begin():
    """A new request."""
    global _status, _declared
    _status = _declared = None


def _length(headers):
    for name, value in headers:
        if len(name) == 14 and name.lower() == "content-length":
            return value
    return None


def start_response(status, headers, exc_info=None):
    """Gives the head to the host, which checks and stores it. Returns write()."""
    global _status, _declared
    failed = wrong = None
    try:
        wrong = _check(status, headers)
        info = None if exc_info is None else _exc_info.of(exc_info[1])
        try:
            # A wrong head is a call all the same: the host must know of it (S43), and may have to refuse it for another reason (S45).
            response.start_response("" if wrong else status, [] if wrong else headers, info)
        except Err as err:
            failed = err.value
        if failed is None and wrong is None:
            _status, _declared = status, _length(headers)
            return _write
        if isinstance(failed, response.StartError_AlreadySent) and exc_info is not None:
            raise exc_info[1].with_traceback(exc_info[2])
        if wrong is not None and not isinstance(failed, response.StartError_AlreadyStarted):
            raise wrong
        raise _refused(failed)
    finally:
        # S46: a traceback holds its frames, and they hold this one.
        exc_info = failed = wrong = None


def early_hints(headers):
    """``wsgi.early_hints``: a 103 response (RFC 8297) with these headers, before the real one (S72)."""
    _check_types("", headers)
    failed = None
    try:
        response.early_hints(headers)
    except Err as err:
        failed = err.value
    if failed is not None:
        raise _refused(failed)


def _refused(failed):
    if isinstance(failed, response.StartError_InvalidStatus):
        return ValueError(failed.value)
    if isinstance(failed, response.StartError_InvalidHeader):
        return ValueError(failed.value)
    if isinstance(failed, response.StartError_AlreadySent):
        return AssertionError("start_response was called after the headers had been sent, without exc_info")
    return AssertionError("start_response was called a second time without exc_info")


def _write(data):
    """The write() callable; as if the iterable had yielded its data (S57)."""
    if type(data) is not bytes:
        raise TypeError(f"write() takes bytes, not {type(data).__name__}")
    error = None
    for piece in chunk.pieces(data):
        chunk.pass_on(piece)
        try:
            response.write(b"")
        except Err as err:
            error = err.value
            break
    if error is not None:
        raise WriteError(f"write() failed: {error.name.lower().replace('_', ' ')}")
