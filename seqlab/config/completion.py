"""Shell completion for ``seqlab VERB [words]``: verbs here, everything after them from Hydra.

Hydra completes one application; its query form reads the command line from ``COMP_LINE``. The
verb is taken out of that line before Hydra sees it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from collections.abc import Iterator, Mapping, Sequence

from seqlab.config.overrides import expand, is_short
from seqlab.errors import ConfigError
from seqlab.schema import check_choice

SHELLS = ("bash", "zsh", "fish")


def complete(words: list[str], verbs: Mapping[str, str | None]) -> None:
    """Answer ``seqlab -sc install=SHELL``, ``uninstall=SHELL`` or ``query=SHELL``.

    Args:
        words: what follows ``-sc``.
        verbs: the verbs, with the primary config of those that have one.

    Raises:
        ConfigError: the words are none of the three, or the shell is unknown.
    """
    request = words[0] if len(words) == 1 else ""
    command, _, shell = request.partition("=")
    if command not in {"install", "uninstall", "query"}:
        raise ConfigError(
            "shell completion: expected install=SHELL, uninstall=SHELL or query=SHELL"
        )
    check_choice(shell, SHELLS, "shell completion")
    if command == "query":
        separator = "\n" if shell == "fish" else " "
        found = candidates(os.environ.get("COMP_LINE", ""), verbs)
        sys.stdout.write(separator.join(found) + "\n")
    else:
        _ask_hydra("train", "config", f"{command}={shell}", "")


def candidates(line: str, verbs: Mapping[str, str | None]) -> list[str]:
    """What could stand where the command line ends.

    Args:
        line: the whole line, the program's name first.
        verbs: the verbs, with the primary config of those that have one.
    """
    words = line.split()[1:]
    new_word = line.endswith(" ") or not words
    if not words or (len(words) == 1 and not new_word):
        start = "" if new_word else words[0]
        return [verb for verb in verbs if verb.startswith(start)]
    verb, last = words[0], "" if new_word else words[-1]
    config = verbs.get(verb)
    if config is None:
        return [word for word in _plain_words(verb, verbs) if word.startswith(last)]
    expanded = [expand(word) for word in words[1:]]
    found = _ask_hydra(verb, config, "query=bash", " ".join(expanded) + " " * new_word).split()
    return [_shorten(word, last) for word in found]


def _plain_words(verb: str, verbs: Mapping[str, str | None]) -> list[str]:
    """The words of a verb without a Hydra config: its module's ``CHOICES``, key to values."""
    if verb not in verbs:
        return []
    module = importlib.import_module(f"seqlab.verbs.{verb.replace('-', '_')}")
    choices: Mapping[str, Sequence[str]] = getattr(module, "CHOICES", {})
    return [f"{key}={value}" for key, values in choices.items() for value in values]


def _shorten(word: str, typed: str) -> str:
    return word.replace("encoder.", "", 1) if is_short(typed) else word


def _ask_hydra(verb: str, config: str, request: str, rest: str) -> str:
    """Hydra's own answer to a completion request; for install and uninstall it is printed."""
    from seqlab.config.app import App

    with _as_program(f"seqlab {rest}"):
        if not request.startswith("query="):
            App(verb, config).main(["-sc", request])
            return ""
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            App(verb, config).main(["-sc", request])
        return said.getvalue()


@contextlib.contextmanager
def _as_program(line: str) -> Iterator[None]:
    """Hydra reads the line from the environment, and the program's name from ``sys.argv``."""
    before, sys.argv = sys.argv, ["seqlab", *sys.argv[1:]]
    known = os.environ.get("COMP_LINE")
    os.environ["COMP_LINE"] = line
    try:
        yield
    finally:
        sys.argv = before
        if known is None:
            del os.environ["COMP_LINE"]
        else:
            os.environ["COMP_LINE"] = known
