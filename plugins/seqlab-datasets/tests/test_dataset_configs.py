from pathlib import Path

import pytest
import seqlab_datasets
from omegaconf import OmegaConf
from seqlab import plugins
from seqlab.construct import construct
from seqlab.data.sources.base import Source

FOLDER = Path(seqlab_datasets.__file__).parent / "conf"
CONFIGS = sorted((FOLDER / "source").glob("*.yaml"))
NAMES = [path.stem for path in CONFIGS]
NAMED = [(file.parent.name, file.stem) for file in sorted(FOLDER.rglob("*.yaml"))]

# rows of train, validation, test; and for tagging the tokens of all of them
PUBLISHED = {
    "g2p": ({"train": 114_626, "validation": 6_302, "test": 12_604}, None),
    "brown": ({"train": 47_428, "validation": 4_942, "test": 4_970}, 1_161_192),
    "petrogold": ({"train": 7_314, "validation": 759, "test": 1_054}, None),
    "hironsan": ({"train": 450, "test": 50}, None),
    "mnist1d": ({"train": 4_000, "test": 1_000}, None),
    "memory_task": ({"train": 2_000, "validation": 500, "test": 1_000}, None),
    "japanese_vowels": ({"train": 270, "test": 370}, None),
    "reuters_r8": ({"train": 5_485, "test": 2_189}, None),
    "scan": ({"train": 16_728, "test": 4_182}, None),
    "pulse": ({"train": 5_249, "validation": 751, "test": 1_501}, None),
    "taylor": ({"train": 2_688, "validation": 672, "test": 672}, None),
    "alice": ({"train": 743, "validation": 42, "test": 42}, None),
}


def read(path):
    return OmegaConf.to_container(OmegaConf.load(path))


def test_every_source_has_its_config():
    assert set(NAMES) == set(PUBLISHED)


@pytest.mark.parametrize(("kind", "name"), [("source", "package"), *NAMED])
def test_an_installation_without_it_is_told_what_to_install(kind, name):
    assert "pip install seqlab-datasets" in plugins.where_to_get(kind, name)


@pytest.mark.parametrize("path", CONFIGS, ids=NAMES)
def test_configs_say_what_they_are(path):
    lines = path.read_text().splitlines()
    assert lines[0] == "# @package source"
    assert lines[1].startswith("# ")
    assert "licence" in path.read_text().lower()


@pytest.mark.parametrize("path", CONFIGS, ids=NAMES)
def test_configs_construct_their_source(path):
    spec = read(path)
    assert isinstance(construct("source", spec), Source)
    if spec["name"] == "package":
        assert len(spec["sha256"]) == 64
        assert {"origin", "licence"} <= set(spec)


def check_published(name):
    sizes, tokens = PUBLISHED[name]
    source = construct("source", read(CONFIGS[NAMES.index(name)]))
    data = source.load()
    assert source.describe()["rows"] == sizes
    if tokens:
        assert tokens == sum(len(row) for part in data.values() for row in part["tokens"][:])
    return data


def test_a_small_package_from_the_index():
    data = check_published("g2p")
    words = {split: set(part["word"][:]) for split, part in data.items()}
    assert len(words["train"]) == 107_146
    assert not words["train"] & words["test"]
    assert not any(digit in data["test"]["phonemes"][0] for digit in "012")


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - {"g2p"}))
def test_every_data_set_has_its_published_size(name):
    check_published(name)


@pytest.mark.slow
def test_splits_of_tagged_text_share_their_tags():
    for name in ("brown", "petrogold", "hironsan"):
        data = check_published(name)
        tags = {split: {t for row in part["tags"][:] for t in row} for split, part in data.items()}
        assert all(found <= tags["train"] for found in tags.values())
