"""S73 to S83: where messages begin and end (RFC 9112). What could be understood in two ways is refused, and nothing behind it is served."""

import time

from . import BOTH, NEW, OneOf, Unasked, Where, case

REFUSED = OneOf(400, 411, 413, 501)


def refused(wire, requests, expected=REFUSED, version=None):
    """Each is refused, the connection closes, and the request behind it is not served."""
    for label, lines, body in requests:
        token = wire.token()
        start = lines if isinstance(lines, bytes) else b""
        data = start or f"POST / HTTP/{version or wire.version}\r\nHost: a\r\nX-Case: echo\r\n{lines}\r\n".encode("latin-1")
        behind = wire.request("hello", headers=[("X-Note", token)], keep=True)
        with wire.connect() as connection:
            connection.send(data + body + behind)
            reply = connection.reply(seconds=2)
            yield label, expected, reply.status
            yield f"{label}: closed", True, connection.is_closed(seconds=2)
        yield f"{label}: served behind it", [], wire.notes(token)


BOTH_LENGTHS = [
    ("length first", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
    ("coding first", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n"),
]


@case("S73", "behind Content-Length beside Transfer-Encoding nothing is served", NEW)
def closed_behind_both(wire):
    yield from refused(wire, BOTH_LENGTHS, OneOf(200, 400, 411, 413, 501))


@case("S73", "Content-Length beside Transfer-Encoding is refused", NEW, level="SHOULD")
def length_and_coding(wire):
    yield from refused(wire, BOTH_LENGTHS)


@case("S74", "a Content-Length that is repeated alike, or that no body can have, is refused", level="SHOULD")
def repeated_lengths(wire):
    yield from refused(wire, [("too large", "Content-Length: 99999999999999999999999\r\n", b"hello"), ("two alike", "Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), ("5, 5", "Content-Length: 5, 5\r\n", b"hello")])


@case("S74", "several or bad Content-Length")
def lengths(wire):
    values = ["+5", "-5", "0x5", "5_0", "5 5", "abc", "", "5;", "\xa05"]
    yield from refused(wire, [(value, f"Content-Length: {value}\r\n", b"hello") for value in values])
    yield from refused(wire, [("two", "Content-Length: 5\r\nContent-Length: 6\r\n", b"hello")])


@case("S74", "a Content-Length that is too large is not taken for another", NEW)
def overflows(wire):
    for length in ("99999999999999999999999", "18446744073709551621"):
        token = wire.token()
        with wire.connect() as connection:
            headers = [("Content-Length", length), ("X-Note", token)]
            connection.send(wire.request("broken-input", "POST", headers=headers, body=b"hello", keep=True) + wire.request("hello", keep=True))
            connection.receive(lambda data: b"HTTP/1.1 " in data, 1)
            yield length, Where("no answer to either", lambda data: b" 200 " not in data), connection.received
        yield f"{length}: the body ended", [], [word for word in wire.notes(token) if word.startswith("ended")]


@case("S75", "Transfer-Encoding that is not `chunked`", NEW)
def codings(wire):
    values = ["identity", "xchunked", "chunked, identity", "", "\x0bchunked", "\xa0chunked"]
    yield from refused(wire, [(value, f"Transfer-Encoding: {value}\r\n", b"0\r\n\r\n") for value in values])
    yield from refused(wire, [("two", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", b"0\r\n\r\n")])


@case("S75", "codings beside `chunked` are refused", NEW, level="SHOULD")
def other_codings(wire):
    yield from refused(wire, [(value, f"Transfer-Encoding: {value}\r\n", b"0\r\n\r\n") for value in ("gzip, chunked", "chunked, chunked", "chunked;q=1")])


@case("S76", "behind Transfer-Encoding in HTTP/1.0 nothing is served", ("1.0",))
def closed_behind_coding(wire):
    yield from refused(wire, [("chunked", "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n")], OneOf(200, 400, 411, 413, 501))


@case("S76", "Transfer-Encoding in HTTP/1.0 is refused", ("1.0",), level="SHOULD")
def coding_in_old(wire):
    yield from refused(wire, [("chunked", "Transfer-Encoding: chunked\r\n", b"0\r\n\r\n")])


@case("S77", "a chunk's size is hex digits; lines end with CRLF", NEW)
def chunk_sizes(wire):
    bad = [b"+5\r\nhello", b"-5\r\nhello", b"0x5\r\nhello", b"5_0\r\nhello", b" 5\r\nhello", b"5 \r\nhello", b"\r\nhello", b";x\r\nhello", b"5\nhello", b"5\r\nhelloXX"]
    bad += [b"5;a\nb\r\nhello", b"5;a\rb\r\nhello"]
    for chunk in bad:
        token = wire.token()
        with wire.connect() as connection:
            headers = [("Transfer-Encoding", "chunked"), ("X-Note", token)]
            connection.send(wire.request("broken-input", "POST", headers=headers, body=chunk + b"\r\n0\r\n\r\n", keep=True))
            connection.send(wire.request("hello", keep=True))
            reply = connection.reply(seconds=2)
            label = repr(chunk[:20])
            yield f"{label}: status", Where("not 200", lambda status: status != 200), reply.status
            yield f"{label}: closed", True, connection.is_closed(seconds=2)
        yield f"{label}: the body ended", [], [word for word in wire.notes(token) if word.startswith("ended")]
    for chunk in (b"0005\r\nhello\r\n", b"5;a=b;c=\"d e\"\r\nhello\r\n", b"2\r\nhe\r\n3\r\nllo\r\n"):
        reply = wire.ask("echo", "POST", headers=[("Transfer-Encoding", "chunked")], body=chunk + b"0\r\n\r\n")
        yield repr(chunk[:20]), (200, "hello"), (reply.status, reply.text)


@case("S78", "trailers never become variables, and never frame", NEW)
def trailers(wire):
    with wire.connect() as connection:
        body = b"2\r\nhi\r\n0\r\nX-Trailer: 1\r\nX-Case: hello\r\n\r\n"
        connection.send(wire.request("echo", "POST", headers=[("Transfer-Encoding", "chunked")], body=body, keep=True))
        yield "dropped", "hi", connection.reply().text
        connection.send(wire.request("environ", keep=True))
        environ = (connection.reply().json or {}).get("environ", {})
        yield "next request", False, "HTTP_X_TRAILER" in environ
    body = b"2\r\nhi\r\n0\r\nX-Trailer: 1\r\n\r\n"
    told, _ = wire.environ(refusable=True, method="POST", headers=[("Transfer-Encoding", "chunked")], body=body)
    yield "not of the same request", False, "HTTP_X_TRAILER" in (told or {})
    for trailer in (b"Content-Length: 50\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: evil\r\n"):
        with wire.connect() as connection:
            headers = [("Transfer-Encoding", "chunked")]
            connection.send(wire.request("echo", "POST", headers=headers, body=b"2\r\nhi\r\n0\r\n" + trailer + b"\r\n", keep=True))
            connection.send(wire.request("environ", keep=True))
            first, second = connection.reply(seconds=2), connection.reply(seconds=2)
            host = ((second.json or {}).get("environ", {}).get("HTTP_HOST") or ["", wire.authority])[1]
            yield trailer.decode().strip(), (OneOf(200, 400), wire.authority, True), (first.status, host, second.status == 200 or connection.closed)


@case("S79", "a blank before the colon is refused")
def blank_before_the_colon(wire):
    head = f"GET / HTTP/{wire.version}\r\nHost: a\r\nX : 1\r\n\r\n".encode()
    yield from refused(wire, [("blank", head, b"")], expected=400)


@case("S79", "a bare CR, a NUL and a folded line never reach the application as they are")
def never_raw(wire):
    for text in ("1\r2", "1\02", "1\r\n 2"):
        told, _ = wire.environ(refusable=True, headers=[("X-A", text)])
        value = (told or {}).get("HTTP_X_A", ["", ""])[1]
        yield repr(text), Where("refused, or replaced", lambda value: not set(value) & set("\r\n\0")), value


@case("S79", "bare LF, bare CR, NUL, folded lines, and lines that are no fields are refused", level="SHOULD")
def line_ends(wire):
    version = f"HTTP/{wire.version}".encode()
    lines = [
        ("bare LF", b"GET / " + version + b"\nHost: a\n\n"),
        ("bare LF behind a field", b"GET / " + version + b"\r\nHost: a\nX: 1\r\n\r\n"),
        ("bare CR in a field", b"GET / " + version + b"\r\nHost: a\r\nX: 1\r2\r\n\r\n"),
        ("NUL in a field", b"GET / " + version + b"\r\nHost: a\r\nX: \0\r\n\r\n"),
        ("NUL in the target", b"GET /\0 " + version + b"\r\nHost: a\r\n\r\n"),
        ("folded line", b"GET / " + version + b"\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n"),
        ("first line folded", b"GET / " + version + b"\r\n Host: a\r\nHost: a\r\n\r\n"),
        ("no name", b"GET / " + version + b"\r\nHost: a\r\n: 1\r\n\r\n"),
        ("no colon", b"GET / " + version + b"\r\nHost: a\r\nX\r\n\r\n"),
        ("DEL in a field", b"GET / " + version + b"\r\nHost: a\r\nX: \x7f\r\n\r\n"),
    ]
    yield from refused(wire, [(label, head, b"") for label, head in lines], expected=400)


@case("S80", "one valid Host; an absolute target overrides it", NEW)
def host(wire):
    cases = [("none", b"GET / HTTP/1.1\r\n\r\n"), ("two", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")]
    cases += [("blank", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), ("user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), ("path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")]
    for label, data in cases:
        yield label, 400, wire.raw(data, seconds=2).status
    reply = wire.raw(b"GET http://b.test:81/x?y HTTP/1.1\r\nHost: a.test\r\nX-Case: environ\r\nConnection: close\r\n\r\n")
    environ = (reply.json or {}).get("environ", {})
    told = [environ.get(name, ["", None])[1] for name in ("HTTP_HOST", "PATH_INFO", "QUERY_STRING")]
    yield "absolute target", ["b.test:81", "/x", "y"], told


@case("S81", "`*` is for OPTIONS, authority-form for CONNECT, which is refused; a target is ASCII", BOTH, level="SHOULD")
def targets(wire):
    def status(line):
        return wire.raw(f"{line} HTTP/{wire.version}\r\nHost: a\r\nX-Case: hello\r\n\r\n".encode("latin-1"), seconds=2).status

    yield "OPTIONS *", OneOf(200, 204, 400, 404, 405, 501), status("OPTIONS *")
    yield "GET *", 400, status("GET *")
    yield "GET a.test:80", 400, status("GET a.test:80")
    yield "GET a/b", 400, status("GET a/b")
    yield "CONNECT a.test:80", OneOf(400, 405, 501), status("CONNECT a.test:80")
    yield "GET /\xe9", 400, status("GET /\xe9")
    yield "GET /a b", 400, status("GET /a b")
    yield "HTTP/2.0", OneOf(400, 505), wire.raw(b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", seconds=2).status


@case("S82", "the request line, a field, their number and all of them have limits")
def limits(wire):
    def status(target="/", fields=""):
        return wire.raw(f"GET {target} HTTP/{wire.version}\r\nHost: a\r\nX-Case: hello\r\n{fields}\r\n".encode(), seconds=2).status

    too_large = OneOf(400, 413, 414, 431)
    yield "line of 2 MB", too_large, status("/" + "x" * 2_000_000)
    yield "field of 2 MB", too_large, status(fields=f"X: {'x' * 2_000_000}\r\n")
    yield "300 000 fields", too_large, status(fields="X: 1\r\n" * 300_000)
    yield "head of 2 MB", too_large, status(fields=f"X: {'x' * 4000}\r\n" * 500)


@case("S82", "a head that does not come, and a connection without requests, are given up")
def clocks(wire):
    if wire.clock is None:
        raise Unasked("it was not said how long the server waits (--clock)")
    for label, sent in (("half a head", b"GET / HTTP/1.1\r\nHost: a\r\n"), ("nothing", b""), ("after an answer", wire.request("hello", keep=True, version="1.1"))):
        with wire.connect() as connection:
            connection.send(sent)
            start = time.monotonic()
            yield label, True, connection.receive(seconds=wire.clock + 2)
            yield f"{label}: seconds", Where(f"at most {wire.clock + 1}", lambda seconds: seconds <= wire.clock + 1), round(time.monotonic() - start, 1)


@case("S83", "behind a refused request the connection closes, and nothing is served")
def closes(wire):
    token = wire.token()
    good = wire.request("hello", keep=True)
    with wire.connect() as connection:
        connection.send(good + f"GET / HTTP/{wire.version}\r\nBad Name: 1\r\nHost: a\r\n\r\n".encode() + wire.request("hello", headers=[("X-Note", token)], keep=True))
        yield "first", "hello", connection.reply().text
        yield "second", OneOf(400, 0), connection.reply(seconds=2).status
        yield "closed", True, connection.is_closed(seconds=2)
    yield "served behind it", [], wire.notes(token)
