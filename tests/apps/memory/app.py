"""Takes as many MiB as the path says."""

from wsgiref.util import shift_path_info


def application(environ, start_response):
    taken = b"\1" * (int(shift_path_info(environ)) << 20)
    start_response("200 OK", [])
    return [f"{len(taken) >> 20} MiB".encode()]
