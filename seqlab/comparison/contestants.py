"""Who takes part in a comparison: a spec of a run, the words that chose it, and a name."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from seqlab.errors import ConfigError


@dataclass(frozen=True)
class Contestant:
    """One way to train, to be repeated with every seed.

    Attributes:
        name: what it is called in tables and folders.
        overrides: the words of the command line that choose it.
        spec: the resolved spec of its runs; the seed is set for each.
    """

    name: str
    overrides: tuple[str, ...]
    spec: Mapping[str, Any]

    @classmethod
    def restored(cls, content: Mapping[str, Any]) -> Contestant:
        """From what ``dataclasses.asdict`` made of one."""
        return cls(content["name"], tuple(content["overrides"]), dict(content["spec"]))

    def one_threaded(self) -> Contestant:
        """With one thread, unless its config says otherwise."""
        threads = self.spec["trainer"].get("num_threads")
        return self if threads else self.with_option("trainer.num_threads", 1)

    def with_option(self, word: str, value: Any) -> Contestant:
        """A contestant with one more override, such as ``encoder.cell.hidden_size``."""
        spec: dict[str, Any] = copy.deepcopy(dict(self.spec))
        *path, key = word.split(".")
        node = spec
        for name in path:
            node = node[name]
        node[key] = value
        spelt = "null" if value is None else value
        kept = [other for other in self.overrides if key_of(other) != word]
        return replace(self, spec=spec, overrides=(*kept, f"{word}={spelt}"))

    def run_spec(self, seed: int) -> dict[str, Any]:
        """The spec of its run with that seed; one that was killed goes on."""
        return {**copy.deepcopy(dict(self.spec)), "seed": seed, "resume": True}

    @property
    def folder(self) -> str:
        """Its name as the name of a folder."""
        return re.sub(r"[^\w.=+-]+", "_", self.name).strip("._") or "contestant"


def key_of(word: str) -> str:
    """The key of an override.

    >>> key_of("++cell.hidden_size=3"), key_of("wrapper=none")
    ('cell.hidden_size', 'wrapper')
    """
    return word.partition("=")[0].lstrip("+~")


def names_of(jobs: Sequence[Sequence[str]]) -> list[str]:
    """What to call jobs: the values in which their words differ.

    >>> names_of([["experiment=pos", "cell=lstm"], ["experiment=pos", "cell=gru"]])
    ['lstm', 'gru']
    >>> names_of([["cell=lstm", "optimizer.lr=0.1"], ["cell=lstm", "optimizer.lr=0.2"]])
    ['lr=0.1', 'lr=0.2']
    """
    shared = set(jobs[0]).intersection(*map(set, jobs[1:])) if len(jobs) > 1 else set()
    return [" ".join(_short(word) for word in words if word not in shared) or "as given"
            for words in jobs]  # fmt: skip


def _short(word: str) -> str:
    key, _, value = word.partition("=")
    last = key.rpartition(".")[2]
    return value if "." not in key else f"{last}={value}"


def check_contestants(found: Sequence[Contestant], *, least: int = 2) -> None:
    """Refuse too few, and two of one name.

    Raises:
        ConfigError: there is nothing to compare.
    """
    if len(found) < least:
        raise ConfigError(
            "compare: there is one contestant; give several values, such as cell=lstm,gru, "
            "or contestants={NAME: 'WORDS', NAME: 'WORDS'}"
        )
    folders = [contestant.folder for contestant in found]
    for name in folders:
        if folders.count(name) > 1:
            raise ConfigError(f"compare: two contestants are called '{name}'; name them yourself")
