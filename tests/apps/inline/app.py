"""An application that asks for threads which run when they are started, and for stubs."""

import asyncio
import fcntl
import grp
import os
import pwd
import threading
from concurrent.futures import ThreadPoolExecutor


def thread():
    seen = []
    one = threading.Thread(target=seen.append, args=("in the thread",))
    one.start()
    seen.append("after")
    one.join()
    return seen, one.is_alive()


def pool():
    with ThreadPoolExecutor(2) as executor:
        squares = list(executor.map(lambda n: n * n, range(3)))
        raised = type(executor.submit(lambda: 1 / 0).exception()).__name__
    return squares, raised


def to_thread():
    return asyncio.run(asyncio.to_thread(lambda: 9))


def stubs():
    user = pwd.getpwuid(os.getuid())
    return user.pw_name, user.pw_dir, fcntl.flock(0, fcntl.LOCK_EX), grp.getgrgid(0).gr_gid


pages = {"/thread": thread, "/pool": pool, "/to-thread": to_thread, "/stubs": stubs}


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    found = pages[environ["PATH_INFO"]]()
    return [(" ".join(map(str, found)) if isinstance(found, tuple) else str(found)).encode()]
