"""Threads: a guest has none. Starting one says so; ``threads = "inline"`` in wasgi.toml runs it at once instead."""

from . import hooks

_inline = False

_WHY = (
    "can't start new thread: a WebAssembly guest has one. Do the work in the request, or hand it to another service; "
    'or set `threads = "inline"` under [python] in wasgi.toml, which runs a thread\'s target to its end when it is started'
)


def set_inline():
    """From now on a thread runs when it is started."""
    global _inline
    _inline = True


def _threading(module):
    start = module.Thread.start

    def started(self):
        if not _inline:
            # What start() itself checks comes first.
            if not self._initialized or self._started.is_set():
                return start(self)
            raise RuntimeError(_WHY)
        if not self._initialized:
            raise RuntimeError("thread.__init__() not called")
        if self._started.is_set():
            raise RuntimeError("threads can only be started once")
        self._started.set()
        try:
            self.run()
        except SystemExit:
            pass
        except BaseException:
            self._invoke_excepthook(self)
        finally:
            self._handle._set_done()

    module.Thread.start = started


def _executor(module):
    submit = module.ThreadPoolExecutor.submit

    def submitted(self, fn, /, *args, **kwargs):
        if not _inline:
            return submit(self, fn, *args, **kwargs)
        with self._shutdown_lock:
            if self._shutdown:
                raise RuntimeError("cannot schedule new futures after shutdown")
        future = module._base.Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future

    module.ThreadPoolExecutor.submit = submitted


def install():
    """For whoever imports threads."""
    hooks.after_import("threading", _threading)
    hooks.after_import("concurrent.futures.thread", _executor)
