"""File formats: bytes to rows. Each error names the file and the line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePath
from typing import Any, BinaryIO

from seqlab.data.formats import columnar, delimited, jsonl, lexicon, parquet, plain, series
from seqlab.errors import ConfigError, did_you_mean

#: A row and the line it begins at.
Numbered = tuple[int, dict[str, Any]]
Reader = Callable[..., Iterator[Numbered]]

FORMATS: Mapping[str, Reader] = {
    "cmudict": lexicon.read_cmudict,
    "conll": columnar.read_conll,
    "conllu": columnar.read_conllu,
    "csv": delimited.read_csv,
    "iob": columnar.read_iob,
    "json": jsonl.read_json,
    "jsonl": jsonl.read_jsonl,
    "parquet": parquet.read_parquet,
    "slash_tags": columnar.read_slash_tags,
    "tab": delimited.read_tab,
    "text": plain.read_text,
    "ts": series.read_ts,
    "tsv": delimited.read_tsv,
}

_BY_SUFFIX = {
    ".conll": "conll",
    ".conllu": "conllu",
    ".csv": "csv",
    ".dict": "cmudict",
    ".iob": "iob",
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".parquet": "parquet",
    ".tab": "tab",
    ".ts": "ts",
    ".tsv": "tsv",
    ".txt": "text",
}


def format_of(path: str) -> str:
    """The format that a file's ending stands for.

    Raises:
        ConfigError: the ending is unknown.
    """
    suffix = PurePath(path).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise ConfigError(
            f"source.format: cannot tell the format of {path} from its ending; "
            f"give one of {', '.join(FORMATS)}"
        )
    return _BY_SUFFIX[suffix]


def split_format(spec: Any) -> tuple[str, dict[str, Any]]:
    """A format's name and options, from a name or a mapping with ``name``.

    Raises:
        ConfigError: the name or an option is unknown; the message gives the nearest one.
    """
    options = {"name": spec} if isinstance(spec, str) else spec
    if not isinstance(options, Mapping) or not isinstance(options.get("name"), str):
        raise ConfigError(f"source.format: expected a name or a mapping with 'name', got {spec!r}")
    name = options["name"]
    if name not in FORMATS:
        raise ConfigError(f"source.format: unknown format '{name}': {did_you_mean(name, FORMATS)}")
    parameters = inspect.signature(FORMATS[name]).parameters.values()
    accepted = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    given = {str(key): value for key, value in options.items() if key != "name"}
    for key in given:
        if key not in accepted:
            raise ConfigError(
                f"source.format: '{name}' has no option '{key}': {did_you_mean(key, accepted)}"
            )
    return name, given


def read(
    stream: BinaryIO, file: str, format_name: str, options: Mapping[str, Any]
) -> Iterator[Numbered]:
    """The rows of an open file, each with the line it begins at.

    Raises:
        DataError: the file is not what the format says; file and line are named.
    """
    return FORMATS[format_name](stream, file, **options)
