"""A body that ends too early is an error, and the error stays."""


def application(environ, start_response):
    for _ in range(2):
        try:
            environ["wsgi.input"].read()
            print("the body looks whole", file=environ["wsgi.errors"])
        except OSError as error:
            print("no body:", error, file=environ["wsgi.errors"])
    start_response("200 OK", [])
    return [b"gone"]
