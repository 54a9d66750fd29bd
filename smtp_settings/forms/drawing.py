"""Draws the rows of a form: label, input, help, error and hints, each named in `aria-describedby`.

Not a template: of a page with sixty rows each would look up some twenty values of a bound field, and for
every one Django first tries an index and catches its TypeError. That was a sixth of the page's work.
"""

from typing import TYPE_CHECKING

from django.template.loader import render_to_string
from django.utils.html import conditional_escape as shown
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

if TYPE_CHECKING:
    from smtp_settings.forms.bound import RowField


def row(field: "RowField") -> SafeString:
    """Return a whole row; a hidden field is its input alone."""
    if field.is_hidden:
        return mark_safe(str(field))  # noqa: S308  # drawn by the form's renderer
    errors = field.errors
    marks = (
        (" errors", bool(errors)),
        (" is-narrow", field.is_narrow),
        (" is-tick", field.is_tick),
        (" is-named", field.is_named),
    )
    parts = [
        f'<div class="form-row field-{field.name}{"".join(mark for mark, holds in marks if holds)}">\n',
        _input(field),
        _help(field),
        f"\n{errors or ''}",
        f'<p class="mc-look">{shown(_("Look here"))}</p>' if field.is_named else "",
        f'<div class="mc-hints" id="{field.hint_id}">{field.hints}</div>\n</div>',
    ]
    return mark_safe("".join(parts))  # noqa: S308  # of escaped parts


def _help(field: "RowField") -> str:
    if not field.help_text:
        return ""
    return f'<div class="help" id="{field.auto_id}_helptext">{shown(field.help_text)}</div>'


def _input(field: "RowField") -> str:
    """Return label and input in the order in which they are read."""
    if field.is_tick:
        label = f'<label for="{shown(field.id_for_label)}">{shown(field.caption)}</label>'
        return f'<div class="mc-control">{field}{label}</div>\n'
    if role := field.group_role:
        return (
            f'<span class="mc-label" id="{field.label_id}">{shown(field.caption)}</span>\n'
            f'<div class="mc-control" role="{role}" aria-labelledby="{field.label_id}" '
            f'aria-describedby="{field.aria_describedby}">{field}</div>\n'
        )
    extra = render_to_string(field.extra, {"form": field.form}) if field.extra else ""
    return f'{_label(field)}\n<div class="mc-control">{field}{extra}</div>\n'


def _label(field: "RowField") -> str:
    caption = str(shown(field.caption))
    if others := field.other_captions:
        captions = [("smtp", caption), *((method, str(shown(str(other)))) for method, other in others)]
        caption = "".join(f'<span class="mc-of is-{method}">{text}</span>' for method, text in captions)
    required = f' <span class="mc-required">{shown(_("required"))}</span>' if field.says_required else ""
    return f'<label for="{shown(field.id_for_label)}">{caption}{required}</label>'
