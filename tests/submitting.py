"""Submits a page's form as a browser without scripts does."""

from html.parser import HTMLParser


class _Form(HTMLParser):
    """Collects the successful controls of one form (HTML, "constructing the form data set")."""

    def __init__(self, form_id):
        super().__init__()
        self.form_id = form_id
        self.inside = False
        self.select = self.option = self.textarea = None
        self.values = {}
        self.buttons = []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "form":
            self.inside = attrs.get("id") == self.form_id
        elif self.inside:
            handle = getattr(self, f"start_{tag}", None)
            if handle is not None:
                handle(attrs)

    def start_input(self, attrs):
        kind = attrs.get("type", "text")
        if kind in ("checkbox", "radio"):
            if "checked" in attrs:
                self.add(attrs["name"], attrs.get("value", "on"))
        elif "name" in attrs and kind != "submit":
            self.add(attrs["name"], attrs.get("value") or "")

    def start_button(self, attrs):
        self.buttons.append(attrs)

    def start_select(self, attrs):
        self.select, self.option = attrs.get("name"), None

    def start_option(self, attrs):
        if self.select and (self.option is None or "selected" in attrs):
            self.option = attrs.get("value", "")

    def start_textarea(self, attrs):
        self.textarea = attrs.get("name")
        self.values.setdefault(self.textarea, "")

    def handle_data(self, data):
        if self.inside and self.textarea:
            known = self.values[self.textarea]
            self.values[self.textarea] = known + (data if known else data.removeprefix("\n"))  # as HTML does

    def handle_endtag(self, tag):
        if tag == "form":
            self.inside = False
        elif tag == "textarea":
            self.textarea = None
        elif tag == "select" and self.select:
            self.add(self.select, self.option or "")
            self.select = None

    def add(self, name, value):
        if name in self.values:
            known = self.values[name]
            self.values[name] = [*(known if isinstance(known, list) else [known]), value]
        else:
            self.values[name] = value


def _read(response, form_id):
    form = _Form(form_id)
    form.feed(response.content.decode())
    return form


def form_of(response, form_id="smtpprofile_form"):
    """What the form on the page would submit, without any button."""
    values = _read(response, form_id).values
    assert values, f"There is no form {form_id} on the page"
    values.pop("csrfmiddlewaretoken", None)
    return values


def buttons_of(response, form_id="smtpprofile_form"):
    """The names of the form's buttons in tree order; Enter presses the first."""
    return [button.get("name") for button in _read(response, form_id).buttons]
