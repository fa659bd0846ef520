"""Several bundles that answer as one model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from seqlab.data.processor import Processor
from seqlab.errors import BundleError, OptionError
from seqlab.heads.decoder_ensemble import EncodedTogether
from seqlab.layers.carry import Carry
from seqlab.model import SequenceModel
from seqlab.types import Batch


class Ensemble(SequenceModel):
    """Models of one vocabulary and one task, whose probabilities are averaged at each step.

    Args:
        members: the models; options of the answers are those of the first.

    Raises:
        OptionError: their heads cannot answer together.
    """

    def __init__(self, members: Sequence[SequenceModel]) -> None:
        nn.Module.__init__(self)
        first = members[0]
        self.info, self.encoder = first.info, first.encoder
        self.members = nn.ModuleList(members)
        self.head = first.head.together([member.head for member in members])

    def encode(self, batch: Batch, carry: Carry | None = None) -> Any:
        """What each member's encoder makes of a batch."""
        del carry
        models = (member for member in self.members if isinstance(member, SequenceModel))
        return EncodedTogether(model.encode(batch) for model in models)


def check_alike(processors: Sequence[Processor], names: Sequence[str]) -> None:
    """See that all encode inputs and write answers alike.

    Raises:
        BundleError: one has other features, another vocabulary or other numbers than the first.
    """
    first = processors[0]
    for name, other in zip(names[1:], processors[1:], strict=True):
        found = _difference(first, other)
        if found is not None:
            raise BundleError(
                f"an ensemble of {names[0]} and {name}: {found}; its members must be trained on "
                "the same data, with the same data options"
            )


def _difference(first: Processor, other: Processor) -> str | None:
    names = [[feature.name for feature in one.features] for one in (first, other)]
    if names[0] != names[1]:
        return f"their features differ ({', '.join(names[0])}; {', '.join(names[1])})"
    pairs = [
        (f"feature '{a.name}'", a, b) for a, b in zip(first.features, other.features, strict=True)
    ]
    for what, a, b in [*pairs, ("the target", first.target, other.target)]:
        if type(a) is not type(b):
            return f"{what} is of different kinds"
        one, two = a.tokenizer, b.tokenizer
        if one is not None and two is not None and one.content() != two.content():
            return f"{what} has different vocabularies ({one.size} and {two.size} entries)"
        if a.state() != b.state():
            return f"{what} is read differently"
    if first.spec.to_dict().get("transforms") != other.spec.to_dict().get("transforms"):
        return "their transforms differ"
    return None


def check_count(names: Sequence[str]) -> None:
    """See that there are several.

    Raises:
        OptionError: there is none.
    """
    if not names:
        raise OptionError("bundle: an ensemble needs at least one bundle, the list is empty")
