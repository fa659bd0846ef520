"""A finished model as a folder: safetensors and JSON, loaded without running code from it.

>>> import seqlab
>>> callable(seqlab.load)
True
"""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save

from seqlab.build import build_model
from seqlab.bundle.card import model_card
from seqlab.bundle.ensemble import Ensemble, check_alike, check_count
from seqlab.bundle.formats import FORMAT, Contents, migrated
from seqlab.bundle.generation import generate
from seqlab.bundle.hub import push
from seqlab.bundle.language import fill, language_head
from seqlab.bundle.manifest import (
    CONFIG_LIMIT,
    MANIFEST,
    make_manifest,
    missing_part,
    other_versions,
    read_manifest,
)
from seqlab.bundle.place import WEIGHTS, local_bundle
from seqlab.bundle.stream import TrainedStream
from seqlab.data.order import cut
from seqlab.data.processor import Processor
from seqlab.data.raw_columns import Where
from seqlab.data.row_objects import rows_in
from seqlab.data.targets.base import Target
from seqlab.data.transforms.chain import stands
from seqlab.errors import BundleError, RunError, SeqlabError
from seqlab.files import atomic_folder, read_json, write_json
from seqlab.memory import ALWAYS_FINE, whole_numbers
from seqlab.model import SequenceModel
from seqlab.schema import Count, check_value
from seqlab.target_names import SOLE
from seqlab.types import DataInfo, FeatureInfo, TargetInfo, TargetStatistics


