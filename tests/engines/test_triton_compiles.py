"""Triton's kernels are compiled for a GPU, which Triton can do without one."""

from __future__ import annotations

import collections
import importlib.util

import pytest
import seqlab
import torch
from seqlab.engines import triton_launch
from seqlab.engines.traced.engine import Form, masks_of, tensors_of
from seqlab.engines.traced.variants import Variants
from seqlab.engines.triton.tiling import Place

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is for Linux"),
]
PLACE = Place(132, 232_448, "tf32x3")
OPTIONS = ("num_warps", "num_stages", "launch_cooperative_grid")
POINTERS = {torch.float32: "*fp32", torch.float64: "*fp64", torch.uint8: "*u8",
            torch.int32: "*i32"}  # fmt: skip
DROPPED = {"recurrent_dropout": 0.4, "untied_dropout": True, "zoneout": 0.3}
CASES = {
    "narrow": ("lstm", {"proj_size": 3, "peepholes": True, "zoneout": 0.2}, torch.float32),
    "normal": ("gru", {"layer_norm": True, "reset_after": False, **DROPPED}, torch.float32),
    "both": ("lstm", {"layer_norm": True, "proj_size": 3, **DROPPED}, torch.float64),
}
#: Of the kernels of all steps: units, blocks, how products are computed.
BLOCKS = [(33, 3, "tf32"), (300, 4, "tf32"), (1024, 16, "tf32x3"), (1024, 2, "tf32x3"),
          (512, 512, "bf16"), (48, 3, "sum")]  # fmt: skip


class Compiled:
    """In place of a kernel: a launch compiles it for an H100 and runs nothing."""

    def __init__(self, kernel, made):
        self.kernel, self.made = kernel, made

    def __call__(self, grid, arguments, key, constants):
        assert all(side > 0 for side in grid)
        hash(key)
        self.launch(*arguments, **constants())

    def launch(self, *arguments, **constants):
        import triton
        from triton.backends.compiler import GPUTarget

        kernel = self.kernel
        options = {name: constants.pop(name) for name in OPTIONS if name in constants}
        values = {**dict(zip(kernel.arg_names, arguments, strict=False)), **constants}
        assert set(values) == set(kernel.arg_names)
        signature, fixed = {}, {}
        for part in kernel.params:
            value = values[part.name]
            one = type(value) is int and value == 1 and not part.do_not_specialize
            if part.is_constexpr or one:
                signature[part.name], fixed[part.num,] = "constexpr", value
            else:
                pointer = isinstance(value, torch.Tensor)
                signature[part.name] = POINTERS[value.dtype] if pointer else "i32"
        key = (kernel.__name__, str(signature), str(fixed))
        if key not in self.made:
            source = triton.compiler.ASTSource(kernel, signature, fixed)
            found = triton.compile(source, GPUTarget("cuda", 90, 32), options)
            assert found.metadata.shared <= PLACE.memory
            self.made[key] = found.asm["cubin"]


@pytest.mark.parametrize("case", CASES)
def test_every_launch_compiles(case, monkeypatch, tmp_path):
    from seqlab.engines.triton import cell_kernels
    from seqlab.engines.triton.step_launches import ROW_KERNELS
    from seqlab.engines.triton.stepwise import StepRun

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    made: dict[tuple[str, ...], bytes] = {}
    for name, launcher in list(ROW_KERNELS.items()):
        monkeypatch.setitem(ROW_KERNELS, name, Compiled(launcher.kernel, made))
    name, options, dtype = CASES[case]
    cell = seqlab.get("cell", name)(3, 33, **options).to(dtype)
    for training, mask in ((True, None), (False, torch.ones(5, 2, dtype=torch.bool))):
        noise = cell.train(training).sample_noise(5, 2, device="cpu", dtype=dtype)
        kernels = cell_kernels.step_kernels_of(cell, dtype, zoneout_masks=training)
        equations = kernels.equations
        stubs = {name: Compiled(each.kernel, made) for name, each in kernels.module.items()}
        masks = masks_of(cell, equations, noise, mask, dtype)
        form, place = Form(reverse=False, keep=True, half=None), PLACE
        run = StepRun(kernels._replace(module=stubs), 33, cell.recurrent_size, masks, form, place)
        state = cell.initial_state(5, dtype=dtype)
        tensors = tensors_of(cell, equations, cell.recurrent_matrix(), state)
        with torch.no_grad():
            output, finals = run.forward(
                torch.zeros(2, 5, equations.inputs * 33, dtype=dtype), tensors
            )
            run.backward([output, *finals], [tensor is not None for tensor in tensors])
    names = {key[0] for key in made}
    assert all(made.values())
    assert {"update", "update_backward"} <= names
    assert ("normalise_backward" in names) == cell.layer_norm
    assert ("narrowed" in names) == (cell.proj_size is not None)
    assert ("vector1_backward" in names) == (len(cell.chain) > 1)


