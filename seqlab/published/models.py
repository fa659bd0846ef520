"""Models of others with their weights, built of registered parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from seqlab.build import build_model
from seqlab.bundle import TrainedModel
from seqlab.compat.torch import from_torch
from seqlab.data.data_spec import DataSpec
from seqlab.data.part import ColumnPart
from seqlab.data.processor import Processor
from seqlab.data.processor_files import unfitted
from seqlab.data.tokenizers.pipeline import PipelineTokenizer
from seqlab.errors import DataError
from seqlab.model import SequenceModel
from seqlab.target_names import SOLE

Arrays = Mapping[str, Any]


def processor_of(
    data: Mapping[str, Any], entries: Sequence[str], state: Sequence[str]
) -> Processor:
    """A processor whose first feature has these entries after its marks.

    Args:
        data: the form of the data.
        entries: those of the feature, in order.
        state: what the target has learnt: its names, or the entries of its tokenizer.
    """
    spec = DataSpec.from_mapping(data)
    features, targets = unfitted(spec)
    target = targets[SOLE]
    parts: list[tuple[ColumnPart, Sequence[str]]] = [(features[0], entries), (target, state)]
    for part, names in parts:
        if isinstance(part.tokenizer, PipelineTokenizer):
            numbered = {entry: i for i, entry in enumerate([*part.tokenizer.marks, *names])}
            part.tokenizer.build({"vocab": numbered})
    if target.keeps_state:
        target.restore({"names": list(state)})
    return Processor(spec, features, targets)


def trained_of(spec: Mapping[str, Any], processor: Processor, weights: Arrays) -> TrainedModel:
    """A model of a spec with weights under its own names.

    Raises:
        DataError: one is missing, or has another shape.
    """
    model = build_model(spec, processor.info)
    fill(model, weights)
    return TrainedModel(model.eval(), processor, {**spec})


@torch.no_grad()
def fill(model: SequenceModel, weights: Arrays) -> None:
    """Copy weights into a model, all of them.

    Raises:
        DataError: one is missing, left over, or has another shape.
    """
    state = model.state_dict()
    if state.keys() != weights.keys():
        raise DataError(
            f"the weights do not fit: {', '.join(sorted(state.keys() ^ weights.keys()))}"
        )
    for name, value in state.items():
        given = torch.as_tensor(weights[name])
        if given.shape != value.shape:
            raise DataError(f"{name} is {tuple(given.shape)}, expected {tuple(value.shape)}")
        value.copy_(given)


def layer_weights(arrays: Arrays, prefix: str, to: str) -> dict[str, Tensor]:
    """A recurrent layer's weights by torch's names, under the names of a model's part.

    Args:
        arrays: names begin with ``prefix``.
        prefix: what stands before torch's names.
        to: the name of the part.
    """
    state = {
        name.removeprefix(prefix): torch.as_tensor(value)
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
    return {f"{to}.{name}": value for name, value in from_torch(state).state_dict().items()}
