"""Draws the simple widgets of forms without templates.

A page of ours has up to seventy fields, and a select two hundred options: Django renders a template for each
widget, one for each option, and one for the attributes of each, which was half the time of such a page. What
stands here is each of those templates as a function, to the byte (a test compares them with the installed
Django's); every other template goes the stock way.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.forms.renderers import DjangoTemplates
from django.utils.formats import localize
from django.utils.html import conditional_escape, escape
from django.utils.safestring import SafeData

Context = Mapping[str, Any]  # Any: what a widget puts into its context
_SPECIAL = re.compile("[&<>\"']").search


class FormRenderer(DjangoTemplates):
    """Django's renderer, with a shorter way for the widgets that have one."""

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> str:
        """Return the HTML of a widget or a list of errors."""  # Any: as BaseRenderer.render
        if template_name in _ERRORS:
            return _errors(context)
        drawn = _DRAWN.get(template_name)
        if drawn is None or not _has_known_options(context["widget"]):
            return str(super().render(template_name, context, request))
        return drawn(context["widget"]).strip()


def _has_known_options(widget: Context) -> bool:
    names = {option["template_name"] for _, group, _ in widget.get("optgroups", ()) for option in group}
    return _DRAWN.keys() >= names


def _shown(value: object) -> str:
    """Return a value as `{{ value }}` does."""
    if type(value) is str:  # by far most of them: names, classes, ids
        return _escaped(value)
    return conditional_escape(value if isinstance(value, str) else str(localize(value)))


def _text(value: object) -> str:
    """Return a value as `{{ value|stringformat:'s' }}` does: a number in no country's manner."""
    return value if isinstance(value, SafeData) and isinstance(value, str) else _escaped(str(value))


def _escaped(text: str) -> str:
    """Return text as `django.utils.html.escape` does, which replaces five characters one after the other."""
    return escape(text) if _SPECIAL(text) else text


def _attrs(widget: Context) -> str:
    """As attrs.html: `True` is a name alone, `False` nothing."""
    return "".join(
        f" {_shown(name)}" if value is True else f' {_shown(name)}="{_text(value)}"'
        for name, value in widget["attrs"].items()
        if value is not False
    )


def _input(widget: Context) -> str:
    value = widget["value"]
    shown = "" if value is None else f' value="{_text(value)}"'
    return f'<input type="{_shown(widget["type"])}" name="{_shown(widget["name"])}"{shown}{_attrs(widget)}>\n'


def _wrapped_input(widget: Context) -> str:
    """As checkbox.html and its like: templates that only include input.html."""
    return f"{_input(widget)}\n"


def _textarea(widget: Context) -> str:
    content = _shown(widget["value"]) if widget["value"] else ""
    return f'<textarea name="{_shown(widget["name"])}"{_attrs(widget)}>\n{content}</textarea>\n'


def _labelled_input(widget: Context) -> str:
    """As radio_option.html: an option in its label."""
    drawn = _input(widget)
    if widget["wrap_label"]:
        id_ = widget["attrs"].get("id")
        target = f' for="{_shown(id_)}"' if id_ else ""
        drawn = f"<label{target}>{drawn} {_shown(widget['label'])}</label>"
    return f"{drawn}\n\n"


def _inputs(widget: Context) -> str:
    """As radio.html: options below each other, in groups with a name or without."""
    attrs = widget["attrs"]
    drawn = [
        f' {name}="{_shown(value)}"'
        for name, value in (("id", attrs.get("id")), ("class", attrs.get("class")))
        if value
    ]
    parts = ["<div", *drawn, ">"]
    for name, options, _index in widget["optgroups"]:
        parts.append(f"\n  <div><label>{_shown(name)}</label>" if name else "")
        parts += [f"<div>\n    {_DRAWN[option['template_name']](option)}</div>" for option in options]
        parts.append("\n  </div>" if name else "")
    return "".join([*parts, "\n</div>\n\n"])


def _option(widget: Context) -> str:
    return f'<option value="{_text(widget["value"])}"{_attrs(widget)}>{_shown(widget["label"])}</option>\n'


def _select(widget: Context) -> str:
    parts = [f'<select name="{_shown(widget["name"])}"{_attrs(widget)}>']
    for name, options, _index in widget["optgroups"]:
        parts.append(f'\n  <optgroup label="{_shown(name)}">' if name else "")
        parts += [f"\n  {_DRAWN[option['template_name']](option)}" for option in options]
        parts.append("\n  </optgroup>" if name else "")
    return "".join([*parts, "\n</select>\n"])


def _errors(context: Context) -> str:
    """As errors/list/ul.html."""
    errors = context["errors"]
    if not errors:
        return ""
    field_id = getattr(errors, "field_id", None)
    id_ = f' id="{_shown(field_id)}_error"' if field_id else ""
    items = "".join(f"<li>{_shown(error)}</li>" for error in errors)
    return f'<ul class="{_shown(context["error_class"])}"{id_}>{items}</ul>'


_ERRORS = frozenset({"django/forms/errors/list/default.html", "django/forms/errors/list/ul.html"})
_DRAWN: dict[str, Callable[[Context], str]] = {
    f"django/forms/widgets/{name}.html": draw
    for draw, names in (
        (_input, ("input",)),
        (
            _wrapped_input,
            ("checkbox", "date", "email", "hidden", "number", "password", "search", "text", "url"),
        ),
        (_textarea, ("textarea",)),
        (_inputs, ("checkbox_select", "radio")),
        (_labelled_input, ("checkbox_option", "radio_option")),
        (_select, ("select",)),
        (_option, ("select_option",)),
    )
    for name in names
}
