"""A loaded bundle: a model with what turns rows into tensors and back, and all that it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from seqlab.bundle.generation import generate
from seqlab.bundle.hub import push
from seqlab.bundle.language import fill, language_head
from seqlab.bundle.stream import TrainedStream
from seqlab.data.order import cut
from seqlab.data.processor import Processor
from seqlab.data.raw_columns import Where
from seqlab.data.row_objects import rows_in
from seqlab.data.targets.base import Target
from seqlab.data.transforms.chain import stands
from seqlab.engines.calls import coming_calls
from seqlab.errors import RunError
from seqlab.model import SequenceModel
from seqlab.schema import Count, check_value
from seqlab.target_names import SOLE


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
        # at least one call a batch: a decoder's cells are called for each step
        batches = -(-len(inputs) // batch_size)
        with torch.inference_mode(), coming_calls(batches):
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
