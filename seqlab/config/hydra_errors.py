"""Hydra's and OmegaConf's errors as one clear line each, with the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Iterator

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    OmegaConfBaseException,
)
from yaml import YAMLError  # type: ignore[import-untyped]  # it ships no types

from seqlab.config.key_hints import full_keys
from seqlab.config.search_path import PARTS
from seqlab.errors import ConfigError, did_you_mean, nearest
from seqlab.plugins import declared, where_to_get

#: what composition can raise because of a user's input; Hydra asserts that a group has a name
COMPOSITION_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    YAMLError,
    ValueError,
    OSError,
    AssertionError,
)


def one_line(error: BaseException | str) -> str:
    """A message on one line, its parts joined by '; '.

    >>> one_line("one" + chr(10) + "two")
    'one; two'
    """
    lines = [line.strip() for line in str(error).splitlines()]
    return "; ".join(line.rstrip(".:;") for line in lines if line) or type(error).__name__


def with_key(error: OmegaConfBaseException) -> str:
    """OmegaConf's message after the full key it is about."""
    said = one_line(str(error.msg).partition("\n    full_key:")[0])
    if said == "list index out of range":
        said = "the list has no such entry (the first is 0); a new one needs the whole list"
    return (f"{error.full_key}: " if error.full_key else "") + said


def translate(error: BaseException, groups: dict[str, list[str]]) -> ConfigError:
    """The ConfigError that says what Hydra's error means.

    Args:
        error: what composing the config raised.
        groups: config groups and their choices; ``""`` holds the primary config's top-level keys.
    """
    for cause in _chain(error):
        if isinstance(cause, OverrideParseException):
            return _bad_syntax(cause, groups)
        if isinstance(cause, MissingConfigException):
            return _missing_config(cause, groups)
        if isinstance(cause, ConfigKeyError | ConfigAttributeError):
            return _unknown_key(cause, groups)
        if isinstance(cause, OmegaConfBaseException):
            return ConfigError(with_key(cause))
        if isinstance(cause, YAMLError):
            return ConfigError(f"not readable as YAML: {one_line(cause)}")
    return ConfigError(_no_key(error) or _unusable_path(error) or _plain_words(error, groups))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The innermost cause first: it knows most."""
    found = [error]
    while (cause := found[-1].__cause__) is not None:
        found.append(cause)
    return reversed(found)


def _bad_syntax(error: OverrideParseException, groups: dict[str, list[str]]) -> ConfigError:
    word = error.override
    if word and "=" not in word and not word.startswith("~"):
        meant = [f"{group}={word}" for group, names in groups.items() if group and word in names]
        hint = f", did you mean {' or '.join(meant[:3])}?" if meant else ""
        if word in groups[""]:
            hint = f"; no space may stand around '=': {word}=..."
        return ConfigError(f"'{word}' is not an override: expected key=value or group=choice{hint}")
    reason = one_line(error.message.splitlines()[0]) if error.message else "bad syntax"
    return ConfigError(
        f"cannot read the override '{word}': {reason}; "
        "values with commas, braces or '=' need quotes, as in \"key='a, b'\""
    )


def _missing_config(error: MissingConfigException, groups: dict[str, list[str]]) -> ConfigError:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    inside = re.match(r"In '(?P<parent>[^']+)': ", str(error))
    place = f"{inside['parent']}.yaml: " if inside and "/" in inside["parent"] else ""
    if not group:
        if error.missing_cfg_file is None:
            return ConfigError(one_line(error))
        return ConfigError(f"there is no config named '{name}' (option --config-name)")
    if group in PARTS and name in (found := declared(PARTS[group].kind)):
        found[name].check()
    if where := where_to_get(group, name):
        return ConfigError(f"{place}{group}={name} is not installed: {where}")
    known = list(error.options or groups.get(group, []))
    hint = f"; one from a plugin needs it installed, see `seqlab list kind={group}`"
    return ConfigError(
        f"{place}{group}={name}: there is no such {group}, {did_you_mean(name, known)}"
        + (hint if group in PARTS else "")
    )


def _unknown_key(
    error: ConfigKeyError | ConfigAttributeError, groups: dict[str, list[str]]
) -> ConfigError:
    key = str(error.full_key or error.key)
    parent, _, last = key.rpartition(".")
    if not parent and "source" in groups[""] and (meant := full_keys(key)):
        return ConfigError(f"{key}: unknown key or group, did you mean {meant}?")
    if not parent:
        return ConfigError(f"{key}: unknown key or group, {did_you_mean(key, groups[''])}")
    names = [str(name) for name in error.parent_node or ()] if error.parent_node else []
    return ConfigError(f"{key}: unknown key, {did_you_mean(last, names)}")


def _no_key(error: BaseException) -> str | None:
    """An override such as ``=gru``."""
    if isinstance(error, AssertionError) or "override ''" in str(error):
        return "an override has no key: expected key=value or group=choice"
    return None


def _unusable_path(error: BaseException) -> str | None:
    """What the system refused to do with a file or folder, if that is the error."""
    if not isinstance(error, OSError) or not error.filename:
        return None
    return (
        f"{error.filename}: cannot be made or read ({error.strerror}); where it is the output "
        "folder, choose another with hydra.run.dir=FOLDER"
    )


def _plain_words(error: BaseException, groups: dict[str, list[str]]) -> str:
    """Messages of Hydra's own that come without a telling type."""
    text = str(error)
    if ambiguous := re.match(r"Ambiguous value for argument '(.+)'", text):
        key, _, value = ambiguous[1].partition("=")
        return (
            f"'{ambiguous[1]}' has several values: add -m to run each, "
            f"write {key}=[{value}] for a list, or quote the text"
        )
    if sweep := re.match(r"Sweep parameters '(.+)' requires --multirun", text):
        return f"'{sweep[1]}' has several values: add -m to run each"
    if twice := re.match(r"Multiple values for (\S+)\.", text):
        return f"{twice[1]}: the group has a choice already; give {twice[1]}=NAME without '+'"
    if text.startswith("Config group override must be a string"):
        return "a config group takes a name: GROUP=NAME; ~GROUP leaves it out"
    if group := re.match(r"(?:In '[^']*': )?Could not override '(.+)'\. No match", text):
        return _no_group(group[1], groups)
    return one_line(error.args[0] if isinstance(error, HydraException) and error.args else text)


def _no_group(name: str, groups: dict[str, list[str]]) -> str:
    """Why a choice of a group cannot be made."""
    if name in groups:
        return f"{name}: this command's config makes no choice of it; --help shows the config"
    close = nearest(name, groups)
    return f"{name}: there is no such config group" + (
        f", did you mean '{close}'?" if close else f" (known: {', '.join(filter(None, groups))})"
    )
