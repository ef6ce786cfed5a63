"""Lines for the tenant's log."""


def application(environ, start_response):
    environ["wsgi.errors"].write("first line\nsecond \u017elu\u0165 line\nwithout an end")
    start_response("200 OK", [])
    return [b"logged"]
