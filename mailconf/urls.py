"""The URLs."""

from django.contrib import admin
from django.urls import path

handler404 = "mailconf.error_pages.not_found"
handler500 = "mailconf.error_pages.server_error"

urlpatterns = [path("admin/", admin.site.urls)]
