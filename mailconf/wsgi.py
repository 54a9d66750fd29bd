"""The web server's way in."""

import os
from importlib import import_module

from django.conf import settings
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mailconf.settings")

application = get_wsgi_application()
import_module(settings.ROOT_URLCONF)  # all pages now, and not with the first request
