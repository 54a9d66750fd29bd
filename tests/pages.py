"""What every page must be: no inline script or style, a strict policy; and clients by role."""

from html.parser import HTMLParser

from django.contrib.auth.models import Permission
from django.test import Client

from tests.builders import a_user

#: As UX U7 and mailconf.settings say it.
POLICY = {
    "default-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "frame-ancestors 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "object-src 'none'",
}
ROLES = ("superuser", "administrator", "operator", "viewer", "staff", "nobody", "anonymous")


class _Inline(HTMLParser):
    """Collects what a strict policy would block, and what must not come from strangers."""

    def __init__(self):
        super().__init__()
        self.found = []
        self.text = []

    def handle_starttag(self, tag, attrs):
        names = dict(attrs)
        if tag == "script" and "src" not in names and names.get("type") != "application/json":
            self.found.append("<script> without src")
        if tag in {"style", "base", "object", "embed"}:
            self.found.append(f"<{tag}>")
        for name, value in attrs:
            if name == "style" or name.startswith("on"):
                self.found.append(f"{name}= on <{tag}>")
            target = (value or "").strip().lower()
            if tag == "a" and "noreferrer" in names.get("rel", "") and target.startswith("https://"):
                continue  # a provider's own page
            if name in {"href", "src", "action", "formaction"} and target.startswith(
                ("javascript:", "data:", "http:", "https:", "//")
            ):
                self.found.append(f"{name}={value!r} on <{tag}>")

    def handle_data(self, data):
        self.text.append(data)


def inline_in(html):
    """What of a page is inline or points elsewhere: a list of findings, empty when all is well."""
    parser = _Inline()
    parser.feed(html)
    parser.close()
    return parser.found


def text_of(response):
    """The text of a page, white space collapsed."""
    parser = _Inline()
    parser.feed(response.content.decode())
    parser.close()
    return " ".join(" ".join(parser.text).split())


def policy_of(response):
    """The directives of a response's policy."""
    return {part.strip() for part in response.headers["Content-Security-Policy"].split(";") if part.strip()}


def assert_strict(response):
    """A page of ours: nothing inline, nothing foreign, the strict policy, not framed, not sniffed."""
    assert inline_in(response.content.decode()) == []
    assert policy_of(response) == POLICY
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def client_of(role, *, permissions=(), enforce_csrf_checks=False):
    """A client signed in as a role: a group's, "staff" without rights, "nobody" (no staff) or "anonymous"."""
    client = Client(enforce_csrf_checks=enforce_csrf_checks)
    if role != "anonymous":
        user = a_user(role)
        for permission in permissions:
            app, codename = permission.split(".")
            user.user_permissions.add(Permission.objects.get(content_type__app_label=app, codename=codename))
        client.force_login(user)
        client.user = user
    return client
