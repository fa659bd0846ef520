from __future__ import annotations

import sys

import pytest
from hydra.core.object_type import ObjectType
from seqlab import plugins, registry
from seqlab.config import folders
from seqlab.config.resolve import GIVEN
from seqlab.config.search_path import PARTS, RegistrySource
from seqlab.errors import ConfigError


@pytest.fixture
def declare(tmp_path, monkeypatch):
    """Make config packages of other distributions, on the import path but never imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(pairs):
        for name, files in pairs.items():
            package = tmp_path / name
            (package / "conf").mkdir(parents=True)
            (package / "__init__.py").write_text("raise SystemExit('imported')\n")
            for file in files:
                (package / "conf" / file).parent.mkdir(exist_ok=True)
                (package / "conf" / file).write_text("name: x\n")
        declared = [(name.replace("_", "-"), f"{name}.conf") for name in pairs]
        monkeypatch.setattr(plugins, "config_packages", lambda: declared)

    return make


def test_plugin_folders_are_found_without_importing_the_plugin(declare, tmp_path):
    declare({"plug_one": ["cell/one.yaml"]})
    assert folders.plugin_folders() == [
        folders.Folder("plug-one", tmp_path / "plug_one" / "conf", None)
    ]
    assert "plug_one" not in sys.modules
    assert "one" in folders.group_options("cell")
    assert "lstm" in folders.group_options("cell")


def test_a_plugin_may_bring_a_group(declare):
    declare({"plug_one": ["flavour/sweet.yaml"]})
    assert {"cell", "flavour"} <= set(folders.groups())
    assert "hydra" not in folders.groups()


def test_a_declared_folder_that_is_not_there_is_a_problem_and_no_crash(monkeypatch):
    monkeypatch.setattr(plugins, "config_packages", lambda: [("gone", "gone_plugin.conf")])
    (folder,) = folders.plugin_folders()
    assert folder.problem == "there is no folder for package 'gone_plugin.conf'"
    assert folders.group_options("cell")


def test_shadowed_files_are_named_in_search_order(declare):
    declare({"plug_a": ["cell/lstm.yaml", "cell/own.yaml"], "plug_b": ["cell/own.yaml"]})
    assert folders.shadowed() == [
        ("cell/lstm.yaml", ["seqlab", "plug-a"]),
        ("cell/own.yaml", ["plug-a", "plug-b"]),
    ]


def test_nothing_built_in_is_shadowed_by_installed_plugins():
    assert folders.shadowed() == []


def test_an_incomplete_installation_is_said_so(monkeypatch, tmp_path):
    monkeypatch.setattr(folders, "__file__", str(tmp_path / "seqlab" / "config" / "folders.py"))
    with pytest.raises(ConfigError, match="the built-in configs are missing; reinstall seqlab"):
        folders.main_folder()


@pytest.fixture
def source():
    return RegistrySource("seqlab registry", "seqlab-registry://")


@pytest.mark.parametrize("group", PARTS)
def test_every_registered_part_is_a_config(source, group):
    kind = PARTS[group].kind
    assert source.list(group, ObjectType.CONFIG) == registry.available(kind)
    for name in registry.available(kind):
        assert source.is_config(f"{group}/{name}")
        loaded = source.load_config(f"{group}/{name}")
        assert loaded.header["package"] == PARTS[group].package
        assert name in str(loaded.config)


def test_every_kind_that_a_run_chooses_by_a_group_is_there():
    assert {part.kind for part in PARTS.values()} == set(GIVEN)


def test_what_the_registry_does_not_have_is_no_config(source):
    assert not source.is_config("cell/lsmt")
    assert not source.is_config("optimizer/no_such")
    assert not source.is_group("trainer")
    assert source.list("", ObjectType.CONFIG) == []
    assert source.list("", ObjectType.GROUP) == sorted(PARTS)
    assert source.list("cell", ObjectType.GROUP) == []
    with pytest.raises(OSError, match="no registered part for config 'cell/lsmt'"):
        source.load_config("cell/lsmt")
