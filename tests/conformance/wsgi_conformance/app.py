"""The application that a server under test serves: ``wsgi_conformance.app:application``.

Each behaviour is a function, chosen by the request's field ``X-Case``, so that path and query are free. It needs the standard library and
nothing else. What a behaviour can only tell later (was ``close()`` called?) it notes: in the folder that ``WSGI_CONFORMANCE_NOTES`` names, or
in this module's memory, under the request's ``X-Note``; the case ``notes`` gives it out.
"""

import ast
import gc
import io
import json
import os
import sys
import time
import weakref

PLAIN = [("Content-Type", "text/plain")]
CASES = {}
_notes = {}


def case(function):
    CASES[function.__name__.replace("_", "-")] = function
    return function


def application(*args, **keywords):
    environ, start_response = args
    note(environ, "called")
    chosen = CASES.get(environ.get("HTTP_X_CASE", os.environ.get("WSGI_CONFORMANCE_DEFAULT", "hello")))
    if chosen is None:
        return answer(start_response, "no such case", "404 Not Found")
    environ["conformance.positional"] = len(args) == 2 and not keywords
    return chosen(environ, start_response)


def answer(start_response, text, status="200 OK"):
    body = text if isinstance(text, bytes) else text.encode()
    start_response(status, [*PLAIN, ("Content-Length", str(len(body)))])
    return [body]


def answer_json(start_response, value):
    return answer(start_response, json.dumps(value))


# What is told later.


def note(environ, word):
    name = environ.get("HTTP_X_NOTE")
    if not name or not name.isalnum():
        return
    folder = os.environ.get("WSGI_CONFORMANCE_NOTES")
    if not folder:
        _notes.setdefault(name, []).append(word)
        return
    with open(os.path.join(folder, name), "a", encoding="ascii") as file:
        file.write(word + "\n")


@case
def notes(environ, start_response):
    name = environ["QUERY_STRING"]
    folder = os.environ.get("WSGI_CONFORMANCE_NOTES")
    if not folder:
        return answer_json(start_response, _notes.get(name, []))
    path = os.path.join(folder, name)
    if not name.isalnum() or not os.path.exists(path):
        return answer_json(start_response, [])
    with open(path, encoding="ascii") as file:
        return answer_json(start_response, file.read().splitlines())


# The environ.


@case
def hello(environ, start_response):
    return answer(start_response, "hello")


@case
def environ(environ, start_response):
    told = {}
    for name, value in environ.items():
        told[name] = [type(value).__name__, value if type(value) in (str, int, bool) else repr(value)]
    facts = {
        "dict": type(environ) is dict,
        "positional": environ["conformance.positional"],
        "version": environ["wsgi.version"] == (1, 0) and type(environ["wsgi.version"]) is tuple,
    }
    return answer_json(start_response, {"environ": told, "facts": facts})


@case
def mark_environ(environ, start_response):
    seen = "conformance.mark" in environ
    environ.clear()
    environ["conformance.mark"] = "left behind"
    return answer(start_response, "seen" if seen else "clean")


@case
def errors(environ, start_response):
    stream = environ["wsgi.errors"]
    stream.write("plain\n")
    stream.write("é € 𝄞 \x1b[31m no line feed")
    stream.writelines(["one\n", "two\n"])
    stream.flush()
    return answer(start_response, "written")


# wsgi.input.


def play(stream, script):
    """What the calls of a script return: ``read:5 readline readlines:3 iter read:None``."""
    results = []
    for step in script.split():
        name, _, argument = step.partition(":")
        if name == "iter":
            value = list(stream)
        elif name == "next":
            value = next(iter(stream), b"")
        else:
            value = getattr(stream, name)(*([None if argument == "None" else int(argument)] if argument else []))
        results.append([line.decode("latin-1") for line in value] if isinstance(value, list) else value.decode("latin-1"))
    return results


@case
def input(environ, start_response):
    try:
        results = play(environ["wsgi.input"], environ["HTTP_X_SCRIPT"])
    except Exception as error:
        results = [f"{type(error).__name__}"]
    return answer_json(start_response, [results, environ.get("wsgi.input_terminated") is True, environ.get("CONTENT_LENGTH")])


