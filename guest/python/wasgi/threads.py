"""Threads: a guest has none. Starting one says so; ``threads = "inline"`` in wasgi.toml runs it at once instead."""

import weakref

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
            done.add(self)

    alive, join = module.Thread.is_alive, module.Thread.join
    done = weakref.WeakSet()

    def is_alive(self):
        return self not in done and alive(self)

    def joined(self, timeout=None):
        return None if self in done else join(self, timeout)

    module.Thread.start, module.Thread.is_alive, module.Thread.join = started, is_alive, joined


def _run(self, fn, /, *args, **kwargs):
    """``Executor.submit()``, done when it returns."""
    from concurrent.futures import Future

    with self._shutdown_lock:
        if self._shutdown:
            raise RuntimeError("cannot schedule new futures after shutdown")
    future = Future()
    future.set_running_or_notify_cancel()
    try:
        future.set_result(fn(*args, **kwargs))
    except BaseException as error:
        future.set_exception(error)
    return future


def _executor(module):
    submit = module.ThreadPoolExecutor.submit

    def submitted(self, fn, /, *args, **kwargs):
        return (_run if _inline else submit)(self, fn, *args, **kwargs)

    module.ThreadPoolExecutor.submit = submitted


def _asgiref(module):
    """Async views of Flask and Django: the caller waits for the thread, so it may as well do the work."""

    class InlineExecutor(module.ThreadPoolExecutor):
        submit = _run

    module.ThreadPoolExecutor = InlineExecutor
    converter = module.SyncToAsync
    converter.single_thread_executor = InlineExecutor(max_workers=1)


def install():
    """For whoever imports threads."""
    hooks.after_import("threading", _threading)
    hooks.after_import("concurrent.futures.thread", _executor)
    hooks.after_import("asgiref.sync", _asgiref)
