"""The rows of the profile form: what is escaped, what is named, what is left out."""

from django import forms
from django.urls import reverse

from smtp_settings.forms.bound import RowField
from tests.builders import a_profile
from tests.pages import client_of


class AForm(forms.Form):
    """The least a row asks of its form."""

    bound_field_class = RowField
    NOT_SAVED = frozenset()
    hints = {}
    named = frozenset()

    name = forms.CharField(label="shop <b>", help_text="Shown in <logs>.")
    port = forms.IntegerField(label="port", required=False)
    tick = forms.BooleanField(label="is <on>", required=False)
    kind = forms.ChoiceField(label="kind", choices=[("a", "A & B")], widget=forms.RadioSelect)
    token = forms.CharField(widget=forms.HiddenInput, required=False)
    username = forms.CharField(label="user name", required=False)

    def is_kept(self, name):
        return False


def test_a_label_and_a_help_text_are_escaped():
    row = AForm()["name"].row
    assert '<label for="id_name">Shop &lt;b&gt; <span class="mc-required">required</span></label>' in row
    assert '<div class="help" id="id_name_helptext">Shown in &lt;logs&gt;.</div>' in row
    assert 'aria-describedby="id_name_helptext id_name_hint"' in row
    assert '<div class="mc-hints" id="id_name_hint"></div>' in row


def test_the_name_of_another_profile_is_escaped_in_a_help_text(db):
    a_profile(name="<img src=x>", is_default=True)
    page = client_of("superuser").get(reverse("admin:smtp_settings_smtpprofile_add")).content.decode()
    assert "&lt;img src=x&gt; is the default now." in page
    assert "<img src=x>" not in page
    assert "Example: <code>rcpt 450" in page


def test_each_method_has_a_sentence_of_its_own_about_the_region(db):
    page = client_of("superuser").get(reverse("admin:smtp_settings_smtpprofile_add")).content.decode()
    assert '<span class="mc-of is-mailgun">us or eu: where the domain was made.</span>' in page
    assert '<span class="mc-of is-ses">Such as eu-west-1.</span>' in page


def test_an_error_stands_in_its_row_and_is_escaped():
    form = AForm({"kind": "<script>"})
    row = form["kind"].row
    assert row.startswith('<div class="form-row field-kind errors">')
    assert "&lt;script&gt; is not one of the available choices" in row
    assert "<script>" not in row
    assert 'class="errorlist"' not in form["port"].row


def test_a_tick_has_its_label_behind_it():
    row = AForm()["tick"].row
    assert row.startswith('<div class="form-row field-tick is-tick">')
    assert row.index("<input") < row.index('<label for="id_tick">Is &lt;on&gt;</label>')


def test_choices_are_a_group_named_by_their_label():
    row = AForm()["kind"].row
    assert '<span class="mc-label" id="id_kind_label">Kind</span>' in row
    assert 'role="radiogroup" aria-labelledby="id_kind_label" aria-describedby="id_kind_hint"' in row
    assert "A &amp; B" in row


def test_a_field_a_cause_names_says_so():
    form = AForm()
    form.named = frozenset({"port"})
    row = form["port"].row
    assert row.startswith('<div class="form-row field-port is-named">')
    assert '<p class="mc-look">Look here</p>' in row


def test_a_field_has_the_labels_of_every_method():
    row = AForm()["username"].row
    assert '<span class="mc-of is-smtp">User name</span>' in row
    assert '<span class="mc-of is-ses">Access key ID</span>' in row


def test_a_hidden_field_is_its_input_alone():
    assert AForm()["token"].row == '<input type="hidden" name="token" id="id_token">'
