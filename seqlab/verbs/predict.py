"""``seqlab predict``: one JSON object for each row of a file, in order."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, BinaryIO

from seqlab import progress
from seqlab.bundle.place import each_bundle, local_bundle
from seqlab.collector import rare_collections
from seqlab.data.formats.base import Format
from seqlab.data.formats.choice import as_trained, format_of, make_format
from seqlab.errors import ConfigError, DataError, did_you_mean
from seqlab.files import json_line, reading
from seqlab.verbs.n_best import N_BEST, check_n_best, n_best_lines

#: Batches that are sorted by length together.
_WINDOW = 16


def run(spec: dict[str, Any], run_dir: Path, *, check: Callable[[Any], None] | None = None) -> None:
    """Read rows, predict, write ``{"input": ..., <answer>}`` a line.

    Files are read as for training, by any registered format; one of the format that the bundle was
    trained on is read with the same options. ``input`` is the line of a text file, and all fields
    of other rows. Where the data have transforms, there is a line for each row that they make, with
    ``row``, the number of its input from 0, and ``part``. A file is written whole or not at all;
    standard output is written as rows arrive; where there are no rows, nothing is, and a warning
    says so. A file whose name ends in ``.nbest`` is an n-best
    list, see ``seqlab.verbs.n_best``.

    Args:
        spec: ``bundle``, ``input``, ``output``, ``format``, ``column``, ``batch_size``,
            ``device``, ``num_threads``, ``search``, ``options``.
        run_dir: not used; the output goes where ``output`` says.
        check: refuses a model before anything is read.

    Raises:
        SeqlabError: the bundle or a row is not as it should be; the message names file and line.
    """
    del run_dir
    source, output = str(spec.get("input", "-")), str(spec.get("output", "-"))
    refuse_same(source, output)
    given = spec.get("format")
    check_format(source, given)
    for place in each_bundle(spec["bundle"]):
        local_bundle(place)
    with opened(source) as stream:
        with rare_collections(), progress.stage("starting", summary=False, lines=False):
            from seqlab.bundle import load
        from seqlab.devices import global_settings, pick_device
        from seqlab.engines.calls import coming_calls

        with global_settings(spec.get("num_threads")):
            with progress.stage("loading", summary=False, lines=False):
                trained = load(spec["bundle"], device=pick_device(spec.get("device") or "auto"))
            if check is not None:
                check(trained)
            column = _column(trained, spec.get("column"))
            n_best = output.endswith(N_BEST)
            if n_best:
                check_n_best(trained)
            rows = rows_of(trained, stream, source, given, column)
            size = spec.get("batch_size") or 64
            options = {**(spec.get("options") or {}), "batch_size": size}
            if spec.get("search") is not None:
                options["search"] = spec["search"]
            # who types sees the answer to a line at once, and no display beside it
            typed = stream.isatty()
            with written(output) as out, progress.muted(typed):
                together = 1 if typed else size * _WINDOW
                if any(transform.whole for transform in trained.processor.transforms):
                    together = None
                parts = iter(lambda: list(islice(rows, together)), [])
                first = next(parts, [])
                if not first:
                    warn_of_nothing(source)
                ahead = parts if not first else chain([first], parts)
                with coming_calls(_batches(stream, len(first), size)):
                    _answer_all(trained, ahead, out, column, options, n_best=n_best)


def check_format(source: str, given: Any) -> Format:
    """The format of a file, given or by its ending, before anything dear is done."""
    return make_format(given or _by_ending(source), source, "format")


def _by_ending(source: str) -> str:
    return "text" if source == "-" else format_of(source, "format")


def rows_of(
    trained: Any, stream: BinaryIO, source: str, given: Any = None, column: str | None = None
) -> Iterator[tuple[str, Any]]:
    """The rows of an open file for a model: where each stands, and what stands there.

    Args:
        trained: the model; a file of the format it was trained on is read with the same options.
        stream: of bytes.
        source: the file's name, or ``-`` for standard input.
        given: its format; None: by its ending.
        column: what is read in place of the model's only column.

    Raises:
        DataError: a row is refused.
    """
    if given:
        form = make_format(given, source, "format")
    else:
        form = make_format(as_trained(trained.config, _by_ending(source)), source, "format")
        form.guessed = "format"
    rows = numbered_inputs(stream, spoken(source), form)
    if (first := next(rows, None)) is None:
        return
    needed = trained.processor.spec.given_columns if column is None else (column,)
    _check_columns(*first, needed, source, form)
    yield first
    yield from rows


def _check_columns(where: str, row: Any, needed: Sequence[str], source: str, form: Format) -> None:
    """Refuse a file whose first row lacks a column, and say how it may be mended.

    Raises:
        DataError: it does.
    """
    if not isinstance(row, dict):
        return
    for column in needed:
        if column in row:
            continue
        advice, others = "", not row.keys().isdisjoint(needed)
        if source != "-":
            with opened(source) as stream:
                advice = form.missing(stream, source, column, others=others)
        if not advice and len(needed) == 1:
            advice = "; give another as column=NAME"
        raise DataError(
            f"{where}: column '{column}' is missing: {did_you_mean(column, map(str, row))}{advice}"
        )


def spoken(source: str) -> str:
    """What people call an input."""
    return "standard input" if source == "-" else source


def warn_of_nothing(source: str) -> None:
    """Say that an input is empty; so is the answer, as in any pipe."""
    warnings.warn(f"no rows in {spoken(source)}", stacklevel=2)


def _answer_all(
    trained: Any,
    parts: Iterator[list[tuple[str, Any]]],
    out: IO[bytes],
    column: str | None,
    options: dict[str, Any],
    *,
    n_best: bool,
) -> None:
    """Write an answer for each row; the rows of a part are answered together."""
    made = bool(trained.processor.transforms)
    with progress.stage("predicting", lines=False) as stage:
        for part in parts:
            answers = _answers(trained, part, column, options)
            if n_best:
                out.write(n_best_lines(answers, stage.done))
            else:
                lines = _lines(part, answers, stage.done if made else None)
                out.write(b"".join(json_line(line) for line in lines))
            out.flush()
            stage.advance(len(part))


def _lines(
    part: list[tuple[str, Any]], answers: list[dict[str, Any]], before: int | None
) -> Iterator[dict[str, Any]]:
    """Each answer with its input; those to rows of transforms say which one that is.

    Args:
        part: some inputs.
        answers: to them, or to the rows made of them.
        before: how many inputs came before these, for answers to rows that are made; else None.
    """
    for place, answer in enumerate(answers):
        if before is None:
            yield {"input": part[place][1], **answer}
        else:
            yield {"input": part[answer["row"]][1], **answer, "row": before + answer["row"]}


def _batches(stream: BinaryIO, rows: int, size: int) -> int:
    """About how many batches a file has, when some rows of it were read; 0 for what has no size."""
    try:
        read = stream.tell()
        whole = os.fstat(stream.fileno()).st_size
    except OSError:
        return 0
    return int(rows * max(whole / max(read, 1), 1.0) / size)


def numbered_inputs(stream: BinaryIO, name: str, form: Format) -> Iterator[tuple[str, Any]]:
    """Pairs of place and row.

    Raises:
        DataError: a row is refused.
    """
    with reading(name, DataError, "readable in its format"):
        for number, row in form.inputs(stream, name):
            if isinstance(row, DataError):
                raise row
            yield f"{name} {form.unit} {number}", row


def _answers(
    trained: Any, part: list[tuple[str, Any]], column: str | None, options: dict[str, Any]
) -> list[dict[str, Any]]:
    """The answers to some rows, each ``(where, row)``."""
    values = [row for _, row in part]
    if column is not None:
        values = [_value(row, column, where) for where, row in part]
    answers: list[dict[str, Any]] = trained.predict_rows(
        values, lambda index: part[index][0], **options
    )
    return answers


def _value(row: Any, column: str, where: str) -> Any:
    """What stands in a column of a row, or the row itself where it has no columns."""
    if not isinstance(row, dict):
        return row
    if column not in row:
        raise DataError(
            f"{where}: column '{column}' is missing: {did_you_mean(column, map(str, row))}"
        )
    return row[column]


def _column(trained: Any, column: str | None) -> str | None:
    """The column given, if the bundle reads just one.

    Raises:
        ConfigError: it reads several.
    """
    needed = trained.processor.spec.given_columns
    if column is not None and len(needed) > 1:
        raise ConfigError(
            f"column: the bundle reads the columns {', '.join(needed)}; they cannot be one column"
        )
    return column


@contextlib.contextmanager
def opened(source: str) -> Iterator[BinaryIO]:
    """A file, or standard input, to read bytes from."""
    if source == "-":
        yield sys.stdin.buffer
        return
    try:
        stream = Path(source).open("rb")  # noqa: SIM115 - closed below; only opening may fail here
    except OSError as error:
        raise ConfigError(f"input: cannot read {source}: {error.strerror or error}") from error
    with stream:
        yield stream


def refuse_same(source: str, output: str) -> None:
    """Refuse to write answers over what they are answers to.

    Raises:
        ConfigError: both are one file.
    """
    files = Path(source), Path(output)
    if (
        "-" not in (source, output)
        and all(map(Path.is_file, files))
        and files[0].samefile(files[1])
    ):
        raise ConfigError(f"output={output} is the input itself, which would be lost; give another")


@contextlib.contextmanager
def written(output: str) -> Iterator[IO[bytes]]:
    """A file that is written whole or not at all, or standard output."""
    from seqlab.files import atomic_writer

    if output == "-":
        yield sys.stdout.buffer
        return
    with atomic_writer(output) as stream:
        yield stream
