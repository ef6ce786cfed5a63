"""start_response is called when the first chunk is asked for."""


def application(environ, start_response):
    start_response("201 Created", [("X-Lazy", "1")])
    yield b"lazy"
