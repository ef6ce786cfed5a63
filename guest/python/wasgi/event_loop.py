"""asyncio without sockets: a guest has no socket pair to wake its loop with, and needs none, since it has no other thread and no signal."""

from . import hooks


def _without_self_pipe(module):
    loop = module.BaseSelectorEventLoop

    def _make_self_pipe(self):
        self._ssock = self._csock = None
        self._internal_fds += 1

    def _close_self_pipe(self):
        self._internal_fds -= 1

    def _write_to_self(self):
        pass

    loop._make_self_pipe, loop._close_self_pipe, loop._write_to_self = _make_self_pipe, _close_self_pipe, _write_to_self


def install():
    """For whoever imports asyncio."""
    hooks.after_import("asyncio.selector_events", _without_self_pipe)
