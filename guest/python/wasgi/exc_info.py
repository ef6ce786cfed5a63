"""An exception, as it goes to the tenant's log."""

import traceback

from wit_world.imports.types import ExcInfo

_OWN = __file__.rpartition("/")[0] + "/"
_MOST = 20000


def _is_text(text):
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def of(error):
    """The record of ``error``, its traceback without the frames of this package."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename.startswith(_OWN):
        frames = frames.tb_next
    try:
        lines = "".join(traceback.format_exception(type(error), error, frames))
    except BaseException as broken:
        lines = f"the traceback could not be formatted: {type(broken).__name__}"
    try:
        message = str(error)
    except BaseException as broken:
        message = f"<str() raised {type(broken).__name__}>"
    # The host keeps 16 KiB of each: of a traceback the end, where the cause stands.
    return ExcInfo(type(error).__qualname__[:_MOST], _is_text(message[:_MOST]), _is_text(lines[-_MOST:]))
