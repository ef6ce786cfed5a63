"""Repetitions, Latin-1, and a reason of its own."""


def application(environ, start_response):
    start_response("299 All Is W\xfcll", [("Set-Cookie", "a=1"), ("X-A", "caf\xe9 \xff"), ("Set-Cookie", "b=2")])
    return []
