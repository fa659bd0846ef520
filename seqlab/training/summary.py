"""After training: the test with the best weights, samples, result, bundle."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch

from seqlab import console
from seqlab.bundle import TrainedModel
from seqlab.bundle.finite import WORTHLESS, not_finite
from seqlab.data.data_spec import DataSpec
from seqlab.data.raw_columns import accepted_lists
from seqlab.heads.language_model import LanguageModelHead
from seqlab.layers.step_layer import runs_over_time
from seqlab.model import SequenceModel
from seqlab.target_names import SOLE

#: The most tokens of a generated text.
_SAMPLE = 70
#: Kinds of target that are numbers.
_NUMBERS = {"values", "horizon"}
_ANSWERS = ("text", "tags", "labels", "label", "values")


def engines_used(model: SequenceModel) -> str:
    """The engines that run the model's layers in training, such as ``fused`` or ``fused, loop``."""
    names = []
    weight = next(model.parameters())
    for layer in runs_over_time(model).values():
        probe = torch.zeros(2, 2, layer.input_size, device=weight.device, dtype=weight.dtype)
        names.append(layer.explain(probe).engine.name)
    return ", ".join(dict.fromkeys(names))


def spread(rows: Any, count: int) -> list[Mapping[str, Any]]:
    """So many rows, evenly from first to last; of a stream, the first."""
    if count <= 0:
        return []
    if not hasattr(rows, "__len__"):
        return list(islice(rows, count))
    total = len(rows)
    count = min(count, total)
    return [rows[(2 * i + 1) * total // (2 * count)] for i in range(count)]


def answer_of(prediction: Mapping[str, Any]) -> Any:
    """The part of a prediction that people read."""
    return next((prediction[key] for key in _ANSWERS if key in prediction), dict(prediction))


class Samples(NamedTuple):
    """Decoded rows, ``(input, expected, answer, right)`` each, or texts that a model wrote.

    ``targets`` has the name of each row's target where a model has several.
    """

    rows: Sequence[tuple[Any, Any, Any, bool]] = ()
    generated: Sequence[str] = ()
    targets: Sequence[str] = ()


def decode_samples(
    model: TrainedModel, rows: Sequence[Mapping[str, Any]], spec: DataSpec
) -> Samples:
    """Decode rows beside what was expected; of a language model, texts it writes."""
    if not rows:
        return Samples()
    if isinstance(model.model.head, LanguageModelHead) and len(model.processor.features) == 1:
        answers = model.generate(n=len(rows), max_length=_SAMPLE, seed=0)
        return Samples(generated=[answer["text"] for answer in answers])
    column = next(iter(spec.features.values())).column
    found, targets = [], []
    for row, prediction in zip(rows, model.answer_rows(rows, _shown), strict=True):
        for name, target in model.processor.targets.items():
            own = prediction if name == SOLE else prediction[name]
            answer, expected = answer_of(own), row[target.column]
            several = row.get(target.references or "") or expected
            accepted = [expected, *accepted_lists([several], target.column, _shown)[0]]
            right = console.shorten(answer) in map(console.shorten, accepted)
            found.append((row[column], expected, answer, right))
            targets += [] if name == SOLE else [name]
    return Samples(found, targets=targets)


def show_samples(samples: Samples) -> None:
    """Print them."""
    if samples.generated:
        console.say("samples (generated)")
        for text in samples.generated:
            console.say(f"  {console.shorten(text)}")
        console.say("")
    if samples.rows:
        console.samples("samples (test)", samples.rows, samples.targets)


class Predicted(NamedTuple):
    """Numbers of one row: expected, predicted, and what stood before them, where it is a series.

    ``low`` and ``high`` are the outer quantiles of an answer that has quantiles.
    """

    expected: list[float]
    predicted: list[float]
    before: Sequence[float] = ()
    low: Sequence[float] = ()
    high: Sequence[float] = ()


def predicted_numbers(
    model: TrainedModel, rows: Sequence[Mapping[str, Any]], spec: DataSpec
) -> list[Predicted]:
    """The numbers of each row; empty where answers hold none."""
    if not rows or not _NUMBERS & {model.processor.info.target.kind}:
        return []
    column, found = next(iter(spec.features.values())).column, []
    target = model.processor.target.column
    for row, answer in zip(rows, model.answer_rows(rows, _shown), strict=True):
        expected, predicted = _line(row[target]), _line(answer.get("values"))
        if not predicted or len(expected) != len(predicted):
            continue
        bounds = [_line(values) for _, values in sorted((answer.get("quantiles") or {}).items())]
        low, high = (bounds[0], bounds[-1]) if len(bounds) > 1 else ([], [])
        found.append(Predicted(expected, predicted, _line(row[column]), low, high))
    return found


def _line(values: Any) -> list[float]:
    """Numbers of one series; empty for anything else."""
    try:
        numbers = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        return []
    flat = numbers.reshape(-1)
    one_series = numbers.size == max(numbers.shape, default=1)
    return flat.tolist() if one_series and np.isfinite(flat).all() else []


def _shown(index: int) -> str:
    return f"sample {index + 1}"


def show_result(result: Mapping[str, Any]) -> None:
    """Print the table of metrics, and how large the model and how long the run was."""
    columns = {
        split: {name: value for name, value in result[split].items() if value is not None}
        for split in ("test", "validation")
        if result.get(split)
    }
    for found in [result.get("baseline"), *result.get("other_baselines", ())]:
        if found:
            guess = dict(found)
            columns[f"baseline ({guess.pop('name')})"] = guess
    console.say("")
    if columns:
        console.metric_table("result", columns)
    console.say(
        f"{result['parameters']:,} parameters, engine {result['engine']}, "
        f"{result['steps']} steps in {result['seconds']:.1f} s"
    )
    if found := result.get("calibration"):
        split = "test" if "test" in found else "validation"
        console.say(
            f"temperature {found['temperature']:.3f}, fitted on validation: calibration error of "
            f"{split} {found[split]['before']:.4f} before, {found[split]['after']:.4f} after"
        )
    console.say("")


def show_ending(reason: str | None, choice: str | None) -> None:
    """Print what ended the training, and which weights were kept."""
    console.say(f"training ended by {reason}")
    if choice is not None:
        console.say(choice)


def warn_of_weights(model: SequenceModel) -> None:
    """Say that the weights which were kept are no numbers, if so."""
    if (name := not_finite(model)) is not None:
        warnings.warn(
            f"the weight '{name}' {WORTHLESS}; train again with a smaller optimizer.lr or "
            "trainer.gradient_clip_val",
            stacklevel=2,
        )


def show_paths(paths: Mapping[str, Any]) -> None:
    """Print what was written where."""
    width = max(map(len, paths))
    for name, path in paths.items():
        console.say(f"{name.ljust(width)}  {path}")
