"""Sends back what comes, while it comes."""


def application(environ, start_response):
    start_response("200 OK", [])
    return iter(lambda: environ["wsgi.input"].read(65536), b"")
