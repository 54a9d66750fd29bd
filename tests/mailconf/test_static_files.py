"""What browsers load: smaller than the sources, named by content, and the same to a browser."""

import json
import re
from pathlib import Path

import pytest
import rcssmin
import rjsmin
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import override_settings

from mailconf.env import BASE_DIR
from mailconf.settings import STORAGES
from smtp_settings.models import SMTPProfile
from tests.builders import a_profile, a_user

OURS = BASE_DIR / "static" / "mailconf"


@pytest.fixture
def collected(tmp_path):
    """Files of our own and one of somebody else's, collected as an installation does it; their folder."""
    source = tmp_path / "source"
    (source / "shop").mkdir(parents=True)
    (source / "shop" / "a.css").write_text(
        '/* why */\nbody { color: red; }\n.x::before { content: "\\2013  é"; }\n'
    )
    (source / "shop" / "b.js").write_text("/*! licence */\n// why\nconst re = /a  b/;\nlet s = `x  y`;\n")
    (source / "shop" / "c.min.js").write_text("let a = 1; // small already\n")
    (source / "shop" / "d.svg").write_text("<svg>  </svg>")
    storages = STORAGES | {"staticfiles": {"BACKEND": "mailconf.static_files.MinifiedStaticFilesStorage"}}
    with override_settings(STATIC_ROOT=tmp_path / "static", STATICFILES_DIRS=[source], STORAGES=storages):
        for _ in range(2):  # the second time everything is there already
            call_command("collectstatic", interactive=False, verbosity=0)
    return tmp_path / "static"


def served(collected, name):
    names = json.loads((collected / "staticfiles.json").read_text())["paths"]
    return (collected / names[name]).read_text(encoding="utf-8")


def test_comments_and_spaces_go_and_what_means_something_stays(collected):
    assert served(collected, "shop/a.css") == 'body{color:red}.x::before{content:"\\2013  é"}'
    assert served(collected, "shop/b.js") == "/*! licence */const re=/a  b/;let s=`x  y`;"


#: The pieces of a style sheet: comments, strings, spaces, words, signs.
_PIECES = re.compile(
    r"""/\*.*?\*/ | "(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | \s+ | [^\s"'{}()\[\];:,>!]+ | .""",
    re.VERBOSE | re.DOTALL,
)
#: A space after or before these says nothing. Before a colon or a bracket it may say "inside".
_IDLE_AFTER, _IDLE_BEFORE = frozenset("{};,>([:"), frozenset("{};,>)]!")


def meant_by(sheet):
    """What a style sheet says, piece by piece: without comments and without spaces that say nothing."""
    said = ["{"]
    pieces = [piece for piece in _PIECES.findall(sheet) if not piece.startswith("/*")]
    for piece, following in zip(pieces, [*pieces[1:], "}"], strict=True):
        if not piece.isspace():
            if piece == "}" and said[-1] == ";":
                said.pop()
            said.append(piece)
        elif (
            said[-1] not in _IDLE_AFTER | {" "} and not following.isspace() and following not in _IDLE_BEFORE
        ):
            said.append(" ")
    return said


@pytest.mark.parametrize("file", sorted(OURS.glob("*.css")), ids=lambda file: file.name)
def test_our_styles_say_the_same_when_they_are_small(file):
    source = file.read_text(encoding="utf-8")
    assert meant_by(rcssmin.cssmin(source, keep_bang_comments=True)) == meant_by(source)


@pytest.mark.parametrize(
    ("source", "small"),
    [
        ("a:is([type=url], b) { top: 0 }", "a:is([type=url,b){top:0}"),
        ("a { background: url( 'a b.png' ) }", "a{background:url('ab.png')}"),
        ("[hidden] :is(b) { top: 0 }", "[hidden]:is(b){top:0}"),
        ("a { top: calc(1px + 2px) }", "a{top:calc(1px +2px)}"),
        ("@media all and (width) { a { top: 0 } }", "@media all and(width){a{top:0}}"),
        ("a::before { content: 'a  b' }", "a::before{content:'a b'}"),
    ],
)
def test_a_style_that_was_broken_does_not_say_the_same(source, small):
    """The first two are what the minifier does: it takes `url` for an address."""
    assert meant_by(small) != meant_by(source)


def test_what_is_small_already_and_what_is_no_text_stays_as_it_is(collected):
    assert served(collected, "shop/c.min.js") == "let a = 1; // small already\n"
    assert served(collected, "shop/d.svg") == "<svg>  </svg>"


def test_the_admins_own_files_are_among_them(collected):
    assert "admin/css/base.css" in json.loads((collected / "staticfiles.json").read_text())["paths"]


@pytest.mark.django_db
@pytest.mark.parametrize("page", ["add/", "1/change/"])
def test_what_the_profile_form_loads_of_ours_stays_under_60_kib(page, client):
    user = a_user("superuser")
    client.force_login(user)
    SMTPProfile.objects.filter(pk=a_profile(user=user).pk).update(id=1)
    html = client.get(f"/admin/smtp_settings/smtpprofile/{page}").content.decode()
    names = sorted(set(re.findall(r"/static/(mailconf/[a-z0-9]+\.(?:css|js))", html)))
    names = [name for name in names if "django6" not in name]  # until 5.2 is no longer supported
    minify = {".css": rcssmin.cssmin, ".js": rjsmin.jsmin}
    sizes = {
        name: len(minify[Path(name).suffix](Path(finders.find(name)).read_text()).encode()) for name in names
    }
    assert len(sizes) >= 7
    assert sum(sizes.values()) < 60 * 1024, sizes
