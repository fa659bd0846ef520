"""What parts have in common that are fitted on training rows: what they learnt is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from seqlab.data.ragged import Array
from seqlab.data.raw_columns import Where
from seqlab.data.restoring import restoring
from seqlab.data.tokenizers.base import Tokenizer, VocabularyError
from seqlab.errors import OptionError
from seqlab.registry import spoken

#: A way to go through one column of the training rows in chunks, as often as needed.
Column = Callable[[], Iterable[tuple[Sequence[Any], Where]]]

#: Added to the column of a series for the steps that follow it.
NEXT = "_next"


class FittedPart:
    """Base of what is fitted on training rows and kept in a bundle as plain values."""

    def state(self) -> dict[str, Any]:
        """What was fitted, as plain JSON values; a part that overrides this has ``restore``."""
        return {}

    def restore(self, state: Any) -> None:
        """Take what ``state`` gave; it comes from a file and is checked.

        Raises:
            BundleError: it is not what ``state`` gives.
        """

    @property
    def keeps_state(self) -> bool:
        """Whether there is something to ``restore``."""
        return type(self).state is not FittedPart.state

    def restored(self, state: Any, where: str) -> None:
        """``restore``, with any mistake as one line that begins with ``where``.

        Raises:
            BundleError: whatever ``restore`` does not like.
        """
        with restoring(where, f"what a {type(self).__name__} keeps"):
            self.restore(state)


class ColumnPart(FittedPart):
    """Base of ``Feature`` and ``Target``: one column of a data set, and what is fitted on it.

    Args:
        column: the column.

    Attributes:
        tokenizer: kept with the bundle in a file of its own, or None.
    """

    tokenizer: Tokenizer | None = None

    def __init__(self, column: str) -> None:
        self.column = column

    def fit(self, values: Column) -> None:
        """Learn from the training rows; a part that learns nothing leaves this out.

        Args:
            values: gives the column's values in chunks, as often as wanted, and where they stand.

        Raises:
            DataError: a value does not fit.
        """

    @property
    def fits_in_one_pass(self) -> bool:
        """Whether ``fit`` goes over the values once, in Python, so that others can learn beside it.

        Libraries that train in threads of their own may not wait for rows in them.
        """
        return self.tokenizer is not None and self.tokenizer.learns_in_one_pass

    @property
    def scaling(self) -> tuple[Array, Array] | None:
        """Mean and deviation by which a series of numbers is scaled; None for anything else."""
        return None

    def tokens(self, value: Any) -> list[str] | None:
        """What stands at each step of a row, as an answer may copy it; None where that is unknown.

        Args:
            value: the column's, one that ``encode`` takes.
        """
        del value
        return None

    def unknown_in(self, value: Any) -> list[str]:
        """The pieces of a row that the vocabulary does not have, in order.

        Args:
            value: the column's, one that ``encode`` takes.
        """
        del value
        return []

    def mark_ends(self) -> None:
        """Put ``<bos>`` before and ``<eos>`` after each row; called before ``fit``.

        Raises:
            OptionError: the part does not make ids of a vocabulary.
        """
        raise OptionError(
            f"data.target.kind=inputs: column '{self.column}' is read by "
            f"{spoken('feature', self)}, which has no begin and end marks; make it a feature of "
            "kind text or tokens"
        )

    def add_words(self, words: Iterable[str], most: int | None = None) -> None:
        """Put words into the fitted vocabulary, see ``Tokenizer.add_words``.

        Raises:
            OptionError: the part has no vocabulary of words.
        """
        if self.tokenizer is None:
            raise OptionError(f"column '{self.column}' has no vocabulary to add words to")
        self.tokenizer.add_words(words, most)

    def learn_tokens(self, tokenizer: Tokenizer, chunks: Callable[[], Iterable[Any]]) -> None:
        """Let a tokenizer learn; what it cannot is said with the column's name.

        Raises:
            DataError: the texts and the options leave nothing to learn from.
        """
        try:
            tokenizer.learn(chunks)
        except VocabularyError as error:
            raise VocabularyError(f"column '{self.column}': tokenizer: {error}") from error
