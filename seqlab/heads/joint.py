"""Several heads on one encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from seqlab import registry
from seqlab.construct import construct, split_spec
from seqlab.errors import OptionError
from seqlab.heads.base import Head
from seqlab.heads.losses import LossTerm
from seqlab.heads.terms import SumOfTerms
from seqlab.layers.base import Layer
from seqlab.schema import Positive, checked, with_defaults
from seqlab.target_names import CLASS_TABLE, SOLE, metric_name
from seqlab.types import Batch, Encoded, EncoderInfo, TargetInfo, Writer

#: The head of a target that is given none.
_USUAL = {
    "label": "classification",
    "labels": "classification",
    "tags": "tagging",
    "tokens": "encoder_decoder",
    "values": "regression",
    "step_values": "regression",
    "horizon": "forecast",
}


class JointHead(SumOfTerms):
    """A head for each of several targets, on one encoder (Caruana 1997).

    The loss is the weighted sum of the heads' losses, ``sum_k w_k L_k``, so that the encoder learns
    what all of them need. Data name the targets: ``data.targets: {upos: {...}, feats: {...}}``.

    Predictions: one mapping a row, from each target's name to its head's answer. Metrics are the
    heads' own, with the target's name before them: ``upos_accuracy``. The first head's monitored
    metric selects; ``callbacks.checkpoint.monitor`` chooses another.

    Args:
        encoder: the sizes of the encoder's output.
        target: of kind ``joint``: several targets by name.
        heads: the head of each target, by name or as ``{name: ..., option: ...}``; a target that is
            left out has the usual head of its kind.
        weights: of each head's loss, by the target's name; 1 where none is given.

    Raises:
        OptionError: a head or weight is for no target, or a head does not serve its target.

    >>> parts = {"upos": TargetInfo("tags", 3), "topic": TargetInfo("label", 2)}
    >>> target = TargetInfo("joint", 2, parts=parts)
    >>> head = JointHead(EncoderInfo(4, 4, (4,)), target, weights={"topic": 0.5})
    >>> [type(part).__name__ for part in head.heads.values()], head.monitor
    (['TaggingHead', 'ClassificationHead'], ('upos_accuracy', 'max'))
    """

    needs = ("joint",)
    looks_ahead = True

    @checked
    def __init__(
        self,
        encoder: EncoderInfo,
        target: TargetInfo,
        *,
        heads: Mapping[str, Any] | None = None,
        weights: Mapping[str, Positive] | None = None,
    ) -> None:
        super().__init__(encoder, target)
        usual = {name: _USUAL.get(part.kind) for name, part in target.parts.items()}
        specs = with_defaults(heads, usual, "head.heads")
        self.heads = nn.ModuleDict(
            {
                _key(name): _head(specs[name], encoder, part, f"head.heads.{name}")
                for name, part in target.parts.items()
            }
        )
        self.weights = with_defaults(weights, dict.fromkeys(target.parts, 1.0), "head.weights")
        if encoder.ahead_size and not any(head.looks_ahead for head in self._heads().values()):
            raise OptionError("head.heads: none of them looks at features with role=ahead")
        self._metrics = {name: list(head.metrics()) for name, head in self._heads().items()}
        name, head = next(iter(self._heads().items()))
        self.monitor = (metric_name(name, head.monitor[0]), head.monitor[1])
        self._widths: list[int] | None = None

    def write_with(self, writers: Mapping[str, Writer]) -> None:
        """See ``Head.write_with``; each head has its own."""
        for name, head in self._heads().items():
            head.write_with({SOLE: writers[name]} if name in writers else {})

    def _heads(self) -> dict[str, Head]:
        heads = (head for head in self.heads.values() if isinstance(head, Head))
        return dict(zip(self.target_info.parts, heads, strict=True))

    def loss(self, encoded: Encoded, batch: Batch) -> Tensor:
        """See ``Head.loss``."""
        losses = [
            self.weights[name] * head.loss(encoded, batch.of_target(name))
            for name, head in self._heads().items()
        ]
        return torch.stack(losses).sum()

    @property
    def loss_factors(self) -> tuple[float, ...]:
        """See ``Head.loss_factors``: those of all heads, times the heads' weights."""
        own = ((self.weights[name], head) for name, head in self._heads().items())
        return tuple(weight * factor for weight, head in own for factor in head.loss_factors)

    def predict(self, encoded: Encoded, **options: Any) -> list[dict[str, Any]]:
        """See ``Head.predict``.

        Args:
            encoded: from the encoder.
            **options: by a target's name, the options of its head for this call:
                ``upos={"k_best": 3}``.
        """
        own = with_defaults(options, {name: {} for name in self.target_info.parts}, "predict")
        answers = [head.predict(encoded, **own[name]) for name, head in self._heads().items()]
        return [
            dict(zip(self.target_info.parts, row, strict=True))
            for row in zip(*answers, strict=True)
        ]

    def metrics(self) -> dict[str, Metric]:
        """See ``Head.metrics``.

        Raises:
            OptionError: metrics of two targets have one name.
        """
        found: dict[str, Metric] = {}
        for name, head in self._heads().items():
            for own, metric in head.metrics().items():
                key = metric_name(name, own)
                if key in found:
                    raise OptionError(f"two metrics are called '{key}'; rename the target '{name}'")
                found[key] = metric
        return found

    def measure_terms(
        self, metrics: Mapping[str, Metric], encoded: Encoded, batch: Batch, *, final: bool = False
    ) -> list[LossTerm]:
        """See ``Head.measure_terms``."""
        terms: list[LossTerm] = []
        for name, head in self._heads().items():
            keys = {own: metric_name(name, own) for own in (*self._metrics[name], CLASS_TABLE)}
            mine = {own: metrics[key] for own, key in keys.items() if key in metrics}
            terms += head.measure_terms(mine, encoded, batch.of_target(name), final=final)
        return terms

    def share(self, tables: Mapping[str, nn.Embedding]) -> None:
        """See ``Head.share``."""
        for head in self._heads().values():
            head.share(tables)

    def refusal(self, batch: Batch) -> tuple[int, str] | None:
        """See ``Head.refusal``."""
        for name, head in self._heads().items():
            found = head.refusal(batch.of_target(name)) if head.refuses_rows else None
            if found is not None:
                return found[0], f"{name}: {found[1]}"
        return None

    @property
    def refuses_rows(self) -> bool:
        """See ``Head.refuses_rows``."""
        return any(head.refuses_rows for head in self._heads().values())

    def refuses_chunks(self) -> str | None:
        """See ``Head.refuses_chunks``."""
        return next(
            (why for head in self._heads().values() if (why := head.refuses_chunks())), None
        )

    def refuses_steps(self) -> str | None:
        """See ``Head.refuses_steps``."""
        return next((why for head in self._heads().values() if (why := head.refuses_steps())), None)

    def scores(self, encoded: Encoded) -> Tensor | None:
        """The heads' scores side by side, where all have some and of one form; else None."""
        found = [head.scores(encoded) for head in self._heads().values()]
        known = [scores for scores in found if scores is not None]
        if len(known) < len(found) or len({scores.dim() for scores in known}) > 1:
            return None
        return torch.cat(known, dim=-1)

    def step_scores(self, output_BE: Tensor) -> Tensor:
        """``[B, C]``: the heads' scores side by side, see ``Head.step_scores``."""
        parts = [head.step_scores(output_BE).flatten(1) for head in self._heads().values()]
        self._widths = [part.shape[1] for part in parts]
        return torch.cat(parts, dim=1)

    def answer_steps(self, scores: Tensor) -> list[dict[str, Any]]:
        """See ``Head.answer_steps``: each target's answer by its name."""
        if self._widths is None:
            self.step_scores(scores.new_zeros(1, self.encoder_info.output_size))
        parts = torch.split(scores, self._widths or [], dim=1)
        answers = [
            head.answer_steps(part)
            for head, part in zip(self._heads().values(), parts, strict=True)
        ]
        return [
            dict(zip(self.target_info.parts, row, strict=True))
            for row in zip(*answers, strict=True)
        ]

    def layers(self) -> Sequence[Layer]:
        """See ``Head.layers``."""
        return [layer for head in self._heads().values() for layer in head.layers()]


def _key(name: str) -> str:
    """A target's name, as modules can be called: not as their methods are."""
    return f"{name}_" if hasattr(nn.ModuleDict, name) else name


def _head(spec: Any, encoder: EncoderInfo, target: TargetInfo, where: str) -> Head:
    """One of the heads; what is known of the steps to come goes to those that look at it."""
    if spec is None:
        raise OptionError(f"{where}: no head is the usual one for '{target.kind}'; name one")
    name, _ = split_spec("head", spec, where)
    looks: bool = registry.get("head", name).looks_ahead
    seen = encoder if looks else replace(encoder, ahead_size=0)
    head: Head = construct("head", spec, seen, target, where=where)
    return head