@case
def broken_input(environ, start_response):
    try:
        got = b""
        while True:
            piece = environ["wsgi.input"].read(4096)
            if not piece:
                note(environ, f"ended after {len(got)}")
                break
            got += piece
    except Exception:
        note(environ, "raised")
        raise
    return answer(start_response, got)


@case
def first_byte(environ, start_response):
    return answer(start_response, environ["wsgi.input"].read(1))


@case
def unread(environ, start_response):
    return answer(start_response, "not read")


@case
def echo(environ, start_response):
    stream, length = environ["wsgi.input"], environ.get("CONTENT_LENGTH")
    if length:
        return answer(start_response, stream.read(int(length)))
    return answer(start_response, b"".join(iter(lambda: stream.read(4096), b"")))


# start_response.


@case
def start_arguments(environ, start_response):
    write = start_response("200 OK", list(PLAIN), None)
    return [b"callable" if callable(write) else b"not callable"]


@case
def refused(environ, start_response):
    """Tells whether start_response raises for the status and headers that X-Head describes, as Python literals."""
    status, headers = ast.literal_eval(environ["HTTP_X_HEAD"])
    try:
        start_response(status, headers)
    except Exception:
        start_response("200 OK", list(PLAIN), sys.exc_info())
        return [b"raised"]
    return [b"accepted"]


@case
def headers(environ, start_response):
    """Sends the status and the headers that X-Head describes."""
    status, headers = ast.literal_eval(environ["HTTP_X_HEAD"])
    start_response(status, headers)
    return [b"body"]


@case
def empty_then_raise(environ, start_response):
    start_response("200 OK", list(PLAIN))
    yield b""
    raise RuntimeError("behind an empty chunk")


@case
def lazy(environ, start_response):
    yield_now = start_response("202 Lazy", [*PLAIN, ("X-Lazy", "1")])
    assert callable(yield_now)
    yield b"la"
    yield b"zy"


@case
def started_twice(environ, start_response):
    start_response("200 OK", list(PLAIN))
    try:
        start_response("201 Again", list(PLAIN))
    except Exception:
        return [b"raised"]
    return [b"accepted"]


@case
def started_again_after_an_error(environ, start_response):
    try:
        start_response("not a status", list(PLAIN))
    except Exception:
        pass
    try:
        start_response("200 OK", list(PLAIN))
    except Exception:
        start_response("200 OK", list(PLAIN), sys.exc_info())
        return [b"raised"]
    return [b"accepted"]


@case
def replaced(environ, start_response):
    start_response("200 OK", [*PLAIN, ("X-Old", "1"), ("Content-Length", "1")])
    try:
        raise KeyError("before the headers are sent")
    except KeyError:
        start_response("503 Replaced", [("X-New", "1"), *PLAIN], sys.exc_info())
    return [b"new"]


@case
def too_late(environ, start_response):
    start_response("200 OK", list(PLAIN))
    yield b"sent"
    try:
        raise KeyError("after the headers were sent")
    except KeyError:
        try:
            start_response("500 Late", list(PLAIN), sys.exc_info())
        except BaseException as error:
            note(environ, f"raised {type(error).__name__}")
            raise
    note(environ, "accepted")
    yield b"more"


class Kept(Exception):
    """One that can be watched."""


@case
def exc_info_kept(environ, start_response):
    def fail():
        error = Kept()
        watch = weakref.ref(error)
        try:
            raise error
        except Kept:
            start_response("200 OK", list(PLAIN), sys.exc_info())
        return watch

    watch = fail()
    gc.collect()
    return [b"forgotten" if watch() is None else b"kept"]


@case
def never_started(environ, start_response):
    return [b"a body without a head"]


@case
def raises(environ, start_response):
    raise RuntimeError("a secret of the application")


# The body.


class Iterable:
    """An iterable that notes what is done with it."""

    def __init__(self, environ, chunks):
        self._environ = environ
        self._chunks = iter(chunks)

    def __iter__(self):
        return self

    def __next__(self):
        chunk = next(self._chunks)
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    def close(self):
        note(self._environ, "closed")

    def __getattr__(self, name):
        # An iterable need not have a length, and may be asked whether it has one.
        if name != "__len__":
            note(self._environ, f"asked for {name}")
        raise AttributeError(name)


@case
def iterable(environ, start_response):
    start_response("200 OK", list(PLAIN))
    return Iterable(environ, [b"a", b"", b"b"])


