"""Runs ``seqlab sweep``: the space, the words that all trials share, and the spec of a trial."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    Glob,
    IntervalSweep,
    Override,
    QuotedString,
    RangeSweep,
)

from seqlab import progress
from seqlab.collector import rare_collections
from seqlab.config.app import App, refuse_processes, runs
from seqlab.config.composed_jobs import composed_jobs
from seqlab.config.hydra_internals import get_args_parser
from seqlab.config.job_folder import refuse_taken, resumed_folder
from seqlab.config.overrides import expand
from seqlab.config.resolve import Reader, resolve, run_config, sweep_settings
from seqlab.config.shown import shown
from seqlab.errors import ConfigError

#: What a resumed sweep may be given beside its folder.
_CHANGEABLE = ("resume", "sweep.trials", "sweep.workers")
#: The keys that its runs know nothing of.
_OWN_KEYS = ("sweep", "resume")
_PRIMARY = "config"


class SweepApp(App):
    """The verb ``sweep``; its trials are never Hydra's, who knows no journal."""

    def _start(self, arguments: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
        if arguments.multirun:
            raise ConfigError("sweep: leave out -m; sweep.workers=N tries N points at once")
        given = OverridesParser.create().parse_overrides(arguments.overrides)
        varied = [override for override in given if override.is_sweep_override()]
        fixed = [override for override in given if not override.is_sweep_override()]
        if not runs(arguments):
            if arguments.cfg in {"job", "all"}:  # what all trials share
                self.given = fixed, varied
                arguments.overrides = [str(override.input_line) for override in fixed]
            super()._start(arguments, parser)
            return
        if (begun := resumed_folder(arguments.overrides)) is not None:
            _check_resumed(given)
            self._verb_module.BEGUN.check_in(begun)
        with rare_collections(), progress.stage("starting", summary=False, lines=False):
            arguments.overrides = [str(override.input_line) for override in fixed]
            (config,) = composed_jobs(arguments, self.config_name)
            self.composing = False
            settings = sweep_settings(config)
            words = tuple(_own_words(fixed))
            verb = self._verb_module
        if settings["resume"]:
            folder = Path(settings["resume"])
            words = ()
        else:
            folder = Path(str(config.hydra.run.dir))
            refuse_taken(folder)
            settings["sweep"]["space"] |= dict(map(_in_words, varied))
        verb.run(settings, words, folder, arguments.config_dir)

    def _check_shown(self, arguments: argparse.Namespace) -> None:
        (config,) = composed_jobs(arguments, self.config_name)
        self.composing = False
        settings, (fixed, varied) = sweep_settings(config), self.given
        space = {**settings["sweep"]["space"], **dict(map(_in_words, varied))}
        words = tuple(_own_words(fixed))
        if space:
            self._verb_module.check_space(space, words, arguments.config_dir)
        else:
            shown(run_config(config, _OWN_KEYS), self.verb, words)
        self.composing = True


def _check_resumed(given: Sequence[Override]) -> None:
    for override in given:
        if (key := _key(override)) not in _CHANGEABLE:
            raise ConfigError(
                f"sweep: resume= knows its space and its runs; {key} cannot be given beside it "
                f"(only {', '.join(_CHANGEABLE[1:])})"
            )


def _own_words(given: Sequence[Override]) -> Iterator[str]:
    """The words that ``seqlab train`` would need too."""
    for override in given:
        key = _key(override)
        if key.partition(".")[0] not in (*_OWN_KEYS, "hydra"):
            yield str(override.input_line)


def _in_words(override: Override) -> tuple[str, Any]:
    """A key with several values in Hydra's grammar, as ``sweep.space`` has it.

    Raises:
        ConfigError: it is of a form that a sweep does not know.
    """
    key, value = _key(override), override.value()
    if isinstance(value, ChoiceSweep):
        return key, [_plain(choice) for choice in value.list]
    if isinstance(value, IntervalSweep):
        ends = [value.start, value.end]
        whole = all(isinstance(end, int) for end in ends)
        if whole:
            return key, {"int": ends, **({"log": True} if "log" in value.tags else {})}
        return key, {"log" if "log" in value.tags else "uniform": ends}
    if isinstance(value, RangeSweep):
        return key, [*value.range()]
    what = "a pattern" if isinstance(value, Glob) else type(value).__name__
    raise ConfigError(f"{key}: {what} is no form of a sweep; give a list, interval(a,b) or range")


def _plain(value: Any) -> Any:
    return value.text if isinstance(value, QuotedString) else value


def _key(override: Override) -> str:
    return override.get_key_element().lstrip("+~")


def trial_spec(
    words: Sequence[str], config_dir: str | None, read: Reader = resolve
) -> dict[str, Any]:
    """The checked spec of the run that words of ``seqlab train`` stand for.

    Args:
        words: the overrides; those that come later win.
        config_dir: where else configs lie.
        read: ``shown`` where it will not be run.

    Raises:
        ConfigError: they do not make a config.
    """
    app = App("train", _PRIMARY)
    arguments = get_args_parser().parse_args([])
    arguments.overrides, arguments.config_dir = [expand(word) for word in words], config_dir
    with app.composer():
        found = list(composed_jobs(arguments, _PRIMARY))
        app.composing = False
        if len(found) != 1:
            raise ConfigError(f"sweep: {' '.join(words)}: several values of one key in a trial")
        spec = read(found[0], "train", ())
        refuse_processes(spec)
        return spec


def without(words: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Words but those that set one of some keys, which vary."""
    keys = {_key_of(expand(f"{name}=0")) for name in names}
    return tuple(word for word in words if _key_of(expand(word)) not in keys)


def _key_of(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")
