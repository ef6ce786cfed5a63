"""Text that a client chose, in the log and in an error."""


def application(environ, start_response):
    path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "surrogateescape")
    print("asked for", path, file=environ["wsgi.errors"])
    raise ValueError(f"no page: {path}")
