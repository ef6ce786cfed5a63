"""Text goes out as UTF-8; the path is bytes, in the body and as a native string."""


def application(environ, start_response):
    path = environ["PATH_INFO"]
    start_response("200 OK", [("X-Path", path)])
    return [path.encode("latin-1"), " \u017elu\u0165 \U0001f40d".encode()]
