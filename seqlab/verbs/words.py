"""The ``key=value`` words of verbs that need no Hydra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from seqlab.errors import ConfigError, did_you_mean


def read_words(words: Sequence[str], choices: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Words as a mapping.

    >>> read_words(["kind=cell"], {"kind": ["cell", "head"]})
    {'kind': 'cell'}

    Raises:
        ConfigError: a word is not ``key=value``, or the key or value is unknown.
    """
    read: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"'{word}' is not understood: expected {_forms(choices)}")
        if key not in choices:
            raise ConfigError(f"{key}: unknown key, {did_you_mean(key, choices)}")
        if value not in choices[key]:
            raise ConfigError(
                f"{key}: unknown value '{value}', {did_you_mean(value, choices[key])}"
            )
        if key in read:
            raise ConfigError(f"{key}: given twice")
        read[key] = value
    return read


def _forms(choices: Mapping[str, Sequence[str]]) -> str:
    return ", ".join(f"{key}={'|'.join(values[:3])}" for key, values in choices.items())
