"""One chunk that is longer than what the host takes at once."""


def application(environ, start_response):
    start_response("200 OK", [])
    return [b"0123456789abcdef" * (192 << 10)]
