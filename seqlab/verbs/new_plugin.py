"""``seqlab new-plugin KIND NAME [output=DIR]``: a working distribution to start from."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from seqlab import plugins, registry
from seqlab.errors import ConfigError, RunError, did_you_mean

HELP = """usage: seqlab new-plugin KIND NAME [output=DIR]

Writes a distribution with one working part: pyproject.toml with its entry points, the class, its
config, a test that runs the conformance kit, README, licence and a CI file. KIND is any kind of
`seqlab list`: cell, wrapper, merge, modifier, engine, activation, initializer, regularizer,
constraint, head, pooling, attention, search, metric, source, format, transform, feature, tokenizer,
target, optimizer, schedule, callback or logger; NAME is what configs will call the part. DIR must
not exist yet; it is ./seqlab-NAME unless given.
"""


class Form(NamedTuple):
    """What differs between kinds: where the config goes, and a command that trains with the part.

    ``{name}`` stands for the part's name in both.
    """

    config: str
    train: str


FORMS = {
    "cell": Form("cell/{name}.yaml", "seqlab train experiment=mnist1d cell={name}"),
    "wrapper": Form("wrapper/{name}.yaml", "seqlab train experiment=mnist1d wrapper={name}"),
    "head": Form(
        "head/{name}.yaml",
        "seqlab train source=mnist1d data=series_label data.validation=0.1 head={name}",
    ),
    "source": Form(
        "source/{name}.yaml",
        "seqlab train source={name} data=series_label data.validation=0.1 head=classification",
    ),
    "format": Form(
        "source/{name}.yaml",
        "seqlab train source={name} source.path=FILE.{name} data=text_label "
        "data.validation=0.1 head=classification",
    ),
    "transform": Form(
        "data/{name}.yaml",
        "seqlab train source=mnist1d data={name} data.validation=0.1 head=classification",
    ),
    "merge": Form(
        "wrapper/bidirectional_{name}.yaml",
        "seqlab train experiment=mnist1d wrapper=bidirectional_{name}",
    ),
    "modifier": Form("cell/lstm_{name}.yaml", "seqlab train experiment=mnist1d cell=lstm_{name}"),
    "target": Form(
        "data/{name}.yaml",
        "seqlab train source=mnist1d data={name} data.validation=0.1 head=classification",
    ),
    "feature": Form(
        "data/{name}.yaml",
        "seqlab train source=mnist1d data={name} data.validation=0.1 head=classification",
    ),
    "tokenizer": Form(
        "data/{name}.yaml", "seqlab train source=scan data={name} head=encoder_decoder"
    ),
    "optimizer": Form("optimizer/{name}.yaml", "seqlab train experiment=mnist1d optimizer={name}"),
    "schedule": Form("scheduler/{name}.yaml", "seqlab train experiment=mnist1d scheduler={name}"),
    "callback": Form("callbacks/{name}.yaml", "seqlab train experiment=mnist1d callbacks={name}"),
    "logger": Form("logger/{name}.yaml", "seqlab train experiment=mnist1d logger={name}"),
    "engine": Form("experiment/mnist1d_{name}.yaml", "seqlab train experiment=mnist1d_{name}"),
    **dict.fromkeys(
        ("activation", "initializer", "regularizer", "constraint"),
        Form("cell/lstm_{name}.yaml", "seqlab train experiment=mnist1d cell=lstm_{name}"),
    ),
    **dict.fromkeys(
        ("pooling", "metric"),
        Form(
            "head/classification_{name}.yaml",
            "seqlab train source=mnist1d data=series_label data.validation=0.1 "
            "head=classification_{name}",
        ),
    ),
    **dict.fromkeys(
        ("attention", "search"),
        Form(
            "head/encoder_decoder_{name}.yaml",
            "seqlab train source=scan data=text_text data.features.text.column=commands "
            "data.target.column=actions data.validation=0.05 head=encoder_decoder_{name}",
        ),
    ),
}
#: Kinds whose parts are functions, named as in configs.
FUNCTIONS = ("activation", "initializer")


def run(words: Sequence[str]) -> int:
    """Write the distribution and say what to do next; always 0.

    Raises:
        ConfigError: the kind or the name cannot be used, or a word is not understood.
        RunError: the folder exists or cannot be written.
    """
    kind, name, output = _read(words)
    folder = output or Path(f"seqlab-{name.replace('_', '-')}")
    make(kind, name, folder)
    train = FORMS[kind].train.format(name=name)
    sys.stdout.write(
        f"wrote {folder}: the {kind} '{name}'; its equations are in "
        f"{folder / f'seqlab_{name}' / '__init__.py'}\n\nnext:\n"
        f"  pip install --editable '{folder}[test]'\n"
        f"  seqlab list {kind}={name}\n  {train}\n"
        f"  seqlab certify {kind}={name}\n  python -m pytest {folder}\n"
    )
    return 0


def make(kind: str, name: str, folder: Path) -> None:
    """Write the distribution of a part; nothing is left behind if that fails.

    Raises:
        ConfigError: the kind is not known, or the name is taken or not a name.
        RunError: the folder exists or cannot be written.
    """
    if kind not in FORMS:
        raise ConfigError(f"'{kind}' is no kind to start from: {did_you_mean(kind, FORMS)}")
    _check_name(kind, name)
    if folder.exists() or folder.is_symlink():
        raise RunError(f"{folder} exists already; choose another folder with output=DIR")
    from seqlab.files import atomic_folder

    with atomic_folder(folder, "pyproject.toml") as temporary:
        for path, text in contents(kind, name).items():
            target = temporary / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")


def contents(kind: str, name: str) -> dict[str, str]:
    """The files of a distribution by path, filled in."""
    package, config = f"seqlab_{name}", FORMS[kind].config.format(name=name)
    files = {
        "pyproject.toml": "common/pyproject.toml",
        "README.md": "common/README.md",
        "LICENSE": "common/LICENSE",
        ".gitignore": "common/gitignore",
        ".github/workflows/test.yml": "common/workflow.yml",
        f"tests/test_{name}.py": "common/test.py",
        f"{package}/__init__.py": f"{kind}/module.py",
        f"{package}/conf/{config}": f"{kind}/config.yaml",
    }
    base = _camel(name.removesuffix(f"_{kind}"))
    values = {
        "kind": kind,
        "name": name,
        "package": package,
        "distribution": f"seqlab-{name.replace('_', '-')}",
        "base": base,
        "class": name if kind in FUNCTIONS else f"{base}{kind.capitalize()}",
        "config": config,
        "train": FORMS[kind].train.format(name=name),
        "equation": _template(f"{kind}/equation").rstrip(),
        "series": ".".join(plugins.version_of(plugins.BUILT_IN).split(".")[:2]),
        "year": str(datetime.now(UTC).year),
    }
    return {path: _filled(_template(source), values) for path, source in files.items()}


def _template(name: str) -> str:
    return resources.files("seqlab").joinpath(f"templates/{name}.tmpl").read_text("utf-8")


def _filled(text: str, values: dict[str, str]) -> str:
    return re.sub(r"@([a-z]+)@", lambda found: values[found[1]], text)


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_") if part)


def _read(words: Sequence[str]) -> tuple[str, str, Path | None]:
    """Kind, name and folder.

    Raises:
        ConfigError: there are other words than these.
    """
    output: Path | None = None
    plain = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            plain.append(word)
        elif key != "output":
            raise ConfigError(f"{key}: unknown key, {did_you_mean(key, ['output'])}")
        elif not value or output is not None:
            raise ConfigError("output: expected one folder, output=DIR")
        else:
            output = Path(value)
    if len(plain) != 2:
        raise ConfigError(
            f"new-plugin needs a kind and a name, such as `new-plugin cell my_cell`, got "
            f"{' '.join(plain) or 'nothing'}"
        )
    return plain[0], plain[1], output


def _check_name(kind: str, name: str) -> None:
    """Refuse names that Python, seqlab or something installed would not take.

    Raises:
        ConfigError: says why, and for a wrong form proposes the nearest name.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        words = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())
        better = words.strip("_0123456789")
        hint = f", such as '{better}'" if better and not keyword.iskeyword(better) else ""
        raise ConfigError(
            f"'{name}' cannot be a name: expected a Python name of a to z, digits and '_'{hint}"
        )
    taken = plugins.declared(kind).get(name)
    if taken is not None or name in registry.available(kind):
        owner = taken.distribution if taken else "this process"
        raise ConfigError(
            f"the {kind} '{name}' is there already, from {owner}; choose another name"
        )
    if importlib.util.find_spec(f"seqlab_{name}") is not None:
        raise ConfigError(f"a package seqlab_{name} is installed already; choose another name")


__all__ = ["FORMS", "FUNCTIONS", "HELP", "contents", "make", "run"]
