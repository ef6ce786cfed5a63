"""start_response is called again, without exc_info."""


def application(environ, start_response):
    start_response("200 OK", [])
    start_response("201 Created", [])
    return [b"not reached"]
