from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_POST

from .models import Book


def index(request):
    request.session["visits"] = request.session.get("visits", 0) + 1
    books = Book.objects.all()
    return render(request, "library/index.html", {"books": books, "now": timezone.now(), "visits": request.session["visits"]})


@require_POST
def add(request):
    Book.objects.create(title=request.POST["title"], author=request.POST.get("author", ""))
    return redirect("index")


@require_POST
def delete(request, number):
    get_object_or_404(Book, pk=number).delete()
    return redirect("index")


def broken(request):
    secret = "only in the log"
    raise RuntimeError(f"this page is broken: {len(secret)}")
