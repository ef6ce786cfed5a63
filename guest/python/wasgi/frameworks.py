"""What is asked of the frameworks beside serving: their settings, their commands, and that their debugger is off."""

import runpy
import sys

from . import hooks


class Refused(Exception):
    """The application is not served as it is; the text says why, and what to do."""


_KNOWN = ("bottle", "django", "falcon", "flask", "pyramid", "webob", "werkzeug")


def found():
    """Which of the known frameworks the application has imported."""
    return [name for name in _KNOWN if name in sys.modules]


def _debugger(module):
    """Werkzeug's debugger runs what a browser types."""

    def refused(*args, **kwargs):
        raise Refused(
            "Werkzeug's debugger is on, which runs what a browser types: take DebuggedApplication out, or use `wasgi dev`, whose error page "
            "runs nothing"
        )

    module.DebuggedApplication = refused


def _server(module):
    def refused(*args, **kwargs):
        raise Refused("the application starts a server of its own while it is imported: put that under `if __name__ == \"__main__\":`")

    module.run_simple = refused


def install():
    """For whoever imports Werkzeug."""
    hooks.after_import("werkzeug.debug", _debugger)
    hooks.after_import("werkzeug.serving", _server)


def developed(application):
    """The application as its own development server would serve it: templates are read again when they change, and static files are served."""
    bottle, django, flask = (sys.modules.get(name) for name in ("bottle", "django", "flask"))
    if bottle is not None:
        bottle.debug(True)
    if flask is not None and isinstance(application, flask.Flask):
        application.config["TEMPLATES_AUTO_RELOAD"] = True
        # The error page is the host's.
        application.config["PROPAGATE_EXCEPTIONS"] = True
        application.jinja_env.auto_reload = True
    if django is not None:
        from django.conf import settings
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.signals import request_started
        from django.template import autoreload

        request_started.connect(lambda **kwargs: autoreload.reset_loaders(), weak=False)
        if "django.contrib.staticfiles" in settings.INSTALLED_APPS:
            return StaticFilesHandler(application)
    return application


def django_settings(plan):
    """The settings that decide about production; None without Django. Collects the static files, where the plan has a place for them."""
    conf = sys.modules.get("django.conf")
    if conf is None or not conf.settings.configured:
        return None
    settings = conf.settings
    told = {
        "debug": bool(settings.DEBUG),
        "hosts": [str(host) for host in settings.ALLOWED_HOSTS],
        "insecure_key": str(settings.SECRET_KEY).startswith("django-insecure-"),
        "databases": {name: str(database.get("NAME")) for name, database in settings.DATABASES.items()},
        "static": None,
    }
    url = settings.STATIC_URL
    if url and "://" not in url and "django.contrib.staticfiles" in settings.INSTALLED_APPS:
        # A folder of the machine that it was written for is none of a guest's.
        root = str(settings.STATIC_ROOT or "")
        if not root.startswith(("/0/", "/data/")):
            root = plan.get("static") or ""
        if plan.get("static"):
            from django.core.management import call_command

            settings.STATIC_ROOT = root
            call_command("collectstatic", interactive=False, verbosity=0)
        told["static"] = {"url": url if url.startswith("/") else f"/{url}", "root": root}
    return told


# What a development server of its own does, `wasgi dev` does.
_SERVERS = ("runserver", "run", "testserver")


def manage(plan, arguments, imported):
    """Runs a command; the exit status."""
    if arguments and arguments[0] in _SERVERS:
        raise Refused(f"`{arguments[0]}` is a server of its own: use `wasgi dev`")
    if plan.get("manage"):
        sys.argv = [plan["manage"], *arguments]
        runpy.run_path(f"/0/{plan['manage']}", run_name="__main__")
        return 0
    application = imported()
    flask = sys.modules.get("flask")
    if flask is not None and isinstance(application, flask.Flask):
        from flask.cli import FlaskGroup

        FlaskGroup(create_app=lambda: application).main(args=list(arguments), prog_name="wasgi manage APP")
        return 0
    raise Refused("the application has neither a manage.py nor Flask's commands")
