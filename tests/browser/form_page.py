"""The profile form in a browser, as a person uses it."""

from playwright.sync_api import expect

ADD = "/admin/smtp_settings/smtpprofile/add/"
TEST = "#mc-test button[name=_send_test]"
SAVE = ".mc-savebar button[name=_save]"


def open_form(page, url=ADD):
    """Open the form with all its sections."""
    page.goto(url)
    open_sections(page)


def open_sections(page):
    """Open the closed sections: their fields cannot be typed into."""
    closed = "main details:not(.mc-chip, .mc-anyway)"
    page.eval_on_selector_all(closed, "all => { for (const one of all) { one.open = true; } }")


def open_sections_by_hand(page):
    """The same without scripts, as a person does."""
    for section in page.locator("main fieldset details").all():
        if section.is_visible() and section.get_attribute("open") is None:
            section.locator("summary").first.click()


def tick(box, *, on=True):
    """Tick, choose or untick by keyboard: a hint that comes meanwhile moves what a mouse aims at."""
    if box.is_checked() != on:
        box.press("Space")
    expect(box).to_be_checked(checked=on)


def enter(page, **fields):
    """Type into fields, tick and choose; by the names of the form."""
    for name, value in fields.items():
        box = page.locator(f"#id_{name}")
        kind = page.evaluate(
            "name => document.querySelector(`[name=${name}]`).type",
            name,
        )
        if kind == "radio":
            tick(page.locator(f"input[name={name}][value='{value}']"))
        elif kind == "checkbox":
            tick(page.locator(f"[name={name}]"), on=value)
        elif kind == "select-one":
            box.select_option(value)
        else:
            box.fill(str(value))


def fill_in(page, server, **fields):
    """A whole new profile for a server on this machine."""
    values = {
        "name": "EU relay",
        "host": server.host,
        "security": "none",
        "auth": "none",
        "port": server.port,
        "from_address": "shop@example.com",
    }
    enter(page, **values | fields)


def run_test(page, button=TEST):
    """Press the button and wait for the test's end; the state as the panel's badge has it."""
    page.click(button)
    wait_for_end(page)
    return badge(page)


def wait_for_end(page, timeout=60_000):
    """Return when a test has ended and the page says how."""
    page.wait_for_selector(
        "#mc-run .mc-step, #mc-run .mc-notice, #mc-problems", state="attached", timeout=timeout
    )
    page.wait_for_function(
        """() => {
            const badge = document.querySelector('#mc-test .mc-gate-badge, #mc-test .mc-card-head .mc-badge');
            const busy = document.querySelector("#mc-test [aria-busy='true']");
            return badge && !busy && !/Testing|Waiting/.test(badge.textContent);
        }""",
        timeout=timeout,
    )


def badge(page):
    return page.inner_text("#mc-test .mc-card-head .mc-badge").strip()


def steps(page):
    """The steps of the test that is shown: name -> word."""
    names = page.locator("#mc-run .mc-step-name").all_inner_texts()
    words = page.locator("#mc-run .mc-step-state").all_inner_texts()
    return dict(zip(map(str.strip, names), map(str.strip, words), strict=True))


def save_is_open(page):
    return page.get_attribute(SAVE, "aria-disabled") is None
