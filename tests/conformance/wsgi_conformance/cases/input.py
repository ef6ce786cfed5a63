"""S31 to S39: wsgi.input."""

import io
import time

from ..app import play
from . import NEW, BOTH, OneOf, Where, case

LINES = b"one\ntwo\r\n\nthree\rfour\nlast"
READS = ("read:4 read:0 read:3 read:1000 read:5", "read:1000 read:1")
READS_TO_THE_END = ("read", "read:-1", "read:None", "read:3 read read read:5")
LINE_READS = ("readline readline readline",)
SIZED_LINES = ("readline:2 readline:100 readline", "readline:0 readline:-1")
LISTS = ("readlines", "iter", "next next read:2 iter")
HINTED = ("readlines:3 read", "readlines:1 readline read")
MIXES = ("read:2 readline next read:1 readlines", "readline read:3 iter read:9")


def bodies(wire, data):
    yield "length", [], data
    if wire.version == "1.1":
        half = len(data) // 2
        chunks = [data[:half], data[half:]] if data else []
        yield "chunked", [("Transfer-Encoding", "chunked")], b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def compare(wire, scripts):
    for script in scripts:
        for label, headers, body in bodies(wire, LINES):
            reply = wire.ask("input", "POST", headers=[("X-Script", script), *headers], body=body)
            yield f"{script} ({label})", play(io.BytesIO(LINES), script), (reply.json or [None])[0]
        reply = wire.ask("input", headers=[("X-Script", script)])
        yield f"{script} (no body)", play(io.BytesIO(), script), (reply.json or [None])[0]


@case("S31", "read(n) up to n and never past the body, read(0) nothing, the end stays the end")
def read(wire):
    yield from compare(wire, READS)


@case("S31", "read() without an argument reads to the end", level="SHOULD")
def read_to_the_end(wire):
    yield from compare(wire, READS_TO_THE_END)


@case("S32", "readline() keeps line ends")
def readline(wire):
    yield from compare(wire, LINE_READS)


@case("S32", "readline(n) stops at n", level="SHOULD")
def sized(wire):
    yield from compare(wire, SIZED_LINES)


@case("S33", "readlines() and iteration yield lines")
def lines(wire):
    yield from compare(wire, LISTS)


@case("S33", "readlines(hint) may return more lines than the hint asks for, and loses none")
def hinted(wire):
    for script in HINTED:
        for label, headers, body in bodies(wire, LINES):
            reply = wire.ask("input", "POST", headers=[("X-Script", script), *headers], body=body)
            told = (reply.json or [[]])[0]
            yield f"{script} ({label})", LINES.decode(), "".join("".join(part) for part in told)


@case("S34", "any mix of them sees one stream")
def mixed(wire):
    yield from compare(wire, MIXES)


CHUNKED = [("Transfer-Encoding", "chunked")]


@case("S35", "a chunked body that breaks off, or is malformed, is never a clean end", NEW)
def broken(wire):
    token = wire.token()
    wire.ask("broken-input", "POST", headers=[("X-Note", token), *CHUNKED], body=b"2\r\nab\r\n0\r\n\r\n")
    yield "a whole one", ["called", "ended after 2"], wire.notes(token, lambda words: len(words) > 1)
    bad = [("chunk breaks off", CHUNKED, b"5\r\nab"), ("no last chunk", CHUNKED, b"2\r\nab\r\n"), ("bad chunk", CHUNKED, b"2\r\nab\r\nxyz\r\n\r\n")]
    yield from never_ends(wire, bad)


@case("S35", "a body that is shorter than its length is never a clean end", BOTH, level="SHOULD")
def too_short(wire):
    token = wire.token()
    wire.ask("broken-input", "POST", headers=[("X-Note", token)], body=b"ab")
    yield "a whole one", ["called", "ended after 2"], wire.notes(token, lambda words: len(words) > 1)
    yield from never_ends(wire, [("length", [("Content-Length", "10")], b"abc")])


