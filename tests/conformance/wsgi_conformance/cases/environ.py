"""S1 to S30: how the application is called, and with which environ."""

import re

from . import NEW, OneOf, Unasked, Where, case

NATIVE = Where("str of U+0000 to U+00FF", lambda told: told[0] == "str" and all(ord(c) <= 0xFF for c in told[1]))
LIES = [("Forwarded", "for=6.6.6.6;proto=https;host=evil"), ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]
LIES += [("X-Forwarded-Host", "evil"), ("X-Forwarded-Prefix", "/evil"), ("X-Real-IP", "6.6.6.6"), ("X-Client-IP", "6.6.6.6"), ("X-Forwarded-Ssl", "on")]
TEXT = Where("a str that is not empty", lambda told: told is not None and told[0] == "str" and told[1])


@case("S1", "the application is called with two positional arguments, once a request")
def called(wire):
    _, facts = wire.environ()
    yield "positional", True, facts.get("positional")
    token = wire.token()
    wire.ask("hello", headers=[("X-Note", token)])
    yield "calls", ["called"], wire.notes(token)


@case("S2", "environ is a dict, fresh for each request")
def fresh(wire):
    _, facts = wire.environ()
    yield "type", True, facts.get("dict")
    for number, reply in enumerate(wire.ask_again("mark-environ", 2), 1):
        yield f"request {number}", "clean", reply.text


@case("S3", "CGI values are str of bytes decoded as latin-1")
def native(wire):
    environ, _ = wire.environ(target="/%E2%82%AC%ff?%E2", headers=[("X-Text", "caf\xe9 \xff")])
    for name, told in environ.items():
        if name.isupper():
            yield name, NATIVE, told
    yield "number of values", Where("at least 8", lambda count: count >= 8), len(environ)


@case("S4", "the application can be called again and again")
def again(wire):
    for number, reply in enumerate(wire.ask_again("hello", 5), 1):
        yield f"request {number}", "hello", reply.text


@case("S5", "REQUEST_METHOD keeps its case, and is a token")
def method(wire):
    for method in ("GET", "PATCH", "PatCh", "get"):
        environ, _ = wire.environ(refusable=method not in ("GET", "PATCH"), method=method)
        yield method, OneOf(["str", method], None), environ and environ.get("REQUEST_METHOD")
    for bad in ("G@T", "G\x7fT"):
        reply = wire.raw(f"{bad} / HTTP/{wire.version}\r\nHost: a\r\n\r\n".encode())
        yield bad, OneOf(400, 405, 501), reply.status


@case("S6", "SCRIPT_NAME and PATH_INFO are '' or begin with '/'; SCRIPT_NAME is never '/'")
def names(wire):
    for target in ("/", "/a", "/a/b/"):
        environ, _ = wire.environ(target=target)
        script, path = environ.get("SCRIPT_NAME", ["str", ""])[1], environ.get("PATH_INFO", ["str", ""])[1]
        yield f"SCRIPT_NAME of {target}", Where("'' or '/…', and not '/'", lambda name: name == "" or name[0] == "/" and name != "/"), script
        yield f"PATH_INFO of {target}", Where("'' or '/…'", lambda name: name == "" or name[0] == "/"), path
        yield f"one of them for {target}", True, bool(script or path)


@case("S7", "the path is percent-decoded to its bytes; what is no escape stays")
def decoded(wire):
    for target, expected in (("/%E2%82%AC%2F+", "/\xe2\x82\xac/+"), ("/%zz%4", "/%zz%4")):
        environ, _ = wire.environ(refusable="zz" in target, target=target)
        path = environ and environ.get("SCRIPT_NAME", ["", ""])[1] + environ.get("PATH_INFO", ["", ""])[1]
        yield target, OneOf(expected, None), path


@case("S8", "the path is not normalised")
def unchanged(wire):
    for target in ("//x", "/a/../b", "/a/./b", "/a;p", "/a//b"):
        environ, _ = wire.environ(target=target)
        yield target, target, environ.get("SCRIPT_NAME", ["", ""])[1] + environ.get("PATH_INFO", ["", ""])[1]


@case("S10", "QUERY_STRING is there, raw")
def query(wire):
    for target, expected in (("/", ""), ("/?", ""), ("/?a=%20+&b", "a=%20+&b"), ("/?a?b", "a?b")):
        environ, _ = wire.environ(target=target)
        yield target, ["str", expected] if expected else OneOf(["str", ""], None), environ.get("QUERY_STRING")


