"""What decides a run's weights and does not stand in its spec: the data, versions, processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from seqlab.bundle.manifest import used_plugins, versions
from seqlab.data.module import DataModule
from seqlab.errors import RunError
from seqlab.files import sha256_of
from seqlab.locks import temporary_folder


def identity_of(data: DataModule, spec: Mapping[str, Any], processes: int) -> dict[str, Any]:
    """The identity of a run, as it stands in its checkpoints.

    Args:
        data: the prepared data.
        spec: the run's spec.
        processes: how many processes train together.
    """
    plugins = {part["distribution"]: part["version"] for part in used_plugins(spec)}
    return {
        "splits": data.digests(),
        "processor": _processor_files(data),
        "versions": {**versions(), **plugins},
        "processes": processes,
    }


def _processor_files(data: DataModule) -> dict[str, str]:
    with temporary_folder() as folder:
        data.processor.save(folder)
        return {path.name: sha256_of(path) for path in sorted(folder.iterdir())}


def check_identity(begun: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """Compare the identity of a resumed run with that of its checkpoint.

    Returns:
        A line for each version that differs.

    Raises:
        RunError: the data, what was learnt of it, or the number of processes differs.
    """
    if begun is None:
        return []
    if begun["processes"] != now["processes"]:
        raise RunError(
            f"resume: {now['processes']} processes train now, and the run was begun with "
            f"{begun['processes']}; they share the batches, so the number must stay"
        )
    changes = [*_split_changes(begun["splits"], now["splits"])]
    files = {*begun["processor"].items()} ^ {*now["processor"].items()}
    changes += [f"{name} is another" for name in sorted({name for name, _ in files})]
    if changes:
        raise RunError(
            f"resume: the data is not what the run was begun with: {', '.join(changes)}; "
            "bring the old data back, or begin a new run"
        )
    old, new = begun["versions"], now["versions"]
    return [
        f"resume: {name} is {new.get(name, 'missing')} now, and was {old.get(name, 'missing')}: "
        "the rest of the run may differ a little from an unbroken one"
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    ]


def _split_changes(begun: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for split in dict.fromkeys([*begun, *now]):
        old, new = begun.get(split), now.get(split)
        if old is None or new is None:
            yield f"{split} is {'new' if old is None else 'missing'}"
        elif old["rows"] != new["rows"]:
            yield f"{split} has {new['rows']} rows and had {old['rows']}"
        elif old["digest"] != new["digest"]:
            yield f"{split} has other content"