def never_ends(wire, bad):
    for label, headers, body in bad:
        token = wire.token()
        with wire.connect() as connection:
            connection.send(wire.request("broken-input", "POST", headers=[("X-Note", token), *headers], body=body))
            connection.finish()
            connection.receive(seconds=1)
        # A server that asks its application only for whole bodies has nothing to note.
        words = wire.notes(token, lambda words: len(words) > 1, seconds=0.5)
        yield label, Where("not a clean end", lambda words: not any(word.startswith("ended") for word in words)), words


@case("S36", "the application can read the beginning of a body whose end has not come")
def streamed(wire):
    with wire.connect() as connection:
        connection.send(wire.request("first-byte", "POST", headers=[("Content-Length", "1000")], body=b"x"))
        yield "answer", "x", connection.reply(seconds=2).text


@case("S37", "a body above the limit is refused before the application is called")
def too_large(wire):
    token = wire.token()
    with wire.connect() as connection:
        connection.send(wire.request("echo", "POST", headers=[("X-Note", token), ("Content-Length", "1000000000000000")], body=b""))
        yield "status", 413, connection.reply(seconds=2).status
    yield "calls", [], wire.notes(token)


@case("S38", "what is left of a body is never taken for a request")
def unread(wire):
    smuggled = wire.request("hello", keep=True)
    for label, headers, body in bodies(wire, smuggled):
        token = wire.token()
        with wire.connect() as connection:
            connection.send(wire.request("unread", "POST", headers=[("X-Note", token), *headers], body=body, keep=True))
            first = connection.reply()
            connection.send(wire.request("unread", headers=[("X-Note", token)], keep=True))
            second = connection.reply(seconds=2)
            yield f"first ({label})", "not read", first.text
            yield f"second ({label})", OneOf(("not read", True), ("", True)), (second.text, bool(second.status) or connection.closed)
            yield f"behind ({label})", Where("nothing of hello", lambda data: b"hello" not in data), connection.received


@case("S39", "100 Continue is sent to a client of HTTP/1.1, once, and to no other")
def expect_continue(wire):
    expects = [("Expect", "100-continue"), ("Content-Length", "5")]
    with wire.connect() as connection:
        connection.send(wire.request("echo", "POST", headers=expects, body=b""))
        if wire.version == "1.1":
            connection.receive(lambda data: b"\r\n\r\n" in data, 2)
            yield "interim", True, connection.received.startswith(b"HTTP/1.1 100 ")
        connection.send(b"hello")
        reply = connection.reply()
        yield "echo", (200, "hello"), (reply.status, reply.text)
        yield "interims", 1 if wire.version == "1.1" else 0, len(reply.interim)


@case("S39", "an application that answers without the body sends no 100 Continue", level="SHOULD")
def not_continued(wire):
    with wire.connect() as connection:
        connection.send(wire.request("unread", "POST", headers=[("Expect", "100-continue"), ("Content-Length", "5")], body=b""))
        reply = connection.reply(seconds=2)
        yield "answer", (200, []), (reply.status, reply.interim)


@case("S39", "another expectation is 417", NEW, level="SHOULD")
def other_expectation(wire):
    yield "status", 417, wire.ask("echo", "POST", headers=[("Expect", "200-ok")], body=b"hello").status


@case("S56", "a chunk is sent before the next one is asked for")
def sent_at_once(wire):
    for behaviour in ("slow", "slow-write"):
        with wire.connect() as connection:
            connection.send(wire.request(behaviour))
            connection.receive(lambda data: b"first" in data)
            first = time.monotonic()
            connection.receive(lambda data: b"second" in data)
            yield f"{behaviour}: both came", True, b"first" in connection.received and b"second" in connection.received
            yield f"{behaviour}: between them", Where("at least half a second", lambda seconds: seconds >= 0.5), round(time.monotonic() - first, 2)
