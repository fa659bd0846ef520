"""What is used of Hydra beyond its public interface; fails by name when Hydra moves it."""

import importlib
import inspect
import re
from pathlib import Path

import pytest
import seqlab

USED = {
    "hydra._internal.utils:_run_hydra": (
        "args",
        "args_parser",
        "task_function",
        "config_path",
        "config_name",
    ),
    "hydra._internal.utils:get_args_parser": (),
    "hydra._internal.utils:create_config_search_path": ("search_path_dir",),
    "hydra._internal.hydra:Hydra.create_main_hydra2": ("task_name", "config_search_path"),
    "hydra._internal.hydra:Hydra.compose_config": ("self", "config_name", "overrides", "run_mode"),
    "hydra._internal.hydra:Hydra.get_mode": ("self", "config_name", "overrides"),
    "hydra._internal.hydra:Hydra.run": ("self", "config_name", "task_function", "overrides"),
    "hydra._internal.core_plugins.basic_sweeper:BasicSweeper.split_arguments": (
        "overrides",
        "max_batch_size",
    ),
    "hydra.core.config_loader:ConfigLoader.load_sweep_config": (
        "self",
        "master_config",
        "sweep_overrides",
    ),
}
ARGUMENTS = {
    "help",
    "hydra_help",
    "cfg",
    "shell_completion",
    "info",
    "multirun",
    "overrides",
    "config_name",
    "config_path",
    "config_dir",
    "experimental_rerun",
}


@pytest.mark.parametrize("name", USED)
def test_the_installed_hydra_has_what_is_used_of_it(name):
    module, _, path = name.partition(":")
    found = importlib.import_module(module)
    for part in path.split("."):
        assert hasattr(found, part), f"this release of Hydra has no {name}"
        found = getattr(found, part)
    parameters = list(inspect.signature(found).parameters.values())
    taken = tuple(p.name for p in parameters if p.default is p.empty or p.name in USED[name])
    assert set(USED[name]) == set(taken), f"{name} takes {taken} in this release of Hydra"


def test_hydra_parses_the_options_that_are_read():
    from seqlab.config.hydra_internals import get_args_parser

    assert set(vars(get_args_parser().parse_args([]))) >= ARGUMENTS


def test_only_one_file_names_what_is_private():
    private = re.compile(r"^\s*(from|import) (hydra|omegaconf)\._", re.MULTILINE)
    package = Path(seqlab.__file__).parent
    files = [
        file.relative_to(package).as_posix()
        for file in package.rglob("*.py")
        if private.search(file.read_text("utf-8"))
    ]
    assert files == ["config/hydra_internals.py"]
