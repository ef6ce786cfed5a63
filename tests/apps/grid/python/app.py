"""All behaviours in one component: the first segment of the path names one."""

from importlib import import_module
from wsgiref.util import shift_path_info

NAMES = """clock counter disconnect echo empties environ generator headers late lazy log memory
nothing badtext oversize raising stale reading replaced single toolong tooshort trap twice unicode upload writing"""

behaviours = {name: import_module(f"{name}.app").application for name in NAMES.split()}


def application(environ, start_response):
    behaviour = behaviours.get(shift_path_info(environ))
    if behaviour:
        return behaviour(environ, start_response)
    start_response("404 Not Found", [])
    return [b"no such behaviour"]
