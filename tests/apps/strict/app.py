"""Applications that break a rule of the application's side each, and one that breaks none."""

import sys

PLAIN = [("Content-Type", "text/plain")]


class Promising:
    """An iterable whose length is what it says, and not what it does."""

    def __len__(self):
        return 1

    def __iter__(self):
        return iter([b"one", b"two"])


class Closing:
    """An iterable that has something to do in close()."""

    def __init__(self, chunks, close):
        self._chunks, self.close = chunks, close

    def __iter__(self):
        return iter(self._chunks)


def good(environ, start_response):
    start_response("200 OK", PLAIN)
    return Closing([b"good"], lambda: None)


def a2(environ, start_response):
    return [b"too early"]


def a3(environ, start_response):
    start_response("200 OK", PLAIN)
    try:
        start_response("201 Again", PLAIN)
    except AssertionError:
        return [b"trapped"]


def a4(environ, start_response):
    start_response("200 OK", PLAIN)
    return "text"


def a5(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "6")])
    return Promising()


def a6(environ, start_response):
    def close():
        raise RuntimeError("not consumed")

    start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
    return Closing(iter([b"ab", b"cd"]), close)


def a7(environ, start_response):
    try:
        environ["wsgi.input"].read()
    except OSError:
        pass
    start_response("200 OK", PLAIN)
    return [b"as if nothing had happened"]


def a8(environ, start_response):
    start_response("200 OK", [])
    return [b"of what type?"]


def a9(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Connection", "close")])
    return []


def a10(environ, start_response):
    start_response("200 OK", [*PLAIN, ("X-A", "a\nb")])
    return []


def a11(environ, start_response):
    start_response("200 OK", PLAIN)
    yield b"sent"
    try:
        raise ValueError("late")
    except ValueError:
        try:
            start_response("500 Late", PLAIN, sys.exc_info())
        except ValueError:
            yield b", and on"


def a12(environ, start_response):
    write = start_response("200 OK", PLAIN)
    yield b"yielded "
    write(b"written ")
    yield b"yielded"


def a13(environ, start_response):
    """Middleware that waits for several items of what it wraps, and yields an empty one for each that it keeps."""
    start_response("200 OK", PLAIN)
    kept = b""
    for item in (b"a", b"b", b"c", b"d"):
        kept += item
        if len(kept) < 2:
            yield b""
        else:
            yield kept
            kept = b""


def a14(environ, start_response):
    write = start_response("200 OK", PLAIN)
    return Closing(iter([b"body "]), lambda: write(b"and more"))


def app(*args, **keywords):
    environ, start_response = args
    if keywords:
        raise TypeError("called with keywords")
    return PAGES[environ["PATH_INFO"].strip("/")](environ, start_response)


PAGES = {page.__name__: page for page in (good, a2, a3, a4, a5, a6, a7, a8, a9, a10, a11, a12, a13, a14)}
