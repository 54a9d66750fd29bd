"""Every promise of the list of features is the name of a test that goes through the real interface."""

import ast
import re
from pathlib import Path

from tests.feature_ids import IDS

FILES = sorted((Path(__file__).parent / "acceptance").glob("test_features_*.py"))


def names_in(source):
    """The names of the test functions of a file that do something."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        node.name
        for node in ast.parse(source).body
        if isinstance(node, functions)
        and node.name.startswith("test_")
        and not all(map(is_nothing, node.body))
    ]


def is_nothing(statement):
    """Whether a statement does nothing: `pass`, a docstring, `...`."""
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or is_constant


def ids_in(name):
    """The ids a test's name begins with.

    >>> ids_in("test_k1_k10_one_page_tests_the_settings"), ids_in("test_a_k9_in_the_middle")
    (['k1', 'k10'], [])
    """
    found = re.match(r"test((?:_[knqml]\d+)+)_", name)
    return re.findall(r"[knqml]\d+", found[1]) if found else []


def test_every_promise_has_a_test():
    tested = {found for file in FILES for name in names_in(file.read_text()) for found in ids_in(name)}

    assert sorted(set(IDS) - tested) == []


def test_no_test_names_a_promise_that_is_not_in_the_list():
    tested = {found for file in FILES for name in names_in(file.read_text()) for found in ids_in(name)}

    assert sorted(tested - set(IDS)) == []


def test_a_test_that_does_nothing_is_no_test():
    assert names_in('def test_k1_nothing():\n    """Nothing."""\n    pass\n') == []
    assert names_in("def test_k1_something():\n    assert 1\n") == ["test_k1_something"]
    assert ids_in("test_k1_k10_one_page_tests") == ["k1", "k10"]
    assert ids_in("test_a_k9_in_the_middle") == []
