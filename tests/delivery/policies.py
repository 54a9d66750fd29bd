"""The sending policy as tests set it."""

from django.contrib.sites.models import Site

from smtp_settings.models import SendingPolicy

USUAL = {"emails_enabled": True, "queue_enabled": True, "debug_mode": "off", "simulated_failures": 0}


def policy(**values):
    """Set the policy for all, as the page does: as usual but for these values."""
    row = SendingPolicy.objects.filter(site=None).first() or SendingPolicy()
    for name, value in (USUAL | values).items():
        setattr(row, name, value)
    row.version += 1
    row.save()
    return row


def site_policy(domain, **values):
    """Set what differs for one site, which is made when there is none."""
    site, _ = Site.objects.get_or_create(domain=domain, defaults={"name": domain})
    row, _ = SendingPolicy.objects.update_or_create(site=site, defaults=values)
    SendingPolicy.objects.filter(pk=row.pk).update(version=row.version + 1)
    return row
