"""Which format a file has: the one named in the config, or the one its ending stands for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from seqlab import registry
from seqlab.construct import construct
from seqlab.data.formats.base import Format
from seqlab.errors import ConfigError, PluginError, UnknownNameError, listed

#: Endings of compressed files, of which the one before says the format.
_PACKED = (".gz", ".bz2", ".xz", ".zip")


def make_format(spec: Any, path: str, where: str = "source.format") -> Format:
    """The format that a spec names, or, for None, the one of a file's ending.

    Args:
        spec: a registered name, a mapping with ``name`` and the format's options, or None.
        path: the file.
        where: the config key, for errors.

    Raises:
        SeqlabError: no such format, an option is wrong, or the ending says nothing.
    """
    try:
        made: Format = construct(
            "format", format_of(path, where) if spec is None else spec, where=where
        )
    except UnknownNameError as error:
        raise ConfigError(f"{where}: {error}") from error
    made.key = where
    if spec is None:
        made.guessed = where
    return made


def format_of(path: str, where: str = "source.format") -> str:
    """The name of the format that a file's ending stands for.

    Raises:
        ConfigError: no format has it, or several have.
    """
    suffix = PurePath(path).suffix.lower()
    names = registry.available("format")
    if suffix[1:] in names:
        return suffix[1:]
    found = [name for name in names if suffix and suffix in _suffixes(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"{where}: {path} may be {' or '.join(found)} by its ending; give one")
    if suffix in _PACKED:
        raise ConfigError(f"{where}: {path} is compressed; unpack it first")
    raise ConfigError(
        f"{where}: cannot tell the format of {path} from its ending; give one of {listed(names)}"
    )


def as_trained(config: Mapping[str, Any], name: str) -> Any:
    """A format's name, or with it the options that a bundle's own data were read with.

    Args:
        config: of the bundle.
        name: of the format that a new file has.
    """
    known = (config.get("source") or {}).get("format")
    return known if isinstance(known, Mapping) and known.get("name") == name else name


def _suffixes(name: str) -> tuple[str, ...]:
    """The endings of a format; none of one that cannot be imported."""
    try:
        found: tuple[str, ...] = getattr(registry.get("format", name), "suffixes", ())
    except PluginError:
        return ()
    return found
