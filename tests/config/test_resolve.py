from __future__ import annotations

import dataclasses
import math
import types
import typing

import pytest
import seqlab
from omegaconf import OmegaConf
from seqlab import registry
from seqlab.config import run_spec, verb_specs
from seqlab.config.before_import import check_end, check_part_unread
from seqlab.config.resolve import check_part, resolve
from seqlab.config.run_spec import EmbeddingSpec, TrainerSpec
from seqlab.errors import ConfigError, OptionError, SeqlabError, UnknownNameError
from seqlab.schema import check_fields

from small_runs import pairs_spec


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


def test_what_no_json_keeps_is_refused_with_its_full_key():
    config = OmegaConf.create({"bundle": "x", "source": {"name": "res_part", "size": [b"1"]}})
    message = r"source\.size\.0: expected text, a number, true, .*, got bytes"
    with pytest.raises(ConfigError, match=message):
        resolve(config, "evaluate")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"attention": math.nan}, r"head\.attention: expected a finite number, got nan"),
        ({"schedule": {"linear": [-math.inf]}}, r"head\.schedule\.linear\.0: .* got -inf"),
        ({"schedule": 1 << 100_000}, r"head\.schedule: .* got one of 100,001 bits"),
        ({"decoder": {b"cell": 1}}, r"head\.decoder\.b'cell': expected text, .* got bytes"),
        ({"decoder": {math.inf: 1}}, r"head\.decoder\.inf: expected a finite number, got inf"),
    ],
)
def test_numbers_that_no_json_keeps_are_refused_in_options_of_any_type(tmp_path, value, message):
    spec = pairs_spec(tmp_path)
    with pytest.raises(ConfigError, match=message):
        resolve({**spec, "head": {**spec["head"], **value}})


def test_interpolations_are_resolved_and_hydras_node_is_left_out():
    config = OmegaConf.create({"bundle": "b/${split}", "split": "test", "hydra": {"x": "${nope}"}})
    spec = resolve(config, "evaluate")
    assert (spec["bundle"], spec["split"], spec["output"]) == ("b/test", "test", None)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"bundle": "${nope}"}, "bundle: Interpolation key 'nope' not found"),
        ({"bundle": 3}, "bundle: expected a string or a list, got 3"),
        ({"bundle": None}, "bundle: no value was given; give the folder as bundle=DIR"),
        ({"bundle": "b", "limit": "x"}, "limit: expected an int of at least 1 or null, got 'x'"),
        (
            {"bundle": "b", "split": "dev"},
            "split: expected one of 'train', 'validation', 'test', got 'dev'",
        ),
        (
            {"bundle": "b", "bach_size": 3},
            (
                "bach_size: unknown key, did you mean 'batch_size'? (known: batch_size, bundle, "
                "device, limit, num_threads, output, predictions, search, source, split)"
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


SPECS = [
    part
    for module in (run_spec, verb_specs)
    for part in vars(module).values()
    if dataclasses.is_dataclass(part) and part.__module__ == module.__name__
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_every_number_of_the_config_has_bounds(spec):
    hints = typing.get_type_hints(spec, include_extras=True)
    for name, hint in hints.items():
        union = typing.get_origin(hint) in {typing.Union, types.UnionType}
        choices = typing.get_args(hint) if union else ()
        assert not {int, float} & {hint, *choices}, f"{name}: give it bounds"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[("max_epochs", value) for value in (0, -1, 1.5, True)],
        *[("max_steps", value) for value in (0, -2, 1.5)],
        *[("max_seconds", value) for value in (0, -1.0, float("nan"), float("inf"))],
        *[("gradient_clip_val", value) for value in (-0.1, float("nan"))],
        *[("accumulate_grad_batches", value) for value in (0, -1)],
        *[("log_every_n_steps", value) for value in (0, -5, None)],
        *[("val_check_interval", value) for value in (0, -1, 0.0, 1.5)],
        *[("check_val_every_n_epoch", value) for value in (0, None)],
        *[("num_sanity_val_steps", value) for value in (-2, 0.5)],
        *[("limit_train_batches", value) for value in (0, 0.0, 1.1, -1)],
        *[("limit_val_batches", value) for value in (-1, -0.1, 1.1)],
        *[("limit_test_batches", value) for value in (-1, 2.0)],
        *[("overfit_batches", value) for value in (-1, 0.5)],
        *[("num_threads", value) for value in (0, -1)],
        *[("num_nodes", value) for value in (0, -1)],
        *[("devices", value) for value in (0, -2, [], [-1], [0.5], "two")],
    ],
)
def test_a_number_out_of_bounds_is_refused_with_its_key(key, value):
    with pytest.raises(OptionError, match=rf"^trainer\.{key}(\[0\])?: expected .*, got "):
        check_fields({key: value}, TrainerSpec, "trainer")


@pytest.mark.parametrize(
    "given",
    [
        {"max_epochs": 1, "max_steps": -1, "max_seconds": 0.5, "gradient_clip_val": 0},
        {"val_check_interval": 7, "limit_train_batches": 1.0, "limit_val_batches": 0},
        {"val_check_interval": 0.25, "limit_test_batches": 0.5, "num_sanity_val_steps": -1},
        {"devices": -1, "overfit_batches": 4},
        {"devices": [0, 1]},
        {"devices": "auto"},
    ],
)
def test_numbers_within_bounds_stay_as_they_are(given):
    checked = check_fields(given, TrainerSpec, "trainer")
    assert {key: checked[key] for key in given} == given


def test_sizes_of_embeddings_have_bounds():
    for given in ({"size": 0}, {"dropout": 1.0}, {"features": {"text": {"size": 0}}}):
        with pytest.raises(OptionError, match=r"^embedding\.\S+: expected .*, got "):
            check_fields(given, EmbeddingSpec, "embedding")


def test_a_run_without_an_end_is_refused():
    endless = check_fields({"max_epochs": None}, TrainerSpec, "trainer")
    with pytest.raises(ConfigError, match="training has no end"):
        check_end(endless)
    check_end({**endless, "max_steps": 3})
    check_end({**endless, "max_seconds": 1.0})


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("source", {"name": "files", "format": "cvs"}, "source.format: unknown format 'cvs'"),
        ("head", {"name": "classification", "pooling": "lst"}, "head.pooling: unknown pooling"),
        (
            "cell",
            {"name": "lstm", "recurrent_activation": {"name": "tahn"}},
            "cell.recurrent_activation: unknown activation 'tahn'",
        ),
        (
            "feature",
            {"name": "text", "tokenizer": {"name": "words", "min_count": 0}},
            "feature.tokenizer.min_count: expected an int of at least 1, got 0",
        ),
        (
            "feature",
            {"name": "text", "tokenizer": {"name": "words", "lowercas": True}},
            "feature.tokenizer: tokenizer 'words' has no option 'lowercas'",
        ),
    ],
)
def test_parts_inside_parts_are_checked_unread(kind, options, message):
    with pytest.raises(SeqlabError) as raised:
        check_part_unread(kind, options, kind, {"source": 0, "cell": 1}.get(kind, 2))
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("tokenizer", ["chars", {"lowercase": True}, {"name": "bpe"}])
def test_parts_inside_parts_that_are_right_pass(tokenizer):
    check_part_unread("feature", {"name": "tokens", "tokenizer": tokenizer}, "feature", 2)
