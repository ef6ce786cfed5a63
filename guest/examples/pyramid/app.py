"""A wiki, after Pyramid's "Quick Tutorial" (https://docs.pylonsproject.org/projects/pyramid/en/latest/quick_tutorial/): routes, views, sessions, Jinja2."""

import os

from pyramid.config import Configurator
from pyramid.httpexceptions import HTTPFound, HTTPNotFound
from pyramid.response import FileResponse
from pyramid.session import SignedCookieSessionFactory
from pyramid.view import view_config

pages = {
    "100": {"uid": "100", "title": "Page 100", "body": "<em>100</em>"},
    "101": {"uid": "101", "title": "Page 101", "body": "<em>101</em>"},
}


@view_config(route_name="wiki_view", renderer="wiki_view.jinja2")
def wiki_view(request):
    session = request.session
    session["counter"] = session.get("counter", 0) + 1
    return {"pages": pages.values(), "counter": session["counter"]}


@view_config(route_name="wikipage_view", renderer="wikipage_view.jinja2")
def wikipage_view(request):
    page = pages.get(request.matchdict["uid"])
    if page is None:
        raise HTTPNotFound("no such page")
    return {"page": page}


@view_config(route_name="echo", renderer="json", request_method="POST")
def echo(request):
    if request.content_type == "application/json":
        return request.json_body
    file = request.POST.get("file")
    if file is not None and hasattr(file, "file"):
        return {"name": file.filename, "size": len(file.file.read())}
    return dict(request.POST)


@view_config(route_name="go")
def go(request):
    return HTTPFound(location=request.route_url("wikipage_view", uid="100"))


@view_config(route_name="source")
def source(request):
    return FileResponse(os.path.abspath(__file__), request=request, content_type="text/x-python")


def main():
    with Configurator(session_factory=SignedCookieSessionFactory(os.environ.get("SESSION_SECRET", "for development"))) as config:
        config.include("pyramid_jinja2")
        config.add_jinja2_search_path("app:templates")
        config.add_route("wiki_view", "/")
        config.add_route("wikipage_view", "/page/{uid}")
        config.add_route("echo", "/echo")
        config.add_route("go", "/go")
        config.add_route("source", "/source")
        config.add_static_view(name="static", path="app:static")
        config.scan("app")
        return config.make_wsgi_app()


app = main()
