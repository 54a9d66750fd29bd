"""The short way of drawing widgets gives Django's own HTML, to the byte."""

import datetime
from decimal import Decimal

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates, get_default_renderer
from django.forms.utils import ErrorList
from django.template import Template
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from mailconf.form_renderer import FormRenderer

HOSTILE = "a\"b'c<d>&é\n|{{ x }}"
ATTRS = [
    {},
    {"id": "id_x", "required": True, "disabled": False, "rows": 5, "class": 'v"x', "data-1p-ignore": ""},
    {"id": "", "title": gettext_lazy("Name"), "data-n": 1234567, "placeholder": mark_safe("&bull;")},
]
CHOICES = [
    ("", "---------"),
    (1, HOSTILE),
    (None, gettext_lazy("Name")),
    ("Group & <more>", [("a", mark_safe("<b>a</b>")), ("b", 1234567)]),
    ("plain", datetime.date(2026, 1, 2)),
]
TYPED = [None, "", "text", HOSTILE, mark_safe("<b>"), 0, 1234567, Decimal("1.5"), True, False]
INPUTS = [
    forms.TextInput, forms.NumberInput, forms.EmailInput, forms.URLInput, forms.SearchInput,
    forms.PasswordInput, forms.HiddenInput, forms.DateInput, forms.Textarea, forms.CheckboxInput,
    forms.ColorInput, forms.TelInput,
]  # fmt: skip
CHOOSING = [forms.Select, forms.RadioSelect, forms.SelectMultiple, forms.CheckboxSelectMultiple]


def both_ways(widget, value, attrs):
    return [widget.render("na<me", value, attrs, renderer=one()) for one in (FormRenderer, DjangoTemplates)]


@pytest.mark.parametrize("attrs", ATTRS)
@pytest.mark.parametrize("widget", INPUTS)
def test_an_input_looks_as_django_draws_it(widget, attrs):
    for value in TYPED:
        ours, theirs = both_ways(widget(), value, attrs)
        assert ours == theirs, value


@pytest.mark.parametrize("attrs", ATTRS)
@pytest.mark.parametrize("widget", CHOOSING)
def test_a_choice_looks_as_django_draws_it(widget, attrs):
    for value in [None, "", 1, "a", ["1", "b"]]:
        ours, theirs = both_ways(widget(choices=CHOICES), value, attrs)
        assert ours == theirs, value


def test_options_with_a_template_of_their_own_get_it():
    class Own(forms.Select):
        option_template_name = "django/forms/widgets/hidden.html"

    ours, theirs = both_ways(Own(choices=CHOICES), "a", {})

    assert ours == theirs
    assert "<option" not in ours


@pytest.mark.parametrize("field_id", [None, "id_host"])
@pytest.mark.parametrize(
    "errors", [[], ["Enter a name.", HOSTILE, mark_safe("<b>x</b>"), gettext_lazy("Name")]]
)
def test_errors_look_as_django_draws_them(errors, field_id):
    drawn = [
        str(ErrorList(errors, error_class="nonfield", renderer=one(), field_id=field_id))
        for one in (FormRenderer, DjangoTemplates)
    ]

    assert drawn[0] == drawn[1]


def test_our_forms_are_drawn_without_a_template(monkeypatch):
    def none(*_args, **_kwargs):
        raise AssertionError("a template was rendered")

    monkeypatch.setattr(Template, "render", none)

    assert isinstance(get_default_renderer(), FormRenderer)
    assert forms.Select(choices=CHOICES).render("x", 1).count("<option") == 6
