"""Names of a model's parts, as people write them, and the tensors that belong to each."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import nn

from seqlab.errors import ConfigError, did_you_mean
from seqlab.model import SequenceModel
from seqlab.wrappers.stacked import Stacked

_LEVEL = re.compile(r"encoder\.layer\.(\d{1,6})(?:\.(.+))?")


def tensor_names(model: nn.Module) -> list[str]:
    """All tensors of a model that a bundle keeps; one that has two names is named once."""
    seen: set[int] = set()
    names = []
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            names.append(name)
    return names


def tensors_of(model: SequenceModel, part: str, key: str) -> list[str]:
    """The tensors of a part.

    Args:
        model: the model.
        part: the part's name, see ``StartSpec``.
        key: where the name stands, for the message.

    Raises:
        ConfigError: the model has no such part.
    """
    found = [name for name in tensor_names(model) if _within(model, name, part)]
    if not found:
        raise ConfigError(f"{key}: no part '{part}', {did_you_mean(part, known_parts(model))}")
    return found


def known_parts(model: SequenceModel) -> list[str]:
    """The parts of a model that have a short name."""
    depth = len(levels(model)) - 2
    names = ["encoder", "encoder.embedding", *_tables(model), "encoder.input_layer"]
    names += ["encoder.layer", *(f"encoder.layer.{index}" for index in range(depth)), "head"]
    names += [f"head.{name}" for name, _ in model.head.named_children()]
    tensors = tensor_names(model)
    return [part for part in names if any(_within(model, name, part) for name in tensors)]


def _tables(model: SequenceModel) -> dict[str, str]:
    """The modules of the embedding tables by the name of each as a part."""
    return {
        f"encoder.embedding.{feature}": f"encoder.embeddings.{index}"
        for index, feature in enumerate(model.encoder.tables())
    }


def _within(model: SequenceModel, name: str, part: str) -> bool:
    """Whether a tensor belongs to a part."""
    level = _LEVEL.fullmatch(part)
    if level is not None:
        if level_of(model, name) != int(level[1]):
            return False
        return level[2] is None or f".{level[2]}." in f".{name}."
    module = _tables(model).get(part, part)
    if module == "encoder.embedding":
        module = "encoder.embeddings"
    return name == module or name.startswith(f"{module}.")


def level_of(model: SequenceModel, name: str) -> int | None:
    """The place of a tensor of the encoder's layer in its stack, from 0; None for any other."""
    path = name.split(".")
    if path[:2] != ["encoder", "layer"]:
        return None
    module: nn.Module = model.encoder.layer
    for index, word in enumerate(path[2:-1], 2):
        if isinstance(module, Stacked) and word == "layers":
            return int(path[index + 1])
        module = module.get_submodule(word)
    return 0


def levels(model: SequenceModel) -> list[list[str]]:
    """The tensors of a model from its input to its head, level by level.

    The first level is what comes before the recurrent layers, the last the head; between them are
    the layers of a stack.
    """
    depth = 1 + max((level_of(model, name) or 0) for name in tensor_names(model))
    found: list[list[str]] = [[] for _ in range(depth + 2)]
    for name in tensor_names(model):
        level = level_of(model, name)
        place = depth + 1 if name.startswith("head.") else 0 if level is None else level + 1
        found[place].append(name)
    return found


def spoken(model: SequenceModel, name: str) -> str:
    """The part of a tensor, as people write it: ``encoder.embedding.text``, ``encoder.layer.1``."""
    owner = name.rpartition(".")[0]
    modules = {module: part for part, module in _tables(model).items()}
    if owner in modules:
        return modules[owner]
    if (level := level_of(model, name)) is not None:
        return f"encoder.layer.{level}" if len(levels(model)) > 3 else "encoder.layer"
    return ".".join(owner.split(".")[:2])


def paired_tables(ours: SequenceModel, theirs: SequenceModel) -> Mapping[str, str]:
    """Which feature of another model each ``ids`` feature of a model is, by name.

    The only one of each goes with the other, whatever they are called.
    """
    mine, other = list(ours.encoder.tables()), list(theirs.encoder.tables())
    if len(mine) == len(other) == 1:
        return {mine[0]: other[0]}
    return {name: name for name in mine if name in other}
