"""Label schemes of chunking and entity tagging: which label may follow which, and spans.

IOB1 and IOB2 (Ramshaw and Marcus 1995; Tjong Kim Sang and Veenstra 1999), BIOES and BILOU
(Ratinov and Roth 2009). A label is ``O`` or a prefix and a type, ``B-PER``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from seqlab.errors import OptionError, did_you_mean

_LABEL = re.compile(r"(O)|([BIESLU])(?:-(.+))?", re.DOTALL)
_SAME = {"L": "E", "U": "S"}
_PREFIXES = {"iob1": "BIO", "iob2": "BIO", "bioes": "BIOES", "bilou": "BIOLU"}
_ALIASES = {"bio": "iob2", "iobes": "bioes"}


class ChunkLabel(NamedTuple):
    """A label taken apart: ``prefix`` is one of O B I E S (L and U count as E and S)."""

    prefix: str
    kind: str


class Constraints(NamedTuple):
    """What a scheme allows: ``start [C]``, ``end [C]``, ``transitions [C, C]`` (from, to), bool."""

    start: Tensor
    end: Tensor
    transitions: Tensor


def chunk_labels(names: Sequence[str]) -> list[ChunkLabel] | None:
    """The labels taken apart, or None when they do not all look like chunk labels.

    >>> chunk_labels(["O", "B-PER"])
    [ChunkLabel(prefix='O', kind=''), ChunkLabel(prefix='B', kind='PER')]
    >>> chunk_labels(["NOUN", "VERB"]) is None
    True
    """
    found = []
    for name in names:
        match = _LABEL.fullmatch(name)
        if match is None:
            return None
        prefix = match[1] or match[2]
        found.append(ChunkLabel(_SAME.get(prefix, prefix), match[3] or ""))
    return found if any(label.prefix != "O" for label in found) else None


def scheme_constraints(scheme: str, names: Sequence[str]) -> Constraints:
    """Which label may begin, end and follow another under a scheme.

    Args:
        scheme: ``iob1``, ``iob2`` (or ``bio``), ``bioes`` (or ``iobes``), ``bilou``.
        names: the labels by id.

    Raises:
        OptionError: the scheme is unknown, a label is not one of its labels, or no row of these
            labels keeps to it.

    >>> scheme_constraints("iob2", ["O", "B-X", "I-X"]).transitions.int().tolist()
    [[1, 1, 0], [1, 1, 1], [1, 1, 1]]
    """
    known = [*_PREFIXES, *_ALIASES]
    if not isinstance(scheme, str) or scheme.lower() not in known:
        raise OptionError(f"scheme: unknown scheme '{scheme}': {did_you_mean(str(scheme), known)}")
    scheme = _ALIASES.get(scheme.lower(), scheme.lower())
    for name in names:
        match = _LABEL.fullmatch(name)
        if match is None or (match[1] or match[2]) not in _PREFIXES[scheme]:
            prefixes = ", ".join(f"{p}-TYPE" for p in _PREFIXES[scheme] if p != "O")
            raise OptionError(
                f"scheme: label '{name}' does not belong to {scheme} (O, {prefixes}); "
                "choose another scheme, or null for none"
            )
    labels = chunk_labels(names) or [ChunkLabel("O", "")] * len(names)
    edge = ChunkLabel("O", "")
    pairs = [[_follows(scheme, a, b) for b in labels] for a in labels]
    found = Constraints(
        start=torch.tensor([_follows(scheme, edge, b) for b in labels]),
        end=torch.tensor([_follows(scheme, a, edge) for a in labels]),
        transitions=torch.tensor(pairs),
    )
    for allowed, what in ((found.start, "begin"), (found.end, "end")):
        if not bool(allowed.any()):
            raise OptionError(
                f"scheme: under {scheme} none of the labels {', '.join(names)} may {what} a row; "
                "choose another scheme, or null for none"
            )
    return found


def _follows(scheme: str, a: ChunkLabel, b: ChunkLabel) -> bool:
    """Whether label ``b`` may come right after ``a``; the edges of a sentence count as O."""
    continues = a.prefix in ("B", "I") and a.kind == b.kind
    if scheme == "iob1":
        return continues if b.prefix == "B" else True
    if scheme == "iob2":
        return continues if b.prefix == "I" else True
    if a.prefix in ("B", "I"):
        return continues and b.prefix in ("I", "E")
    return b.prefix in ("O", "B", "S")


class SpanTable:
    """Finds spans in batches of label ids, by the rules of the CoNLL evaluation script.

    A span begins at B or S, at I or E after O, E or S, and wherever the type changes; it ends
    before O or the next span. So spans of any scheme are found, also in sequences that break it.
    """

    def __init__(self, labels: Sequence[ChunkLabel]) -> None:
        kinds = sorted({label.kind for label in labels})
        self._kind = torch.tensor([kinds.index(label.kind) for label in labels])
        self._prefix = torch.tensor(["OBIES".index(label.prefix) for label in labels])

    def spans(self, ids_BT: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where spans start, where each ends, and of which type it is.

        Args:
            ids_BT: label ids; those at and after a row's length do not matter.
            lengths_B: the number of labels of each row.

        Returns:
            ``starts [B, T]`` bool; ``ends [B, T]``, at a start the last position of its span;
            ``kinds [B, T]``, the type's number.
        """
        steps = ids_BT.shape[1]
        position = torch.arange(steps, device=ids_BT.device)
        real = position < lengths_B.unsqueeze(1)
        ids_BT = ids_BT.masked_fill(~real, 0)
        kinds = self._kind.to(ids_BT.device)[ids_BT]
        prefix = self._prefix.to(ids_BT.device)[ids_BT].masked_fill(~real, 0)
        inside = prefix > 0
        before = torch.nn.functional.pad(prefix, (1, 0))[:, :steps]
        changed = kinds != torch.nn.functional.pad(kinds, (1, 0))[:, :steps]
        opens = (prefix == 1) | (prefix == 4)
        after_end = (before == 0) | (before == 3) | (before == 4)
        starts = inside & (opens | after_end | changed)
        breaks = torch.nn.functional.pad(starts | ~inside, (0, 1), value=True)[:, 1 : steps + 1]
        last = torch.where(inside & breaks, position, steps)
        ends = last.flip(1).cummin(1).values.flip(1) if steps else last
        return starts, ends, kinds
