"""A status that has no body."""


def application(environ, start_response):
    start_response("204 No Content", [("X-A", "1")])
    return [b"must not be sent"]
