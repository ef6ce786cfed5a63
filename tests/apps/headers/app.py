"""Repetitions, Latin-1, a reason of its own, and fields that are set, removed and asked for."""

from wsgiref.headers import Headers


def application(environ, start_response):
    headers = Headers([("Set-Cookie", "a=1"), ("X-A", "caf\xe9 \xff"), ("X-Gone", "1"), ("X-Set", "one")])
    headers["x-set"] = "two"
    del headers["x-gone"]
    headers.add_header("Set-Cookie", "b=2")
    headers.add_header("Content-Disposition", "attachment", filename='a "b".txt')
    headers["X-Seen"] = headers["set-cookie"] + " " + headers["X-SET"]
    start_response("299 All Is W\xfcll", headers.items())
    return []