@pytest.mark.parametrize(("hidden", "heads", "precision"), BLOCKS)
def test_kernels_of_blocks_compile(hidden, heads, precision, monkeypatch, tmp_path):
    from seqlab.engines.triton import cell_kernels
    from seqlab.engines.triton.recurrence import TritonRun

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    made: dict[tuple[str, ...], bytes] = {}
    dtype = torch.float64 if precision == "sum" else torch.float32
    cell = seqlab.get("cell", "gru")(3, hidden, heads=heads).to(dtype)
    kernels = cell_kernels.kernels_of(cell, dtype, zoneout_masks=False)
    stubs = {
        name: Compiled(getattr(kernels, name).kernel, made) for name in ("forward", "backward")
    }
    masks = masks_of(cell, kernels.equations, None, None, dtype)
    form, place = Form(reverse=False, keep=True, half=None), PLACE._replace(precision=precision)
    run = TritonRun(kernels._replace(**stubs), hidden, masks, form, place)
    state = cell.initial_state(5, dtype=dtype)
    tensors = tensors_of(cell, kernels.equations, cell.recurrent_weight(), state)
    with torch.no_grad():
        output, finals = run.forward(torch.zeros(2, 5, 3 * hidden, dtype=dtype), tensors)
        run.backward([output, *finals], [tensor is not None for tensor in tensors])
    assert {key[0] for key in made} == {"forward", "backward"}
    assert all(made.values())


class Driver:
    """A device for Triton's own launches, which keeps what they hand over and runs nothing."""

    def __init__(self):
        self.launched = []
        self.utils = self

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget("cuda", 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, _):
        return 7

    def get_device_properties(self, _):
        return {"max_shared_mem": PLACE.memory}

    def load_binary(self, *_):
        return object(), 1, 32, 0, 1024

    def launcher_cls(self, *_):
        return lambda *given: self.launched.append(given)


@pytest.fixture(name="driver")
def _driver(monkeypatch, tmp_path):
    import triton
    from seqlab.engines.triton import cell_kernels, engine
    from seqlab.engines.triton.step_launches import ROW_KERNELS

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(cell_kernels, "_launchers", {})
    for name in ("_variants", "_step_variants"):
        monkeypatch.setattr(cell_kernels, name, Variants(getattr(cell_kernels, name).make))
    for launcher in ROW_KERNELS.values():
        monkeypatch.setattr(launcher, "_known", {})
        caches = collections.defaultdict(launcher.kernel.create_binder)
        monkeypatch.setattr(launcher.kernel, "device_caches", caches)
    monkeypatch.setattr(engine.TritonEngine, "device", "cpu")
    monkeypatch.setattr(engine.TritonEngine, "unavailable", lambda _: None)
    monkeypatch.setattr(engine, "_chip", lambda _: PLACE[:2])
    driver = Driver()
    monkeypatch.setattr(triton.runtime.driver, "_active", driver)
    return driver


@pytest.mark.parametrize(
    ("name", "options"),
    [("gru", {}), ("lstm", {}), ("gru", {"reset_after": False, "heads": 3}),
     ("gru", {"layer_norm": True}), ("lstm", {"proj_size": 3})],
)  # fmt: skip
def test_a_direct_launch_hands_over_what_triton_s_own_does(name, options, driver, monkeypatch):
    import triton

    layer = seqlab.Recurrent(seqlab.get("cell", name)(3, 36, **options), engine="triton")
    x = torch.zeros(5, 2, 3, requires_grad=True)
    looks, once = [], triton.JITFunction.run

    def run(*args, **given):
        looks.append(1)
        return once(*args, **given)

    def launches():
        """All that is handed over but for hooks, with tensors' forms, as their addresses differ."""
        del driver.launched[:], looks[:]
        layer(x)[0].sum().backward()
        return [
            [(v.shape, v.stride(), v.dtype) if isinstance(v, torch.Tensor) else v for v in given]
            for given in ((*all_[:6], *all_[9:]) for all_ in driver.launched)
        ]

    monkeypatch.setattr(triton.JITFunction, "run", run)
    with monkeypatch.context() as patch:
        patch.setattr(triton_launch, "ordinary", lambda _: False)
        expected = launches()
        assert len(looks) == len(expected) > 1
    launches()
    assert launches() == expected
    assert not looks
