"""What Hydra writes into a job's folder, written when the job holds the folder and not before."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import OverrideParseException
from omegaconf import DictConfig, OmegaConf

from seqlab.config.folders import groups, main_folder
from seqlab.errors import ConfigError, RunError
from seqlab.files import atomic_writer, reading
from seqlab.locks import in_use, in_use_text

_SUBFOLDER = "hydra.output_subdir"
_PLACE = ("resume=", "+resume=", "++resume=", "hydra.run.dir=")


def keep_for_later(arguments: argparse.Namespace, config_name: str) -> str | None:
    """Stop Hydra from writing a job's config by itself; gives the subfolder it is meant for."""
    words = arguments.overrides
    primary: Any = OmegaConf.load(main_folder() / f"{config_name}.yaml")
    value = primary.get("hydra", {}).get("output_subdir", ".hydra")
    for word in words:
        if word.lstrip("+").startswith(f"{_SUBFOLDER}="):
            value = _value(word)
    arguments.overrides = [*words, f"{_SUBFOLDER}=null"]
    return None if value is None else str(value)


def write_config(folder: Path, subfolder: str | None, config: DictConfig) -> None:
    """Write ``config.yaml``, ``hydra.yaml`` and ``overrides.yaml``, as Hydra does.

    Args:
        folder: the job's folder.
        subfolder: where in it; None: nowhere.
        config: the job's config.
    """
    if subfolder is None:
        return
    plain: Any = OmegaConf.to_container(OmegaConf.create({"hydra": HydraConfig.get()}))
    plain["hydra"]["output_subdir"] = subfolder
    hydra = OmegaConf.create(plain)
    files = {"config": config, "hydra": hydra, "overrides": hydra.hydra.overrides.task}
    for name, content in files.items():
        with atomic_writer(folder / subfolder / f"{name}.yaml") as stream:
            stream.write(OmegaConf.to_yaml(content).encode())


def write_words(folder: Path, words: Sequence[str], config_dir: str | None) -> None:
    """Write what ``resume=DIR`` needs of a run that Hydra did not start.

    Args:
        folder: the run's folder.
        words: the overrides that would start it.
        config_dir: where else configs lie.
    """
    sources = [] if config_dir is None else [{"provider": "command-line", "path": config_dir}]
    hydra = {"runtime": {"config_sources": sources}, "job": {"config_name": "config"}}
    for name, content in (("overrides", list(words)), ("hydra", {"hydra": hydra})):
        with atomic_writer(folder / ".hydra" / f"{name}.yaml") as stream:
            stream.write(OmegaConf.to_yaml(OmegaConf.create(content)).encode())


def words_of(folder: Path) -> list[str]:
    """The overrides that started a run; none where it was not started from the command line.

    Raises:
        RunError: the file that holds them is damaged.
    """
    file = folder / ".hydra" / "overrides.yaml"
    if not file.is_file():
        return []
    with reading(file, RunError, "a list of overrides"):
        return [str(word) for word in OmegaConf.load(file)]


def refuse_taken(folder: Path, *, resuming: bool = False) -> None:
    """Refuse a folder that holds a finished run or is in use, before anything is written.

    Args:
        folder: the folder of a job.
        resuming: the job goes on with the run in it, which may be finished.

    Raises:
        RunError: it is.
    """
    if not resuming and (folder / "result.json").exists():
        raise RunError(
            f"run folder {folder} already holds a finished run (result.json); "
            "choose another with hydra.run.dir=FOLDER"
        )
    if in_use(folder):
        raise RunError(in_use_text(folder))


def discard_empty(folder: Path, subfolder: str | None = None) -> None:
    """Remove the folder of a job that wrote nothing, and what it was made in.

    Args:
        folder: the job's folder.
        subfolder: where in it this process wrote the config; None: nowhere.
    """
    ours = set() if subfolder is None else {folder / "spec.json"}
    config = folder / subfolder if subfolder is not None else None
    found = sorted(folder.rglob("*"), reverse=True) if folder != Path.cwd() else []
    if not all(path.is_dir() or path.parent == config or path in ours for path in found):
        return
    with contextlib.suppress(OSError):  # another process may be at it too
        for path in found:
            path.rmdir() if path.is_dir() else path.unlink()
        for emptied in (folder, *folder.parents):
            if Path.cwd() in emptied.parents and emptied.exists():
                emptied.rmdir()
        if folder != Path.cwd() and folder.exists():  # one outside the current folder
            folder.rmdir()


def resumed_folder(words: list[str]) -> Path | None:
    """The folder of ``resume=DIR`` among overrides, known before any config is composed."""
    given = _by_key(words)
    value = _value(given["resume"]) if "resume" in given else None
    return Path(value) if isinstance(value, str) else None


def go_on(arguments: argparse.Namespace) -> None:
    """Fill in the command that began a run, for ``resume=DIR``: words given now take precedence.

    Raises:
        RunError: there is no such folder.
        ConfigError: the command is a sweep.
    """
    given = _by_key(arguments.overrides)
    resume = _value(given["resume"]) if "resume" in given else None
    if not isinstance(resume, str):
        return
    if arguments.multirun:
        raise ConfigError(f"resume={resume} goes on with one run; leave out -m")
    folder = Path(resume)
    if not folder.is_dir():
        raise RunError(f"resume: there is no run folder at {resume}")
    kept, begun = folder / ".hydra", []
    if words := words_of(folder):
        with reading(kept / "hydra.yaml", RunError, "what a run wrote"):
            _find_configs(arguments, kept / "hydra.yaml")
        known, own = groups(), Path(arguments.config_dir or main_folder())
        for word in words:
            # a group may be chosen once; mappings given twice are merged, as they were
            key = next(iter(_by_key([word])))
            if not (key in given and (key in known or (own / key).is_dir())):
                begun.append(word)
    quoted = str(folder).replace("\\", "\\\\").replace("'", "\\'")
    kept_words = [w for w in [*begun, *arguments.overrides] if not w.startswith(_PLACE)]
    arguments.overrides = [*kept_words, "resume=true", f"hydra.run.dir='{quoted}'"]


def _find_configs(arguments: argparse.Namespace, file: Path) -> None:
    """Look for configs where the run found them."""
    begun = OmegaConf.load(file).hydra
    found = {str(source.provider): str(source.path) for source in begun.runtime.config_sources}
    if arguments.config_dir is None:
        arguments.config_dir = found.get("command-line")
    main = found.get("main")
    if arguments.config_path is None and main and main != str(main_folder()):
        arguments.config_path = main if Path(main).is_dir() else None
    if arguments.config_name is None:
        arguments.config_name = begun.job.config_name


def _by_key(words: list[str]) -> dict[str, str]:
    """Overrides by what they override; of several the last. Others by themselves."""
    found: dict[str, str] = {}
    for word in words:
        override = _parsed(word)
        found[word if override is None else override.get_key_element().lstrip("+~")] = word
    return found


def _parsed(word: str) -> Override | None:
    try:
        return OverridesParser.create().parse_overrides([word])[0]
    except OverrideParseException:
        return None  # Hydra will say what is wrong with it


def _value(word: str) -> Any:
    override = _parsed(word)
    value = None if override is None or override.is_delete() else override.value()
    # a quoted string is one
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)
