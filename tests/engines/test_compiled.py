"""The compiled engine equals the loop: every option, mask, direction, gradient and type."""

from __future__ import annotations

import shutil
import warnings
import weakref
from typing import NamedTuple

import pytest
import seqlab
import torch
from seqlab.cells.base import HiddenState
from seqlab.engines import cpp_compiler
from seqlab.engines.calls import expected_calls
from seqlab.engines.compiled.engine import CompiledEngine
from seqlab.engines.cpp_compiler import CompilerError, kernel_folder
from seqlab.engines.plan import _warn_once
from seqlab.engines.traced import variants
from torch import Tensor

from forked_shell import ForkedShell


class Odd(seqlab.GatedCell):
    """Comparisons, powers, a root, functions of two arguments, a vector of its own, a buffer."""

    class State(NamedTuple):
        memory: Tensor
        trace: Tensor

    gates = ("keep", "write", "extra")
    vectors = {"slope": "ones"}  # noqa: RUF012  # as the base class declares it

    def __init__(self, *sizes, **options):
        super().__init__(*sizes, **options)
        self.register_buffer("shift", torch.linspace(-0.3, 0.4, self.hidden_size))

    def update(self, x, h, state):
        keep = torch.sigmoid(x.keep * h.keep + self.slope * state.trace)
        write = torch.where(x.write > h.write, x.write, torch.maximum(h.write, self.shift) * 0.3)
        memory = keep * state.memory + (1 - keep) * torch.nn.functional.softplus(write)
        bounded = memory.clamp(-1.5, 1.5).pow(2).add(1).sqrt().log1p() - torch.sin(x.extra) ** 3
        output = torch.nn.functional.gelu(bounded) / (1.5 + torch.cos(h.extra))
        return output, self.State(torch.tanh(memory), 0.5 * state.trace + torch.exp(-(output**2)))


CELLS = {
    "rnn-relu": ("rnn", {"activation": "relu"}),
    "lstm": ("lstm", {}),
    "lstm-all": (
        "lstm",
        {"layer_norm": True, "zoneout": 0.3, "dropout": 0.2, "recurrent_dropout": 0.4,
         "weight_dropout": 0.2, "peepholes": True},
    ),
    "gru": ("gru", {}),
    "gru-two-products": (
        "gru", {"reset_after": False, "layer_norm": True, "recurrent_dropout": 0.3},
    ),
    "own": (Odd, {}),
}  # fmt: skip


def pair(name, asymmetric, size=(5, 7), dtype=torch.float64, *, reverse=False):
    cell, options = CELLS[name]
    make = seqlab.get("cell", cell) if isinstance(cell, str) else cell
    layers = [
        seqlab.Recurrent(make(*size, **options), engine=engine, reverse=reverse).to(dtype)
        for engine in ("loop", "compiled")
    ]
    asymmetric(layers[0], 0.5)
    layers[1].load_state_dict(layers[0].state_dict())
    return layers


def masks(batch, steps):
    holes = torch.rand(batch, steps) > 0.4
    holes[0], holes[1] = True, False
    padded = torch.arange(steps) < torch.randint(0, steps + 1, (batch, 1))
    return {"none": None, "holes": holes, "padded": padded}


def results(layer, x, state, mask):
    torch.manual_seed(5)
    output, final = layer(x, state, mask=mask)
    weight = torch.linspace(-1, 2, output.numel(), dtype=x.dtype).view_as(output)
    loss = (output * weight).sum() + sum((1 + i) * part.sin().sum() for i, part in enumerate(final))
    inputs = [x, *state, *layer.parameters()]
    return [output, *final, *torch.autograd.grad(loss, inputs, allow_unused=True)]


