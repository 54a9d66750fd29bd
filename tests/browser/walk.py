"""All pages of the house, part by part, and what is asked of each while it stands in the window."""

from tests.browser.conftest import DESKTOP, PHONE
from tests.browser.form_page import open_sections
from tests.house import every_address

#: In the order of the fewest changes: what a browser lays out and paints anew is what a walk takes.
LOOKS = [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "dark"), (PHONE, "light")]

#: Pages that end the session, hold somebody's mail, or are Django's own.
NOT_SHOWN = {"logout", "login", "password_change", "sandbox_preview", "delivery_message_preview"}

#: Pages that are none without a question.
_ASKED = {"delivery_bulkjob_start": "?action=move"}

BEYOND = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
WHO_IS_WIDE = """() => [...document.querySelectorAll('main *')].filter(one => {
    const box = one.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    const isOut = box.right > wide + 1 || box.left < -1;
    return box.width && isOut && !one.closest('.mc-scroll, pre, .mc-unseen');
}).slice(0, 4).map(one => one.outerHTML.slice(0, 120))"""
SMALL = """() => [...document.querySelectorAll(
        'main button, main input:not([type=hidden]), main select, main summary')]
    .filter(one => one.offsetParent && one.tabIndex >= 0 && !one.matches('.action-select'))
    .map(one => [one, one.getBoundingClientRect()])
    .filter(([one, box]) => box.width && (box.height < 24 || box.width < 24)
        && !one.closest('label')
        && !(one.labels?.length && ['checkbox', 'radio'].includes(one.type)))
    .map(([one, box]) => `${one.outerHTML.slice(0, 80)} ${box.width} x ${box.height}`)"""


def pages_of(house, client, part=0, parts=1):
    """The addresses of all pages one can look at, by name; or of one part of them."""
    found = {}
    for address in every_address(house)[part::parts]:
        if address.name in NOT_SHOWN or address.name.startswith(("auth_", "sites_")):
            continue
        url = address.url + _ASKED.get(address.name, "")
        answer = client.get(url)
        if answer.status_code == 200 and answer.headers["Content-Type"].startswith("text/html"):
            found[address.name] = url
    return found


def widen(page, width):
    """Give the page that is loaded a width, unless it has it."""
    if page.viewport_size != {"width": width, "height": 900}:
        page.set_viewport_size({"width": width, "height": 900})


def show(page, width, scheme):
    """Give the page that is loaded a width and a theme; the name of the look."""
    widen(page, width)
    page.emulate_media(color_scheme=scheme)
    return f"{width}-{scheme}"


def looks_of(page, url):
    """Load a page once and show it in each theme and width; yields the names of the looks."""
    page.goto(url)
    open_sections(page)
    for width, scheme in LOOKS:
        yield show(page, width, scheme)


def too_wide(page, widths):
    """How far the page sticks out at each width, and what does it."""
    found = {}
    for width in widths:
        widen(page, width)
        if (beyond := page.evaluate(BEYOND)) > 0:
            found[width] = (beyond, page.evaluate(WHO_IS_WIDE))
    return found


def too_small_for_a_thumb(page):
    """What cannot be hit on a phone: 24 pixels at least, each way (UX 2).

    Ticks of a list's rows are far enough apart (WCAG 2.5.8).
    """
    widen(page, PHONE)
    return page.evaluate(SMALL)


def faults_of(page, *, rules=None):
    """What axe finds on the page as it stands; by all rules, or by some only."""
    options = {"resultTypes": ["violations"], "selectors": False}
    if rules:
        options["runOnly"] = rules
    found = page.evaluate("options => axe.run(document, options)", options)["violations"]
    return [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found]


def faults_in_every_look(page, keep=None):
    """What axe finds in the four looks; `keep` is told the name of each.

    Colours depend on the theme and on what a width shows; every other rule on the width alone.
    """
    faults = {}
    for (width, scheme), rules in zip(
        LOOKS, (None, ["color-contrast"], None, ["color-contrast"]), strict=True
    ):
        look = show(page, width, scheme)
        if keep is not None:
            keep(look)
        if found := faults_of(page, rules=rules):
            faults[look] = found
    return faults
