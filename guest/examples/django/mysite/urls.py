from django.contrib import admin
from django.urls import path

from library import views

urlpatterns = [
    path("", views.index, name="index"),
    path("add/", views.add, name="add"),
    path("delete/<int:number>/", views.delete, name="delete"),
    path("broken/", views.broken, name="broken"),
    path("admin/", admin.site.urls),
]
