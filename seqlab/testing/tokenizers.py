"""The checks of tokenizers."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from seqlab.data.ragged import Ragged
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.marks import TARGET_MARKS, UNK_ID
from seqlab.errors import BundleError
from seqlab.locks import temporary_folder
from seqlab.testing.case import Case
from seqlab.testing.compare import refused, require
from seqlab.testing.contract import class_table, require_options
from seqlab.testing.result import Numbers

TEXTS = (
    "The dog barks",
    "a dog, and 2 cats\tbark",
    "Ärger <eos> caf\u00e9",
    "x",
    "the the dog",
) * 4
UNSEEN = ("zebras <pad> run <bos>", "<unk> 9", "the dog")
TOKENIZER_CHECKS = class_table(Tokenizer, TARGET_MARKS)


@dataclass(frozen=True)
class TokenizerCase(Case):
    """A tokenizer class with its options."""

    kind: ClassVar[str] = "tokenizer"

    def new(self) -> Tokenizer:
        """One that has learnt nothing."""
        require_options(self, given=1)
        made: Tokenizer = self.part(TARGET_MARKS, **self.options)
        return made

    def learnt(self) -> Tokenizer:
        """One that has learnt the kit's texts."""
        tokenizer = self.new()
        texts = self.inputs(TEXTS)
        tokenizer.learn(lambda: [texts[:7], texts[7:]])
        return tokenizer

    def inputs(self, texts: Sequence[str]) -> list[Any]:
        """Texts, split where the tokenizer takes what is split already."""
        return list(texts) if self.part.takes == "text" else [text.split() for text in texts]


@TOKENIZER_CHECKS.check(gate=True)
def ids_are_in_range(case: TokenizerCase) -> Numbers:
    """Texts seen and unseen become one row of ids each, from 0 to ``size`` - 1.

    Catches: ids beyond the embedding, rows that are lost.
    """
    tokenizer = case.learnt()
    texts = case.inputs([*TEXTS, *UNSEEN, ""])
    ids = tokenizer.encode(texts)
    require(isinstance(ids, Ragged) and len(ids) == len(texts), f"{len(texts)} texts gave {ids!r}")
    require(ids.values.dtype.kind == "i", f"ids are {ids.values.dtype}")
    low, high = int(ids.values.min()), int(ids.values.max())
    require(low >= 0 and high < tokenizer.size, f"ids {low} to {high} of {tokenizer.size}")
    return {"size": tokenizer.size}


@TOKENIZER_CHECKS.check()
def text_is_no_mark(case: TokenizerCase) -> None:
    """No text is encoded as a mark, also not one that is written like it; only as ``<unk>``.

    Catches: a literal ``<eos>`` in a corpus that ends every answer.
    """
    ids = case.learnt().encode(case.inputs([*TEXTS, *UNSEEN, *TARGET_MARKS]))
    met = set(ids.values.tolist()) & (set(range(len(TARGET_MARKS))) - {UNK_ID})
    require(not met, f"text became {', '.join(TARGET_MARKS[index] for index in sorted(met))}")


@TOKENIZER_CHECKS.check()
def text_comes_back(case: TokenizerCase) -> None:
    """The text that ids are decoded to is encoded as the same ids, and marks are left out of it.

    Catches: answers that cannot be compared with what was expected.
    """
    tokenizer = case.learnt()
    for text in case.inputs(TEXTS):
        ids = tokenizer.encode([text]).row(0).tolist()
        said = tokenizer.decode([2, *ids, 3, 0])
        require(said == tokenizer.decode(ids), f"marks are read out: {said!r}")
        again = tokenizer.encode(case.inputs([said])).row(0).tolist()
        require(again == ids or UNK_ID in ids, f"{text!r} is {ids}, read as {said!r}, {again}")


@TOKENIZER_CHECKS.check()
def rows_do_not_mix(case: TokenizerCase) -> None:
    """Texts encoded together and one by one have the same ids.

    Catches: state that is carried from text to text.
    """
    tokenizer, texts = case.learnt(), case.inputs([*TEXTS, *UNSEEN])
    together = tokenizer.encode(texts)
    for index, text in enumerate(texts):
        alone = tokenizer.encode([text]).row(0).tolist()
        require(together.row(index).tolist() == alone, f"{text!r}: {alone} when alone")


@TOKENIZER_CHECKS.check()
def learning_is_repeatable(case: TokenizerCase) -> None:
    """The same texts give the same ids.

    Catches: sets and hash tables whose order differs from run to run.
    """
    texts = case.inputs([*TEXTS, *UNSEEN])
    first, second = (case.learnt().encode(texts).values.tolist() for _ in range(2))
    require(first == second, "two tokenizers that learnt the same texts give different ids")


@TOKENIZER_CHECKS.check()
def travels_to_other_processes(case: TokenizerCase) -> None:
    """A tokenizer that has learnt survives pickling, with the same ids.

    Catches: loader workers that cannot start.
    """
    tokenizer, texts = case.learnt(), case.inputs([*TEXTS, *UNSEEN])
    again = pickle.loads(pickle.dumps(tokenizer))  # noqa: S301 - our own bytes
    ours, theirs = (t.encode(texts).values.tolist() for t in (tokenizer, again))
    require(ours == theirs, "other ids after pickling")


@TOKENIZER_CHECKS.check()
def saved_and_loaded(case: TokenizerCase) -> None:
    """What ``save`` writes, ``load`` reads: the same size and ids; other files are refused.

    Catches: bundles that predict nonsense, or run into a traceback.
    """
    tokenizer, texts = case.learnt(), case.inputs([*TEXTS, *UNSEEN])
    with temporary_folder() as folder:
        path = folder / "tokenizer.json"
        tokenizer.save(path)
        loaded = case.new()
        loaded.load(path)
        require(loaded.size == tokenizer.size, f"{loaded.size} entries of {tokenizer.size}")
        ours, theirs = (t.encode(texts).values.tolist() for t in (tokenizer, loaded))
        require(ours == theirs, "other ids after loading")
        for text in ("{}", '{"model": 7}', '{"no": "such thing"}'):
            path.write_text(text, encoding="utf-8")
            refused(lambda: case.new().load(path), (BundleError,), f"a file with {text}")
