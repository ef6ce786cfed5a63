"""Raises in call, in next or in close, as the path says."""

from wsgiref.util import shift_path_info


class Body:
    def __init__(self, place, errors):
        self.place, self.errors = place, errors

    def __iter__(self):
        yield b"one "
        if self.place == "next":
            raise ValueError("trouble on purpose")
        yield b"two"

    def close(self):
        self.errors.write("raising closed\n")
        if self.place == "close":
            raise ValueError("trouble on purpose")


def application(environ, start_response):
    place = shift_path_info(environ)
    if place == "call":
        raise ValueError("trouble on purpose")
    start_response("200 OK", [])
    return Body(place, environ["wsgi.errors"])
