"""From a source to the views of its splits: validation held out, limits applied, columns there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial

import datasets

from seqlab.data.row_views import MemoryView, StreamView, View
from seqlab.data.sources.base import SPLITS, Source
from seqlab.data.spec import DataSpec
from seqlab.errors import DataError, did_you_mean


def open_views(source: Source, spec: DataSpec, wanted: Collection[str] | None) -> dict[str, View]:
    """The splits wanted, ready to be read.

    Args:
        source: where the rows come from.
        spec: the data spec.
        wanted: names of splits, or None for all that there are.

    Raises:
        DataError: a split is missing, empty, or lacks a column.
    """
    source.use_columns(_used(spec))
    loaded = source.load()
    for name in loaded:
        if name not in SPLITS:
            raise DataError(f"the source has a split '{name}': {did_you_mean(str(name), SPLITS)}")
    names = [name for name in SPLITS if name in loaded]
    hold_out = spec.validation is not None and "validation" not in loaded and "train" in loaded
    if hold_out:
        names = [*names, "validation"]
    for name in wanted or ():
        if name not in names:
            raise DataError(_no_split(name, names))
    chosen = [name for name in SPLITS if name in (names if wanted is None else wanted)]
    label = spec.target.column if spec.target.kind == "label" else None
    views: dict[str, View] = {
        name: _view(source, name, loaded[name], label) for name in chosen if name in loaded
    }
    for name, view in views.items():
        _check(name, view, spec)
    if hold_out and {"train", "validation"} & set(chosen):
        _hold_out(views, _view(source, "train", loaded["train"], label), spec, label)
    limits = {
        "train": spec.limit_train,
        "validation": spec.limit_validation,
        "test": spec.limit_test,
    }
    return {name: views[name].limit(limits[name], spec.split_seed) for name in chosen}


def _no_split(name: str, names: Collection[str]) -> str:
    if name not in SPLITS:
        return f"no split '{name}': {did_you_mean(name, SPLITS)}"
    there = ", ".join(names) if names else "none"
    hint = "; set data.validation to hold out training rows" if name == "validation" else ""
    return f"the source has no split '{name}' (it has {there}){hint}"


def _view(source: Source, name: str, data: object, label: str | None) -> View:
    locate = partial(source.locate, name)
    if isinstance(data, datasets.Dataset):
        return MemoryView(data, locate)
    if isinstance(data, datasets.IterableDataset):
        return StreamView(data, locate, label)
    raise DataError(f"the source's split '{name}' is a {type(data).__name__}, not a data set")


def _check(name: str, view: View, spec: DataSpec) -> None:
    """Refuse a split without rows or without a column of the spec."""
    first = next(iter(view), None)
    if first is None:
        raise DataError(f"the source's split '{name}' has no rows")
    for key, column in _keys(spec).items():
        if column not in first:
            raise DataError(
                f"{view.locate(0)}: the column '{column}' ({key}) is missing: "
                f"{did_you_mean(column, first)}"
            )


def _keys(spec: DataSpec) -> Mapping[str, str]:
    features = {f"data.features.{name}.column": f.column for name, f in spec.features.items()}
    return {**features, "data.target.column": spec.target.column}


def _used(spec: DataSpec) -> dict[str, str | None]:
    """The columns that are read, each with the key that asks for it."""
    used: dict[str, str | None] = {column: key for key, column in _keys(spec).items()}
    references = spec.target.target().references
    if references is not None:
        used.setdefault(references, None)
    return used


def _hold_out(views: dict[str, View], train: View, spec: DataSpec, label: str | None) -> None:
    """Divide the training rows into training and validation rows."""
    rest, held = train.divide(spec.validation or 0.0, spec.split_seed, label)
    for name, view in (("training", rest), ("validation", held)):
        if not len(view):
            raise DataError(
                f"data.validation={spec.validation} leaves no {name} row of {len(train)}"
            )
    views.update(train=rest, validation=held)
