"""Raw sockets: what is sent, byte for byte, and what comes back, understood strictly."""

import json
import re
import secrets
import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .cases import Stalled, Unanswered

# Requests of a case that are left without an answer, before the case is given up.
STALLS = 3


@dataclass
class Reply:
    """One response. ``whole`` says that its body ended where it had to; ``closed`` that the connection ended in order, ``ended`` that it did in any
    way; ``rest`` is what came behind."""

    raw: bytes
    status: int = 0
    reason: str = ""
    version: str = ""
    headers: list = field(default_factory=list)
    body: bytes = b""
    whole: bool = False
    closed: bool = False
    rest: bytes = b""
    ended: bool = False
    interim: list = field(default_factory=list)
    framing: str = ""

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name):
        values = self.all(name)
        return values[0] if values else None

    @property
    def keeps(self):
        """Whether the connection takes another request."""
        said = (self.header("Connection") or "").lower()
        return self.whole and not self.closed and self.framing != "close" and (said == "keep-alive" or self.version == "HTTP/1.1" and said != "close")

    @property
    def text(self):
        return self.body.decode("latin-1")

    @property
    def json(self):
        try:
            return json.loads(self.body)
        except ValueError:
            return None


def _head(data):
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    lines = data[:end].split(b"\r\n")
    version, _, line = lines[0].decode("latin-1").partition(" ")
    status, _, reason = line.partition(" ")
    headers = []
    for text in lines[1:]:
        name, _, value = text.decode("latin-1").partition(":")
        headers.append((name, value.strip(" \t")))
    return version, int(status) if re.fullmatch("[0-9]{1,9}", status) else 0, reason, headers, end + 4


def parse(data, closed, head_only):
    """The first final response in ``data``, as far as it has come."""
    reply, at = Reply(raw=data, closed=closed), 0
    while True:
        head = _head(data[at:])
        if head is None:
            return reply
        version, status, reason, headers, length = head
        if not 100 <= status < 200:
            break
        reply.interim.append((status, headers))
        at += length
    reply.version, reply.status, reply.reason, reply.headers = version, status, reason, headers
    body = data[at + length :]
    codings, lengths = reply.all("transfer-encoding"), reply.all("content-length")
    if head_only or status in (204, 304):
        reply.framing, reply.body, reply.rest, reply.whole = "none", b"", body, True
    elif codings:
        reply.framing = "chunked" if [coding.lower() for coding in codings] == ["chunked"] and not lengths else "ambiguous"
        _chunks(reply, body)
    elif lengths:
        reply.framing = "length" if len(lengths) == 1 and lengths[0].isdigit() else "ambiguous"
        size = int(lengths[0]) if lengths[0].isdigit() else 0
        reply.body, reply.rest, reply.whole = body[:size], body[size:], len(body) >= size
    else:
        reply.framing, reply.body, reply.whole = "close", body, closed
    return reply


def _chunks(reply, data):
    while True:
        line, separator, rest = data.partition(b"\r\n")
        digits = line.split(b";")[0].strip()
        if not separator or not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", digits):
            return
        size = int(digits, 16)
        if size == 0:
            # Trailers end with an empty line, as a head does.
            trailers, end, behind = (b"\r\n" + rest).partition(b"\r\n\r\n")
            if end:
                reply.whole, reply.rest = True, behind
            return
        reply.body += rest[:size]
        if rest[size : size + 2] != b"\r\n":
            return
        data = rest[size + 2 :]