@case
def iterable_that_raises(environ, start_response):
    start_response("200 OK", list(PLAIN))
    return Iterable(environ, [b"a", RuntimeError("in the body")])


@case
def endless(environ, start_response):
    start_response("200 OK", list(PLAIN))
    return Iterable(environ, iter(lambda: b"x" * 65536, None))


@case
def iterable_of_length(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    return Iterable(environ, [b"ab", b"cd"])


class CloseRaises(Iterable):
    def close(self):
        super().close()
        raise RuntimeError("in close()")


@case
def close_raises(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
    return CloseRaises(environ, [b"ok"])


@case
def items(environ, start_response):
    """Yields the items that X-Items describes, as Python literals."""
    start_response("200 OK", list(PLAIN))
    return iter(ast.literal_eval(environ["HTTP_X_ITEMS"]))


@case
def iterable_that_raises_first(environ, start_response):
    start_response("200 OK", list(PLAIN))
    return Iterable(environ, [RuntimeError("in the body")])


@case
def iterable_that_is_too_long(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "2")])
    return Iterable(environ, [b"ab", b"cd", b"ef"])


@case
def slow_write(environ, start_response):
    write = start_response("200 OK", list(PLAIN))
    write(b"first")
    time.sleep(1)
    return [b"second"]


@case
def slow(environ, start_response):
    start_response("200 OK", list(PLAIN))
    yield b"first"
    time.sleep(1)
    yield b"second"


@case
def writes(environ, start_response):
    write = start_response("200 OK", list(PLAIN))
    write(b"written ")
    return [b"yielded"]


@case
def writes_text(environ, start_response):
    write = start_response("200 OK", list(PLAIN))
    try:
        write("text")
    except Exception:
        return [b"raised"]
    return [b"accepted"]


@case
def single(environ, start_response):
    start_response("200 OK", list(PLAIN))
    return [b"one chunk"]


@case
def chunks(environ, start_response):
    start_response("200 OK", list(PLAIN))
    yield b"two "
    yield b"chunks"


@case
def too_long(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    yield b"abcd"
    yield b"efgh"


@case
def writes_too_much(environ, start_response):
    write = start_response("200 OK", [*PLAIN, ("Content-Length", "4")])
    try:
        write(b"abcdefgh")
        note(environ, "accepted")
    except Exception:
        note(environ, "raised")
    return []


@case
def too_short(environ, start_response):
    start_response("200 OK", [*PLAIN, ("Content-Length", "10")])
    return [b"abcd"]


@case
def status(environ, start_response):
    """The status that the query names, with a body that must not be sent with some."""
    length = [("Content-Length", "4")] if "HTTP_X_LENGTH" in environ else []
    start_response(environ["QUERY_STRING"].replace("+", " "), [("X-A", "1"), *length])
    return iter([b"body"])


# Extensions.


class File(io.BytesIO):
    """A file that notes that it is closed."""

    def __init__(self, environ, data):
        super().__init__(data)
        self._environ = environ

    def close(self):
        if not self.closed:
            note(self._environ, "closed")
        super().close()


@case
def file_wrapper(environ, start_response):
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return answer(start_response, "", "501 No Wrapper")
    file = File(environ, b"0123456789" * 2000)
    file.seek(5)
    wrapped = wrapper(file, 4096)
    start_response("200 OK", list(PLAIN))
    return wrapped


@case
def real_file(environ, start_response):
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return answer(start_response, "", "501 No Wrapper")
    file = open(__file__, "rb")
    file.seek(5)
    start_response("200 OK", list(PLAIN))
    return wrapper(file)


@case
def file_wrapper_of_length(environ, start_response):
    wrapper = environ.get("wsgi.file_wrapper")
    if wrapper is None:
        return answer(start_response, "", "501 No Wrapper")
    start_response("200 OK", [*PLAIN, ("Content-Length", "7")])
    return wrapper(File(environ, b"0123456789" * 2000))


@case
def hints(environ, start_response):
    send = environ.get("wsgi.early_hints")
    if send is None:
        return answer(start_response, "", "501 No Hints")
    send([("Link", "</style.css>; rel=preload")])
    refused = []
    for bad in [("Link", "a\r\nX-Split: 1"), ("Connection", "close"), ("Bad Name", "1")]:
        try:
            send([bad])
            refused.append(False)
        except Exception:
            refused.append(True)
    return answer_json(start_response, refused)
