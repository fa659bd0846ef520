"""Every cell equals torchrecurrent's in float64: outputs, and gradients of all its parameters."""

from __future__ import annotations

from types import SimpleNamespace
from typing import NamedTuple

import pytest
import seqlab
import torch
from torch import cat, zeros_like

torchrecurrent = pytest.importorskip("torchrecurrent")

INPUTS, UNITS, STEPS, ROWS = 4, 5, 6, 3
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
#: torch's own hard sigmoid has a gradient of 1/6 in float32, whatever the type.
ROUGH = {"sgu": {"rtol": 1e-6, "atol": 1e-7}, "dsgu": {"rtol": 1e-6, "atol": 1e-7}}


class Oracle(NamedTuple):
    """The class of torchrecurrent, our parameters from its own, and the options of both."""

    name: str
    weights: object
    theirs: dict[str, object] = {}  # noqa: RUF012  # never changed
    ours: dict[str, object] = {}  # noqa: RUF012


def one_bias(p, **more):
    bias = p.bias_ih + p.bias_hh
    return {"weight_ih": p.weight_ih, "weight_hh": p.weight_hh, "bias": bias, **more}


def two_biases(p, **more):
    found = {"weight_ih": p.weight_ih, "weight_hh": p.weight_hh}
    return {**found, "bias": p.bias_ih, "recurrent_bias": p.bias_hh, **more}


def padded(bias, like, *, before=False):
    """A bias with zeros for the gates that have none of it."""
    rest = like.new_zeros(len(like) - len(bias))
    return cat([rest, bias] if before else [bias, rest])


def in_order(value, gates, order):
    parts = value.chunk(gates)
    return cat([parts[i] for i in order])


def peepholes(p):
    names = ("peephole_input", "peephole_forget", "peephole_output")
    return dict(zip(names, p.weight_ph.chunk(3), strict=True))


def input_part(p, *, before=False):
    """The bias where only some of the gates have a recurrent part."""
    return {"bias": p.bias_ih + padded(p.bias_hh, p.bias_ih, before=before)}


def bistable(p):
    own = dict(zip(("own_modulation", "own_update"), p.weight_hh.chunk(2), strict=True))
    return {"weight_ih": p.weight_ih, **input_part(p), **own}


def fast_grnn(p):
    gate, candidate = (p.bias_ih + p.bias_hh).chunk(2)
    found = {"weight_ih": p.weight_ih, "weight_hh": p.weight_hh, "bias": gate}
    return {**found, "shift": candidate - gate, "zeta": p.zeta, "nu": p.nu}


def scrn(p):
    def rows(hidden, context):
        first, last = hidden.chunk(2)
        return cat([first, context, last])

    found = {"weight_ih": p.weight_ih, "bias": p.bias_ih, "alpha": p.alpha.view(1)}
    return {
        **found,
        "weight_hh": rows(p.weight_hh, p.weight_ch),
        "recurrent_bias": rows(p.bias_hh, p.bias_ch),
    }


def swapped(p):
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    return {name: in_order(getattr(p, name), 2, (1, 0)) for name in names}


def sgu(p, deep=None):
    found = swapped(p)
    matrix, bias = found["weight_hh"], found["bias_hh"]
    if deep is not None:
        matrix, bias = cat([matrix, deep]), cat([bias, bias.new_zeros(len(deep))])
    return {
        "weight_ih": found["weight_ih"], "weight_hh": matrix,
        "bias": found["bias_ih"], "recurrent_bias": bias,
    }  # fmt: skip


def reordered(p, gates, order):
    found = one_bias(p)
    return {name: in_order(value, gates, order) for name, value in found.items()}


def typed(p):
    bias = p.bias_ih + p.bias_hh
    return {"weight_ih": cat([p.weight_ih, p.weight_hh]), "bias": cat([bias, zeros_like(bias)])}


def memory(p, matrix, bias):
    return two_biases(
        p, weight_hh=cat([p.weight_hh, matrix]), recurrent_bias=cat([p.bias_hh, bias])
    )


