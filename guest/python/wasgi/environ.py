"""The environ: from pairs of text to the types of PEP 3333 ("environ Variables")."""

from .errors import ERRORS
from .file_wrapper import FileWrapper
from .input import Input
from .start_response import early_hints

_FLAGS = ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated")


def from_pairs(pairs):
    """A new dict for one request. The application may change it (S2)."""
    environ = dict(pairs)
    environ["wsgi.version"] = (1, 0)
    for name in _FLAGS:
        environ[name] = environ.get(name) == "1"
    environ["wsgi.input"] = Input()
    environ["wsgi.errors"] = ERRORS
    environ["wsgi.file_wrapper"] = FileWrapper
    environ["wsgi.early_hints"] = early_hints
    return environ