class Connection:
    """One connection to the server under test. ``sent`` keeps what went out, for the report."""

    def __init__(self, wire):
        self.wire = wire
        self.socket = socket.create_connection((wire.host, wire.port), wire.patience, wire.source)
        self.received = b""
        self.closed = self.reset = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def address(self):
        """This end: host and port."""
        return self.socket.getsockname()[:2]

    def send(self, data):
        self.wire.sent.append(data)
        try:
            self.socket.sendall(data)
        except OSError:
            # It has answered and closed already.
            pass

    def finish(self):
        """Nothing more will be sent."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def receive(self, until=lambda data: False, seconds=None):
        """Reads until ``until`` holds, or the connection ends, or the time is up. True if one of the first two."""
        end = time.monotonic() + (seconds or self.wire.patience)
        while not until(self.received):
            left = end - time.monotonic()
            if left <= 0 or self.closed:
                return self.closed
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except TimeoutError:
                return False
            except OSError:
                data, self.reset = b"", True
            self.received += data
            self.closed = self.closed or not data
        return True

    def reply(self, head_only=False, seconds=None):
        """The next final response."""

        def is_there(data):
            found = parse(data, False, head_only)
            return found.whole and found.framing != "close"

        if not self.receive(is_there, seconds):
            self.wire.stalled()
        reply = parse(self.received, self.closed and not self.reset, head_only)
        reply.ended = self.closed
        if reply.whole or reply.framing == "close":
            self.received = reply.rest
        return reply

    def is_closed(self, seconds=None):
        """Whether the server ends the connection, and sends nothing more."""
        return self.receive(seconds=seconds) and not self.received


class Wire:
    """The way to the server under test."""

    def __init__(self, url, version="1.1", patience=5.0):
        parts = urlsplit(url)
        self.host, self.port = parts.hostname, parts.port or 80
        self.authority = f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
        self.version, self.patience = version, patience
        self.sent, self.stalls, self.source = [], 0, None

    def connect(self):
        return Connection(self)

    def from_elsewhere(self):
        """A server may believe its own machine's loopback address; another one is a stranger's."""
        if self.host == "127.0.0.1":
            self.source = ("127.0.0.2", 0)

    def stalled(self):
        """A server that is stuck need not be waited for again and again."""
        self.stalls += 1
        if self.stalls == STALLS:
            raise Stalled(f"{STALLS} requests were not answered in time")

    def request(self, case, method="GET", target="/", headers=(), body=None, keep=False, version=None):
        """The bytes of a request for a behaviour of the application."""
        version = version or self.version
        lines = [f"{method} {target} HTTP/{version}", f"Host: {self.authority}", f"X-Case: {case}"]
        if keep and version == "1.0":
            lines.append("Connection: keep-alive")
        if not keep and version == "1.1":
            lines.append("Connection: close")
        lines += [f"{name}: {value}" for name, value in headers]
        if body is not None and not any(name.lower() in ("content-length", "transfer-encoding") for name, _ in headers):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")

    def ask(self, case, method="GET", **request):
        """The answer to one request on a connection of its own."""
        with self.connect() as connection:
            connection.send(self.request(case, method, **request))
            return connection.reply(head_only=method == "HEAD")

    def ask_again(self, case, times):
        """The answers to requests on one connection, and on another when the server has closed it."""
        connection = self.connect()
        try:
            for _ in range(times):
                connection.send(self.request(case, keep=True))
                reply = connection.reply()
                if not reply.raw and connection.closed:
                    # A server may close a connection whenever it is idle.
                    connection = self.connect()
                    connection.send(self.request(case, keep=True))
                    reply = connection.reply()
                yield reply
                if not reply.keeps:
                    connection.socket.close()
                    connection = self.connect()
        finally:
            connection.socket.close()

    def raw(self, data, seconds=None):
        with self.connect() as connection:
            connection.send(data)
            return connection.reply(seconds=seconds)

    def environ(self, refusable=False, **request):
        """What the application sees, ``{name: [type, value]}``, and facts about it. ``refusable``: None, where the server may refuse."""
        reply = self.ask("environ", **request)
        if refusable and (400 <= reply.status < 500 or reply.status == 501):
            return None, {}
        told = self.told(reply)
        return told["environ"], told["facts"]

    def told(self, reply):
        """The JSON of an answer; without one nothing can be concluded."""
        if reply.status != 200 or reply.json is None:
            raise Unanswered(f"status {reply.status}: {reply.text[:80]!r}")
        return reply.json

    def token(self):
        return secrets.token_hex(8)

    def notes(self, token, until=lambda words: True, seconds=None):
        """What the application has noted, once that is what is waited for, and a little later."""
        sent, end = list(self.sent), time.monotonic() + (seconds or self.patience)
        while True:
            words = self.told(self.ask("notes", target=f"/?{token}"))
            if until(words) or time.monotonic() > end:
                break
            time.sleep(0.02)
        # What comes twice comes soon after.
        time.sleep(0.05)
        words = self.told(self.ask("notes", target=f"/?{token}"))
        self.sent = sent
        return words
