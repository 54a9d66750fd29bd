"""The profile form in a browser: presets, ports, hints, the password, by keyboard and on a narrow screen."""

import pytest

from smtp_settings.models import SMTPProfile
from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.walk import LOOKS, show
from tests.builders import a_profile
from tests.servers import smtp_server

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

ADD = "/admin/smtp_settings/smtpprofile/add/"
CANARY = "kanarienvogel-7Qz"


def change_url(profile):
    return f"/admin/smtp_settings/smtpprofile/{profile.pk}/change/"


def opened(browser, person, url=ADD, **window):
    page = browser.window(user=person, **window)
    page.goto(url)
    return page


def values_of(page):
    """What the form would submit now."""
    return page.evaluate(
        "Object.fromEntries([...new FormData(document.getElementById('smtpprofile_form'))]"
        ".filter(([name]) => name !== 'csrfmiddlewaretoken'))"
    )


def choose(page, preset):
    """Choose a provider and wait until it is filled in."""
    page.select_option("#id_preset", preset)
    page.wait_for_function("key => document.getElementsByName('_preset_before')[0].value === key", arg=preset)


def put(page, name, text):
    """Type or choose a value, whatever kind of input it is."""
    target = page.locator(f"[name={name}]").first
    if target.get_attribute("type") == "radio":
        page.check(f"[name={name}][value='{text}']")
    elif target.evaluate("one => one.tagName") == "SELECT":
        target.select_option(text)
    else:
        target.fill(text)


def wait_for_text(page, selector, text):
    page.wait_for_function(
        "([selector, text]) => document.querySelector(selector)?.textContent.includes(text)",
        arg=[selector, text],
    )


def wait_for_value(page, selector, value):
    page.wait_for_function(
        "([selector, value]) => document.querySelector(selector).value === value",
        arg=[selector, value],
    )


# Presets


def test_a_preset_fills_the_form_goes_on_to_what_is_empty_and_undo_restores(browser, person):
    page = opened(browser, person)
    before = values_of(page)

    choose(page, "sendgrid")

    assert page.input_value("#id_host") == "smtp.sendgrid.net"
    assert page.input_value("#id_username") == "apikey"
    assert page.evaluate("document.activeElement.id") == "id_password"
    assert "Filled in for SendGrid" in page.inner_text("#mc-filled")
    assert page.is_visible("#mc-preset-note")

    page.click("#mc-filled button")
    assert values_of(page) == before
    assert page.is_hidden("#mc-preset-note")


def test_a_preset_spares_what_was_typed(browser, person):
    page = opened(browser, person)
    page.fill("#id_name", "Mine")
    page.fill("#id_username", "shop")
    page.fill("#id_port", "10025")

    choose(page, "sendgrid")
    assert page.input_value("#id_host") == "smtp.sendgrid.net"

    choose(page, "gmail")

    held = values_of(page)
    assert (held["host"], held["username"], held["port"], held["name"]) == (
        "smtp.gmail.com", "shop", "10025", "Mine",
    )  # fmt: skip


def test_arrow_keys_move_through_the_presets_without_losing_the_focus(browser, person):
    page = opened(browser, person)
    page.focus("#id_preset")
    for _press in range(3):
        page.keyboard.press("ArrowDown")
    key = page.input_value("#id_preset")
    page.wait_for_function("key => document.getElementsByName('_preset_before')[0].value === key", arg=key)

    assert page.evaluate("document.activeElement.id") == "id_preset"


def test_a_region_chooses_the_server(browser, person):
    page = opened(browser, person)
    choose(page, "ses")
    assert page.evaluate("document.activeElement.id") == "id_preset_region"

    page.select_option("#id_preset_region", "eu-west-1")
    wait_for_value(page, "#id_host", "email-smtp.eu-west-1.amazonaws.com")


def test_a_name_is_proposed_until_a_person_names_it(browser, person):
    page = opened(browser, person)
    choose(page, "sendgrid")
    page.fill("#id_from_address", "shop@example.com")
    wait_for_value(page, "#id_name", "SendGrid (example.com)")

    page.fill("#id_name", "EU relay")
    page.fill("#id_from_address", "shop@example.org")
    wait_for_text(page, "#id_from_address_hint", "example.org")
    assert page.input_value("#id_name") == "EU relay"


