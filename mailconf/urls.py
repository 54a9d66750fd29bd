"""The URLs."""

from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from smtp_settings.public import test_received

handler400 = "mailconf.error_pages.bad_request"
handler403 = "mailconf.error_pages.forbidden"
handler404 = "mailconf.error_pages.not_found"
handler500 = "mailconf.error_pages.server_error"

admin.autodiscover()  # here and not at every process's start (mailconf.apps)

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),  # whoever types the machine's name only
    path("admin/", admin.site.urls),
    path("test-received/<str:token>/", test_received, name="test-received"),
]
