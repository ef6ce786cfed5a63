"""Replays gunicorn's public corpus of requests (`tests/requests` of its source distribution) to wasgi.

    python3 corpus.py WASGI COMPONENT CORPUS

Each invalid request is refused, and each valid one answered with 200, by an application that reads its body, unless it is listed here with a
reason. A case that sets a
limit is replayed to a server with that limit. Prints a report, and fails if anything is otherwise.
"""

import re
import sys
from pathlib import Path

from matrix import Server
from wsgi_conformance.wire import Wire

# Invalid for gunicorn, and accepted.
ACCEPTED = {
    "003c": "the method `-bl` is a token (RFC 9110, 9.1)",
    "019": "X-Forwarded-Ssl is believed of nobody, and removed: there is nothing to contradict (S21)",
    "040": "names with `_` are dropped, as gunicorn does by default (S15)",
    "chunked_07": "names with `_` are dropped, as gunicorn does by default (S15)",
}
# Valid for gunicorn, and refused.
NO_FOLDING = "folded fields are refused always (RFC 9112, 5.2)"
NO_CODING = "a coding beside `chunked` is refused with 501 (S75)"
NO_PROXY = "the PROXY protocol is deferred"
NO_FRAGMENT = "a fragment is no part of a target (RFC 9112, 3.2)"
REFUSED = {
    "005": NO_FRAGMENT,
    "014": "a quotation mark is no character of a URI (RFC 3986)",
    "025": NO_CODING,
    "025_line": NO_CODING,
    "028": "a blank before the colon is refused always (RFC 9112, 5.1)",
    "029": NO_CODING,
    "030": NO_CODING,
    "099": "its body is shorter than its Content-Length: it is waited for, and answered with 408",
    "compat_obs_fold": NO_FOLDING,
    "compat_obs_fold_huge": NO_FOLDING,
    "pp_01": NO_PROXY,
    "pp_02": NO_PROXY,
    "pp_04": NO_PROXY,
    "pp_05": NO_PROXY,
    "rfc9112_smuggle_gzip_chunked_01": NO_CODING,
    "rfc9112_smuggle_te_identity_chunked_01": NO_CODING,
    "rfc9112_target_absolute_userinfo_01": "user information in a target is refused (RFC 9110, 4.2.4)",
    "rfc9112_target_authority_connect_01": "CONNECT is for proxies: 405",
    "rfc9112_target_authority_ipv6_01": "CONNECT is for proxies: 405",
}
FLAGS = {"limit_request_line": "--max-request-line", "limit_request_field_size": "--max-field", "limit_request_fields": "--max-fields"}
DEFAULTS = {"limit_request_line": 4094, "limit_request_field_size": 8190, "limit_request_fields": 100}
# gunicorn counts the line's end to a field.
LINE_END = {"limit_request_field_size": 2}


def data(path):
    """The bytes of a case, as gunicorn's own tests read them."""
    text = path.read_bytes().replace(b"\n", b"").replace(b"\\r\\n", b"\r\n")
    text = text.replace(b"\\0", b"\0").replace(b"\\n", b"\n").replace(b"\\t", b"\t")
    return re.sub(rb"\\x([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text)


def limits(path):
    """The flags that stand for a case's configuration. 0 is none for gunicorn, and its default for us."""
    text = path.with_suffix(".py").read_text(encoding="utf-8")
    found = dict(DEFAULTS)
    for name, value in re.findall(r"cfg\.set\([\"'](\w+)[\"'], (\d+)\)", text):
        if name in FLAGS and value != "0":
            found[name] = int(value)
    return tuple(f"{flag}={found[name] - LINE_END.get(name, 0)}" for name, flag in FLAGS.items())


def with_host(text):
    """RFC 9112, section 3.2, wants a Host where gunicorn does not: the rest of such a case is replayed all the same."""
    head = text.split(b"\r\n\r\n")[0]
    if b" HTTP/1.1\r\n" not in head + b"\r\n" or re.search(rb"(?i)\r\nhost *:", head):
        return text, False
    start = 2 if text.startswith(b"\r\n") else 0
    line = text.index(b"\r\n", start) + 2
    return text[:line] + b"Host: localhost\r\n" + text[line:], True


def accepted(url, text):
    """Whether the first request is answered with 200, or refused. What is not whole is answered with 408 soon enough."""
    with Wire(url).connect() as connection:
        connection.send(text)
        if not connection.receive(lambda data: len(data) >= 12):
            raise SystemExit(f"no answer to {text[:200]!r}")
        status = connection.received[9:12].decode()
        if status != "200" and not (status.startswith("4") or status in ("501", "505")):
            raise SystemExit(f"{status} to {text[:200]!r}")
        return status == "200"


def main():
    wasgi, component, folder = sys.argv[1:]
    cases = {kind: sorted(Path(folder).glob(f"{kind}/*.http")) for kind in ("invalid", "valid")}
    if not all(cases.values()):
        raise SystemExit(f"{folder} has no corpus")
    wanted = {limits(path) for paths in cases.values() for path in paths}
    servers, lines, wrong = {}, [], []
    try:
        for flags in wanted:
            words = [wasgi, "serve", component, "--bind", "127.0.0.1:{port}", "--isolation", "reuse", "-e", "WSGI_CONFORMANCE_DEFAULT=echo", "--head-read-timeout", "300ms", "--progress-timeout", "300ms", *flags]
            servers[flags] = Server(f"wasgi {flags}", words)
            servers[flags].start()
        for kind, paths in cases.items():
            counts = {"as it is": 0, "with a Host added": 0, "with a reason": 0}
            reasons = ACCEPTED if kind == "invalid" else REFUSED
            for path in paths:
                how, right = judge(kind, path, servers[limits(path)])
                counts[how] += 1
                if how == "with a reason":
                    lines.append(f"| {kind} {path.stem} | {'accepted' if kind == 'invalid' else 'refused'} | {reasons[path.stem]} |")
                if not right:
                    wrong.append(f"{kind} {path.stem}")
            done = "refused" if kind == "invalid" else "accepted"
            print(f"{len(paths)} {kind}: {counts['as it is']} {done}" + (f", {counts['with a Host added']} {done} with a Host added (RFC 9112, 3.2)" if kind == "valid" else "") + f", {counts['with a reason']} not, each with its reason")
    finally:
        for server in servers.values():
            server.stop()
    print("\n".join(["", "| case | wasgi | reason |", "|---|---|---|", *lines]))
    if wrong:
        raise SystemExit(f"otherwise than expected: {', '.join(wrong)}")


def judge(kind, path, server):
    url, text, name = f"http://127.0.0.1:{server.port}", data(path), path.stem
    if kind == "invalid":
        # The case is refused for what is wrong with it, and not for the Host that it lacks.
        answered = accepted(url, with_host(text)[0])
        return ("with a reason", answered) if name in ACCEPTED else ("as it is", not answered)
    text, added = with_host(text)
    answered = accepted(url, text)
    if name in REFUSED:
        return "with a reason", not answered
    return ("with a Host added" if added else "as it is"), answered


if __name__ == "__main__":
    main()