ORACLES = {
    "antisymmetric_rnn": Oracle(
        "AntisymmetricRNN", one_bias, {"epsilon": 0.3, "gamma": 0.1}, {"step": 0.3, "gamma": 0.1}
    ),
    "gated_antisymmetric_rnn": Oracle(
        "GatedAntisymmetricRNN",
        lambda p: {**_matrices(p), **input_part(p, before=True)},
        {"epsilon": 0.3, "gamma": 0.1},
        {"step": 0.3, "gamma": 0.1},
    ),
    "atr": Oracle("ATR", two_biases),
    "br": Oracle("BR", bistable),
    "nbr": Oracle("NBR", lambda p: {**_matrices(p), **input_part(p)}),
    "cfn": Oracle("CFN", lambda p: {**_matrices(p), **input_part(p)}),
    "cornn": Oracle(
        "coRNN",
        lambda p: {
            "weight_ih": p.weight_ih, "weight_hh": cat([p.weight_hh, p.weight_ch]),
            "bias": p.bias_ih + p.bias_hh + p.bias_ch,
        },
        {"dt": 0.2, "gamma": 0.7, "epsilon": 0.4},
        {"dt": 0.2, "gamma": 0.7, "epsilon": 0.4},
    ),
    "unicornn": Oracle(
        "UnICORNN",
        lambda p: {"weight_ih": p.weight_ih, "bias": p.bias_ih + p.bias_hh, "own": p.weight_hh,
                   "control": p.weight_ch},
        {"dt": 0.3, "alpha": 0.2},
        {"dt": 0.3, "alpha": 0.2},
    ),
    "fast_rnn": Oracle("FastRNN", lambda p: one_bias(p, alpha=p.alpha, beta=p.beta)),
    "fast_grnn": Oracle("FastGRNN", fast_grnn, {"nonlinearity": "sigmoid"}),
    "ind_rnn": Oracle(
        "IndRNN",
        lambda p: {"weight_ih": p.weight_ih, "bias": p.bias_ih + p.bias_hh, "own": p.vector_u},
    ),
    "intersection_rnn": Oracle("IntersectionRNN", one_bias),
    "janet": Oracle("JANET", lambda p: one_bias(p, beta=p.beta.view(1))),
    "lem": Oracle(
        "LEM",
        lambda p: {
            "weight_ih": p.weight_ih, "weight_hh": cat([p.weight_hh, p.weight_ch]),
            "bias": p.bias_ih + cat([p.bias_hh, p.bias_ch]),
        },
        {"dt": 0.8},
        {"dt": 0.8, "explicit": True},
    ),
    "light_ru": Oracle("LightRU", lambda p: {**_matrices(p), **input_part(p, before=True)}),
    "li_gru": Oracle("LiGRU", one_bias),
    "star": Oracle("STAR", lambda p: {**_matrices(p), **input_part(p, before=True)}),
    "ugrnn": Oracle("UGRNN", one_bias),
    "sgrn": Oracle("SGRN", two_biases),
    "original_lstm": Oracle("OriginalLSTM", one_bias),
    "peephole_lstm": Oracle("PeepholeLSTM", lambda p: one_bias(p, **peepholes(p))),
    "wmc_lstm": Oracle("WMCLSTM", lambda p: memory(p, p.weight_mh, p.bias_mh)),
    "mc_lstm": Oracle("MCLSTM", one_bias),
    "multiplicative_lstm": Oracle(
        "MultiplicativeLSTM", lambda p: memory(p, p.weight_mh, p.bias_mh)
    ),
    "res_lstm": Oracle(
        "ResLSTM",
        lambda p: {
            "weight_ih": cat([p.weight_ih, p.weight_res]),
            "weight_hh": cat([p.weight_hh, p.weight_proj]),
            "bias": cat([p.bias_ih + p.bias_hh, p.bias_ih.new_zeros(UNITS)]),
            **peepholes(p),
        },
    ),
    "nas": Oracle("NAS", one_bias),
    "ran": Oracle(
        "RAN",
        lambda p: {
            **_matrices(p), "bias": cat([p.bias_ih.new_zeros(UNITS), p.bias_ih + p.bias_hh])
        },
    ),
    "minimal_rnn": Oracle(
        "MinimalRNN", lambda p: memory(p, p.weight_mm, zeros_like(p.bias_hh))
    ),
    "mgu": Oracle("MGU", one_bias),
    "miru1": Oracle("MiRU1", one_bias, {"update_coefficient": 0.3}, {"keep": 0.3}),
    "miru2": Oracle(
        "MiRU2", one_bias, {"update_coefficient": 0.3, "reset_coefficient": 0.7},
        {"keep": 0.3, "reset": 0.7},
    ),
    "mut1": Oracle("MUT1", two_biases),
    "mut2": Oracle("MUT2", one_bias),
    "mut3": Oracle("MUT3", lambda p: reordered(p, 3, (1, 0, 2))),
    "scrn": Oracle("SCRN", scrn),
    "sgu": Oracle("SGU", sgu),
    "dsgu": Oracle("DSGU", lambda p: sgu(p, p.weight_ho)),
    "tau_gru": Oracle(
        "tauGRU", lambda p: reordered(p, 4, (0, 2, 3, 1)), {"delay": 2}, {"delay": 2}
    ),
    "trnn": Oracle("TRNN", lambda p: {"weight": p.weight_ih, "bias": p.bias_ih}),
    "tgru": Oracle("TGRU", typed),
    "tlstm": Oracle("TLSTM", typed),
}  # fmt: skip
SAMPLE = ("scrn", "br")


