"""Stock WSGI code in Python, page by page: what PEP 3333 lets an application do and see."""

import hashlib
import io
import os
import random
import sys
import time
from wsgiref.handlers import format_date_time
from wsgiref.headers import Headers
from wsgiref.simple_server import demo_app
from wsgiref.util import FileWrapper, application_uri, guess_scheme, is_hop_by_hop, request_uri, setup_testing_defaults, shift_path_info
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


def demo(environ, start_response):
    return demo_app(environ, start_response)


def wsgirefs_tools(environ, start_response):
    segment, plain = shift_path_info(environ), {}
    setup_testing_defaults(plain)
    headers = Headers([("Content-Type", "text/plain")])
    headers.add_header("Content-Disposition", "attachment", filename="a.txt")
    pieces = list(FileWrapper(io.BytesIO(b"abcdef"), 4))
    told = (segment, application_uri(environ), request_uri(environ), guess_scheme(environ), is_hop_by_hop("TE"), plain["REQUEST_METHOD"])
    return text(start_response, (*told, headers["content-disposition"], pieces, format_date_time(0)))


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


def told(start_response, action):
    try:
        return text(start_response, action())
    except OSError as error:
        return text(start_response, f"OSError {error.errno}" if type(error) is OSError else type(error).__name__)
    except Exception as error:
        return text(start_response, type(error).__name__)


def named(environ):
    path, _, value = environ["QUERY_STRING"].partition("=")
    return path, value


def store(path, data, mode="wb"):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, mode) as file:
        file.write(data)
    return "ok"


def fetch(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def rename(path, target):
    os.rename(path, target)
    return "ok"


def remove(path):
    os.remove(path)
    return "ok"


def database(environ, start_response):
    import sqlite3

    def create():
        db.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, money INTEGER NOT NULL)")
        db.execute("CREATE TABLE log (writer TEXT)")
        db.executemany("INSERT INTO account VALUES (?, ?)", [(1, 500), (2, 500), (3, 0)])
        db.commit()
        return "created"

    def transfer():
        db.execute("BEGIN IMMEDIATE")
        (count,) = db.execute("SELECT money FROM account WHERE id = 3").fetchone()
        db.execute("UPDATE account SET money = money - 1 WHERE id = 1")
        # The others run now, and wait.
        time.sleep(0.002)
        db.execute("UPDATE account SET money = money + 1 WHERE id = 2")
        db.execute("UPDATE account SET money = ? WHERE id = 3", (count + 1,))
        db.execute("INSERT INTO log VALUES (?)", (environ["QUERY_STRING"],))
        db.commit()
        return "transferred"

    def die():
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE account SET money = 0")
        db.execute("DELETE FROM log")
        # Enough of it to be written to disk before the end.
        db.execute("PRAGMA cache_size = 1")
        db.executemany("INSERT INTO log VALUES (?)", [("x" * 4000,)] * 100)
        os._exit(1)

    def check():
        whole = db.execute("PRAGMA integrity_check").fetchone()[0]
        (money,) = db.execute("SELECT SUM(money) FROM account WHERE id < 3").fetchone()
        (count,) = db.execute("SELECT money FROM account WHERE id = 3").fetchone()
        (logged,) = db.execute("SELECT COUNT(*) FROM log").fetchone()
        return f"{whole} {count if count == logged else (count, logged)} {money}"

    def own():
        other = sqlite3.connect("own.db", timeout=30)
        other.execute("CREATE TABLE IF NOT EXISTS t (x)")
        other.execute("INSERT INTO t VALUES (1)")
        other.commit()
        return other.execute("SELECT COUNT(*) FROM t").fetchone()[0]

    name = environ["PATH_INFO"].rpartition("/")[2]
    if name == "own":
        return told(start_response, own)
    db = sqlite3.connect("/data/bank.db", timeout=30)
    return told(start_response, {"create": create, "transfer": transfer, "die": die, "check": check}[name])


def hashing(environ, start_response):
    def errors():
        raised = []
        for call in (
            lambda: hashlib.pbkdf2_hmac("sha3", b"", b"", 1),
            lambda: hashlib.pbkdf2_hmac("sha256", "text", b"", 1),
            lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 0),
            lambda: hashlib.scrypt(b"", salt=b"", n=3, r=8, p=1),
            lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 40),
        ):
            try:
                call()
            except Exception as error:
                raised.append(type(error).__name__)
        return " ".join(raised)

    def keys():
        one = hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1)
        two = hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1, maxmem=64 << 20, dklen=32)
        three = hashlib.pbkdf2_hmac("SHA512", b"\xff\x00", b"\x80", 7, 20)
        return f"{one.hex()} {two.hex()} {three.hex()}"

    page = {
        "hashing": keys,
        "errors": errors,
        "long": lambda: hashlib.pbkdf2_hmac("sha256", b"p", b"s", 600_000).hex(),
        "forever": lambda: hashlib.pbkdf2_hmac("sha256", b"p", b"s", 4_000_000_000).hex(),
    }[environ["PATH_INFO"].rpartition("/")[2]]
    return text(start_response, page())


def zone(environ, start_response):
    from datetime import datetime, timezone
    from zoneinfo import ZoneInfo

    summer = datetime(2026, 7, 1, 12, tzinfo=timezone.utc).astimezone(ZoneInfo("Europe/Paris"))
    winter = datetime(2026, 1, 1, 12, tzinfo=timezone.utc).astimezone(ZoneInfo("America/New_York"))
    return text(start_response, f"{summer.isoformat()} {winter.tzname()}")


def with_asyncio(environ, start_response):
    import asyncio

    async def square(number):
        await asyncio.sleep(0.001 * (3 - number))
        return number * number

    async def main():
        task = asyncio.create_task(square(3))
        return await asyncio.gather(*map(square, range(3))), await asyncio.wait_for(task, 5)

    squares, nine = asyncio.run(main())
    return text(start_response, f"{squares} {nine}")


def thread(environ, start_response):
    import threading

    try:
        threading.Thread(target=print).start()
    except RuntimeError as error:
        return text(start_response, f"RuntimeError: {error}")


def instance(environ, start_response, seen=[]):
    seen.append(1)
    return text(start_response, len(seen))


def body(environ, start_response):
    data = b"x" * 10_000
    start_response("200 OK", [("Content-Length", "10000")])
    return [data]


pages = {
    "asyncio": with_asyncio,
    "hashing": hashing,
    "instance": instance,
    "thread": thread,
    "zone": zone,
    "append": lambda environ, start: told(start, lambda: store(named(environ)[0], bytes(int(named(environ)[1])), "ab")),
    "body": body,
    "database": database,
    "fetch": lambda environ, start: told(start, lambda: fetch(environ["QUERY_STRING"])),
    "fill": lambda environ, start: told(start, lambda: store(named(environ)[0], bytes(int(named(environ)[1])))),
    "rename": lambda environ, start: told(start, lambda: rename(*named(environ))),
    "remove": lambda environ, start: told(start, lambda: remove(environ["QUERY_STRING"])),
    "store": lambda environ, start: told(start, lambda: store(named(environ)[0], named(environ)[1].encode())),
    "closing": closing,
    "demo": demo,
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
    "wsgirefs-tools": wsgirefs_tools,
    "wrong-types": wrong_types,
    "yields-text": yields_text,
}
