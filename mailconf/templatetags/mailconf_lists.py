"""Draws the table and the filters of a list, faster than the stock admin and its templates.

The table is what the stock admin draws, where each column is a method of the admin.

The stock tag asks the model for a field of each column's name, and the resolver for an address, once for each
cell and row; that was a third of the time of a list. Here it is asked once for the page. Lists with fields as
columns (users, groups, sites), with a form in their rows or in a popup are drawn by the stock admin.

A filter may offer hundreds of profiles: a loop of a template cost 150 function calls for each of them.
"""

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from django import template
from django.contrib.admin.filters import ListFilter, SimpleListFilter
from django.contrib.admin.templatetags import admin_list
from django.contrib.admin.templatetags.admin_urls import add_preserved_filters
from django.contrib.admin.utils import display_for_value
from django.contrib.admin.views.main import ChangeList
from django.db.models.options import Options
from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import gettext as _

register = template.Library()
_CURRENT = ' aria-current="true"'
Row = Any  # Any: an object of the list's model, often with what the list put beside it


@dataclass(frozen=True, slots=True)
class Column:
    """One column: what to ask for a cell, what stands for nothing, its tag, and whether it is a link."""

    show: Callable[[Row], object]
    empty: str
    css: str
    tag: str = "td"
    is_link: bool = False


@dataclass(frozen=True, slots=True)
class Offer:
    """One choice of a filter; its address and its text are escaped."""

    address: str
    text: str
    is_chosen: bool


@register.inclusion_tag("admin/change_list_results.html")
def rows_of_list(cl: ChangeList) -> dict[str, Any]:  # Any: a template's context
    """Draw the headers and the rows of a list."""
    headers = list(admin_list.result_headers(cl))
    return {
        "cl": cl,
        "result_hidden_fields": list(admin_list.result_hidden_fields(cl)),
        "result_headers": headers,
        "num_sorted_fields": sum(bool(one["sortable"] and one["sorted"]) for one in headers),
        "results": drawn(cl) if is_drawn_here(cl) else list(admin_list.results(cl)),
    }


@register.simple_tag
def filter_of_list(cl: ChangeList, spec: ListFilter) -> SafeString:
    """Draw a filter: its title, what is chosen (not where that is the first, "All"), and what it offers."""
    offered = list(_offered(cl, spec))
    chosen = "".join(f": {one.text}" for one in offered[1:] if one.is_chosen)
    items = "".join(
        f'<li><a href="{one.address}"{_CURRENT if one.is_chosen else ""}>{one.text}</a></li>\n'
        for one in offered
    )
    css = "mc-chip is-used" if spec.used_parameters else "mc-chip"
    title = html.escape(capfirst(str(spec.title)))
    return mark_safe(  # noqa: S308  # of escaped parts
        f'<details class="{css}">\n<summary>{title}{chosen}</summary>\n<ul>\n{items}</ul>\n</details>'
    )


def _offered(cl: ChangeList, spec: ListFilter) -> Iterator[Offer]:
    """Yield what a filter offers; the list is asked once for the rest of the address, not for each choice."""
    is_simple = type(spec).choices is SimpleListFilter.choices and not cl.add_facets
    if not isinstance(spec, SimpleListFilter) or not is_simple:
        for one in spec.choices(cl):
            address, text = str(one["query_string"]), str(one["display"])
            yield Offer(html.escape(address), html.escape(text), is_chosen=bool(one["selected"]))
        return
    chosen, rest = spec.value(), cl.get_query_string(remove=[str(spec.parameter_name)])
    yield Offer(html.escape(rest), html.escape(_("All")), is_chosen=chosen is None)
    start = f"{rest}{'&' * (rest != '?')}{quote_plus(str(spec.parameter_name))}="
    for value, words in spec.lookup_choices:
        address = html.escape(start + quote_plus(str(value)))
        yield Offer(address, html.escape(str(words)), is_chosen=chosen == str(value))


def is_drawn_here(cl: ChangeList) -> bool:
    """Whether every column of a list is a method of its admin, for pages that only show."""
    if cl.formset or cl.is_popup or cl.to_field:
        return False
    return all(_is_method(cl.model_admin, cl.lookup_opts, name) for name in cl.list_display)


def _is_method(model_admin: object, opts: "Options[Any]", name: object) -> bool:  # Any: of any model
    if not isinstance(name, str) or name == "__str__" or name in {field.name for field in opts.get_fields()}:
        return False  # "__str__" is the row's
    method = getattr(model_admin, name, None)
    return callable(method) and not getattr(method, "boolean", False)


def drawn(cl: ChangeList) -> Sequence[Sequence[SafeString]]:
    """Return the cells of each row, joined."""
    columns, address = _columns(cl), _addresses(cl)
    return [
        [mark_safe("".join(_cell(column, row, address) for column in columns))]  # noqa: S308  # of escaped parts
        for row in cl.result_list
    ]


def _columns(cl: ChangeList) -> list[Column]:
    found: list[Column] = []
    for name in map(str, cl.list_display):
        show = getattr(cl.model_admin, name)
        empty = getattr(show, "empty_value_display", cl.model_admin.get_empty_value_display())
        is_link = name in (cl.list_display_links or ())
        tag = "th" if is_link and not any(column.is_link for column in found) else "td"
        css = "action-checkbox" if name == "action_checkbox" else f"field-{name}"
        found.append(Column(show, empty, css, tag, is_link))
    return found


def _cell(column: Column, row: Row, address: Callable[[Row], str]) -> str:
    value = column.show(row)
    if not isinstance(value, str) or not value.strip():
        value = display_for_value("" if isinstance(value, str) else value, column.empty)
    shown: str = conditional_escape(value)
    if column.is_link:
        shown = f'<a href="{escape(address(row))}">{shown}</a>'
    return f'<{column.tag} class="{column.css}">{shown}</{column.tag}>'


def _addresses(cl: ChangeList) -> Callable[[Row], str]:
    """Return what names the page of a row; the resolver is asked for the first row only."""
    if not cl.result_list:
        return lambda _row: ""
    first = cl.result_list[0]
    context: dict[str, Options[Any] | str] = {"preserved_filters": cl.preserved_filters, "opts": cl.opts}
    found = add_preserved_filters(context, cl.url_for_result(first))
    before, _pk, after = found.rpartition(f"/{first.pk}/")  # a slash in the query is written otherwise
    return lambda row: f"{before}/{row.pk}/{after}"
