"""S40 to S54: the response's head."""

from . import NEW, OneOf, Where, case

PLAIN = ("Content-Type", "text/plain")
BAD_STATUSES = ("2000 OK", "20x OK", "1000 Odd", "200 O\r\nK", "200 O\nK", "200 OK\n", "200 OK\r\n", "200 \0", " 200 OK", "")
ODD_STATUSES = ("200", "099 Low", "600 High", "100 Continue")
BAD_NAMES = ("Bad Name", "X:", "", "X\n", "X\r\nY", "X\0", "\u20ac", "X(")
ODD_NAMES = ("X-", "X_", "Status")
BAD_VALUES = ("a\r\nb: c", "a\nb", "a\rb", "a\n", "a\r\n", "\0", "\x7f", "\x01", "\u20ac")
HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "TE", "Trailer", "Trailers", "Transfer-Encoding", "Upgrade")
BAD_LENGTHS = (["abc"], ["-1"], ["+5"], ["5, 5"], ["5", "5"], ["0x5"], [""])


def head(status, headers):
    return [("X-Head", ascii((status, headers)))]


def refuses(wire, label, status, headers):
    """It is refused, at the call or at the latest when it would be sent: the client gets a 500, or what the application answers to that."""
    reply = wire.ask("refused", headers=head(status, headers))
    yield label, OneOf((200, "raised"), (500, "refused")), (reply.status, reply.text if reply.status == 200 else "refused")


def accepts(wire):
    """What is right is not refused, or the rest would prove nothing."""
    reply = wire.ask("refused", headers=head("200 OK", [PLAIN, ("X-A", "b")]))
    yield "a good head", (200, "accepted"), (reply.status, reply.text)


def raises(wire, label, status, headers):
    """It is refused at the call, where the mistake is."""
    reply = wire.ask("refused", headers=head(status, headers))
    yield label, (200, "raised"), (reply.status, reply.text[:20])


@case("S40", "start_response takes two or three positional arguments, and returns write()")
def arguments(wire):
    yield "three", "callable", wire.ask("start-arguments").text


@case("S41", "an empty chunk does not send the head")
def empty_chunk(wire):
    yield "error behind one", 500, wire.ask("empty-then-raise").status
    yield "none behind one", (200, "ab"), (lambda reply: (reply.status, reply.text))(wire.ask("iterable"))


@case("S42", "start_response may be called in the first iteration")
def lazy(wire):
    reply = wire.ask("lazy")
    yield "answer", (202, "Lazy", "1", "lazy"), (reply.status, reply.reason, reply.header("X-Lazy"), reply.text)


@case("S43", "a second call without exc_info raises, even if the first one failed")
def twice(wire):
    yield "second call", "raised", wire.ask("started-twice").text
    yield "behind a failed one", "raised", wire.ask("started-again-after-an-error").text


@case("S44", "exc_info before the headers are sent replaces status and headers")
def replaced(wire):
    reply = wire.ask("replaced")
    yield "status", 503, reply.status
    yield "headers", (None, "1"), (reply.header("X-Old"), reply.header("X-New"))
    yield "body", ("new", True), (reply.text, reply.whole)


@case("S45", "exc_info after the headers were sent raises that exception, and the response is broken off")
def too_late(wire):
    token = wire.token()
    reply = wire.ask("too-late", headers=[("X-Note", token)])
    raised = Where("raised, whatever it is", lambda words: words[:1] == ["called"] and len(words) == 2 and words[1].startswith("raised"))
    yield "note", raised, wire.notes(token, lambda words: len(words) > 1)
    yield "status", 200, reply.status
    yield "body", Where("without `more`", lambda text: "more" not in text), reply.text
    if reply.framing == "chunked":
        yield "whole", (False, True), (reply.whole, reply.ended)


@case("S46", "no reference to exc_info is kept")
def exc_info(wire):
    yield "after the call", "forgotten", wire.ask("exc-info-kept").text


@case("S47", "a bad status is never sent")
def statuses(wire):
    yield from accepts(wire)
    for status in (*BAD_STATUSES, 200, b"200 OK", None):
        yield from refuses(wire, repr(status), status, [PLAIN])


@case("S47", "a bad or odd status raises at the call", level="SHOULD")
def statuses_at_the_call(wire):
    for status in (*BAD_STATUSES, *ODD_STATUSES, 200, b"200 OK", None):
        yield from raises(wire, repr(status), status, [PLAIN])


@case("S48", "headers that are no list of tuples of two str raise at the call", level="SHOULD")
def header_types(wire):
    for bad in ((PLAIN,), [list(PLAIN)], [("a",)], [("a", "b", "c")], [(b"a", "b")], [("a", b"b")], [("a", 1)], [("a", None)], None, {"a": "b"}):
        yield from raises(wire, repr(bad), "200 OK", bad)


@case("S49", "a bad name is never sent")
def names(wire):
    yield from accepts(wire)
    for name in BAD_NAMES:
        yield from refuses(wire, repr(name), "200 OK", [PLAIN, (name, "1")])


@case("S49", "a bad or odd name raises at the call", level="SHOULD")
def names_at_the_call(wire):
    for name in (*BAD_NAMES, *ODD_NAMES):
        yield from raises(wire, repr(name), "200 OK", [PLAIN, (name, "1")])


@case("S50", "a bad value raises at the call", level="SHOULD")
def values_at_the_call(wire):
    for value in BAD_VALUES:
        yield from raises(wire, repr(value), "200 OK", [PLAIN, ("X-A", value)])


@case("S50", "a bad value is never sent; others go out as latin-1")
def values(wire):
    yield from accepts(wire)
    for value in BAD_VALUES:
        yield from refuses(wire, repr(value), "200 OK", [PLAIN, ("X-A", value)])
    reply = wire.ask("headers", headers=head("200 OK", [PLAIN, ("X-A", "caf\xe9")]))
    yield "\xe9", "caf\xe9", reply.header("X-A")


@case("S51", "a hop-by-hop field raises at the call")
def hop_by_hop(wire):
    for name in HOP_BY_HOP:
        yield from raises(wire, name, "200 OK", [PLAIN, (name, "x")])


@case("S52", "a bad or second Content-Length is never sent")
def lengths(wire):
    yield from accepts(wire)
    for values in BAD_LENGTHS:
        yield from refuses(wire, " and ".join(map(repr, values)), "200 OK", [PLAIN, *(("Content-Length", value) for value in values)])


@case("S53", "repeated headers and the reason survive")
def repetitions(wire):
    cookies = [("Set-Cookie", "a=1"), ("X-B", "1"), ("Set-Cookie", "b=2")]
    reply = wire.ask("headers", headers=head("299 Quite Odd", [PLAIN, *cookies]))
    yield "status", (299, "Quite Odd"), (reply.status, reply.reason)
    yield "cookies", ["a=1", "b=2"], reply.all("Set-Cookie")


@case("S54", "the server adds Date and Server, and how the body ends")
def added(wire):
    reply = wire.ask("hello")
    yield "Date", 1, len(reply.all("Date"))
    yield "Server", OneOf(0, 1), len(reply.all("Server"))
    yield "framing", Where("one of them", lambda framing: framing in ("length", "chunked", "close")), reply.framing


@case("S72", "wsgi.early_hints sends 103, and checks like start_response", NEW)
def hints(wire):
    reply = wire.ask("hints")
    if reply.status == 501:
        return
    yield "interim", [(103, [("link", "</style.css>; rel=preload")])], [(s, [(n.lower(), v) for n, v in h]) for s, h in reply.interim]
    yield "bad ones raise", [True, True, True], reply.json
