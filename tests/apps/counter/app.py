"""Counts the requests of its instance, and reads each one's body."""

count = 0


def application(environ, start_response):
    global count
    body = environ["wsgi.input"].read()
    count += 1
    start_response("200 OK", [])
    return [f"{count:05} {len(body):07}".encode()]
