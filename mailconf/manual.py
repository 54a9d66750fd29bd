"""The manual, inside: the chapters of docs/ as pages, so that a form can link what it does not explain.

They are in English, as the files are. Everybody who may sign in may read them: they hold nothing of a site.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from mailconf import markdown
from mailconf.env import BASE_DIR

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

FOLDER = BASE_DIR / "docs"
#: In the order of the list: what a person at the pages looks for first.
CHAPTERS = (
    "settings-page",
    "providers",
    "ways-out",
    "oauth",
    "policy",
    "notifications",
    "jobs",
    "coming-from",
    "how-it-works",
    "replies",
    "wire",
    "engine",
    "deployment",
)


@dataclass(frozen=True, slots=True)
class Chapter:
    """One file of the manual; `html` is all of it, `parts` its second headings."""

    name: str
    title: str
    html: SafeString
    parts: tuple[markdown.Heading, ...]


@cache
def read_chapter(name: str) -> Chapter:
    """Read a chapter, once in a process. Raises: KeyError when there is none of this name."""
    if name not in CHAPTERS:
        raise KeyError(name)
    text = (FOLDER / f"{name}.md").read_text(encoding="utf-8")
    title, *parts = markdown.headings_of(text)
    second = tuple(one for one in parts if one.level == 2)
    return Chapter(name, title.words, markdown.html_of(text, _address), second)


def _address(target: str) -> str | None:
    """Return where a link to another file leads: beside this page, for a chapter."""
    file, mark, anchor = target.partition("#")
    name = file.removesuffix(".md")
    return f"../{name}/{mark}{anchor}" if name in CHAPTERS else None


class Manual:
    """The pages, for one admin site."""

    def __init__(self, site: "AdminSite") -> None:
        self._site = site

    def urls(self) -> list[URLPattern]:
        """Return the address, below the admin's."""
        view = self._site.admin_view(require_safe(self.page))
        return [path("manual/<slug:chapter>/", view, name="manual")]

    def page(self, request: HttpRequest, chapter: str) -> HttpResponse:
        """Show a chapter, with the names of all."""
        try:
            shown = read_chapter(chapter)
        except KeyError:
            raise Http404(_("The manual has no such chapter.")) from None
        context = {
            **self._site.each_context(request),
            "title": _("Manual"),
            "chapter": shown,
            "chapters": [read_chapter(name) for name in CHAPTERS],
        }
        return TemplateResponse(request, "mailconf/manual.html", context)
