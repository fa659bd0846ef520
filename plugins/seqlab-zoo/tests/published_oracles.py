"""The extra cells by the code that others have published, as functions of a cell and its input.

Each takes the cell's own parameters, so that gradients reach them, and returns ``[B, T, H]``. What
a library lacks around its recurrence (projections, norms, output gates) is written out here.
"""

from __future__ import annotations

import importlib
import warnings
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import pytest
import torch
import torch.nn.functional as F

ROWS, STEPS, INPUTS, UNITS = 2, 5, 4, 6


class Case(NamedTuple):
    """What a cell is held against: our options, the function, and where its code is from."""

    by_them: object
    package: str
    options: dict[str, object] = {}  # noqa: RUF012  # never changed
    inputs: int = INPUTS
    timed: bool = False


def library(name):
    """A published module, or the test is skipped; what it warns of is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip(name.split(".")[0])
        return importlib.import_module(name)


class _Wide:
    """``torch`` for a module that names float32 where it should take what it is given."""

    float32 = float = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


@contextmanager
def in_float64(module):
    """Let a reference that turns everything into float32 compute in float64."""
    with (
        mock.patch.object(module, "torch", _Wide()),
        mock.patch.object(torch.Tensor, "float", torch.Tensor.double),
    ):
        yield module


def parts(cell, x):
    """What a matrix memory makes of the input, by name: ``[B, T, N, width]``."""
    return {name: cell.part(x, name)[0] for name in cell.parts}


def normal(y, gain):
    """Each head over its root mean square: ``[B, T, N, V]`` to ``[B, T, H]``."""
    return F.rms_norm(y, y.shape[-1:], eps=1e-6).flatten(-2) * gain


def slstm(cell, x):
    """The blocks of the recurrent matrix as ``[N, from, gates, to]``, as flashrnn has them."""
    vanilla = library("flashrnn.flashrnn.vanilla")
    rows, steps, _ = x.shape
    heads, size = cell.heads, UNITS // cell.heads
    whole = cell.recurrent_matrix().view(4, heads, size, heads, size)
    blocks = torch.diagonal(whole, dim1=1, dim2=3).permute(3, 2, 0, 1)
    given = (x @ cell.weight_ih.T).view(rows, steps, 4, heads, size).transpose(0, 1)
    states, _ = vanilla.flashrnn_forward(
        given, x.new_zeros(1, rows, 4, heads, size), blocks, cell.bias.view(1, 4, heads, size),
        vanilla.flashrnn_pointwise_function_registry["slstm"],
    )  # fmt: skip
    return states[:, :, 0].flatten(-2).transpose(0, 1)


def mlstm(cell, x):
    """Without the small number that keeps their denominator from 0, which ours cannot be."""
    native = library("mlstm_kernels.torch.recurrent.native_sequence")
    p = {name: part.transpose(1, 2) for name, part in parts(cell, x).items()}
    read = native.mlstm_recurrent_sequence__native_fw(
        p["query"], p["key"], p["value"], p["input"].squeeze(-1), p["forget"].squeeze(-1),
        eps=0.0, dtype_state=torch.float64,
    )  # fmt: skip
    return (p["output"].sigmoid() * read).transpose(1, 2).flatten(-2)


def gla(cell, x):
    """Their recurrence scales the queries itself."""
    p = parts(cell, x)
    decay = F.logsigmoid(p["decay"]) / 16
    with in_float64(library("fla.ops.gla.naive")) as naive:
        read, _ = naive.naive_recurrent_gla(p["query"], p["key"], p["value"], decay)
    return F.silu(p["output"]).flatten(-2) * normal(read, cell.gain)


def _delta_parts(cell, x):
    """Parts after swish, queries and keys of length 1, with fla's small number."""
    p = parts(cell, x)
    for name in ("query", "key", "value"):
        p[name] = F.silu(p[name])
    for name in ("query", "key"):
        p[name] = p[name] / torch.sqrt(p[name].square().sum(-1, keepdim=True) + 1e-6)
    return p, p["rate"].sigmoid().squeeze(-1)


def delta_net(cell, x):
    """Their recurrence divides queries by the root of K, which the norm would hide but for 1e-6."""
    p, rate = _delta_parts(cell, x)
    given = [p["query"] * cell.head_size**0.5, p["key"], p["value"], rate]
    with in_float64(library("fla.ops.delta_rule.naive")) as naive:
        read, _ = naive.delta_rule_recurrence(*(part.transpose(1, 2) for part in given))
    return normal(read.transpose(1, 2), cell.gain)


