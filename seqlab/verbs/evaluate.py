"""``seqlab evaluate``: the metrics of a bundle on a data set."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqlab import progress
from seqlab.bundle.place import each_bundle, local_bundle
from seqlab.collector import rare_collections
from seqlab.data.formats.choice import as_trained, format_of
from seqlab.errors import ConfigError, OptionError, RunError
from seqlab.registry import spoken

RESULT = "result.json"


def run(spec: dict[str, Any], run_dir: Path) -> dict[str, Any]:
    """Measure a bundle, print a table, write ``result.json``.

    Args:
        spec: ``bundle``, ``source`` (None: the one the bundle was trained on), ``split``,
            ``output`` (a file ending in ``.json``, or a folder; None: ``run_dir``),
            ``batch_size``, ``limit``, ``device``, ``num_threads``, ``search``, ``predictions``
            (a file for gold and answers of each row, see ``seqlab.verbs.predictions``).
        run_dir: where ``result.json`` goes unless ``output`` says otherwise.

    Returns:
        What was written: ``{split: {metric: value}, "bundle": ..., "rows": ..., ...}``, and for
        classes ``"classes"`` and ``"confusion"`` (``seqlab.heads.metrics.class_table``), of several
        targets as ``"targets"`` by their names.

    Raises:
        SeqlabError: the bundle, the data or the output is not as it should be; a label that the
            bundle does not know is a DataError that names the row.
    """
    for place in each_bundle(spec["bundle"]):
        local_bundle(place)
    with rare_collections(), progress.stage("starting", summary=False):
        from seqlab.bundle import load
    from seqlab.bundle.manifest import versions
    from seqlab.console import metric_table, say
    from seqlab.devices import global_settings, pick_device
    from seqlab.files import write_json
    from seqlab.heads.metrics.class_table import ClassTables
    from seqlab.measures import plain_numbers
    from seqlab.verbs.predictions import write_predictions

    target = output_file(spec.get("output"), run_dir)
    with global_settings(spec.get("num_threads")):
        with progress.stage("loading", summary=False):
            trained = load(spec["bundle"], device=pick_device(spec.get("device") or "auto"))
        data = _data(spec, trained)
        if trained.model.head.refuses_rows:
            data.check_batches(trained.model.head.refusal)
        if data.spec.chunks is not None:
            data.read_in_chunks(trained.model.chunk_reading())
        begin = time.monotonic()
        head = trained.model.head
        classes = ClassTables(head.target_info, head.metrics())
        values = measure(trained.model, data, spec["split"], spec.get("search"), classes)
        seconds = round(time.monotonic() - begin, 3)
        if spec.get("predictions"):
            size = spec.get("batch_size") or 64
            write_predictions(spec["predictions"], trained, data, spec["split"], batch_size=size)
    name = ", ".join(map(str, each_bundle(spec["bundle"])))
    result = {
        spec["split"]: plain_numbers(values),
        **classes.content(),
        "bundle": name,
        "rows": data.sizes[spec["split"]],
        "seconds": seconds,
        "data": data.source.describe(),
        "versions": versions(),
    }
    metric_table(f"{name} on {result['rows']} rows", {spec["split"]: values})
    if classes.tables():
        say(f"\n{classes.text()}\n")
    write_json(target, result)
    say(f"result  {target}")
    return result


def output_file(output: str | None, run_dir: Path) -> Path:
    """The file to write; a training run's own result is never replaced.

    Raises:
        RunError: the place is taken by the result of a training run.
    """
    path = Path(run_dir) if output is None else Path(output)
    file = path if path.suffix == ".json" else path / RESULT
    if file.is_file():
        try:
            known = "bundle" in json.loads(file.read_text("utf-8"))
        except (ValueError, RecursionError):
            known = False
        if not known:
            raise RunError(
                f"{file} exists and is not the result of an evaluation; choose another output"
            )
    return file


def _data(spec: dict[str, Any], trained: Any) -> Any:
    """The rows to measure on, through the bundle's own processor."""
    from seqlab.construct import construct
    from seqlab.data.data_spec import DataSpec
    from seqlab.data.module import DataModule

    source = spec.get("source") or trained.config.get("source")
    if source is None:
        raise ConfigError("source: the bundle names no source of its own; give source=NAME")
    source = _as_trained(source, trained.config)
    split = spec["split"]
    changes = {} if spec.get("limit") is None else {f"limit_{split}": spec["limit"]}
    if spec.get("batch_size") is not None:
        changes |= {"batch_size": spec["batch_size"], "eval_batch_size": spec["batch_size"]}
    data_spec = DataSpec.from_mapping({**trained.processor.spec.to_dict(), **changes})
    data = DataModule(
        construct("source", source, where="source"), data_spec, 0, processor=trained.processor
    )
    data.prepare([split])
    return data


def _as_trained(source: Any, config: Mapping[str, Any]) -> Any:
    """A source of files, read with the options that files of that format had in training."""
    if not isinstance(source, Mapping) or source.get("name") != "files" or source.get("format"):
        return source
    given = (source.get(key) for key in ("train", "validation", "test", "path"))
    paths = next(filter(None, given), None)
    if paths is None:
        return source
    first = paths if isinstance(paths, str) else paths[0]
    return {**source, "format": as_trained(config, format_of(first))}


def measure(
    model: Any, data: Any, split: str, search: Any = None, classes: Any = None
) -> dict[str, float]:
    """A model's metrics and loss on all rows of a split, decoded as ``predict`` does.

    Args:
        model: the ``SequenceModel``.
        data: the prepared ``DataModule``.
        split: which split.
        search: another way to decode than the head's own, for heads that search.
        classes: the ``ClassTables`` to count in, or None.

    Raises:
        OptionError: the head does not search.
    """
    import torch

    from seqlab.engines.calls import coming_calls
    from seqlab.measures import read_metrics

    if search is not None:
        if not hasattr(model.head, "make_search"):
            raise OptionError(f"search: {spoken('head', model.head)} does not search")
        model.head.search = model.head.make_search(search, "search")
    device = next(model.parameters()).device
    metrics = {name: metric.to(device) for name, metric in model.metrics().items()}
    loss = model.loss_mean().to(device)
    counted = metrics if classes is None else {**metrics, **classes.to(device).metrics()}
    model.eval()
    announced = coming_calls(data.steps(split))
    with torch.inference_mode(), announced, progress.stage(split, data.sizes[split]) as stage:
        carry = model.new_carry()
        for batch in data.loader(split):
            moved = batch.to(device)
            loss.update(model.measure_terms(counted, moved, final=True, carry=carry))
            if batch.starts is not False:
                stage.advance(batch.size)
    return read_metrics({**metrics, "loss": loss})
