def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    path = environ["PATH_INFO"].encode("latin-1")
    return [b"Hello from APPNAME at " + path + b"\n"]