def gated_delta_net(cell, x):
    """The decay as in fla's layer: ``-exp(A) softplus(...)``."""
    p, rate = _delta_parts(cell, x)
    decay = -cell.log_speed.exp() * F.softplus(p["decay"].squeeze(-1))
    with in_float64(library("fla.ops.gated_delta_rule.naive")) as naive:
        read, _ = naive.naive_recurrent_gated_delta_rule(
            p["query"], p["key"], p["value"], rate, decay, scale=1.0
        )
    return normal(read, cell.gain)


def hgrn(cell, x):
    """Floor and candidate as in fla's layer, in logarithms; the output gate is ours."""
    candidate, forget, output = (x @ cell.weight.T + cell.bias).chunk(3, -1)
    floor = cell.floor.sigmoid()
    decay = torch.logaddexp(floor.log(), torch.log1p(-floor) + F.logsigmoid(forget))
    with in_float64(library("fla.ops.hgrn.naive")) as naive:
        h, _ = naive.naive_recurrent_hgrn(F.silu(candidate) * (1 - decay.exp()), decay)
    return h * output.sigmoid()


def gate_loop(cell, x):
    """The operator of the paper's pseudocode, with as many heads as units."""
    operator = library("gateloop_transformer.gateloop_transformer").gate_loop_operator
    rows = x.shape[0]
    made = [p.transpose(1, 2).flatten(0, 1) for p in (x @ cell.weight.T + cell.bias).chunk(6, -1)]
    decay, phase, key, value, query, output = (p.unsqueeze(-1) for p in made)
    turned = torch.polar(decay.sigmoid(), phase).unsqueeze(-1)
    shown = operator(query, key, value, turned) * F.silu(output)
    return shown.squeeze(-1).unflatten(0, (rows, -1)).transpose(1, 2)


def s5(cell, x):
    """Row by row; their D is a vector, so that the input's own way is written out."""
    theirs = library("s5.s5_model")
    poles = torch.complex(-cell.rate.exp(), cell.turn)
    into, out_of = torch.complex(*cell.into), torch.complex(*cell.out_of)
    kept, written = theirs.discretize_zoh(poles, into, cell.log_step.exp())
    nothing = x.new_zeros(x.shape[-1])
    shown = [theirs.apply_ssm(kept, written, out_of, nothing, row)[0] for row in x]
    return torch.stack(shown) + x @ cell.skip.T


def cfc(cell, x):
    """Row by row: their layer takes gaps for a batch of one alone."""
    theirs = library("ncps.torch").CfC(
        x.shape[-1] - 1, UNITS, backbone_units=UNITS, backbone_layers=1
    )
    matrices, biases = cell.weight_hh.split(UNITS), cell.recurrent_bias.split(UNITS)
    weights = {
        "rnn_cell.backbone.0.weight": torch.cat([cell.weight_ih, matrices[0]], 1),
        "rnn_cell.backbone.0.bias": cell.bias + biases[0],
    }
    for name, matrix, bias in zip(
        ("ff1", "ff2", "time_a", "time_b"), matrices[1:], biases[1:], strict=True
    ):
        weights |= {f"rnn_cell.{name}.weight": matrix, f"rnn_cell.{name}.bias": bias}
    start = x.new_zeros(1, UNITS)
    found = []
    for row in x.split(1):
        given = (row[..., :-1], start, row[..., -1:])
        found.append(torch.func.functional_call(theirs, weights, given)[0])
    return torch.cat(found)


CASES = {
    "slstm": Case(slstm, "flashrnn 1.0.8", {"heads": 3}),
    "mlstm": Case(mlstm, "mlstm_kernels 2.0.6", {"heads": 3}),
    "gla": Case(gla, "fla-core 0.6.0", {"heads": 3}),
    "delta_net": Case(delta_net, "fla-core 0.6.0", {"heads": 3}),
    "gated_delta_net": Case(gated_delta_net, "fla-core 0.6.0", {"heads": 3}),
    "hgrn": Case(hgrn, "fla-core 0.6.0"),
    "gate_loop": Case(gate_loop, "gateloop-transformer 0.2.5"),
    "s5": Case(s5, "s5-pytorch 0.2.1", inputs=UNITS),
    "cfc": Case(cfc, "ncps 1.0.1", timed=True),
}
