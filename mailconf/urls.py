"""The URLs."""

from django.contrib import admin
from django.urls import path

from smtp_settings.public import test_received

handler400 = "mailconf.error_pages.bad_request"
handler403 = "mailconf.error_pages.forbidden"
handler404 = "mailconf.error_pages.not_found"
handler500 = "mailconf.error_pages.server_error"

admin.autodiscover()  # here and not at every process's start (mailconf.apps)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("test-received/<str:token>/", test_received, name="test-received"),
]
