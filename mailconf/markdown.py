"""The manual's Markdown as HTML: the part of the language that docs/ uses, everything else as it stands.

Headings, paragraphs, lists, tables, code, links, bold and italic. The text is escaped first, so no file can
bring markup of its own; pictures are left out.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

_FENCE = "```"
_ITEM = re.compile(r"([-*]|\d+\.) +")
_HEADING = re.compile(r"(#{1,4}) +(.+)")
_CODE = re.compile(r"`([^`]+)`")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)|&lt;(https://[^\s&]+)&gt;")
_BOLD = re.compile(r"\*\*(.+?)\*\*")
_ITALIC = re.compile(r"(?<![\w*])\*(?!\s)([^*]+?)\*(?![\w*])")
_KEPT = re.compile("\x00(\\d+)\x00")
#: Where a paragraph ends though no empty line stands there.
_STARTS = re.compile(r"```|#{1,4} |\||[-*] |1\. ")


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
    """Return the headings of a document in their order; lines of code are none."""
    outside = "".join(text.split(_FENCE)[::2])
    found = (_HEADING.fullmatch(line) for line in outside.splitlines())
    return [Heading(one[2], anchor_of(one[2]), len(one[1])) for one in found if one]


def html_of(text: str, link: Callable[[str], str | None]) -> SafeString:
    """Return a document's HTML, its headings one level lower: the page has a title of its own.

    `link` gives the address for the target of a link to another file, None where there is no such page; then
    the words stand alone.
    """
    return mark_safe("\n".join(_blocks(text.splitlines(), link)))  # noqa: S308 - escaped in _inline and _code


def _blocks(lines: list[str], link: Callable[[str], str | None]) -> Iterator[str]:
    rest = lines
    while rest:
        line = rest[0]
        if not line.strip() or line.startswith("!["):
            rest = rest[1:]
        elif line.startswith(_FENCE):
            inside = _until(rest[1:], lambda one: one.startswith(_FENCE))
            code = escape("\n".join(inside))
            yield f'<pre tabindex="0"><code>{code}</code></pre>'
            rest = rest[len(inside) + 2 :]
        elif heading := _HEADING.fullmatch(line):
            level = len(heading[1]) + 1
            anchor = escape(anchor_of(heading[2]))
            yield f'<h{level} id="{anchor}">{_inline(heading[2], link)}</h{level}>'
            rest = rest[1:]
        elif line.startswith("|"):
            rows = _until(rest, lambda one: not one.startswith("|"))
            yield _table(rows, link)
            rest = rest[len(rows) :]
        elif _ITEM.match(line):
            items, rest = _items(rest)
            kind = "ol" if line[0].isdigit() else "ul"
            inner = "".join(f"<li>{_content(item, link)}</li>" for item in items)
            yield f"<{kind}>{inner}</{kind}>"
        else:
            more = _until(rest[1:], lambda one: not one.strip() or _STARTS.match(one) is not None)
            yield f"<p>{_inline(' '.join([line, *more]), link)}</p>"
            rest = rest[1 + len(more) :]


def _until(lines: list[str], is_end: Callable[[str], bool]) -> list[str]:
    return lines[: next((number for number, one in enumerate(lines) if is_end(one)), len(lines))]


def _items(lines: list[str]) -> tuple[list[list[str]], list[str]]:
    """Return a list's items, each as its own lines, and what comes after the list."""
    items: list[list[str]] = []
    rest = lines
    while rest and (mark := _ITEM.match(rest[0])):
        width = mark.end()
        more = _until(rest[1:], lambda one: bool(one.strip()) and not one.startswith("  "))
        items.append([rest[0][width:], *(one[min(width, len(one) - len(one.lstrip())) :] for one in more)])
        rest = rest[1 + len(more) :]
    return items, rest


def _content(item: list[str], link: Callable[[str], str | None]) -> str:
    """Return an item's HTML; one of a single paragraph needs no <p>."""
    blocks = list(_blocks(item, link))
    first = blocks[0].removeprefix("<p>").removesuffix("</p>") if blocks else ""
    return "".join([first, *blocks[1:]])


def _table(rows: list[str], link: Callable[[str], str | None]) -> str:
    head, _line, *body = [row.strip().strip("|").split("|") for row in rows]
    titles = "".join(f'<th scope="col">{_inline(cell.strip(), link)}</th>' for cell in head)
    lines = ("".join(f"<td>{_inline(cell.strip(), link)}</td>" for cell in row) for row in body)
    inner = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f'<table class="mc-table"><thead><tr>{titles}</tr></thead><tbody>{inner}</tbody></table>'
    return f'<div class="mc-scroll" tabindex="0">{table}</div>'


def _inline(text: str, link: Callable[[str], str | None]) -> str:
    """Return a line's HTML. Code is taken out first and put back last: nothing in it means anything."""
    kept: list[str] = []

    def keep(found: re.Match[str]) -> str:
        kept.append(f"<code>{escape(found[1])}</code>")
        return f"\x00{len(kept) - 1}\x00"

    def linked(found: re.Match[str]) -> str:
        words, target = (found[3], found[3]) if found[3] else (found[1], found[2])
        if target.startswith("https://"):
            return f'<a href="{target}" rel="noreferrer noopener" target="_blank">{words}</a>'
        address = target if target.startswith("#") else link(target)
        return words if address is None else f'<a href="{escape(address)}">{words}</a>'

    html = str(escape(_CODE.sub(keep, text.replace("\x00", ""))))
    html = _LINK.sub(linked, html)
    html = _ITALIC.sub(r"<em>\1</em>", _BOLD.sub(r"<strong>\1</strong>", html))
    return _KEPT.sub(lambda found: kept[int(found[1])], html)
