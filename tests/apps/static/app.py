"""An application whose files the host serves."""


def app(environ, start_response):
    if environ["PATH_INFO"] == "/wrapped":
        start_response("200 OK", [("Content-Type", "application/octet-stream")])
        return environ["wsgi.file_wrapper"](open("/data/large", "rb"))
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"the application's own page"]
