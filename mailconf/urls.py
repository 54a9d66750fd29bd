"""The URLs."""

from django.contrib import admin
from django.urls import path

handler400 = "mailconf.error_pages.bad_request"
handler404 = "mailconf.error_pages.not_found"
handler500 = "mailconf.error_pages.server_error"

urlpatterns = [path("admin/", admin.site.urls)]
