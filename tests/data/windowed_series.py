"""Series in files and in memory, and specs that cut them into windows."""

from __future__ import annotations

import datasets
from seqlab import Source
from seqlab.data.module import DataModule
from seqlab.data.sources.files import FilesSource

FORECAST = {
    "transforms": [
        {"name": "group", "by": "id", "order": "time"},
        {"name": "windows", "columns": "x", "context": 3},
    ],
    "features": {"x": {"kind": "numeric", "standardize": False}},
    "target": {"column": "x_next", "kind": "values"},
    "bucket": False,
}


def long_table(path, series=2, steps=10, bad=()):
    """Series a and b in turn, their times falling: series s has s * 100 + t at time t."""
    lines = ["id,time,x"]
    for time in reversed(range(steps)):
        lines += [f"{'ab'[s]},{time},{100 * s + time}" for s in range(series)]
    for line, text in bad:
        lines[line - 1] = text
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def of_file(path, spec=None, **options):
    source = FilesSource(path=path, **options)
    data = DataModule(source, spec or FORECAST, seed=0)
    data.prepare()
    return data


def series_rows(count=10, length=8):
    return [
        {"x": [100.0 * n + t for t in range(length)], "label": "rs"[n % 2]} for n in range(count)
    ]


def each(rows):
    yield from rows


class Series(Source):
    """Rows in memory or as a stream."""

    def __init__(self, rows, *, streaming=False):
        self.rows, self.streaming = rows, streaming

    def load(self):
        if not self.streaming:
            return datasets.DatasetDict(train=datasets.Dataset.from_list(self.rows))
        stream = datasets.IterableDataset.from_generator(
            each, gen_kwargs={"rows": tuple(self.rows)}
        )
        return datasets.IterableDatasetDict(train=stream)

    def describe(self):
        return {"name": "series"}


WINDOWS = {**FORECAST, "transforms": FORECAST["transforms"][1:]}
