"""A large body, of which nothing is kept: its length, and the sum of every 64th byte."""


def application(environ, start_response):
    length = total = 0
    while piece := environ["wsgi.input"].read(65536):
        total += sum(piece[-length & 63 :: 64])
        length += len(piece)
    start_response("200 OK", [])
    return [f"{length} {total}".encode()]
