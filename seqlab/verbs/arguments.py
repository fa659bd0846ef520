"""The ``key=value`` arguments of verbs that need no Hydra."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from seqlab.errors import ConfigError, did_you_mean
from seqlab.registry import KINDS
from seqlab.schema import check_choice

#: The values that a key takes, or a word such as ``FILE`` where it takes any.
Choices = Mapping[str, Sequence[str] | str]
#: How many values of a key a message shows.
_SHOWN = 4


def read_arguments(
    words: Sequence[str], choices: Choices, *, required: Sequence[str] = ()
) -> dict[str, str]:
    """Words as a mapping.

    >>> read_arguments(["kind=cell", "output=a.txt"], {"kind": ["cell", "head"], "output": "FILE"})
    {'kind': 'cell', 'output': 'a.txt'}

    Args:
        words: what stands behind the verb.
        choices: what it understands.
        required: keys that must be given.

    Raises:
        ConfigError: a word is not ``key=value``, the key or value is unknown, or a key is missing.
    """
    read: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not value:
            raise ConfigError(f"'{word}' is not understood: expected {_forms(choices)}")
        if key not in choices:
            raise ConfigError(f"{key}: unknown key, {did_you_mean(key, choices)}")
        known = choices[key]
        if not isinstance(known, str):
            check_choice(value, known, key)
        if key in read:
            raise ConfigError(f"{key}: given twice")
        read[key] = value
    for key in required:
        if key not in read:
            raise ConfigError(f"{key}= is missing: expected {_forms(choices)}")
    return read


def option_value(key: str, text: str) -> Any:
    """The value of an option: JSON, or a plain word.

    >>> option_value("cell.heads", "2"), option_value("cell.activation", "relu")
    (2, 'relu')

    Raises:
        ConfigError: it is neither, such as a mapping as YAML and Hydra have it.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        if text[:1] in {"{", "[", '"'}:
            raise ConfigError(
                f"{key}: expected JSON or a plain word, got {text:.60}; names and words inside "
                'need quotes, as in {"name": "orthogonal", "gain": 0.5}'
            ) from error
        return text


def _forms(choices: Choices) -> str:
    return ", ".join(
        f"{key}={known if isinstance(known, str) else '|'.join(known[:_SHOWN])}"
        for key, known in choices.items()
    )


def named_part(words: Sequence[str], forms: Sequence[str] = ()) -> str | None:
    """The first word that names a part, ``kind=name``.

    ``format`` is a kind and the form of the output: beside another part it is the form, and so is
    a value in ``forms``.

    >>> named_part(["format=json", "cell=gru"]), named_part(["format=csv", "format=json"])
    ('cell=gru', 'format=csv')
    """
    pairs = [(word.partition("=")[0], word) for word in words if "=" in word]
    parts = [word for key, word in pairs if key in KINDS and key != "format"]
    parts += [word for key, word in pairs if key == "format" and word[7:] not in forms]
    return parts[0] if parts else None
