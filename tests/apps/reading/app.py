"""Some bytes, a line, and what is left, line by line."""


def application(environ, start_response):
    body = environ["wsgi.input"]
    told = [b"read " + body.read(5) + b"\nreadline " + body.readline()]
    told += [b"line " + line.rstrip() + b"\n" for line in body]
    start_response("200 OK", [])
    return [b"".join(told)]
