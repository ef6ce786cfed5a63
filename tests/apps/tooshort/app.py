"""Less than its Content-Length."""


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "10")])
    return [b"hello"]
