"""Management commands speak the installation's language, as the pages do whose sentences they repeat."""

import ast
import re

import pytest

from mailconf.env import BASE_DIR

COMMANDS = sorted(BASE_DIR.glob("*/management/commands/[a-z]*.py"))
WORDS = re.compile(r"[A-Za-z]{2,}")


def literal_words(node):
    """The words a sentence is made of here, without those that go through gettext first."""
    if isinstance(node, ast.Call):  # of gettext, or of what makes the sentence elsewhere
        return []
    if isinstance(node, ast.Constant):
        return WORDS.findall(str(node.value)) if " " in str(node.value) else []
    children = node.values if isinstance(node, ast.JoinedStr) else ast.iter_child_nodes(node)
    return [word for child in children for word in literal_words(child)]


@pytest.mark.parametrize("file", COMMANDS, ids=lambda file: file.stem)
def test_what_a_command_says_can_be_translated(file):
    for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(call, ast.Call) and call.args:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name in {"write", "CommandError", "ArgumentTypeError"}:
                assert not literal_words(call.args[0]), f"{file.name}, line {call.lineno}"


def test_a_sentence_that_is_no_one_elses_is_found():
    assert literal_words(ast.parse('f"{count} secrets open."', mode="eval").body) == ["secrets", "open"]
    assert literal_words(ast.parse('"Done at last." if x else _("No.")', mode="eval").body) != []
    assert literal_words(ast.parse('_("%(n)d secrets open.") % {"n": count}', mode="eval").body) == []
