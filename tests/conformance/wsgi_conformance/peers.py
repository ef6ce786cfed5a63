"""The servers that the matrix compares, each as one starts it first: on loopback, with its own defaults."""

SERVE_BY_NAME = "import sys; sys.path.insert(0, '.'); from wsgi_conformance.app import application as app; "

# The name, the package with its version, and the words that serve the application; ``{port}`` and the folder of the packages' programs.
PEERS = {
    "wsgiref": ("python 3.11", ["{bin}/python", "-c", SERVE_BY_NAME + "from wsgiref.simple_server import make_server; make_server('127.0.0.1', {port}, app).serve_forever()"]),
    "gunicorn": ("gunicorn==27.0.1", ["{bin}/gunicorn", "--bind", "127.0.0.1:{port}", "wsgi_conformance.app"]),
    "waitress": ("waitress==3.0.2", ["{bin}/waitress-serve", "--listen", "127.0.0.1:{port}", "wsgi_conformance.app:application"]),
    "uWSGI": ("uWSGI==2.0.31", ["{bin}/uwsgi", "--http-socket", "127.0.0.1:{port}", "--master", "--die-on-term", "--module", "wsgi_conformance.app"]),
    "cheroot": ("cheroot==11.1.2", ["{bin}/python", "-c", SERVE_BY_NAME + "from cheroot.wsgi import Server; Server(('127.0.0.1', {port}), app).start()"]),
    "werkzeug": ("werkzeug==3.1.9", ["{bin}/python", "-c", SERVE_BY_NAME + "from werkzeug.serving import run_simple; run_simple('127.0.0.1', {port}, app, threaded=True)"]),
    "granian": ("granian==2.8.7", ["{bin}/granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", "{port}", "wsgi_conformance.app:application"]),
}
