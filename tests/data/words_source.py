"""A source of made words, and data modules over it."""

import random

import datasets
from seqlab.data.module import DataModule
from seqlab.data.sources.base import Source

SPEC = {
    "features": {"text": {"column": "word", "tokenizer": "chars"}},
    "target": {"column": "kind", "kind": "label"},
    "batch_size": 4,
    "eval_batch_size": 6,
}


class Words(Source):
    """Seeded words of many lengths; the label says whether one begins with a vowel."""

    def __init__(self, sizes=None, *, streaming=False, **rows):
        if sizes is None:
            sizes = {"train": 50, "validation": 9, "test": 13}
        generator = random.Random(8)  # noqa: S311 - test data
        self.rows = {
            split: [make_row(generator) for _ in range(size)] for split, size in sizes.items()
        } | rows
        self.streaming = streaming

    def load(self):
        splits = {}
        for name, rows in self.rows.items():
            if self.streaming:
                splits[name] = datasets.IterableDataset.from_generator(
                    iterate, gen_kwargs={"rows": tuple(rows)}
                )
            else:
                splits[name] = datasets.Dataset.from_list(rows)
        kind = datasets.IterableDatasetDict if self.streaming else datasets.DatasetDict
        return kind(splits)

    def describe(self):
        return {"name": "words", "origin": "", "licence": "", "digest": "", "rows": {}}

    def locate(self, split, row):
        return f"{split}.csv line {row + 2}"


def iterate(rows):
    yield from rows


def make_row(generator):
    word = "".join(generator.choices("abcdefghi", k=generator.randint(1, 12)))
    return {"word": word, "kind": "vowel" if word[0] in "aei" else "consonant"}


def module(spec=None, source=None, seed=0, **changes):
    data = DataModule(source or Words(), {**SPEC, **(spec or {}), **changes}, seed=seed)
    data.prepare()
    return data