@case("S11", "CONTENT_TYPE and CONTENT_LENGTH, and no HTTP_ twin of them")
def content(wire):
    environ, _ = wire.environ(method="POST", headers=[("Content-Type", "text/x")], body=b"abc")
    yield "CONTENT_TYPE", ["str", "text/x"], environ.get("CONTENT_TYPE")
    yield "CONTENT_LENGTH", ["str", "3"], environ.get("CONTENT_LENGTH")
    yield "twins", [], [name for name in environ if name in ("HTTP_CONTENT_TYPE", "HTTP_CONTENT_LENGTH")]
    environ, _ = wire.environ()
    yield "length of no body", OneOf(None, ["str", ""], ["str", "0"]), environ.get("CONTENT_LENGTH")


@case("S12", "SERVER_NAME and SERVER_PORT are there, also without Host")
def server(wire):
    environ, _ = wire.environ()
    yield "SERVER_NAME", TEXT, environ.get("SERVER_NAME")
    yield "SERVER_PORT", TEXT, environ.get("SERVER_PORT")
    environ = wire.told(wire.raw(b"GET / HTTP/1.0\r\nX-Case: environ\r\n\r\n"))["environ"]
    yield "SERVER_NAME without Host", TEXT, environ.get("SERVER_NAME")
    yield "SERVER_PORT without Host", TEXT, environ.get("SERVER_PORT")


@case("S13", "SERVER_PROTOCOL is the client's version")
def protocol(wire):
    for version in ("1.0", "1.1"):
        environ, _ = wire.environ(version=version)
        yield version, ["str", f"HTTP/{version}"], environ.get("SERVER_PROTOCOL")


@case("S14", "a field becomes HTTP_*, and only a field does")
def fields(wire):
    environ, _ = wire.environ(headers=[("x-LOWER-Case", "1"), ("X-Empty", ""), ("X-Blank", " \t padded \t ")])
    yield "name", ["str", "1"], environ.get("HTTP_X_LOWER_CASE")
    yield "empty", ["str", ""], environ.get("HTTP_X_EMPTY")
    yield "padded", ["str", "padded"], environ.get("HTTP_X_BLANK")
    expected = {"HTTP_HOST", "HTTP_X_CASE", "HTTP_CONNECTION", "HTTP_X_LOWER_CASE", "HTTP_X_EMPTY", "HTTP_X_BLANK"}
    yield "others", set(), {name for name in environ if name.startswith("HTTP_")} - expected


@case("S15", "a name that a variable's could be mistaken for is dropped or refused")
def underscores(wire):
    wire.from_elsewhere()
    for name in ("X_Forwarded_For", "Content_Length", "Transfer_Encoding", "Script_Name"):
        environ, _ = wire.environ(refusable=True, headers=[(name, "99")])
        names = (name.upper(), f"HTTP_{name.upper()}")
        yield name, {}, {key: told for key, told in (environ or {}).items() if key in names and told[1]}
    environ, _ = wire.environ(refusable=True, headers=[("X-Probe", "1"), ("X_Probe", "2")])
    yield "X-Probe beside X_Probe", OneOf(["str", "1"], None), environ and environ.get("HTTP_X_PROBE")


@case("S16", "Proxy does not become HTTP_PROXY")
def httpoxy(wire):
    environ, _ = wire.environ(headers=[("Proxy", "http://evil.test")])
    yield "HTTP_PROXY", None, environ.get("HTTP_PROXY")


@case("S17", "repeated fields are joined, and a second Host is refused")
def repeated(wire):
    environ, _ = wire.environ(headers=[("X-A", "1"), ("X-A", "2")])
    reply = wire.raw(f"GET / HTTP/{wire.version}\r\nHost: a\r\nHost: a\r\n\r\n".encode())
    yield "two Host", 400, reply.status
    yield "X-A", Where("1,2", lambda told: told is not None and told[1].replace(" ", "") == "1,2"), environ.get("HTTP_X_A")


@case("S17", "Cookie is joined with `; `, and what has one value is not repeated", level="SHOULD")
def cookies(wire):
    environ, _ = wire.environ(headers=[("Cookie", "a=1"), ("Cookie", "b=2")])
    yield "Cookie", ["str", "a=1; b=2"], environ.get("HTTP_COOKIE")
    for name, value in (("Content-Type", "a/b"), ("Content-Length", "0"), ("Authorization", "Basic eDp5")):
        reply = wire.raw(f"GET / HTTP/{wire.version}\r\nHost: a\r\n{name}: {value}\r\n{name}: {value}\r\n\r\n".encode())
        yield f"two {name}", 400, reply.status


