"""Stock WSGI code in Python, page by page: what PEP 3333 lets an application do and see."""

import hashlib
import os
import random
import sys
import time
from wsgiref.util import shift_path_info
from wsgiref.validate import validator

import flask

os.environ["SET_AT_IMPORT"] = "kept"


class Closing:
    """An iterable with a length and a close()."""

    def __init__(self, *chunks):
        self.chunks = chunks

    def __len__(self):
        return len(self.chunks)

    def __iter__(self):
        return iter(self.chunks)

    def close(self):
        print("closed", file=sys.stderr)


def app(environ, start_response):
    page = pages.get(environ["PATH_INFO"].strip("/").split("/")[0])
    if page is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such page\n"]
    return page(environ, start_response)


def text(start_response, value):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [str(value).encode()]


def types(environ, start_response):
    wanted = {"wsgi.version": (1, 0), "wsgi.multithread": False, "wsgi.multiprocess": True, "wsgi.url_scheme": "http"}
    wrong = {name: environ[name] for name, value in wanted.items() if environ[name] != value}
    plain = all(type(value) is str for name, value in environ.items() if "." not in name)
    return text(start_response, (type(environ).__name__, wrong, plain, environ["wsgi.run_once"], environ["wsgi.input_terminated"]))


def read(environ, start_response):
    stream = environ["wsgi.input"]
    parts = [stream.read(0), stream.read(3), stream.readline(), stream.readline(4), next(iter(stream)), stream.readlines(), stream.read(), stream.read(5)]
    return text(start_response, parts)


def read_all(environ, start_response):
    data = environ["wsgi.input"].read()
    return text(start_response, f"{len(data)} {hashlib.sha256(data).hexdigest()}")


def validated(environ, start_response):
    def inner(environ, start_response):
        environ["wsgi.errors"].write("checked\n")
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body) + 3))])
        return [b"ok ", body]

    return validator(inner)(environ, start_response)


flask_app = flask.Flask(__name__)


@flask_app.route("/page", methods=["GET", "POST"])
def page():
    # Where wsgi.input_terminated is set, Werkzeug's form parser calls read() without an argument, which the validator forbids (A7).
    return flask.jsonify(read=flask.request.stream.read(100).decode(), session=flask.session.get("name"))


def validated_flask(environ, start_response):
    shift_path_info(environ)
    return validator(flask_app)(environ, start_response)


def exc_info_before(environ, start_response):
    start_response("200 OK", [("X-Old", "1")])
    try:
        raise ValueError("before the head")
    except ValueError:
        start_response("500 Replaced", [("X-New", "1")], sys.exc_info())
    return [b"replaced"]


def exc_info_after(environ, start_response):
    write = start_response("200 OK", [])
    write(b"sent")
    try:
        raise ValueError("after the head")
    except ValueError:
        start_response("500 Late", [], sys.exc_info())
    return [b"never sent"]


def wrong_types(environ, start_response):
    raised = []
    for arguments in [(b"200 OK", []), ("200 OK", ()), ("200 OK", [["a", "b"]]), ("200 OK", [("a", 1)]), ("200 OK", [])]:
        try:
            start_response(*arguments)
        except Exception as error:
            raised.append(type(error).__name__)
    start_response("200 OK", [], (None, ValueError("for the replacement"), None))
    return [" ".join(raised).encode()]


def yields_text(environ, start_response):
    start_response("200 OK", [])
    yield "not bytes"


def generator(environ, start_response):
    start_response("200 OK", [])
    yield b""
    yield b"one "
    yield b"two"


def slow(environ, start_response):
    start_response("200 OK", [])
    for number in range(3):
        yield f"line {number}\n".encode()
        time.sleep(0.5)


def closing(environ, start_response):
    start_response("200 OK", [])
    return Closing(b"one chunk")


def large_chunk(environ, start_response):
    start_response("200 OK", [])
    return Closing(b"x" * 3_000_000)


def written(environ, start_response):
    write = start_response("200 OK", [])
    write(b"w" * 2_000_000)
    return [b"yielded"]


def file_wrapper(environ, start_response):
    start_response("200 OK", [])
    file = open(__file__, "rb")
    file.seek(3)
    return environ["wsgi.file_wrapper"](file)


def leak(environ, start_response):
    start_response("200 OK", [])
    piece = bytes(65536)
    for _ in range(int(environ["QUERY_STRING"]) * 16):
        yield piece


def kept_input(environ, start_response, kept=[]):
    kept.append(environ["wsgi.input"])
    try:
        told = kept[0].read(1)
    except ValueError as error:
        told = error
    return text(start_response, told)


def exits(environ, start_response):
    sys.exit("left")


def large_errors(environ, start_response):
    environ["wsgi.errors"].write("x" * 5_000_000 + "\n")
    environ["wsgi.errors"].write("\ud800 caf\u00e9\n")
    raise ValueError("y" * 5_000_000)


def lazy_import(environ, start_response):
    import colorsys
    import this_app_too

    return text(start_response, (colorsys.rgb_to_hsv(1, 1, 1), this_app_too.VALUE))


pages = {
    "closing": closing,
    "environment": lambda environ, start: text(start, (os.environ.get("SET_AT_IMPORT"), os.environ.get("PATH"), sys.argv)),
    "exc-info-after": exc_info_after,
    "exc-info-before": exc_info_before,
    "exits": exits,
    "file-wrapper": file_wrapper,
    "generator": generator,
    "kept-input": kept_input,
    "large-chunk": large_chunk,
    "large-errors": large_errors,
    "lazy-import": lazy_import,
    "leak": leak,
    "random": lambda environ, start: text(start, (random.random(), os.urandom(8).hex())),
    "raises": lambda environ, start: 1 / 0,
    "read": read,
    "read-all": read_all,
    "slow": slow,
    "types": types,
    "validated": validated,
    "validated-flask": validated_flask,
    "write-file": lambda environ, start: text(start, open("/0/new", "w")),
    "written": written,
    "wrong-types": wrong_types,
    "yields-text": yields_text,
}