class TrainedModel:
    """A loaded bundle: a model, and the processor that turns rows into tensors and back.

    Attributes:
        model: the ``SequenceModel``, in evaluation mode.
        processor: rows to tensors, ids to text.
        config: the specs it was built from.
        manifest: versions, plugins and digests.
        folder: where it was loaded from; None: it was not.
    """

    def __init__(
        self,
        model: SequenceModel,
        processor: Processor,
        config: dict[str, Any],
        manifest: dict[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.folder = folder
        self.model, self.processor = model, processor
        model.head.write_with(processor.writers())
        self.config, self.manifest = config, manifest or {}

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return next(self.model.parameters()).device

    def predict(self, inputs: Any, *, batch_size: int = 64, **options: Any) -> list[dict[str, Any]]:
        """Answer each input, in order.

        Args:
            inputs: strings, lists of tokens, series of numbers, or mappings with the columns
                of the features; or a table of pandas, polars, pyarrow or datasets, or a dict of
                lists.
            batch_size: rows computed at a time; rows of like length share a batch.
            **options: the head's own, for example ``search={"name": "beam", "width": 4}``, and
                with it ``n_best=3``.

        Returns:
            One dict an input: ``label``, ``tags`` or ``text`` by the task, and scores. Where the
            data have transforms, one for each row that they make, with the number of its input,
            counted from 0, as ``row`` and which part of that it is as ``part``.

        Raises:
            DataError: an input does not have the form the features need; its number is given.
            OptionError: the head has no such option.
        """
        spec = self.processor.spec
        text = all(feature.kind == "text" for feature in spec.features.values())
        table = any(transform.whole for transform in self.processor.transforms)
        rows = list(rows_in(inputs, spec.given_columns, text=text or table))
        return self.predict_rows(rows, _numbered, batch_size=batch_size, **options)

    def score(self, texts: Any, *, batch_size: int = 64) -> list[dict[str, Any]]:
        """How probable a language model finds texts, and each of their tokens.

        Args:
            texts: as for ``predict``, whose answers these are.
            batch_size: as for ``predict``.

        Returns:
            One dict a text; see ``seqlab.heads.language_model``.

        Raises:
            OptionError: the model is no language model.
        """
        language_head(self.model, "score")
        return self.predict(texts, batch_size=batch_size)

    def generate(self, prompt: Any = "", **options: Any) -> list[dict[str, Any]]:
        """Texts that go on with a prompt, by a language model.

        Args:
            prompt: a text, or a list of tokens; what is written stands after it, and of a
                backward model before it.
            **options: ``max_length``: the most tokens to add (100); ``temperature``: below 1 makes
                the probable more probable, 0 takes the most probable; ``top_k``, ``top_p``: see
                ``seqlab.heads.sampling``; ``seed``: the same texts each time (torch's own random
                state); ``n``: how many texts (1); ``direction``: ``forward`` or ``backward``, of a
                model that has both.

        Returns:
            n dicts with the whole ``text``, the ``log_probability`` of what was added, and
            ``ended``: whether the text came to its end within ``max_length``.

        Raises:
            OptionError: the model is no language model, reads more than the text, or an option
                does not fit.
        """
        return generate(self.model, self.processor, prompt, **options)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        message: str | None = None,
        token: str | bool | None = None,
    ) -> str:
        """Upload the bundle that this model was loaded from to the Hugging Face Hub.

        Args:
            repo_id: ``owner/name``; made if there is none.
            private: whether a new repository is to be private; the owner's default.
            revision: the branch; the main one by default.
            message: of the commit.
            token: with the right to write; the one that was logged in with by default.

        Returns:
            The address of the commit.

        Raises:
            RunError: the model was not loaded from a bundle, or the Hub does not take it.
            BundleError: the bundle was changed since.
        """
        if self.folder is None:
            raise RunError("this model was not loaded from a bundle: save it, and load that")
        return push(
            self.folder, repo_id, private=private, revision=revision, message=message, token=token
        )

    def stream(self) -> TrainedStream:
        """The model one step of a row at a time; see ``seqlab.bundle.stream``.

        Raises:
            EngineError: the encoder needs the future, or the head a row's end; the message says
                why.
        """
        return TrainedStream(self.model.eval(), self.processor)

    def fill(self, text: Any, *, gap: str = "_", n: int = 5) -> dict[str, Any]:
        """A text with each gap filled by the token that both of its sides make most probable.

        Of several gaps the surest is filled first; the others are unknown tokens meanwhile.

        Args:
            text: a text, or a list of tokens.
            gap: what stands for one token.
            n: how many tokens to name for each gap.

        Returns:
            ``{"text": ..., "gaps": [[{"token": ..., "probability": ...}, ...], ...]}``.

        Raises:
            OptionError: there is no gap, or the model is no language model of both sides.
        """
        return fill(self.model, self.processor, text, gap=gap, n=n)

    def predict_rows(
        self, inputs: Sequence[Any], where: Where, *, batch_size: int = 64, **options: Any
    ) -> list[dict[str, Any]]:
        """Answer a list of inputs as ``predict`` does.

        Args:
            inputs: one value or mapping a row.
            where: where the i-th of them stands, for errors.
            batch_size: as for ``predict``.
            **options: as for ``predict``.
        """
        if not self.processor.transforms:
            return self.answer_rows(inputs, where, batch_size=batch_size, **options)
        rows = self.processor.transform_inputs(inputs, where)

        def place(index: int) -> str:
            return stands(rows[index], where)

        answers = self.answer_rows(rows, place, batch_size=batch_size, **options)
        return [
            {"row": row.number, "part": row.part, **answer}
            for row, answer in zip(rows, answers, strict=True)
        ]

    def answer_rows(
        self, inputs: Sequence[Any], where: Where, *, batch_size: int = 64, **options: Any
    ) -> list[dict[str, Any]]:
        """Answer rows that the transforms have made already; else as ``predict_rows``."""
        check_value(batch_size, Count, "batch_size")
        if not inputs:
            return []
        rows = self.processor.encode_inputs(inputs, where)
        answers: list[dict[str, Any]] = [{} for _ in inputs]
        self.model.eval()
        with torch.inference_mode():
            for places in cut(np.argsort(rows.lengths, kind="stable"), batch_size):
                batch = rows.batch(places).to(self.device)
                found = self.model.predict(batch, **options)
                for place, answer in zip(places.tolist(), found, strict=True):
                    answers[place] = readable(answer, self.processor, inputs[place])
        return answers


def _numbered(index: int) -> str:
    return f"input {index + 1}"


def readable(answer: Mapping[str, Any], processor: Processor, value: Any = None) -> dict[str, Any]:
    """An answer of a head with its ids as text, where it holds tokens of target or input.

    Args:
        answer: of a head.
        processor: decodes.
        value: the input, from which unknown tokens are copied.
    """
    if SOLE in processor.targets:
        return _readable(answer, processor.target, processor, value)
    return {
        name: _readable(answer[name], target, processor, value)
        for name, target in processor.targets.items()
    }


def _readable(
    answer: Mapping[str, Any], target: Target, processor: Processor, value: Any
) -> dict[str, Any]:
    """A head's answer to one target."""
    if "tokens" in answer:
        copied = answer.get("copied")
        text = {"text": processor.decode_answer(target, answer["tokens"], copied, value), **answer}
        if "alternatives" in answer:
            text["alternatives"] = [
                _readable(one, target, processor, value) for one in answer["alternatives"]
            ]
        return text
    found, tokenizer = dict(answer), target.tokenizer
    if "ids" in found and tokenizer is not None:
        found = {"tokens": [tokenizer.entry(index) for index in found.pop("ids")], **found}
    return found


def save_bundle(
    folder: str | Path,
    model: SequenceModel,
    processor: Processor,
    spec: Mapping[str, Any],
    *,
    metrics: Mapping[str, Mapping[str, float]] | None = None,
    data_identity: Mapping[str, Any] | None = None,
) -> Path:
    """Write a bundle; a bundle of that name is replaced, in one step.

    Args:
        folder: where to.
        model: the trained model.
        processor: what it was trained with.
        spec: the run's spec; ``source``, ``data``, ``encoder`` and ``head`` of it are kept.
        metrics: measured values by split, for the model card.
        data_identity: ``Source.describe()``, for the model card.

    Raises:
        RunError: the folder cannot be written.
    """
    parts = {key: spec[key] for key in ("source", "data", "encoder", "head") if key in spec}
    config = {"format": FORMAT, **parts, "info": dataclasses.asdict(processor.info)}
    with atomic_folder(folder) as new:
        write_json(new / "config.json", config)
        (new / WEIGHTS).write_bytes(save(_tensors(model), metadata={"format": "pt"}))
        processor.save(new)
        card = model_card(config, metrics or {}, data_identity or {}, _size(model))
        (new / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")
        write_json(new / MANIFEST, make_manifest(new, config))
    return Path(folder)


def _tensors(model: SequenceModel) -> dict[str, torch.Tensor]:
    """The state dict without sharing; tied tensors are stored once under each name."""
    return {
        name: value.detach().cpu().contiguous().clone()
        for name, value in model.state_dict().items()
    }


def _size(model: SequenceModel) -> int:
    return sum(p.numel() for p in model.parameters())


def load(
    path: str | Path | Sequence[str | Path],
    *,
    device: str | torch.device = "cpu",
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
) -> TrainedModel:
    """Load a bundle from a folder, or by its name on the Hugging Face Hub; several as an ensemble.

    Nothing in a bundle chooses code: parts are looked up by registered name, weights are
    safetensors, the rest is JSON, and every file must have the digest of the manifest.

    Args:
        path: a folder, or ``owner/name`` on the Hub if no such folder exists. A list of them is
            an ensemble of encoder-decoders or classifiers: the probabilities of each next token,
            or of each class, are averaged; limits, search and metrics are those of the first.
        device: where to compute.
        revision: branch, tag or commit on the Hub; the newest of its main branch by default.
        token: for what is not public on the Hub; the one that was logged in with by default.
        cache_dir: where what was fetched is kept; the Hub's own folder by default.

    Warns:
        UserWarning: a plugin is installed in another version than the bundle was made with.

    Raises:
        BundleError: no bundle is there, a file is missing, changed or does not fit, a plugin is
            not installed, or the Hub cannot be reached; one line says which. Bundles of an
            ensemble have other vocabularies.
        OptionError: bundles of an ensemble are of another task.
    """
    fetch: dict[str, Any] = {"revision": revision, "token": token, "cache_dir": cache_dir}
    if not isinstance(path, (str, Path)):
        return _load_together(list(path), device, fetch)
    folder = local_bundle(path, **fetch)
    manifest, config = migrated(
        Contents(read_manifest(folder), read_json(folder / "config.json", CONFIG_LIMIT))
    )
    info = _read_info(config, folder / "config.json")
    try:
        _check_sizes(config, info, folder / WEIGHTS)
        processor = Processor.load(folder)
        model = build_model(config, info)
    except SeqlabError as error:
        reason = missing_part(manifest, error)
        if reason is None and isinstance(error, BundleError):
            raise
        reason = reason or f"cannot be rebuilt: {error}"
        raise BundleError(f"bundle {folder} {reason}") from error
    except (RuntimeError, TypeError, ValueError, AttributeError, MemoryError) as error:
        # values of wrong types or sizes, which the parts of a spec are not made to expect
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BundleError(f"bundle {folder} cannot be rebuilt: {reason}") from error
    if processor.info != info:
        raise BundleError(f"{folder}: config.json and the tokenizer files do not belong together")
    _load_weights(model, folder / WEIGHTS)
    for line in other_versions(manifest):
        warnings.warn(f"bundle {folder}: {line}: answers may differ", stacklevel=2)
    return TrainedModel(model.to(device).eval(), processor, config, manifest, folder)


#: ``load`` under the name that the libraries around the Hub use.
from_pretrained = load


def _load_together(
    paths: Sequence[str | Path], device: str | torch.device, fetch: Mapping[str, Any]
) -> TrainedModel:
    """Several bundles as one model."""
    names = [str(path) for path in paths]
    check_count(names)
    loaded = [load(path, device=device, **fetch) for path in paths]
    if len(loaded) == 1:
        return loaded[0]
    check_alike([one.processor for one in loaded], names)
    first = loaded[0]
    model = Ensemble([one.model for one in loaded]).eval()
    return TrainedModel(model, first.processor, first.config, first.manifest)


def _check_sizes(config: Mapping[str, Any], info: DataInfo, weights: Path) -> None:
    """Compare the shapes a config asks for with those stored, before memory is taken for them.

    A part that cannot be built without memory is bounded by the numbers in the config instead:
    no size can be larger than all weights together.
    """
    try:
        with safe_open(weights, framework="pt") as file:
            stored = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise BundleError(f"{weights} cannot be read: {error}") from error
    try:
        with torch.device("meta"):
            wanted = {n: tuple(t.shape) for n, t in build_model(config, info).state_dict().items()}
    except RuntimeError as error:
        if "meta" not in str(error):
            raise
        total = sum(math.prod(shape) for shape in stored.values())
        largest = max(whole_numbers([config["encoder"], config["head"]]), default=0)
        if largest > max(total, ALWAYS_FINE):
            raise BundleError(
                f"{weights}: config.json has the number {largest}, and there are {total} weights"
            ) from error
        return
    for name in sorted({*wanted, *stored}):
        if wanted.get(name) != stored.get(name):
            raise BundleError(
                f"{weights}: tensor '{name}' is {stored.get(name, 'missing')}, "
                f"and config.json asks for {wanted.get(name, 'none')}"
            )


def _load_weights(model: SequenceModel, path: Path) -> None:
    tensors = load_file(path)
    floating = {t.dtype for t in tensors.values() if t.is_floating_point()}
    if floating == {torch.float64}:
        model.double()
    model.load_state_dict(tensors)


def _read_info(config: Any, path: Path) -> DataInfo:
    try:
        raw = config["info"]
        features = tuple(FeatureInfo(**feature) for feature in raw["features"])
        return DataInfo(features, _target_info(raw["target"]))
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BundleError(f"{path}: 'info' does not describe features and target") from error


def _target_info(raw: Mapping[str, Any]) -> TargetInfo:
    target = _tuples(raw)
    target["statistics"] = TargetStatistics(**_tuples(target.get("statistics", {})))
    target["parts"] = {name: _target_info(part) for name, part in raw.get("parts", {}).items()}
    return TargetInfo(**target)


def _tuples(raw: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's lists as the tuples that were written."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in raw.items()}
