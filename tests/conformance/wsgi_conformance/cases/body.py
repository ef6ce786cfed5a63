"""S55 to S71: the response's body, from the iterable to the wire."""

import pathlib

from .. import app
from . import NEW, OneOf, Unasked, Where, case


@case("S55", "an item that is no bytes is an error")
def item_types(wire):
    for items in (["text"], [None], [1], [b"a", "text"]):
        reply = wire.ask("items", headers=[("X-Items", ascii(items))])
        expected = Where("500, or broken off", lambda told: told[0] == 500 or told[0] in (0, 200) and told[1] in ("", "a") and not told[2] and told[3])
        yield repr(items), expected, (reply.status, reply.text, reply.whole and reply.framing != "close", reply.ended)


@case("S57", "write() sends before what is yielded, and takes bytes only")
def write(wire):
    reply = wire.ask("writes")
    yield "order", (200, "written yielded"), (reply.status, reply.text)
    yield "text", "raised", wire.ask("writes-text").text


@case("S58", "one chunk of an iterable of length 1 gives the Content-Length")
def single(wire):
    reply = wire.ask("single")
    yield "answer", (["9"], "one chunk"), (reply.all("Content-Length"), reply.text)


@case("S59", "a body without Content-Length is chunked, in HTTP/1.1 only, or ends with the connection; also an empty one")
def framing(wire):
    reply = wire.ask("chunks", keep=True)
    yield "answer", ("two chunks", True), (reply.text, reply.whole)
    yield "framing", OneOf("chunked", "close") if wire.version == "1.1" else "close", reply.framing
    for items in ([], [b"", b""]):
        reply = wire.ask("items", headers=[("X-Items", ascii(items))])
        yield repr(items), (200, "", True), (reply.status, reply.text, reply.whole)


@case("S59", "in HTTP/1.1 it is chunked, so that the connection can be kept", NEW, level="SHOULD")
def chunked(wire):
    yield "framing", "chunked", wire.ask("chunks", keep=True).framing


@case("S60", "no more than Content-Length is sent")
def too_long(wire):
    with wire.connect() as connection:
        connection.send(wire.request("too-long", keep=True))
        reply = connection.reply()
        connection.receive(seconds=0.3)
        yield "body", ("abcd", b""), (reply.text, connection.received)
    token = wire.token()
    with wire.connect() as connection:
        connection.send(wire.request("writes-too-much", headers=[("X-Note", token)], keep=True))
        reply = connection.reply()
        connection.receive(seconds=0.3)
        yield "written", OneOf(("abcd", b""), ("", b"")) if reply.status == 200 else (reply.text, b""), (reply.text, connection.received)
    yield "write()", ["called", "raised"], wire.notes(token, lambda words: len(words) > 1)


@case("S61", "fewer than Content-Length: the connection is closed at once")
def too_short(wire):
    with wire.connect() as connection:
        connection.send(wire.request("too-short", keep=True))
        yield "closed within 2 s", True, connection.receive(seconds=2)
        yield "answer", Where("an error, or `abcd`", lambda data: data[9:10] == b"5" or data.endswith(b"\r\n\r\nabcd")), connection.received


@case("S62", "HEAD has no body, and the iterable is closed")
def head(wire):
    token = wire.token()
    for behaviour in ("iterable-of-length", "iterable", "chunks", "single"):
        with wire.connect() as connection:
            connection.send(wire.request(behaviour, "HEAD", headers=[("X-Note", token)] if behaviour == "iterable-of-length" else [], keep=True))
            reply = connection.reply(head_only=True)
            connection.receive(seconds=0.3)
            yield f"{behaviour}: status", 200, reply.status
            yield f"{behaviour}: body", b"", connection.received
            if behaviour == "iterable-of-length":
                yield "Content-Length", ["4"], reply.all("Content-Length")
    yield "closed", True, "closed" in wire.notes(token, lambda words: "closed" in words)


