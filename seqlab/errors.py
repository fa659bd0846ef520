"""Every error a user can cause, each with one clear line: what, where, what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class SeqlabError(Exception):
    """Base of all errors that a user's input can cause; the command line exits with 2.

    Whatever stood in the input, the message is one line that a terminal shows whole: control
    characters become spaces, long words and long lines lose their middle.

    Args:
        message: what is wrong, where, what was expected, and how to mend it.
    """

    def __init__(self, message: object = "") -> None:
        text = _CONTROL.sub(" ", str(message))
        text = _WORD.sub(lambda word: _without_middle(word[0], _LONGEST_WORD), text)
        super().__init__(_without_middle(text, _LONGEST_MESSAGE))


class ConfigError(SeqlabError, ValueError):
    """A configuration has an unknown key, a wrong type or a contradiction."""


class DataError(SeqlabError, ValueError):
    """A data set cannot be read as described; the message names file, row and column."""


class OptionError(ConfigError, TypeError):
    """A part was given an option that has a wrong name, type or value."""


class ShapeError(SeqlabError, ValueError):
    """A tensor has a shape that does not fit; the message gives both shapes."""


class UnknownNameError(SeqlabError, LookupError):
    """No part of that kind is registered under that name."""


class DuplicateNameError(SeqlabError, ValueError):
    """Two parts of one kind claim the same name."""


class PluginError(SeqlabError, RuntimeError):
    """A plugin is installed but cannot be used; the message gives the reason."""


class BundleError(SeqlabError, ValueError):
    """A bundle folder is incomplete, damaged, or not one."""


class EngineError(SeqlabError, RuntimeError):
    """An engine was asked for by name and cannot run this cell here."""


class RunError(SeqlabError, RuntimeError):
    """A run cannot start or finish: folder taken, device missing, not writable."""


class UnknownPieceWarning(UserWarning):
    """A text that is gone on with has pieces that a model knows only as unknown."""


_LONGEST = 200
_LONGEST_MESSAGE, _LONGEST_WORD = 2000, 400
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_WORD = re.compile(rf"\S{{{_LONGEST_WORD},}}")
#: Names that one message lists, and the most letters they may take together.
_LISTED, _LETTERS = 60, 1500


def _without_middle(text: str, longest: int) -> str:
    if len(text) <= longest:
        return text
    half = (longest - 5) // 2
    return f"{text[:half]} ... {text[-half:]}"


def shortened(text: str, longest: int = _LONGEST) -> str:
    """A text cut to ``longest`` characters, with ``...`` where something is left out.

    >>> shortened("a long story", 9)
    'a long...'
    """
    return text if len(text) <= longest else text[: longest - 3] + "..."


def one_line(error: BaseException) -> str:
    r"""What a foreign exception says, in one short line; its type where it says nothing.

    >>> one_line(ValueError("no number\nat all")), one_line(KeyError())
    ('no number', 'KeyError')
    """
    if isinstance(error, KeyError) and error.args:
        return shortened(f"{error.args[0]!r} is missing")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(lines[0]) if lines else type(error).__name__


def listed(names: Iterable[object]) -> str:
    """Names with commas between them; of very many the first ones, and how many more there are.

    >>> listed(["a", "b"])
    'a, b'
    """
    every = [shortened(str(name), 80) for name in names]
    shown: list[str] = []
    for name in every[:_LISTED]:
        if sum(map(len, shown)) + len(name) > _LETTERS:
            break
        shown.append(name)
    more = len(every) - len(shown)
    return ", ".join(shown) + (f" and {more:,} more" if more else "")


class MachineError(RunError):
    """The machine gave out: no room on a disk, no memory, no more files, a process killed."""


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """The candidate most like ``name``, or None when none is close."""
    lowered = {c.lower(): c for c in candidates}
    match = difflib.get_close_matches(name.lower()[:_LONGEST], lowered, n=1, cutoff=0.6)
    return lowered[match[0]] if match else None


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """The tail of an error message: the nearest name, or all of them.

    >>> did_you_mean("lsmt", ["gru", "lstm"])
    "did you mean 'lstm'? (known: gru, lstm)"
    >>> did_you_mean("qqq", ["gru", "lstm"])
    'known: gru, lstm'
    """
    known = sorted(candidates)
    listing = "known: " + (listed(known) if known else "none")
    match = nearest(name, known)
    return f"did you mean '{match}'? ({listing})" if match else listing