@case("S18", "bytes above 0x7F of a field survive")
def obs_text(wire):
    environ, _ = wire.environ(headers=[("X-Text", "caf\xe9 \xff")])
    yield "HTTP_X_TEXT", ["str", "caf\xe9 \xff"], environ.get("HTTP_X_TEXT")


@case("S19", "what is not known is absent")
def absent(wire):
    environ, _ = wire.environ(headers=[("Authorization", "Basic eDp5")])
    unknown = ("REMOTE_USER", "AUTH_TYPE", "REMOTE_IDENT", "HTTP_X_ABSENT", "HTTP_COOKIE", "HTTP_REFERER")
    yield "variables", [], [name for name in unknown if name in environ and environ[name][1]]
    yield "None", [], [name for name, told in environ.items() if told[0] == "NoneType"]


@case("S20", "REMOTE_ADDR and REMOTE_PORT are the client's, as str")
def remote(wire):
    with wire.connect() as connection:
        connection.send(wire.request("environ"))
        environ = wire.told(connection.reply())["environ"]
        host, port = connection.address
        yield "REMOTE_ADDR", ["str", host], environ.get("REMOTE_ADDR")
        yield "REMOTE_PORT", OneOf(["str", str(port)], None), environ.get("REMOTE_PORT")


@case("S21", "nobody is believed who says that he speaks for another")
def forwarded(wire):
    wire.from_elsewhere()
    environ, _ = wire.environ(headers=LIES)
    yield "REMOTE_ADDR", Where("not 6.6.6.6", lambda told: told and told[1] != "6.6.6.6"), environ.get("REMOTE_ADDR")
    yield "wsgi.url_scheme", ["str", "http"], environ.get("wsgi.url_scheme")
    yield "HTTP_HOST", ["str", wire.authority], environ.get("HTTP_HOST")
    yield "SCRIPT_NAME", OneOf(["str", ""], None), environ.get("SCRIPT_NAME")


@case("S21", "what he says does not reach the application", level="SHOULD")
def removed(wire):
    wire.from_elsewhere()
    environ, _ = wire.environ(headers=LIES)
    names = {"HTTP_" + name.upper().replace("-", "_") for name, _ in LIES}
    yield "left in environ", [], sorted(names & environ.keys())


@case("S23", "REQUEST_URI and RAW_URI are the target as it came")
def raw_target(wire):
    environ, _ = wire.environ(target="/a%2Fb//c?d=%20")
    for name in ("REQUEST_URI", "RAW_URI"):
        yield name, ["str", "/a%2Fb//c?d=%20"], environ.get(name)


@case("S24", "the server's own environment is not the application's")
def host_environment(wire):
    environ, _ = wire.environ()
    yield "variables", [], [name for name in ("PATH", "HOME", "PWD", "SHELL", "LANG", "USER", "LOGNAME", "WSGI_CONFORMANCE_NOTES") if name in environ]


@case("S25", "extensions are lower-case dotted names")
def extensions(wire):
    environ, _ = wire.environ()
    dotted = [name for name in environ if "." in name and not name.startswith("conformance.")]
    yield "wsgi.input among them", True, "wsgi.input" in dotted
    yield "names", [], [name for name in dotted if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)+", name)]


@case("S26", "wsgi.version is (1, 0), wsgi.url_scheme is http")
def version(wire):
    environ, facts = wire.environ()
    yield "wsgi.version", True, facts.get("version")
    yield "wsgi.url_scheme", ["str", "http"], environ.get("wsgi.url_scheme")


@case("S27", "wsgi.multithread, multiprocess and run_once are there")
def flags(wire):
    environ, _ = wire.environ()
    for name in ("wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once"):
        yield name, Where("a bool or an int", lambda told: told is not None and told[0] in ("bool", "int")), environ.get(name)


@case("S28", "the server can be run so that an application needs no threads")
def single_threaded(wire):
    environ, _ = wire.environ()
    if environ.get("wsgi.multithread") in (["bool", True], ["int", 1]):
        raise Unasked("it runs with threads as it is")
    yield "wsgi.multithread", OneOf(["bool", False], ["int", 0]), environ.get("wsgi.multithread")


@case("S29", "wsgi.errors takes any text")
def errors(wire):
    yield "answer", "written", wire.ask("errors").text


@case("S30", "wsgi.input_terminated is true when reads end with the body", NEW)
def terminated(wire):
    for label, headers, body in (("length", [], b"abc"), ("chunked", [("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n")):
        reply = wire.ask("input", "POST", headers=[("X-Script", "read"), *headers], body=body)
        yield label, [["abc"], True], (reply.json or [])[:2]
