"""Chunks that are made while they are sent, and a close."""


def application(environ, start_response):
    start_response("200 OK", [])
    try:
        for number in range(3):
            yield f"line {number}\n".encode()
    finally:
        environ["wsgi.errors"].write("generator closed\n")
