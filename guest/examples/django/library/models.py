from django.db import models
from django.utils.translation import gettext_lazy as _


class Book(models.Model):
    title = models.CharField(_("title"), max_length=200)
    author = models.CharField(_("author"), max_length=200, blank=True)
    cover = models.FileField(_("cover"), upload_to="covers", blank=True)
    added = models.DateTimeField(_("added"), auto_now_add=True)

    class Meta:
        ordering = ["title"]

    def __str__(self):
        return self.title