# Security, port, server


def test_the_port_goes_with_the_security_of_the_provider_and_a_port_of_ones_own_stays(browser, person):
    page = opened(browser, person)
    choose(page, "elastic")
    found = {}
    for security in ("tls", "none", "starttls"):
        page.check(f"#id_security input[value={security}]")
        found[security] = page.input_value("#id_port")
    assert found == {"tls": "465", "none": "25", "starttls": "2525"}

    page.fill("#id_port", "10587")
    page.check("#id_security input[value=tls]")
    assert page.input_value("#id_port") == "10587"


def test_choosing_a_port_only_hints(browser, person):
    pairs = {
        ("465", "starttls"): "TLS from the first byte", ("465", "tls"): "", ("465", "none"): "TLS from",
        ("587", "starttls"): "", ("587", "tls"): "normally uses STARTTLS", ("587", "none"): "",
        ("25", "starttls"): "between servers", ("25", "tls"): "normally starts", ("25", "none"): "",
        ("2525", "starttls"): "", ("2525", "tls"): "normally uses STARTTLS", ("2525", "none"): "",
    }  # fmt: skip
    page = opened(browser, person)
    page.fill("#id_host", "smtp.example.com")
    for (port, security), says in pairs.items():
        page.check(f"#id_security input[value={security}]")

        def is_about_it(response, port=port, security=security):
            sent = response.request.post_data or ""
            return f'name="port"\r\n\r\n{port}\r' in sent and f'name="security"\r\n\r\n{security}\r' in sent

        page.fill("#id_port", "1")
        with page.expect_response(is_about_it) as asked:
            page.fill("#id_port", port)
        hints = {hint["field"]: hint["html"] for hint in asked.value.json()["hints"]}

        assert page.is_checked(f"#id_security input[value={security}]")
        assert says in hints.get("port", ""), (port, security)
        assert bool(says) == ("port" in hints), (port, security)
        assert ("Nothing is encrypted" in hints.get("security", "")) == (security == "none")


def test_a_hints_button_changes_the_form_says_so_and_can_be_undone(browser, person):
    page = opened(browser, person)
    page.fill("#id_port", "465")
    page.click("#id_port_hint button:has-text('TLS from the first byte')")

    assert page.is_checked("#id_security input[value=tls]")
    assert page.input_value("#id_port") == "465"
    assert "Security: STARTTLS" in page.inner_text(".field-port .mc-filled")

    page.click(".field-port .mc-filled button")
    assert page.is_checked("#id_security input[value=starttls]")
    assert not SMTPProfile.objects.exists()


def test_a_pasted_server_is_taken_apart_on_leaving_the_field(browser, person):
    pasted = {
        "smtp.example.com:2525": ("smtp.example.com", "2525"),
        "[2001:db8::1]:465": ("2001:db8::1", "465"),
        "  smtps://smtp.example.com ": ("smtp.example.com", "465"),
        "smtp.example.com  ": ("smtp.example.com", "587"),
        "2001:db8::1": ("2001:db8::1", "587"),
    }
    page = opened(browser, person)
    found = {}
    for typed in pasted:
        page.fill("#id_port", "587")
        page.fill("#id_host", typed)
        page.press("#id_host", "Tab")
        found[typed] = (page.input_value("#id_host"), page.input_value("#id_port"))

    assert found == pasted


def test_what_is_no_server_is_said_with_the_one_that_was_meant(browser, person):
    page = opened(browser, person)
    page.fill("#id_host", "https://smtp.example.com/inbox")
    page.click("#id_host_hint button")

    assert page.input_value("#id_host") == "smtp.example.com"


# The password


