import pytest

from transports.smtp.capabilities import read_capabilities


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], {}),
        (["mx.example.org greets you"], {}),
        (["mx", "PIPELINING", "8bitmime"], {"PIPELINING": "", "8BITMIME": ""}),
        (["mx", "SIZE 1000"], {"SIZE": "1000"}),
        (["mx", "SIZE"], {"SIZE": ""}),
        (["mx", "SIZE 0"], {"SIZE": "0"}),
        (["mx", "SIZE abc"], {}),
        (["mx", "SIZE -1"], {}),
        (["mx", "SIZE ٣"], {}),
        (["mx", "SIZE " + "9" * 5000], {}),
        (["mx", "AUTH plain login", "AUTH=LOGIN XOAUTH2"], {"AUTH": "PLAIN LOGIN XOAUTH2"}),
        (["mx", "AUTH"], {"AUTH": ""}),
        (["mx", "AUTH="], {"AUTH": ""}),
        (["mx", "", "  ", "<script>"], {}),
        (["mx", "X\x1bY", "X-OK a\x00b"], {"X-OK": "a�b"}),
        (["mx", "X-OK \udcff"], {"X-OK": "�"}),
    ],
)
def test_capabilities_are_read(lines, found):
    assert read_capabilities(lines) == found


def test_ten_thousand_keywords_are_not_looked_at():
    assert len(read_capabilities(["mx"] + [f"X{n}" for n in range(10_000)])) == 200
