"""The finished model that a run begins with, and taking its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from seqlab.bundle import load
from seqlab.bundle.eight_bits import refuse_training
from seqlab.bundle.place import WEIGHTS
from seqlab.construct import check_options, split_spec
from seqlab.data.data_spec import DataSpec
from seqlab.data.known_vocabularies import KnownVocabularies
from seqlab.data.processor import Processor
from seqlab.data.processor_files import unfitted
from seqlab.data.tokenizers.base import Tokenizer
from seqlab.errors import ConfigError
from seqlab.model import SequenceModel
from seqlab.start.fitting import Fit, Taken
from seqlab.start.parts import level_of, paired_tables, tensors_of
from seqlab.start.spec import StartSpec
from seqlab.start.wording import cell_of, encoder_text, name_of
from seqlab.target_names import target_key

#: Options of a cell that say how it is trained, not what its weights mean.
_OF_TRAINING = ("dropout", "zoneout", "regularizer", "constraint", "initializer", "forget_bias")


class Origin:
    """A bundle, as what a run begins with.

    Args:
        spec: the run's key ``start``, with a bundle.

    Raises:
        BundleError: no bundle is there, or it cannot be loaded.
        ConfigError: its weights cannot be trained.
    """

    def __init__(self, spec: StartSpec) -> None:
        self.spec = spec
        self.trained = load(str(spec.bundle))
        refuse_training(self.trained.config, spec.bundle)

    def __str__(self) -> str:
        """What it is, in a few words."""
        config = self.trained.config
        made = f"{name_of(config['head'])} with {encoder_text(config['encoder'])}"
        return f"{self.spec.bundle}, {made}"

    @property
    def digest(self) -> str:
        """The sha256 of its weights."""
        return str(self.trained.manifest["files"][WEIGHTS]["sha256"])

    def vocabularies(self, data: DataSpec) -> KnownVocabularies | None:
        """What the vocabularies of new data go on from; None: they are made anew.

        Args:
            data: the form of the new data.
        """
        if self.spec.vocabulary == "new":
            return None
        features, targets = unfitted(data)
        theirs = {f.name: f.tokenizer for f in self.trained.processor.features}
        known = {name: tokenizer for name, tokenizer in theirs.items() if tokenizer is not None}
        mine = [feature.name for feature in features if feature.tokenizer is not None]
        if len(mine) == len(known) == 1:
            known = {mine[0]: next(iter(known.values()))}
        found: dict[str, Tokenizer] = {}
        if any(part == "encoder" or part.startswith("encoder.emb") for part in self.spec.parts):
            found = {f"features.{name}": known[name] for name in mine if name in known}
        if any(part.startswith("head") for part in self.spec.parts):
            for name, target in targets.items():
                other = self.trained.processor.targets.get(name)
                own = target.tokenizer is not None and target.of_inputs({}) is None
                if own and other is not None and other.tokenizer is not None:
                    found[target_key(name).removeprefix("data.")] = other.tokenizer
        return KnownVocabularies(found, self.spec.vocabulary == "grow") if found else None

    def give(
        self, model: SequenceModel, processor: Processor, spec: Mapping[str, Any]
    ) -> list[Taken]:
        """Copy weights into a new model.

        Args:
            model: whose weights have been drawn.
            processor: of the new data.
            spec: the run's spec.

        Returns:
            One entry for each weight of the model.

        Raises:
            ConfigError: a part is unknown, or a weight does not fit; one line says which.
        """
        wanted: dict[str, None] = {}
        for part in self.spec.parts:
            wanted |= dict.fromkeys(tensors_of(model, part, "start.parts"))
        self._check_meaning(model, spec, wanted)
        fit = Fit(self.spec, self.trained, model, processor, spec)
        state = model.state_dict(keep_vars=True)
        found = []
        with torch.no_grad():
            for name in tensors_of(model, "encoder", "start") + tensors_of(model, "head", "start"):
                if name in wanted:
                    found.append(fit.copy(name, state[name]))
                else:
                    found.append(Taken(name, "new", "not in start.parts", 0))
        self._check_taken(model, found)
        return found

    def _check_taken(self, model: SequenceModel, found: Sequence[Taken]) -> None:
        """Each part that was asked for gives something."""
        given = {taken.tensor for taken in found if taken.numbers}
        for part in self.spec.parts:
            if not given.intersection(tensors_of(model, part, "start.parts")):
                raise ConfigError(
                    f"start.parts: nothing of '{part}' is in {self.spec.bundle}: its encoder is "
                    f"{encoder_text(self.trained.config['encoder'])}"
                )

    def _check_meaning(
        self, model: SequenceModel, spec: Mapping[str, Any], wanted: Iterable[str]
    ) -> None:
        """Refuse weights that would mean something else here."""
        config, bundle = self.trained.config, self.spec.bundle
        heads = [name_of(one["head"]) for one in (config, spec)]
        if heads[0] != heads[1] and any(name.startswith("head.") for name in wanted):
            raise ConfigError(
                f"start: the head of {bundle} is '{heads[0]}' and the run's is '{heads[1]}'; take "
                "the encoder alone: start.parts=[encoder]"
            )
        layers = [level_of(model, name) for name in wanted]
        if all(level is None for level in layers):
            return
        cells = [_whole_cell(one["encoder"]) for one in (config, spec)]
        differ = sorted(
            key
            for key in {*cells[0], *cells[1]} - {"hidden_size"}
            if cells[0].get(key) != cells[1].get(key) and not any(w in key for w in _OF_TRAINING)
        )
        if differ:
            key = "name" if "name" in differ else differ[0]
            raise ConfigError(
                f"start: encoder.cell.{key} is {cells[0].get(key)!r} in {bundle} and "
                f"{cells[1].get(key)!r} here, so its weights mean something else; "
                f"say cell.{key}={cells[0].get(key)}, or leave encoder.layer out of start.parts"
            )
        reads = any(level == 0 for level in layers)
        resize = self.spec.sizes == "resize"
        inputs = _inputs(model, self.trained.model, any_width=resize)
        if reads and inputs is not None:
            raise ConfigError(
                f"start: the layer of {bundle} reads {inputs[1]}, and here it reads {inputs[0]}; "
                "give the same features in the same order, or leave encoder.layer.0 out of "
                "start.parts"
            )


def _inputs(
    ours: SequenceModel, theirs: SequenceModel, *, any_width: bool
) -> tuple[str, str] | None:
    """What two encoders read, where it differs; the width of a single feature may be free."""
    pairs = paired_tables(ours, theirs)
    mine = [(pairs.get(name, name), *form) for name, *form in _features(ours)]
    other = _features(theirs)
    if any_width and len(mine) == len(other) == 1 and mine[0][1] == other[0][1]:
        return None
    if [f[1:] for f in mine] == [f[1:] for f in other] and (mine == other or len(mine) == 1):
        return None
    spelt = [", ".join(f"{name} ({kind}, {width})" for name, kind, width, _ in one)
             for one in (mine, other)]  # fmt: skip
    return spelt[0], spelt[1]


def _features(model: SequenceModel) -> list[tuple[str, str, int, str]]:
    """Name, kind, width and role of what an encoder reads."""
    widths = model.encoder.info.embeddings
    return [
        (feature.name, feature.kind, widths.get(feature.name, feature.size), feature.role)
        for feature in model.encoder.features
    ]


def _whole_cell(encoder: Mapping[str, Any]) -> dict[str, Any]:
    """A cell's spec with its defaults."""
    name, options = split_spec("cell", cell_of(encoder), "encoder.cell")
    whole = check_options("cell", name, options, given=1, where="encoder.cell", complete=True)
    return {"name": name, **whole}
