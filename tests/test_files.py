import doctest
import errno

import pytest
from seqlab import errors, files
from seqlab.errors import BundleError, DataError, did_you_mean, listed, one_line
from seqlab.files import reading


class PanicException(BaseException):
    """As Rust's parsers raise it."""


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ValueError("bad\nand long"), "a.bin: not a table: bad"),
        (AssertionError(), "a.bin: not a table: AssertionError"),
        (KeyError("vocab"), "a.bin: not a table: 'vocab' is missing"),
        (RecursionError("too deep"), "a.bin: not a table: too deep"),
        (MemoryError(), "a.bin: not a table: MemoryError"),
        (PanicException("index out of range"), "a.bin: not a table: index out of range"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "a.bin: no such file"),
        (PermissionError(errno.EACCES, "Permission denied"), "a.bin: cannot be read: Permission"),
        (OSError("not a gzip file"), "a.bin: not a table: not a gzip file"),
        (ValueError("x" * 10_000), "a.bin: not a table: xxx"),
    ],
)
def test_whatever_a_parser_raises_becomes_one_short_line(raised, message):
    with pytest.raises(BundleError) as caught, reading("a.bin", BundleError, "a table"):
        raise raised
    assert str(caught.value).startswith(message)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("raised", [DataError("mine"), KeyboardInterrupt(), SystemExit(3)])
def test_own_errors_and_the_wish_to_stop_pass(raised):
    with pytest.raises(type(raised)) as caught, reading("a.bin", BundleError):
        raise raised
    assert caught.value is raised


def test_messages_that_list_names_stay_short():
    many = [f"column {number}" for number in range(10_000)]
    assert len(did_you_mean("column 7", many)) < 2000
    assert did_you_mean("colum 77", many).startswith("did you mean 'column 7")
    assert did_you_mean("x", many).endswith(" more")
    assert len(listed(["x" * 10_000])) < 100
    assert one_line(ValueError("  \n first\nsecond")) == "first"


@pytest.mark.parametrize("module", [errors, files])
def test_examples_run(module):
    assert doctest.testmod(module).failed == 0
