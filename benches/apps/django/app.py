"""A Django page with a template that inherits, filters and loops."""

from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.shortcuts import render
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="of a benchmark",
    TEMPLATES=[{"BACKEND": "django.template.backends.django.DjangoTemplates", "DIRS": [Path(__file__).parent / "templates"]}],
    MIDDLEWARE=["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"],
)

BOOKS = [{"title": f"Volume {number}", "pages": 100 * number} for number in range(1, 21)]


def index(request):
    return render(request, "index.html", {"books": BOOKS})


urlpatterns = [path("", index)]
application = get_wsgi_application()
