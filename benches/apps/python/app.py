"""The rows in plain WSGI: the same file under wasgi, under the native servers, and, with http/app.py around it, under `wasmtime serve`."""

import time

PAGE = b"x" * 10_240


def application(environ, start_response):
    match environ["PATH_INFO"]:
        case "/page":
            body = PAGE
        case "/echo":
            body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        case "/wait":
            time.sleep(0.01)
            body = b"waited"
        case _:
            body = b"Hello, world!"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
