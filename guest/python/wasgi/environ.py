"""The environ: from pairs of text to the types of PEP 3333 ("environ Variables")."""

from .errors import ERRORS
from .file_wrapper import FileWrapper
from .input import Input
from .start_response import early_hints

_FLAGS = ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once", "wsgi.input_terminated")


# What stands between names and values that come as one text: no native string has it.
BETWEEN = "\u0100"


def from_text(text):
    """A new dict for one request, from a text with all of it."""
    parts = iter(text.split(BETWEEN))
    return from_pairs(zip(parts, parts))


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
