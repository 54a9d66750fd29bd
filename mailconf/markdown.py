"""The manual's Markdown as HTML, read by markdown-it: CommonMark and tables.

HTML in a file is shown as text, and pictures are left out.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

#: The address for the target of a link to another file, None where there is no such page.
Link = Callable[[str], str | None]


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading: its words, and the anchor a link names."""

    words: str
    anchor: str
    level: int


def anchor_of(words: str) -> str:
    """Return a heading's anchor, as GitHub makes it.

    >>> anchor_of("Set-up, step by step")
    'set-up-step-by-step'
    """
    return re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-")


def headings_of(text: str) -> list[Heading]:
    """Return the headings of a document in their order."""
    tokens = _PARSER.parse(text)
    return [
        Heading(inline.content, anchor_of(inline.content), int(opening.tag[1:]))
        for opening, inline in pairwise(tokens)
        if opening.type == "heading_open"
    ]


def html_of(text: str, link: Link) -> SafeString:
    """Return a document's HTML, its headings one level lower: the page has a title of its own.

    The words of a link to a file for which `link` has no address stand alone.
    """
    html: str = _PARSER.render(text, {"link": link})
    return mark_safe(html)  # noqa: S308  # markdown-it escapes, and takes no HTML


class _Renderer(RendererHTML):
    """Markdown-it's, for a page of ours: with anchors, links to chapters, and what scrolls by keyboard."""

    # Any: the options and the environment of markdown-it
    def heading_open(self, tokens: Sequence[Token], at: int, _options: Any, _env: Any) -> str:
        return f'<h{_lower(tokens[at])} id="{escape(anchor_of(tokens[at + 1].content))}">'

    def heading_close(self, tokens: Sequence[Token], at: int, _options: Any, _env: Any) -> str:
        return f"</h{_lower(tokens[at])}>\n"

    def fence(self, tokens: Sequence[Token], at: int, _options: Any, _env: Any) -> str:
        return f'<pre tabindex="0"><code>{escape(tokens[at].content)}</code></pre>\n'

    def code_block(self, tokens: Sequence[Token], at: int, options: Any, env: Any) -> str:
        return self.fence(tokens, at, options, env)

    def table_open(self, _tokens: Sequence[Token], _at: int, _options: Any, _env: Any) -> str:
        return '<div class="mc-scroll" tabindex="0"><table class="mc-table">\n'

    def table_close(self, _tokens: Sequence[Token], _at: int, _options: Any, _env: Any) -> str:
        return "</table></div>\n"

    def th_open(self, _tokens: Sequence[Token], _at: int, _options: Any, _env: Any) -> str:
        return '<th scope="col">'

    def image(self, _tokens: Sequence[Token], _at: int, _options: Any, _env: Any) -> str:
        return ""

    def link_open(self, tokens: Sequence[Token], at: int, _options: Any, env: Any) -> str:
        target = str(tokens[at].attrGet("href"))
        if target.startswith("https://"):
            env["is_link"] = True
            return f'<a href="{escape(target)}" rel="noreferrer noopener" target="_blank">'
        address = target if target.startswith("#") else env["link"](target)
        env["is_link"] = address is not None
        return "" if address is None else f'<a href="{escape(address)}">'

    def link_close(self, _tokens: Sequence[Token], _at: int, _options: Any, env: Any) -> str:
        return "</a>" if env["is_link"] else ""  # links hold no links


def _lower(heading: Token) -> int:
    return int(heading.tag[1:]) + 1


_PARSER = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer).enable("table")
