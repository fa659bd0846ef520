"""The configs of the heads hold every option, at its default."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
import yaml
from seqlab import available, get
from seqlab.construct import accepted_options
from seqlab.heads.decoder_network import DEFAULT_DECODER

FOLDER = Path(__file__).parents[2] / "conf" / "head"
DIFFERENT = {"crf": {"crf": True}, "encoder_decoder": {"decoder": dict(DEFAULT_DECODER)}}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_config_equals_the_defaults(path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("# @package head\n")
    config = yaml.safe_load(text)
    options = dict(list(accepted_options(get("head", config.pop("name"))).items())[2:])
    defaults = {name: option.default for name, option in options.items()}
    assert inspect.Parameter.empty not in defaults.values()
    defaults = {k: list(v) if isinstance(v, tuple) else v for k, v in defaults.items()}
    assert config == {**defaults, **DIFFERENT.get(path.stem, {})}


def test_every_built_in_head_has_a_config():
    named = {
        yaml.safe_load(path.read_text(encoding="utf-8"))["name"] for path in FOLDER.glob("*.yaml")
    }
    assert {"tagging", "classification", "encoder_decoder"} <= set(available("head"))
    assert {"tagging", "classification", "encoder_decoder"} <= named