def test_no_hint_carries_the_password_away(browser, person):
    page = opened(browser, person)
    bodies = []
    page.on("request", lambda request: bodies.append(request.post_data or ""))
    page.fill("#id_username", "shop")
    with page.expect_response("**/hints/"):
        page.fill("#id_password", f" {CANARY}")
    wait_for_text(page, "#id_password_hint", "The password starts with a space.")
    choose(page, "sendgrid")

    assert any("_password_length" in body for body in bodies)
    assert not [body for body in bodies if CANARY in body]


def test_show_works_on_what_was_typed_and_ends_with_it(browser, person):
    profile = a_profile(password=CANARY, user=person)
    page = opened(browser, person, change_url(profile))
    assert page.get_attribute("#id_password", "placeholder") == "•••••••• saved"
    assert page.is_hidden("#mc-show")

    page.fill("#id_password", "typed")
    page.click("#mc-show")
    assert page.get_attribute("#id_password", "type") == "text"
    assert page.get_attribute("#mc-show", "aria-pressed") == "true"

    page.fill("#id_password", "")
    assert page.is_hidden("#mc-show")
    assert page.get_attribute("#id_password", "type") == "password"


def test_a_saved_password_is_asked_for_as_soon_as_its_destination_changes(browser, person):
    profile = a_profile(password=CANARY, host="smtp.example.com", port=10025, user=person)
    page = opened(browser, person, change_url(profile))
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    others = {
        "host": "smtp.example.org", "port": "2526", "security": "starttls", "verification": "none",
        "username": "other", "mechanism": "login",
    }  # fmt: skip
    for name, other in others.items():
        saved = values_of(page)[name]

        put(page, name, other)
        assert page.inner_text("#mc-again") == (
            "The saved password was entered for smtp.example.com. Enter the password again."
        ), name
        page.fill("#id_password", "x")
        assert page.is_hidden("#mc-again")
        page.fill("#id_password", "")

        put(page, name, saved)
        assert page.is_hidden("#mc-again"), name


def test_removing_the_password_says_so_and_can_be_undone(browser, person):
    profile = a_profile(password=CANARY, user=person)
    page = opened(browser, person, change_url(profile))
    assert page.is_hidden(".field-remove_password")

    page.click("#mc-remove")
    assert "will be removed" in page.inner_text("#mc-removed")
    assert values_of(page)["remove_password"] == "on"
    assert page.is_disabled("#id_password")

    page.click("#mc-keep")
    assert "remove_password" not in values_of(page)
    assert page.is_enabled("#id_password")
    assert page.evaluate("document.activeElement.id") == "mc-remove"


def test_without_scripts_the_same_form_fills_corrects_tests_and_saves(browser, person):
    with smtp_server(security="none", auth=("apikey", CANARY)) as server:
        page = opened(browser, person, javascript=False, width=PHONE)
        page.select_option("#id_preset", "sendgrid")
        page.click("#mc-fill")
        assert page.input_value("#id_host") == "smtp.sendgrid.net"
        assert page.evaluate("document.activeElement.id") == "id_password"

        page.click("#mc-filled button")
        assert page.input_value("#id_host") == ""

        page.fill("#id_name", "EU relay")
        page.fill("#id_host", f"{server.host}:{server.port}")
        page.check("#id_security input[value=none]")
        page.check("#id_accepts_clear_auth")
        page.fill("#id_username", "apikey")
        page.fill("#id_password", CANARY)
        page.fill("#id_from_address", "shop@example.com")
        page.click("#mc-test button[name=_check]")
        assert "The connection works." in page.inner_text("#mc-test-result")
        assert server.accepted == 0

        page.click("#mc-test button[name=_send_test]")
        assert page.input_value("#id_port") == str(server.port)
        assert page.get_attribute("#id_password", "placeholder") == "from your test, not saved yet"

        page.click(".mc-savebar button[name=_save]")
        page.wait_for_selector(".messagelist")
    assert SMTPProfile.objects.get().enabled


# The page


def test_from_header_and_debug_warning_follow_what_is_typed(browser, person):
    page = opened(browser, person)
    assert page.is_hidden("#mc-from")
    page.fill("#id_from_address", "shop@example.com")
    page.fill("#id_from_name", 'Shop, "the"')

    assert page.inner_text("#mc-from code") == '"Shop, \\"the\\"" <shop@example.com>'


