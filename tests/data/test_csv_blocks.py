"""CSV files are read in blocks of lines where that gives the same rows as reading with care."""

import io
from random import Random

import pytest
from seqlab.data.formats import delimited
from seqlab.data.formats.delimited import CSVFormat, TSVFormat
from seqlab.errors import DataError

FORMS = [
    CSVFormat(),
    CSVFormat(strip=False),
    CSVFormat(quote=None),
    CSVFormat(delimiter=" "),
    CSVFormat(quote="'", header=["x", "y"]),
    TSVFormat(),
]
PIECES = [
    *["a", "b c", ",", ",", " , ", "\t", " ", "\n", "\n", "\r\n", "\n\n", "é", "\u2028"],
    *["\x0b", "\x00", '"', "'", '"q, r"', '""', "\r", "\ufeff", "  \n", "\x1c"],
]


def rows_of(form, data):
    try:
        return [(n, row if isinstance(row, dict) else str(row)) for n, row in form.read(data, "f")]
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_blocks_give_the_rows_that_are_read_with_care(form, monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 12)
    random = Random(0)  # noqa: S311 - no secret
    for round_ in range(400):
        pieces = random.choices(PIECES[: 13 if round_ % 2 else None], k=random.randrange(40))
        text = random.choice(["x,y\n", "x\n", "x\ty\r\n", "\ufeffx,y\n", ""]) + "".join(pieces)
        data = text.encode()
        if random.random() < 0.2:
            data = data.replace(b"\xc3", b"\xff")
        in_blocks = rows_of(form, io.BytesIO(data))
        with monkeypatch.context() as patch:
            patch.setattr(CSVFormat, "_plain", lambda *_, **__: None)
            patch.setattr(delimited, "_BLOCK", 2**20)
            assert in_blocks == rows_of(form, io.BytesIO(data)), data


def test_a_record_over_several_blocks_keeps_its_line(monkeypatch):
    monkeypatch.setattr(delimited, "_BLOCK", 8)
    data = b'text,label\nplain,a\n"long\nlong\nlong, long",b\nplain,c\nbad\n'
    lines = [number for number, _ in CSVFormat().read(io.BytesIO(data), "f")]
    assert lines == [2, 3, 6, 7]


def test_what_is_typed_is_read_line_by_line():
    class Keyboard(io.BytesIO):
        def isatty(self):
            return True

    typed = Keyboard(b"text\na\nb\n")
    rows = CSVFormat().read(typed, "-")
    assert next(rows) == (2, {"text": "a"})
    assert typed.read() == b"b\n"
