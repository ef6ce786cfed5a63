"""The CGI variables, as bytes, and the address that they make."""

from wsgiref.util import application_uri, request_uri


def application(environ, start_response):
    lines = [f"{name}={environ[name]}\n" for name in sorted(environ) if "." not in name]
    lines.append(f"application_uri={application_uri(environ)}\nrequest_uri={request_uri(environ)}\n")
    start_response("200 OK", [])
    return ["".join(lines).encode("latin-1")]
