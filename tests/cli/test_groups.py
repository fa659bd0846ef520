"""Every choice of every config group composes and passes the checks."""

from __future__ import annotations

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from seqlab import registry
from seqlab.config import folders, search_path
from seqlab.config.overrides import expand
from seqlab.config.resolve import resolve
from seqlab.construct import accepted_options

CHECKED = ("cell", "wrapper", "data", "optimizer", "scheduler", "trainer", "callbacks", "logger")
#: Every so many of the collection's cells; the long tests take all.
EVERY = 8
CHOICES = [
    (group, name)
    for group in CHECKED
    for name in folders.group_options(group)
    if (group, name) != ("data", "default")  # which has no features
]


def long_choices():
    """The collection's cells, whose configs are written alike, but for some of them."""
    zoo = [
        choice
        for choice in CHOICES
        if choice[0] == "cell" and registry.owner_of(*choice)[0] == "seqlab-zoo"
    ]
    return set(zoo) - set(zoo[::EVERY])


LONG = long_choices()
ORDERED = sorted(CHOICES, key=lambda choice: choice in LONG)


def row_of(group, name):
    """A choice of each group at once, with this one among them: groups do not hinder each other."""
    names = {each: [n for other, n in ORDERED if other == each] for each in CHECKED}
    place = names[group].index(name)
    return tuple(f"{each}={names[each][place % len(names[each])]}" for each in CHECKED)


@pytest.fixture(scope="module")
def composed():
    search_path.install()
    OmegaConf.register_new_resolver("first_of", lambda *_: "x", replace=True)
    with initialize_config_dir(str(folders.main_folder()), version_base="1.3"):
        yield lambda *words: compose("config", [expand(word) for word in words])


@pytest.fixture(scope="module")
def spec_with(composed):
    """The spec with a choice, which it shares with choices of the other groups."""
    specs = {}

    def spec_of(words, group, name):
        row = row_of(group, name)
        if row not in specs:
            specs[row] = resolve(composed(*words, *row))
        return specs[row]

    return spec_of


@pytest.mark.parametrize(
    ("group", "name"),
    [pytest.param(*c, marks=pytest.mark.slow) if c in LONG else c for c in ORDERED],
)
def test_the_choice_gives_a_valid_spec(spec_with, toy_words, group, name):
    spec = spec_with(toy_words, group, name)
    node = spec["encoder"]["cell"] if group == "cell" else spec.get(group)
    if group in {"cell", "optimizer", "scheduler"}:
        assert node["name"] == name
    if group == "wrapper":
        assert bool(spec["encoder"]["wrappers"]) == (name != "none")


def test_the_yaml_of_a_group_lists_the_defaults_of_the_spec(composed, toy_words):
    plain = resolve(composed(*toy_words))
    bare = {key: plain[key] for key in ("source", "data", "head")}
    bare["encoder"] = {key: plain["encoder"][key] for key in ("cell", "wrappers")}
    bare["optimizer"], bare["scheduler"] = plain["optimizer"], "none"
    bare["trainer"] = {"accelerator": "cpu"}
    bare["callbacks"] = {"early_stopping": plain["callbacks"]["early_stopping"]}
    bare["logger"] = plain["logger"]
    assert resolve(bare) == plain


@pytest.mark.parametrize("key", ["optimizer", "callbacks.early_stopping"])
def test_the_yaml_of_a_part_lists_its_defaults(composed, toy_words, key):
    node = OmegaConf.to_container(OmegaConf.select(composed(*toy_words), key))
    name = node.pop("name", "early_stopping")
    accepted = accepted_options(registry.get(key.partition(".")[0].rstrip("s"), name))
    defaults = {option: parameter.default for option, parameter in accepted.items()}
    betas = {"betas": list(defaults["betas"])} if "betas" in defaults else {}
    assert node == {option: {**defaults, **betas}[option] for option in node}
    assert set(defaults) - set(node) <= {"params", "fused"}


@pytest.mark.parametrize("name", folders.group_options("optimizer"))
def test_optimizers_build(spec_with, toy_words, name):
    import torch
    from seqlab.training.optimizers import build_optimizer

    spec = spec_with(toy_words, "optimizer", name)["optimizer"]
    optimizer = build_optimizer(spec, torch.nn.Linear(2, 3))
    assert optimizer.param_groups[0]["lr"] == spec["lr"]


@pytest.mark.parametrize("name", folders.group_options("scheduler"))
def test_schedulers_build(spec_with, toy_words, name):
    import torch
    from seqlab.training.schedules import RunLength, build_schedule

    spec = spec_with(toy_words, "scheduler", name)["scheduler"]
    optimizer = torch.optim.SGD(torch.nn.Linear(2, 3).parameters(), lr=0.1)
    built = build_schedule(spec, optimizer, RunLength(0.1, total_steps=9, steps_per_epoch=3))
    assert (built is None) == (name == "none")


class Nameless:
    """A part of a third party that brings no YAML."""

    def __init__(self, *given, **options):
        del given, options


@pytest.mark.parametrize("group", search_path.PARTS)
def test_a_part_without_yaml_is_a_choice(composed, toy_words, group):
    kind = search_path.PARTS[group].kind
    registry.register(kind, "nameless")(Nameless)
    try:
        assert "nameless" in search_path.choices(group)
        config = composed(*toy_words, f"{group}=nameless")
        usual = composed(*toy_words)
    finally:
        registry.unregister(kind, "nameless")
    if group == "callbacks":
        assert config.callbacks == {**usual.callbacks, "nameless": {}}
    elif group == "logger":
        assert config.logger == {**usual.logger, "nameless": True}
    elif group == "wrapper":
        assert config.encoder.wrappers == [{"name": "nameless"}]
    else:
        assert OmegaConf.select(config, search_path.PARTS[group].package).name == "nameless"


SOURCES, HEADS = (folders.group_options(group) for group in ("source", "head"))


@pytest.mark.parametrize("place", range(max(len(SOURCES), len(HEADS))))
def test_the_source_and_head_compose(composed, place):
    source, head = SOURCES[place % len(SOURCES)], HEADS[place % len(HEADS)]
    config = composed(f"source={source}", f"head={head}")
    assert isinstance(config.source.name, str)
    assert isinstance(config.head.name, str)


@pytest.mark.parametrize("name", folders.group_options("experiment"))
def test_the_experiment_is_valid_and_gives_way_to_the_command_line(composed, name):
    words = ("cell=gru", "cell.hidden_size=7", "wrapper=bidirectional_stacked", "optimizer=sgd")
    spec = resolve(composed(f"experiment={name}"))
    changed = resolve(composed(f"experiment={name}", *words))
    assert changed["encoder"]["cell"]["name"] == "gru"
    assert changed["encoder"]["cell"]["hidden_size"] == 7
    assert [part["name"] for part in changed["encoder"]["wrappers"]] == ["stacked", "bidirectional"]
    assert changed["optimizer"]["name"] == "sgd"
    for kept in ("source", "data", "head", "trainer"):
        assert changed[kept] == spec[kept]
