"""What browsers load: smaller than the sources, named by content, and the same to a browser."""

import json

import pytest
from django.core.management import call_command
from django.test import override_settings

from mailconf.settings import STORAGES


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


def test_what_is_small_already_and_what_is_no_text_stays_as_it_is(collected):
    assert served(collected, "shop/c.min.js") == "let a = 1; // small already\n"
    assert served(collected, "shop/d.svg") == "<svg>  </svg>"


def test_the_admins_own_files_are_among_them(collected):
    assert "admin/css/base.css" in json.loads((collected / "staticfiles.json").read_text())["paths"]