@pytest.mark.parametrize("kind", ["none", "holes", "padded"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_equals_loop(name, reverse, kind, asymmetric):
    loop, compiled = pair(name, asymmetric, reverse=reverse)
    x = torch.randn(4, 6, 5, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(4, 7, dtype=torch.float64).requires_grad_() for _ in loop.initial_state(1)]
    mask = masks(4, 6)[kind]
    for training in (True, False):
        expected = results(loop.train(training), x, state, mask)
        for ours, reference in zip(
            results(compiled.train(training), x, state, mask), expected, strict=True
        ):
            zero = None if ours is None else torch.zeros_like(ours)
            torch.testing.assert_close(ours, zero if reference is None else reference)
        with torch.no_grad():
            torch.manual_seed(5)
            output, final = compiled(x, state, mask=mask)
        for ours, reference in zip((output, *final), expected, strict=False):
            torch.testing.assert_close(ours, reference)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [(3, 33), (2, 64), (4, 1)])
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_float32_at_other_sizes(name, size, threads, asymmetric):
    torch.set_num_threads(threads)
    loop, compiled = pair(name, asymmetric, size, torch.float32)
    x = torch.randn(19, 5, size[0], requires_grad=True)
    state = [torch.randn(19, size[1], requires_grad=True) for _ in loop.initial_state(1)]
    expected = results(loop, x, state, None)
    for ours, reference in zip(results(compiled, x, state, None), expected, strict=True):
        torch.testing.assert_close(ours, reference, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("cell", "options"),
    [("lstm", {"recurrent_dropout": 0.3, "zoneout": 0.2}), ("gru", {}),
     *(pytest.param(*case, marks=pytest.mark.slow)
       for case in (("lstm", {"peepholes": True}), ("gru", {"reset_after": False}),
                    ("gru", {"layer_norm": True})))],
)  # fmt: skip
def test_threads_share_the_units_where_rows_are_few(cell, options, reverse, asymmetric):
    def make(engine):
        return seqlab.Recurrent(
            seqlab.get("cell", cell)(3, 256, **options), engine=engine, reverse=reverse
        ).double()

    loop, compiled = asymmetric(make("loop"), 0.05), make("compiled")
    compiled.load_state_dict(loop.state_dict())
    x = torch.randn(3, 4, 3, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(3, 256, dtype=torch.float64).requires_grad_()
             for _ in loop.initial_state(1)]  # fmt: skip
    for mask in (None, masks(3, 4)["holes"]):
        expected = results(loop, x, state, mask)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for ours, reference in zip(results(compiled, x, state, mask), expected, strict=True):
                torch.testing.assert_close(ours, reference)
            with torch.no_grad():
                torch.manual_seed(5)
                torch.testing.assert_close(compiled(x, state, mask=mask)[0], expected[0])


def test_autocast_and_half_precision_give_the_loop_s_types(asymmetric):
    loop, compiled = pair("lstm", asymmetric, dtype=torch.float32)
    x = torch.randn(3, 4, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected, output = loop(x)[0], compiled(x)[0]
        output.float().sum().backward()
    assert output.dtype == expected.dtype == torch.float32
    torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)
    assert compiled.cell.weight_hh.grad.dtype == torch.float32
    loop, compiled = loop.bfloat16(), compiled.bfloat16()
    expected, output = loop(x.bfloat16())[0], compiled(x.bfloat16())[0]
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output, expected, rtol=0.05, atol=0.05)


def test_second_derivatives_equal_the_loop_s(asymmetric):
    found = []
    for layer in pair("gru", asymmetric):
        torch.manual_seed(1)
        x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
        output, _ = layer(x)
        (first,) = torch.autograd.grad(output.pow(2).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(first.pow(2).sum(), [x, *layer.parameters()]))
    for ours, reference in zip(*found, strict=True):
        torch.testing.assert_close(ours, reference)


def test_changing_the_output_in_place_is_noticed(asymmetric):
    _, compiled = pair("gru", asymmetric)
    output, _ = compiled(torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True))
    output.mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


class Mixing(seqlab.GatedCell):
    gates = ("candidate",)
    State = HiddenState

    def update(self, x, h, state):
        hidden = torch.softmax(x.candidate + h.candidate, -1) + state.hidden
        return hidden, HiddenState(hidden)


def test_equations_that_mix_units_are_refused_with_the_operation():
    layer = seqlab.Recurrent(Mixing(3, 4), engine="compiled")
    with pytest.raises(seqlab.errors.EngineError, match="not elementwise maths"):
        layer(torch.zeros(1, 2, 3))


class Uneven(seqlab.GatedCell):
    gates = ("candidate",)
    State = HiddenState
    state_sizes = (5,)

    def update(self, x, h, state):
        return (x.candidate + h.candidate) * state.hidden[:, 1:], state


def test_what_is_no_gated_cell_of_the_usual_sizes_is_refused_by_name():
    x = torch.zeros(1, 2, 3)
    with pytest.raises(seqlab.errors.EngineError, match="not all of the hidden size"):
        seqlab.Recurrent(Uneven(3, 4), engine="compiled")(x)
    with pytest.raises(seqlab.errors.EngineError, match="not a GatedCell"):
        seqlab.Recurrent(seqlab.get("cell", "lru")(3, 4), engine="compiled")(x)


