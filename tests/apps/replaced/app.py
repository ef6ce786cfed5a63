"""exc_info before the head is sent replaces it whole."""

import sys


def application(environ, start_response):
    start_response("200 OK", [("X-Old", "1")])
    try:
        raise ValueError("too early")
    except ValueError:
        start_response("503 Try Later", [("X-New", "2")], sys.exc_info())
    return [b"replaced"]
