"""A PDF of one page, written by hand: the sample report's attachment."""


def page(*lines: str) -> bytes:
    r"""Return a PDF (1.4) with these lines of text, as far as they are Latin-1.

    >>> page("Report")[:8], page("Report")[-6:]
    (b'%PDF-1.4', b'%%EOF\n')
    """
    shown = b" ".join(b"(" + _escaped(line) + b") Tj T*" for line in lines)
    text = b"BT /F1 24 Tf 72 720 Td 36 TL " + shown + b" ET"
    return _assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
            b"/Resources << /Font << /F1 5 0 R >> >> >>",
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        ]
    )


def _escaped(line: str) -> bytes:
    for character in "\\()":
        line = line.replace(character, "\\" + character)
    return line.encode("latin-1", "replace")


def _assembled(objects: list[bytes]) -> bytes:
    """Put the objects one after another and write the table of their offsets (ISO 32000-1, 7.5)."""
    file = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(file)
