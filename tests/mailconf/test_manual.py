"""The manual inside: every chapter is a page, its links lead somewhere, and nothing in it is markup."""

import re

import pytest

from mailconf import manual
from mailconf.markdown import headings_of, html_of
from smtp_settings.forms.presets import STEPS, about
from smtp_settings.presets import by_key
from tests.pages import assert_strict, client_of, text_of

SMALL = {
    "# One\n\ntwo\nlines": '<h2 id="one">One</h2>\n<p>two\nlines</p>\n',
    "1. a\n\n   ```sh\n   x < y\n   ```": (
        '<ol>\n<li>\n<p>a</p>\n<pre tabindex="0"><code>x &lt; y\n</code></pre>\n</li>\n</ol>\n'
    ),
    "[here](there.md#a) [gone](no.md) [this](#b)": (
        '<p><a href="/there#a">here</a> gone <a href="#b">this</a></p>\n'
    ),
    "<script>alert(1)</script> `<b>`": (
        "<p>&lt;script&gt;alert(1)&lt;/script&gt; <code>&lt;b&gt;</code></p>\n"
    ),
    "<div onclick=x>\n": "<p>&lt;div onclick=x&gt;</p>\n",
    "[x](javascript:alert(1))": "<p>[x](javascript:alert(1))</p>\n",
    "# <img src=x> `&`": '<h2 id="img-srcx">&lt;img src=x&gt; <code>&amp;</code></h2>\n',
    "![a picture](p.png)\n\ntext": "<p></p>\n<p>text</p>\n",
}


def somewhere(target):
    return target.replace("there.md", "/there") if target.startswith("there.md") else None


@pytest.mark.parametrize("text", SMALL)
def test_markdown_becomes_html_and_brings_none_of_its_own(text):
    assert html_of(text, somewhere) == SMALL[text]


def test_a_table_has_a_head_and_lines():
    html = html_of("| A | B |\n|---|---|\n| `x` | **y** |", somewhere)
    assert '<th scope="col">A</th>\n<th scope="col">B</th>' in html
    assert "<td><code>x</code></td>\n<td><strong>y</strong></td>" in html


def test_every_file_of_the_folder_is_a_chapter():
    assert sorted(manual.CHAPTERS) == sorted(file.stem for file in manual.FOLDER.glob("*.md"))


@pytest.mark.django_db
def test_every_chapter_is_a_page_whose_links_lead_to_headings_that_are_there():
    client = client_of("staff")
    anchors, links = {}, []
    for name in manual.CHAPTERS:
        page = client.get(f"/admin/manual/{name}/")
        assert_strict(page)
        article = page.content.decode().partition("<article")[2].partition("</article>")[0]
        assert "**" not in re.sub(r"<code>.*?</code>", "", article, flags=re.DOTALL), name
        anchors[name] = set(re.findall(r'<h\d id="([^"]+)"', article))
        ours = page.content.decode().partition('class="mc-manual"')[2].partition("</article>")[0]
        links += [(name, one) for one in re.findall(r'href="((?:\.\./|#)[^"]*)"', ours)]
    for source, target in links:
        chapter, _mark, anchor = target.removeprefix("../").replace("/", "").partition("#")
        if anchor and (chapter or target.startswith("#")):
            assert anchor in anchors[chapter or source], (source, target)


@pytest.mark.django_db
def test_a_chapter_that_is_not_there_is_not_found():
    assert client_of("staff").get("/admin/manual/passwords/").status_code == 404


@pytest.mark.parametrize("key", STEPS)
def test_a_provider_with_steps_has_a_heading_of_its_name(key):
    text = (manual.FOLDER / "providers.md").read_text(encoding="utf-8")
    assert about(key, "").steps in [one.anchor for one in headings_of(text)], by_key(key).name


@pytest.mark.django_db
def test_the_form_links_the_manual_where_a_choice_is_made():
    page = client_of("superuser").get("/admin/smtp_settings/smtpprofile/add/").content.decode()
    for anchor in ("which-one", "tls-or-starttls"):
        assert f'href="/admin/manual/providers/#{anchor}"' in page


@pytest.mark.django_db
def test_the_manual_says_which_server_to_take():
    assert "right for mail to customers" in text_of(client_of("staff").get("/admin/manual/providers/"))
