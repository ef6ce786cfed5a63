"""A conformance suite for WSGI servers: PEP 3333, and the HTTP/1.1 that a server owes its applications.

``app`` is a plain WSGI module that any server can serve. ``python -m wsgi_conformance --url …`` drives it over raw sockets, and says of each
rule of ``rules`` whether it holds. Neither knows any server.
"""