def _matrices(p):
    return {"weight_ih": p.weight_ih, "weight_hh": p.weight_hh}


def their_layer(oracle, width):
    kind = getattr(torchrecurrent, oracle.name)
    layer = kind(width, UNITS, batch_first=True, **oracle.theirs).double()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in layer.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(noise / 2)
    return layer


def compare(name, engine):
    oracle = ORACLES[name]
    width = UNITS if name == "intersection_rnn" else INPUTS
    theirs = their_layer(oracle, width)
    cell = seqlab.get("cell", name)(width, UNITS, **oracle.ours)
    ours = seqlab.Recurrent(cell, engine=engine).double()
    own = dict([*theirs.cells[0].named_parameters(), *theirs.cells[0].named_buffers()])
    mapped = {f"cell.{k}": v for k, v in oracle.weights(SimpleNamespace(**own)).items()}
    assert mapped.keys() == dict(ours.named_parameters()).keys()
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, STEPS, width, generator=generator, dtype=torch.float64).requires_grad_()
    plan = ours.explain(x)
    assert plan.engine.name == engine, plan.refused
    inputs = [x, *theirs.parameters()]
    results = []
    for output in (torch.func.functional_call(ours, mapped, (x,))[0], theirs(x)[0]):
        weight = torch.linspace(-1, 2, output.numel(), dtype=torch.float64).view_as(output)
        gradients = torch.autograd.grad((output * weight).sum(), inputs)
        results.append([output, *gradients])
    for mine, wanted in zip(*results, strict=True):
        torch.testing.assert_close(mine, wanted, **ROUGH.get(name, TOLERANCE))


@pytest.mark.parametrize("name", ORACLES)
def test_equals_torchrecurrent(name):
    compare(name, "loop")


@pytest.mark.parametrize("name", SAMPLE)
def test_compiled_equals_torchrecurrent(name):
    compare(name, "compiled")


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ORACLES if name not in {*SAMPLE, "trnn"}])
def test_every_compiled_cell_equals_torchrecurrent(name):
    compare(name, "compiled")


def test_all_cells_of_torchrecurrent_are_here():
    theirs = {name for name in dir(torchrecurrent) if hasattr(torchrecurrent, f"{name}Cell")}
    assert {oracle.name for oracle in ORACLES.values()} == theirs
