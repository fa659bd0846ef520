"""A finished model that is given one step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from seqlab.data.processor import Processor
from seqlab.data.tokenizers.marks import UNK_ID
from seqlab.errors import DataError, OptionError
from seqlab.model import SequenceModel
from seqlab.schema import Count, check_value


class TrainedStream:
    """One row, step by step; the answers are those to the row as a whole.

    Args:
        model: the model, in inference mode.
        processor: what makes tensors of steps.

    Raises:
        EngineError: the model needs the row's end; the message says why.
        OptionError: the data's transforms need whole rows.
    """

    def __init__(self, model: SequenceModel, processor: Processor) -> None:
        if processor.transforms:
            raise OptionError("stream: the data have transforms, which need whole rows")
        self._stream = model.stream()
        self._model, self._processor = model, processor
        self._is_text = processor.info.target.kind == "inputs"
        self._device = next(model.parameters()).device
        self._scores: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Begin another row."""
        self._stream.reset()
        begin = self._processor.info.target.bos
        if self._is_text and begin is not None:
            names = [feature.name for feature in self._processor.features]
            self._scores = self._read({name: torch.tensor([begin]) for name in names})

    def step(self, value: Any) -> dict[str, Any]:
        """Read a step and answer it.

        Args:
            value: one token or character, a number or a list of numbers; of several features a
                mapping from their columns to these.

        Returns:
            As in the lists of ``predict``: ``{"tag", "id", "score"}``; of a language model
            ``{"log_probability", "end"}``: of this token after those before it, and of the end
            after it.

        Raises:
            DataError: it is not one step.
        """
        inputs = self._inputs(value)
        before, after = self._scores, self._read(inputs)
        self._scores = after
        target = self._processor.info.target
        if not self._is_text or before is None or target.eos is None:
            return self._model.head.answer_steps(after)[0]
        token = int(inputs[target.feature])
        return {"log_probability": float(before[0, token]), "end": float(after[0, target.eos])}

    def next(self, n: int = 5) -> list[dict[str, Any]]:
        """The n most probable next tokens of a language model, each with its probability.

        Raises:
            OptionError: the model is no language model.
        """
        check_value(n, Count, "n")
        tokenizer = self._processor.target.tokenizer
        if not self._is_text or self._scores is None or tokenizer is None:
            raise OptionError("next needs a language model; this model answers with step")
        known = self._scores[0].index_fill(0, torch.tensor(UNK_ID, device=self._device), -torch.inf)
        values, ids = known.topk(min(n, int(known.isfinite().sum())))
        pairs = zip(ids.tolist(), values.exp().tolist(), strict=True)
        return [{"token": tokenizer.entry(index), "probability": p} for index, p in pairs]

    def _read(self, inputs: Mapping[str, Tensor]) -> Tensor:
        return self._stream.step({name: ids.to(self._device) for name, ids in inputs.items()})

    def _inputs(self, value: Any) -> dict[str, Tensor]:
        """The tensors of one step, ``[1]`` or ``[1, D]``."""
        columns = dict.fromkeys(feature.column for feature in self._processor.features)
        given = value if isinstance(value, Mapping) else dict.fromkeys(columns, value)
        row = {
            feature.column: _as_row(given[feature.column], self._kind(feature.name))
            for feature in self._processor.features
            if feature.column in given
        }
        encoded = self._processor.encode_inputs([row], lambda _: "step")
        found = {}
        for name, ragged in encoded.inputs.items():
            steps = ragged.row(0)[1:-1] if self._is_text else ragged.row(0)
            if len(steps) != 1:
                raise DataError(f"step: expected one step, {value!r:.80} is {len(steps)}")
            found[name] = torch.from_numpy(steps.copy())
            if not found[name].is_floating_point():
                found[name] = found[name].long()
        return found

    def _kind(self, name: str) -> str:
        return self._processor.spec.features[name].kind


def _as_row(step: Any, kind: str) -> Any:
    """A step as a whole row of its feature; a text is one as it is."""
    return step if kind == "text" else [step]
