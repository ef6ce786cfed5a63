"""wasi:http around a WSGI application: what `wasmtime serve` runs. It is as short as it can be, so that it costs as little as it can."""

import sys
from io import BytesIO

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.types import Fields, IncomingBody, Method_Get, Method_Post, OutgoingBody, OutgoingResponse, ResponseOutparam

from application import application

CHUNK = 65_536


def environ_of(method, path, query, body):
    return {
        "REQUEST_METHOD": method, "SCRIPT_NAME": "", "PATH_INFO": path, "QUERY_STRING": query, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.version": (1, 0), "wsgi.url_scheme": "http", "wsgi.errors": sys.stderr, "wsgi.multithread": False,
        "wsgi.multiprocess": True, "wsgi.run_once": False, "wsgi.input": BytesIO(body),
    }


# What it imports when it is first called is not there later: the first call is made before the snapshot.
list(application(environ_of("GET", "/", "", b""), lambda status, headers, exc_info=None: None))


def read(request):
    incoming = request.consume()
    parts = []
    with incoming.stream() as stream:
        while True:
            try:
                parts.append(stream.blocking_read(CHUNK))
            except Err:
                break
    IncomingBody.finish(incoming)
    return b"".join(parts)


class IncomingHandler(exports.IncomingHandler):
    def handle(self, request, response_out):
        path, _, query = (request.path_with_query() or "/").partition("?")
        method = {Method_Get: "GET", Method_Post: "POST"}[type(request.method())]
        environ = environ_of(method, path, query, read(request) if method == "POST" else b"")
        for name, value in request.headers().entries():
            name = name.upper().replace("-", "_")
            environ[name if name in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{name}"] = value.decode("latin-1")
        head = []
        chunks = application(environ, lambda status, headers, exc_info=None: head.extend((status, headers)))
        response = OutgoingResponse(Fields.from_list([(name, value.encode("latin-1")) for name, value in head[1]]))
        response.set_status_code(int(head[0][:3]))
        body = response.body()
        ResponseOutparam.set(response_out, Ok(response))
        with body.write() as stream:
            for chunk in chunks:
                for at in range(0, len(chunk), 4096):
                    stream.blocking_write_and_flush(chunk[at : at + 4096])
        if hasattr(chunks, "close"):
            chunks.close()
        OutgoingBody.finish(body, None)