def test_without_a_compiler_the_loop_runs_and_one_warning_says_so(monkeypatch):
    def none():
        raise CompilerError("no working C++ compiler (none on PATH); install g++ or set CXX")

    monkeypatch.setattr("seqlab.engines.compiled.engine.find_compiler", none)
    _warn_once.cache_clear()
    layer = seqlab.GRU(3, 4, engine="compiled")
    x = torch.randn(2, 5, 3)
    with pytest.warns(UserWarning, match="'compiled' is replaced by 'loop': no working C\\+\\+"):
        output, _ = layer(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer(x)
    reference = seqlab.GRU(3, 4, engine="loop")
    reference.load_state_dict(layer.state_dict())
    torch.testing.assert_close(output, reference(x)[0])
    with expected_calls(10**6):
        plan = seqlab.GRU(3, 4, layer_norm=True).explain(x)
    assert plan.engine.name == "loop"
    assert "install g++" in plan.refused["compiled"]
    _warn_once.cache_clear()


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_what_equations_read_is_read_once_where_nothing_was_set(name, monkeypatch):
    layer = seqlab.Recurrent(seqlab.get("cell", name)(3, 4), engine="compiled")
    x = torch.randn(2, 5, 3)
    layer(x)
    monkeypatch.setattr(variants, "read_constants", None)
    layer(x)


def test_a_cache_that_others_may_write_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path))
    folder = kernel_folder()
    assert folder.parent == tmp_path
    folder.chmod(0o777)
    with pytest.raises(CompilerError, match="can be written by others"):
        kernel_folder()


def test_a_broken_compiler_is_passed_over(monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setenv("CXX", str(broken))
    cpp_compiler.find_compiler.cache_clear()
    try:
        assert cpp_compiler.find_compiler().path != str(broken)
    finally:
        cpp_compiler.find_compiler.cache_clear()


def test_the_compiler_of_a_package_is_found_where_the_machine_has_none(monkeypatch, tmp_path):
    real = shutil.which("g++")
    if real is None:
        pytest.skip("the package's compiler is stood in for by g++")
    package = tmp_path / "ziglang"
    package.mkdir()
    (package / "__init__.py").touch()
    zig = package / "zig"
    zig.write_text(f'#!/bin/sh\n[ "$1" = c++ ] && shift && exec {real} "$@"\n')
    zig.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(cpp_compiler.shutil, "which", lambda _: None)
    monkeypatch.setenv("SEQLAB_CACHE", str(tmp_path / "cache"))
    cpp_compiler.find_compiler.cache_clear()
    try:
        assert cpp_compiler.find_compiler().command == (str(zig), "c++")
    finally:
        cpp_compiler.find_compiler.cache_clear()


def test_compiled_code_is_found_again_by_another_process(tmp_path):
    program = (
        "import os\n"
        f"os.environ['SEQLAB_CACHE'] = {str(tmp_path)!r}\n"
        "import torch, seqlab\n"
        "layer = seqlab.RNN(2, 3, engine='compiled')\n"
        "layer(torch.zeros(1, 2, 2))\n"
        f"folder = {str(tmp_path / 'kernels')!r}\n"
        "print([(f.name, f.stat().st_mtime_ns) for f in os.scandir(folder)])\n"
    )
    with ForkedShell() as shell:
        seen = [shell.run("python", program, tmp_path) for _ in range(2)]
    assert seen[0] == seen[1]
    assert seen[0].count(".so") == 1


@pytest.mark.parametrize("kept", [False, True])
def test_memory_is_let_go_when_gradients_were_found(kept, monkeypatch):
    runs, once = [], CompiledEngine.kernel_run

    def kernel_run(*given):
        made = once(*given)
        runs.append(weakref.ref(made))
        return made

    monkeypatch.setattr(CompiledEngine, "kernel_run", kernel_run)
    layer = seqlab.GRU(3, 4, engine="compiled")
    output, _ = layer(torch.randn(2, 5, 3))
    output.sum().backward(retain_graph=kept)
    assert (runs[0]() is None) is not kept
    if kept:
        output.sum().backward()
        assert runs[0]() is None
    with pytest.raises(RuntimeError, match="second time"):
        output.sum().backward()
