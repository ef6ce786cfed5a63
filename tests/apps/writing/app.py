"""What is written comes before what is yielded."""


def application(environ, start_response):
    write = start_response("200 OK", [])
    write(b"")
    write(b"written ")
    write(b"and ")
    return [b"yielded"]
