"""The site of messages that name none: MAILCONF_DEFAULT_SITE, a domain or a number."""

from django.conf import settings
from django.contrib.sites.models import Site
from django.db.models import Q

#: Digits of the largest number a site can have; with more, PostgreSQL would refuse the question.
_DIGITS = 9


def default_site_id() -> int | None:
    """Return its id. None when none is named, or what is named is no site: mailconf.W026 says so."""
    named = settings.MAILCONF_DEFAULT_SITE
    if not named:
        return None
    is_number = named.isascii() and named.isdigit() and len(named) <= _DIGITS
    wanted = Q(pk=int(named)) if is_number else Q(domain__iexact=named)
    return Site.objects.filter(wanted).order_by("pk").values_list("pk", flat=True).first()