@case("S63", "204, 205 and 304 have no body; 204 neither Transfer-Encoding nor Content-Length")
def no_body(wire):
    for status in (204, 205, 304):
        with wire.connect() as connection:
            connection.send(wire.request("status", target=f"/?{status}+Nothing", keep=True))
            connection.receive(lambda data: b"\r\n\r\n" in data)
            connection.receive(seconds=0.3)
            lines, _, body = connection.received.partition(b"\r\n\r\n")
            yield f"{status}: status", str(status).encode(), lines[9:12]
            names = [line.split(b":")[0].lower() for line in lines.split(b"\r\n")[1:]]
            yield f"{status}: body", OneOf(b"", b"0\r\n\r\n") if status == 205 else b"", body
            if status == 204:
                with_length = wire.ask("status", target="/?204+Nothing", headers=[("X-Length", "1")])
                yield "204: a Content-Length of the application", [], with_length.all("Content-Length")
            forbidden = {204: [b"transfer-encoding", b"content-length"], 205: [], 304: []}[status]
            yield f"{status}: headers", [], [name for name in names if name in forbidden]


@case("S64", "an exception in the body breaks the response off, so that a client can tell", NEW)
def broken_body(wire):
    reply = wire.ask("iterable-that-raises", keep=True)
    if reply.framing == "close":
        raise Unasked("its bodies end with the connection")
    yield "whole", (200, False, True), (reply.status, reply.whole, reply.ended)


@case("S65", "an exception before the head is 500, and says nothing of the application")
def raised(wire):
    reply = wire.ask("raises")
    yield "status", 500, reply.status
    yield "body", Where("no traceback", lambda text: "secret" not in text and "Traceback" not in text and "app.py" not in text), reply.text


@case("S66", "a body without start_response is 500")
def never_started(wire):
    reply = wire.ask("never-started")
    expected = Where("an error, or nothing at all", lambda told: 500 <= told[0] < 600 or told == (0, "", True))
    yield "answer", expected, (reply.status, reply.text if reply.status < 500 else "", reply.ended)


@case("S67", "close() is called once, whatever ended the response")
def closed(wire):
    ways = ("iterable", "GET"), ("iterable", "HEAD"), ("iterable-of-length", "GET"), ("iterable-that-is-too-long", "GET")
    for behaviour, method in (*ways, ("iterable-that-raises", "GET"), ("iterable-that-raises-first", "GET")):
        token = wire.token()
        wire.ask(behaviour, method, headers=[("X-Note", token)])
        words = wire.notes(token, lambda words: "closed" in words)
        yield f"{method} {behaviour}", 1, words.count("closed")
    token = wire.token()
    with wire.connect() as connection:
        connection.send(wire.request("endless", headers=[("X-Note", token)]))
        connection.receive(lambda data: len(data) > 1000)
    yield "a client that leaves", 1, wire.notes(token, lambda words: "closed" in words).count("closed")


@case("S67", "close() that raises does not spoil the connection")
def close_raises(wire):
    with wire.connect() as connection:
        connection.send(wire.request("close-raises", keep=True))
        yield "first", "ok", connection.reply().text
        connection.send(wire.request("hello", keep=True))
        second = connection.reply(seconds=2)
        yield "second", OneOf(("hello", True), ("", True)), (second.text, bool(second.status) or connection.closed)
    yield "another connection", "hello", wire.ask("hello").text


@case("S69", "of the iterable only its iterator, its length and close() are used")
def attributes(wire):
    token = wire.token()
    wire.ask("iterable", headers=[("X-Note", token)])
    words = wire.notes(token, lambda words: "closed" in words)
    yield "closed", True, "closed" in words
    yield "others", [], [word for word in words if word.startswith("asked for")]


@case("S70", "wsgi.file_wrapper sends from the file's place to its end, and closes it")
def file_wrapper(wire):
    token = wire.token()
    reply = wire.ask("file-wrapper", headers=[("X-Note", token)])
    if reply.status == 501:
        return
    yield "body", b"0123456789" * 2000 == b"01234" + reply.body, True
    yield "closed", 1, wire.notes(token, lambda words: "closed" in words).count("closed")
    source = pathlib.Path(app.__file__).read_bytes()
    yield "a real file", True, wire.ask("real-file").body == source[5:]
    reply = wire.ask("file-wrapper-of-length")
    yield "with a length", ("0123456", ["7"]), (reply.text, reply.all("Content-Length"))


@case("S71", "what no application was asked is answered by the server")
def by_the_server(wire):
    token = wire.token()
    reply = wire.raw(f"GET / HTTP/{wire.version}\r\nHost: a\r\nX-Note: {token}\r\nBad Name: 1\r\n\r\n".encode())
    yield "status", 400, reply.status
    yield "calls", [], wire.notes(token)
