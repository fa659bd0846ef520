"""``seqlab generate``: texts written by a language model."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seqlab import progress
from seqlab.bundle.place import local_bundle
from seqlab.collector import rare_collections
from seqlab.data.formats.choice import make_format
from seqlab.errors import UnknownPieceWarning
from seqlab.files import json_line
from seqlab.verbs.predict import (
    numbered_inputs,
    opened,
    refuse_same,
    spoken,
    warn_of_nothing,
    written,
)

#: What goes to ``TrainedModel.generate`` as it is.
_OPTIONS = ("n", "max_length", "temperature", "top_k", "top_p", "seed", "direction")


def run(spec: dict[str, Any], run_dir: Path) -> None:
    """Write ``{"prompt": ..., "text": ..., ...}`` a line, n of them for each prompt.

    Args:
        spec: ``bundle``, ``prompt``, ``input``, ``output``, ``device``, ``num_threads`` and the
            options of ``TrainedModel.generate``.
        run_dir: not used; the output goes where ``output`` says.

    Raises:
        SeqlabError: the bundle holds no language model, or a prompt cannot be read.
    """
    del run_dir
    refuse_same(str(spec.get("input") or "-"), str(spec.get("output", "-")))
    local_bundle(spec["bundle"])
    with rare_collections(), progress.stage("starting", summary=False, lines=False):
        from seqlab.bundle import load
    from seqlab.devices import global_settings, pick_device

    with global_settings(spec.get("num_threads")):
        with progress.stage("loading", summary=False, lines=False):
            trained = load(spec["bundle"], device=pick_device(spec.get("device") or "auto"))
        options = {key: spec[key] for key in _OPTIONS if spec.get(key) is not None}
        with written(str(spec.get("output", "-"))) as out, _few_warnings():
            for prompt in _prompts(spec):
                for answer in trained.generate(prompt, **options):
                    out.write(json_line({"prompt": prompt, **answer}))
                out.flush()


@contextlib.contextmanager
def _few_warnings() -> Iterator[None]:
    """Of prompts with unknown pieces the first is named, and all are counted at the end."""
    show, count = warnings.showwarning, 0

    def shown(message: Warning | str, category: type[Warning], *rest: Any) -> None:
        nonlocal count
        count += issubclass(category, UnknownPieceWarning)
        if count < 2 or not issubclass(category, UnknownPieceWarning):
            show(message, category, *rest)

    with warnings.catch_warnings():
        warnings.simplefilter("always", UnknownPieceWarning)
        warnings.showwarning = shown  # type: ignore[assignment]  # it passes on what it is given
        yield
    if count > 1:
        sys.stderr.write(f"warning: {count} prompts have pieces that the model does not know\n")


def _prompts(spec: dict[str, Any]) -> Iterator[str]:
    source = spec.get("input")
    if source is None:
        yield str(spec.get("prompt") or "")
        return
    name, empty = str(source), True
    with opened(name) as stream:
        for _, row in numbered_inputs(stream, spoken(name), make_format("text", name, "format")):
            yield row
            empty = False
    if empty:
        warn_of_nothing(name)
