from __future__ import annotations

import pytest
import seqlab
from omegaconf import OmegaConf
from seqlab import registry
from seqlab.config.resolve import check_part, resolve
from seqlab.errors import ConfigError, OptionError, UnknownNameError


class Base:
    def __init__(self, *, shade: float = 0.0) -> None:
        self.shade = shade


class Part(Base):
    """Its options are its own and, through ``**options``, those of its base."""

    def __init__(self, size: int, *, mode: str | None = None, **options: float) -> None:
        super().__init__(**options)
        self.size, self.mode = size, mode


class Unreadable:
    def __init__(self, size: NotDefinedAnywhere) -> None:  # noqa: F821  such plugins exist
        self.size = size


@pytest.fixture(autouse=True)
def _parts():
    parts = {"res_part": Part, "res_unreadable": Unreadable}
    for name, part in parts.items():
        seqlab.register("source", name)(part)
    yield
    for name in parts:
        registry.unregister("source", name)


def test_options_are_checked_against_the_class_and_its_bases():
    spec = {"name": "res_part", "size": 3, "mode": "x", "shade": 1}
    checked = check_part("source", spec, "source")
    assert checked == {"name": "res_part", "size": 3, "mode": "x", "shade": 1.0}
    assert isinstance(checked["shade"], float)


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ({"name": "res_part"}, OptionError, "source: source 'res_part' needs size"),
        (
            {"name": "res_part", "size": 1, "shad": 1},
            OptionError,
            "source: source 'res_part' has no option 'shad': did you mean 'shade'?",
        ),
        (
            {"name": "res_part", "size": "x"},
            ConfigError,
            "source.size: expected an int, got 'x'",
        ),
        (
            {"name": "res_part", "size": 1, "shade": "x"},
            ConfigError,
            "source.shade: expected a number, got 'x'",
        ),
        ({"name": "res_prt"}, UnknownNameError, "source.name: unknown source 'res_prt'"),
        ({"size": 1}, OptionError, "source: the key 'name' is missing"),
        (["res_part"], OptionError, "source: expected a source's name or a mapping with 'name'"),
    ],
)
def test_a_wrong_part_is_refused_with_its_key(spec, error, message):
    with pytest.raises(error) as raised:
        check_part("source", spec, "source")
    assert str(raised.value).startswith(message)


def test_annotations_that_cannot_be_evaluated_are_left_to_the_part():
    spec = {"name": "res_unreadable", "size": "anything"}
    assert check_part("source", spec, "source") == spec


def test_missing_values_are_named_with_their_full_key():
    config = OmegaConf.create({"bundle": "x", "source": {"name": "res_part", "size": "???"}})
    with pytest.raises(ConfigError) as raised:
        resolve(config, "evaluate")
    message = "source.size: no value was given; give it as source.size=... on the command line"
    assert str(raised.value) == message


def test_interpolations_are_resolved_and_hydras_node_is_left_out():
    config = OmegaConf.create({"bundle": "b/${split}", "split": "dev", "hydra": {"x": "${nope}"}})
    spec = resolve(config, "evaluate")
    assert (spec["bundle"], spec["split"], spec["output"]) == ("b/dev", "dev", None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bundle": "${nope}"}, "bundle: Interpolation key 'nope' not found"),
        ({"bundle": 3}, "bundle: expected a string, got 3"),
        ({"bundle": None}, "bundle: no value was given; give the folder as bundle=DIR"),
        ({"bundle": "b", "limit": "x"}, "limit: expected an int or null, got 'x'"),
        (
            {"bundle": "b", "bach_size": 3},
            (
                "bach_size: unknown key, did you mean 'batch_size'? (known: batch_size, bundle, "
                "device, limit, num_threads, output, search, source, split)"
            ),
        ),
    ],
)
def test_wrong_values_of_evaluate(config, message):
    with pytest.raises(ConfigError) as raised:
        resolve(OmegaConf.create(config), "evaluate")
    assert str(raised.value) == message


def test_a_plain_mapping_resolves_as_a_composed_config_does():
    plain = {"bundle": "b", "input": "in.csv", "format": "csv"}
    spec = resolve(plain, "predict")
    assert spec == resolve(OmegaConf.create(plain), "predict")
    assert (spec["output"], spec["batch_size"]) == ("-", 64)
