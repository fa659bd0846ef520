"""The input itself, which language models predict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.data.part import ColumnPart
from seqlab.data.ragged import Ragged
from seqlab.data.raw_columns import Where
from seqlab.data.targets.base import Target
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.data.tokenizers.marks import BOS, EOS
from seqlab.errors import OptionError
from seqlab.types import TargetInfo


class InputsTarget(Target):
    """The ids of a feature of kind ``text`` or ``tokens``, between ``<bos>`` and ``<eos>``.

    The features themselves get these marks, so an input of n tokens has n + 2 steps; where
    ``data.max_length`` cuts it there is no ``<eos>``.

    Args:
        column: that of the feature, the first one where several read it; it may be left out.

    >>> from seqlab.data.processor import fit_processor
    >>> spec = {"features": {"text": {"tokenizer": "chars"}}, "target": {"kind": "inputs"}}
    >>> processor = fit_processor(spec, [{"text": "aab"}])
    >>> processor.encode({"text": "ba"}).target.tolist()
    [2, 5, 4, 3]
    """

    layout = "steps"
    overlap = 1

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self._feature: ColumnPart | None = None

    def see(self, features: Sequence[ColumnPart]) -> None:
        """Take the feature of the column, and have the ends of all features marked.

        Raises:
            OptionError: no feature reads the column, or one is not made of ids.
        """
        for feature in features:
            feature.mark_ends()
            if self._feature is None and feature.column == self.column:
                self._feature, self.tokenizer = feature, feature.tokenizer
        if self._feature is None:
            raise OptionError(
                f"data.target.column: no feature reads the column '{self.column}'; leave it "
                f"out, or give one of {', '.join(feature.column for feature in features)}"
            )

    @property
    def feature(self) -> Any:
        """The feature that is predicted.

        Raises:
            OptionError: there is none yet.
        """
        if self._feature is None:
            raise OptionError("a target of kind inputs stands beside features: call see first")
        return self._feature

    @property
    def info(self) -> TargetInfo:
        """``inputs``: the feature's name, the vocabulary's size and the ids of its marks."""
        tokenizer: Tokenizer = self.feature.tokenizer
        return TargetInfo(
            "inputs",
            tokenizer.size,
            bos=tokenizer.mark_id(BOS),
            eos=tokenizer.mark_id(EOS),
            feature=self.feature.name,
            unit=tokenizer.unit,
        )

    def encode(self, values: Sequence[Any], where: Where) -> Ragged:
        """``[T]`` ids for each row, marks included."""
        ids: Ragged = self.feature.encode(values, where)
        return ids

    def of_inputs(self, inputs: Mapping[str, Ragged]) -> Ragged:
        """The feature's ids."""
        return inputs[self.feature.name]

    def decode(self, prediction: Any) -> Any:
        """A text, or a list of tokens, without marks."""
        ids = [int(index) for index in prediction]
        marks = (self.info.bos, self.info.eos)
        return self.feature.decode([index for index in ids if index not in marks])
