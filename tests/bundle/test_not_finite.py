"""Weights that are NaN or infinite are named where a bundle is loaded, once."""

from __future__ import annotations

import warnings

import pytest
import seqlab
import torch
from seqlab.bundle import save_bundle
from seqlab.bundle.finite import not_finite


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_load_warns_once_and_names_the_first(made, tmp_path, value):
    model = seqlab.load(made["words"][0])
    parts = dict(model.model.named_parameters())
    first, *_, last = parts
    with torch.no_grad():
        parts[first].view(-1)[-1] = value
        parts[last].fill_(value)
    save_bundle(tmp_path / "bundle", model.model, model.processor, made["words"][3])
    assert f"**The weight `{first}` is not finite" in (tmp_path / "bundle/README.md").read_text()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        seqlab.load(tmp_path / "bundle")
    (one,) = seen
    assert str(one.message).startswith(f"bundle {tmp_path / 'bundle'}: the weight '{first}' is not")


def test_large_weights_and_small_types_are_finite():
    module = torch.nn.Linear(300, 300)
    for kind, largest in ((torch.float32, 3e38), (torch.float16, 6e4), (torch.bfloat16, 3e38)):
        torch.nn.init.constant_(module.to(kind).weight, largest)
        assert not_finite(module) is None
        with torch.no_grad():
            module.weight[3, 4] = torch.inf
        assert not_finite(module) == "weight"