def test_ticks_are_asked_for_where_they_are_needed_only(browser, person):
    page = opened(browser, person)
    page.evaluate("document.querySelectorAll('main details').forEach((one) => { one.open = true; })")
    assert page.is_hidden("#id_accepts_clear_auth")
    page.check("#id_security input[value=none]")
    assert page.is_visible("#id_accepts_clear_auth")
    page.check("#id_auth input[value=none]")
    assert page.is_hidden("#id_accepts_clear_auth")
    assert page.is_hidden("#id_password")

    page.check("#id_security input[value=starttls]")
    assert page.is_hidden("#id_accepts_unverified")
    page.check("#id_verification input[value=none]")
    assert page.is_visible("#id_accepts_unverified")


@pytest.mark.parametrize("javascript", [True, False])
def test_a_method_without_a_connection_has_no_section_about_it(browser, person, javascript):
    page = opened(browser, person, javascript=javascript)
    seen = {}
    for method in ("smtp", "sendmail", "pickup", "ses"):
        page.select_option("#id_transport", method)
        seen[method] = page.is_visible(".mc-network"), page.is_visible("#id_line_ends")
    assert seen == {
        "smtp": (True, False), "sendmail": (False, True), "pickup": (False, False), "ses": (True, False),
    }  # fmt: skip


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_the_tab_key_goes_through_the_form_as_it_is_seen(browser, person, width):
    page = opened(browser, person, width=width)
    page.evaluate("document.querySelectorAll('fieldset details').forEach((one) => { one.open = true; })")
    page.focus("#id_preset")
    places = []
    for _press in range(90):
        place = page.evaluate(
            """() => {
                const one = document.activeElement;
                if (!one.closest("fieldset")) { return null; }
                const row = (one.closest(".form-row") ?? one).getBoundingClientRect();
                return [Math.round(row.top + scrollY), Math.round(row.left), one.name || one.tagName];
            }"""
        )
        if place is None:
            break
        places.append(place)
        page.keyboard.press("Tab")

    assert len(places) > 40
    assert places == sorted(places, key=lambda place: place[:2])


@pytest.mark.parametrize(("width", "zoom"), [(320, 1), (640, 2)])
def test_nothing_sticks_out_at_320_pixels_or_200_percent(browser, person, keep, width, zoom):
    page = opened(browser, person, width=width // zoom)
    choose(page, "m365")
    page.evaluate("document.querySelectorAll('fieldset details').forEach((one) => { one.open = true; })")
    keep(page, f"profile-form-{width}-at-{zoom}")

    beyond = page.evaluate(
        """[...document.querySelectorAll("fieldset *")]
            .filter((one) => one.getClientRects().length && !one.closest(".mc-unseen, option, optgroup"))
            .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
            .map((one) => one.id || one.className || one.tagName)"""
    )
    assert beyond == []


def test_the_form_in_its_states_is_kept_for_a_look(browser, person, keep):
    page = opened(browser, person)

    def look(state):
        for width, scheme in LOOKS:
            keep(page, f"profile-form-{state}-{show(page, width, scheme)}")

    look("empty")
    choose(page, "m365")
    page.fill("#id_username", "reports@example.org")
    page.fill("#id_from_address", "shop@example.com")
    wait_for_text(page, "#id_from_address_hint", "another From")
    look("hints")
    page.fill("#id_host", "https://smtp.example.com/x")
    page.evaluate("document.querySelector('button[name=_draft]').click()")
    page.wait_for_selector("#mc-problems")
    look("errors")
    assert page.is_visible("#id_host_error")


def test_the_bytes_of_the_form_page_stay_within_their_budget(browser, person):
    page = browser.window(user=person)
    sizes = {}
    page.on("response", lambda response: sizes.__setitem__(response.url, len(response.body())))
    page.goto(ADD)
    page.wait_for_load_state("networkidle")

    assert sum(sizes.values()) < 300_000, sizes
