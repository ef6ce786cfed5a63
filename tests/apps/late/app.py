"""exc_info when the head is sent: the error is raised again."""

import sys


def application(environ, start_response):
    start_response("200 OK", [])
    yield b"sent"
    try:
        raise ValueError("late trouble")
    except ValueError:
        start_response("500 Oops", [], sys.exc_info())
    yield b"not reached"
