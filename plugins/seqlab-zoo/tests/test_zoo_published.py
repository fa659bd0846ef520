"""The extra cells equal the code that others have published: outputs and all gradients, in float64.

The tests against the packages themselves are slow ones and skipped where a package is missing
(docs/long-tests.md says how to install them). ``published_numbers.json`` holds what the packages
answered; the ordinary tests compare with that. To make it anew, with the packages installed:

    python plugins/seqlab-zoo/tests/test_zoo_published.py
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import seqlab
import torch
from published_oracles import CASES, ROWS, STEPS, UNITS

NUMBERS = Path(__file__).with_name("published_numbers.json")


def waves(shape, number):
    """Numbers from -1 to 1 without a pattern that units, gates or steps would share."""
    count = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin((1.1 + number / 7) * count + number + 0.01 * count.square()).view(shape)


def made(name):
    case = CASES[name]
    cell = seqlab.get("cell", name)(case.inputs, UNITS, **case.options).double()
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(cell.named_parameters())):
            parameter.copy_(waves(parameter.shape, number))
    x = waves((ROWS, STEPS, case.inputs), 31)
    if case.timed:
        x = torch.cat([x[..., :-1], x[..., -1:].abs() + 0.1], -1)
    return cell, x.requires_grad_()


def answers(cell, x, output):
    """The output, and the gradients of a weighted sum of it, by name."""
    named = dict(sorted(cell.named_parameters()))
    total = (output * waves(output.shape, 77)).sum()
    gradients = torch.autograd.grad(total, [x, *named.values()])
    return dict(zip(["output", "x", *named], [output.detach(), *gradients], strict=True))


def engine_of(name):
    return "compiled" if name in {"slstm", "cfc"} else "scan"


def check(found, wanted):
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-10, atol=1e-10, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["loop", "fast"])
@pytest.mark.parametrize("name", CASES)
def test_equals_the_published_code(name, way):
    cell, x = made(name)
    wanted = answers(cell, x, CASES[name].by_them(cell, x))
    layer = seqlab.Recurrent(cell, engine="loop" if way == "loop" else engine_of(name))
    check(answers(cell, x, layer(x)[0]), wanted)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_numbers_that_the_published_code_gave(name):
    kept = json.loads(NUMBERS.read_text(encoding="utf-8"))[name]
    assert kept["package"] == CASES[name].package
    cell, x = made(name)
    found = answers(cell, x, seqlab.Recurrent(cell, engine="loop")(x)[0])
    wanted = {k: torch.tensor(v, dtype=torch.float64) for k, v in kept["sums"].items()}
    output = torch.tensor(kept["output"], dtype=torch.float64)
    check({"output": found["output"]}, {"output": output})
    check(sums(found), wanted)


def sums(found):
    """Two weighted sums of each gradient: enough to see any of its numbers change."""
    return {
        name: torch.stack([(value * waves(value.shape, k)).sum() for k in (101, 102)])
        for name, value in found.items()
        if name != "output"
    }


def main():
    """Write what the packages answer."""
    kept = {}
    for name, case in CASES.items():
        cell, x = made(name)
        found = answers(cell, x, case.by_them(cell, x))
        kept[name] = {
            "package": case.package,
            "output": found["output"].tolist(),
            "sums": {k: v.tolist() for k, v in sums(found).items()},
        }
    NUMBERS.write_text(json.dumps(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
