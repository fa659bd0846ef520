"""From a source to the views of its splits: validation held out, limits applied, columns there."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import datasets

from seqlab.data.data_spec import DataSpec
from seqlab.data.row_views import MemoryView, View
from seqlab.data.shards import Shards
from seqlab.data.sources.base import SPLITS, Source
from seqlab.data.stream_view import StreamView
from seqlab.data.transformed_views import rows_of, transformed
from seqlab.data.transforms.base import Transform
from seqlab.data.transforms.chain import Chain
from seqlab.errors import ConfigError, DataError, did_you_mean


def open_views(
    source: Source,
    spec: DataSpec,
    wanted: Collection[str] | None,
    transforms: Sequence[Transform] = (),
    *,
    fit: bool = False,
) -> dict[str, View]:
    """The splits wanted, ready to be read.

    Validation rows are held out of the training rows as soon as no transform is left that looks at
    all rows together: series that are one row each stay whole, and their windows on one side.

    Args:
        source: where the rows come from.
        spec: the data spec.
        wanted: names of splits, or None for all that there are.
        transforms: make the rows of each split.
        fit: let the transforms learn from the training rows.

    Raises:
        ConfigError: a transform would learn from rows that are still to be held out.
        DataError: a split is missing, empty, or lacks a column; a row does not fit a transform.
    """
    columns = _used(spec)
    every = Chain(transforms, columns)
    keys = every.asked_by(columns)
    source.use_columns(keys)
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
    labels = [target.column for target in spec.targets.values() if target.kind == "label"]
    label = labels[0] if labels else None
    hold_out = hold_out and bool({"train", "validation"} & set(chosen))
    views: dict[str, View] = {
        name: _view(
            source,
            name,
            loaded[name],
            None if transforms else label,
            apart=spec.shards and name == "train" and not transforms,
        )
        for name in SPLITS
        if name in loaded and (name in chosen or (hold_out and name == "train"))
    }
    for name, view in views.items():
        _check(name, view, keys)
    views = _through(views, every, spec, label, hold_out=hold_out, fit=fit)
    limits = {
        "train": spec.limit_train,
        "validation": spec.limit_validation,
        "test": spec.limit_test,
    }
    return {name: views[name].limit(limits[name], spec.split_seed) for name in chosen}


def _through(
    views: dict[str, View],
    chain: Chain,
    spec: DataSpec,
    label: str | None,
    *,
    hold_out: bool,
    fit: bool,
) -> dict[str, View]:
    """The views of the rows that transforms make, validation rows held out on the way."""
    undivided = None
    if hold_out:
        first, chain = chain.divided()
        learning = [k for k, t in zip(first.keys, first.transforms, strict=True) if t.keeps_state]
        if learning:
            raise ConfigError(
                f"{learning[0]}: it learns from the training rows, and data.validation holds rows "
                f"out only after {first.keys[-1]}; put it behind that"
            )
        views = {name: transformed(view, first, name) for name, view in views.items()}
        undivided = views["train"]
        _hold_out(views, undivided, spec, label if label in next(iter(undivided)) else None)
    if fit and "train" in views:
        train = views["train"]
        chain.fit(partial(rows_of, train, chain), train.where)
    made = {}
    for name, view in views.items():
        whole = None if undivided is None or name != "train" else partial(_same, undivided)
        made[name] = transformed(view, chain, name, label=label, whole=whole)
        if chain.transforms:
            _check(name, made[name], spec.column_keys)
    return made


#: How rows of a split are had.
_HINTS = {
    "validation": "; set data.validation to hold out training rows",
    "test": "; evaluate takes split=train, or other rows by source=files source.test=FILE",
}


def _same(view: View) -> View:
    return view


def _no_split(name: str, names: Collection[str]) -> str:
    if name not in SPLITS:
        return f"no split '{name}': {did_you_mean(name, SPLITS)}"
    there = ", ".join(names) if names else "none"
    hint = _HINTS.get(name, "")
    return f"the source has no split '{name}' (it has {there}){hint}"


def _view(source: Source, name: str, data: object, label: str | None, *, apart: bool) -> View:
    locate = partial(source.locate, name)
    if isinstance(data, datasets.Dataset):
        return MemoryView(data, locate)
    if isinstance(data, datasets.IterableDataset):
        return StreamView(data, locate, label, shards=Shards(data, apart=apart))
    raise DataError(f"the source's split '{name}' is a {type(data).__name__}, not a data set")


def _check(name: str, view: View, keys: Mapping[str, str | None]) -> None:
    """Refuse a split without rows or without a column that a key asks for."""
    first = next(iter(view), None)
    if first is None:
        raise DataError(f"the source's split '{name}' has no rows")
    for column, key in keys.items():
        if key is not None and column not in first:
            raise DataError(
                f"{view.where(0)}: the column '{column}' ({key}) is missing: "
                f"{did_you_mean(column, first)}"
            )


def _used(spec: DataSpec) -> dict[str, str | None]:
    """The columns that are read of the rows made, each with its key; None for one not needed."""
    used = spec.column_keys
    for target in spec.targets.values():
        references = target.target().references
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
