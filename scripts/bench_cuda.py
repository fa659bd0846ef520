"""Times recurrent layers on a GPU: cuDNN's, seqlab's engines, loops, and peers where installed.

    scripts/bench device=cuda [--sizes 0123] [--rounds 20] [--seconds 150] [--cells gru lstm ...]
        [--output docs/benchmarks_cuda] [--without forward steps precisions linear loops compiled]

Contestants of a contest take turns. Each turn is timed by CUDA events over an empty queue; medians
of the rounds are kept, ratios are medians of each round's ratio to cuDNN's layer. A contestant that
fails or is refused is kept with its reason. ``device=cpu --tiny`` runs all of it on a CPU.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import seqlab
import torch
from seqlab.engines.calls import expected_calls
from seqlab.errors import EngineError, one_line
from torch import nn

from bench_cuda_contestants import STEPWISE, Maker, PlainLoop, base_of, contestants
from bench_cuda_page import markdown
from bench_cuda_timing import Clock, in_turns, inference_call, summary, tf32, training_call

#: B, T, D, H.
SIZES = ((32, 50, 128, 128), (64, 200, 64, 64), (32, 100, 512, 512), (128, 100, 256, 256))
LONG = (8, 4096, 256, 256)
TINY = ((2, 3, 4, 4), (3, 2, 4, 5))
GATED, LINEAR = ("gru", "lstm", "mgu"), ("min_gru", "lru")
#: What `auto` is told to expect, as the trainer tells it: engines that compile pay.
TRAINING_CALLS = 10_000
#: Name: TF32 in cuDNN, TF32 in matrix products, autocast.
PRECISIONS = {
    "float32, torch's default (TF32 in cuDNN alone)": (True, False, None),
    "float32, TF32 everywhere": (True, True, None),
    "float32, no TF32": (False, False, None),
    "bfloat16 autocast": (True, False, torch.bfloat16),
}
DEFAULT, *OTHERS = PRECISIONS
PARTS = ("forward", "steps", "precisions", "linear", "loops", "compiled")


class Contest(NamedTuple):
    """Layers of one cell at one size; ``training``: with backward; ``slow``: with plain loops."""

    cell: str
    size: tuple[int, int, int, int]
    precision: str = DEFAULT
    training: bool = True
    slow: bool = False

    @property
    def title(self) -> str:
        """What was run."""
        return "forward and backward" if self.training else "forward"


def plan(sizes: list[Any], cells: list[str], without: list[str], long: Any) -> Iterator[Contest]:
    """All contests, the most telling first."""
    gated = [cell for cell in GATED if cell in cells]
    linear = [cell for cell in LINEAR if cell in cells and "linear" not in without]
    loops = "loops" not in without
    for size, cell in itertools.product(sizes, gated):
        yield Contest(cell, size, slow=loops and size == sizes[0])
    for size, cell in itertools.product([sizes[0], sizes[-1], long], linear):
        yield Contest(cell, size, slow=loops and size == sizes[0])
    if "forward" not in without:
        for size, cell in itertools.product(sizes, gated):
            yield Contest(cell, size, training=False)
    if "steps" not in without:
        asked = [name for name, (cell, _) in STEPWISE.items() if cell in cells]
        for cell, training, size in itertools.product(asked, (True, False), sizes[:3]):
            yield Contest(cell, size, training=training)
    if "precisions" not in without:
        for precision, size, cell in itertools.product(OTHERS, sizes, gated):
            yield Contest(cell, size, precision)
        for cell in linear:
            yield Contest(cell, sizes[-1], OTHERS[-1])


def hold(contest: Contest, device: torch.device, rounds: int) -> dict[str, Any]:
    """Run a contest; contestants that cannot take part leave their reason."""
    batch, steps, features, hidden = contest.size
    kernels, products, dtype = PRECISIONS[contest.precision]
    clock, make_call = Clock(device), training_call if contest.training else inference_call
    entries, calls, base = {}, {}, base_of(contest.cell)
    with ExitStack() as settings:
        settings.enter_context(tf32(kernels=kernels, products=products))
        settings.enter_context(expected_calls(TRAINING_CALLS))
        x = torch.randn(batch, steps, features, device=device, requires_grad=contest.training)
        for name, make in contestants(contest.cell, features, hidden, slow=contest.slow).items():
            entry, call = _prepared(name, make, x, make_call, dtype)
            entries[name] = entry
            if call is not None:
                calls[name] = call
        times = in_turns(calls, clock, rounds)
        for name, call in calls.items():
            entries[name] |= summary(times[name], times[base], clock.mib(call))
    return {
        "cell": contest.cell, "size": list(contest.size), "precision": contest.precision,
        "pass": contest.title, "contestants": entries,
    }  # fmt: skip


def _prepared(name: str, make: Maker, x: torch.Tensor, make_call: Any, dtype: Any) -> Any:
    """A contestant's entry and its call, which ran once; or the entry with why it cannot."""
    entry: dict[str, Any] = {}
    try:
        module = make().to(x.device)
        call = make_call(module, x, dtype)
        begin = time.perf_counter()
        call()
        if x.device.type == "cuda":
            torch.cuda.synchronize()
        entry["first_s"] = round(time.perf_counter() - begin, 2)
        if name == "auto":
            entry["engine"] = module.explain(x).engine.name
    except EngineError as refusal:
        return {"refused": str(refusal)}, None
    except Exception as error:  # noqa: BLE001 - others go on
        return {"failed": f"{type(error).__name__}: {one_line(error)}"}, None
    return entry, call


def compiled(size: Any, device: torch.device, rounds: int) -> dict[str, Any]:
    """torch.compile of a plugin cell's whole loop, and of its step alone, at one size."""
    batch, steps, features, hidden = size
    x = torch.randn(batch, steps, features, device=device, requires_grad=True)

    def step() -> nn.Module:
        loop = PlainLoop(seqlab.get("cell", "mgu")(features, hidden))
        loop.cell.step = torch.compile(loop.cell.step)
        return loop

    def whole() -> nn.Module:
        return torch.compile(PlainLoop(seqlab.get("cell", "mgu")(features, hidden)))

    entries, calls = {}, {}
    made = contestants("mgu", features, hidden, slow=True)
    for name, make in {**made, "step compiled": step, "loop compiled": whole}.items():
        entries[name], call = _prepared(name, make, x, training_call, None)
        if call is not None:
            calls[name] = call
    times = in_turns(calls, clock := Clock(device), rounds)
    for name, call in calls.items():
        entries[name] |= summary(times[name], times[base_of("mgu")], clock.mib(call))
    return {"cell": "mgu", "size": list(size), "precision": DEFAULT, "contestants": entries,
            "pass": "forward and backward, torch.compile"}  # fmt: skip


def machine(device: torch.device) -> dict[str, str]:
    """What the numbers hold for."""
    found = {"device": platform.machine(), "torch": torch.__version__,
             "python": platform.python_version()}  # fmt: skip
    if device.type == "cuda":
        found["device"] = torch.cuda.get_device_name()
        found["cuda"], found["cudnn"] = str(torch.version.cuda), str(torch.backends.cudnn.version())
    try:
        import triton
    except ImportError:
        return found
    return {**found, "triton": triton.__version__}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("device", choices=["device=cuda", "device=cpu"])
    parser.add_argument("--sizes", default="0123")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=150.0, help="no contest starts later")
    parser.add_argument("--output", type=Path, default=Path("docs/benchmarks_cuda"))
    parser.add_argument("--cells", nargs="*", default=[*GATED, *LINEAR])
    parser.add_argument("--without", nargs="*", default=[],
                        choices=PARTS)  # fmt: skip
    parser.add_argument("--tiny", action="store_true", help="toy sizes")
    return parser.parse_args()


def main() -> None:
    """Run all contests that fit into the time, and write both files after each."""
    given = arguments()
    device = torch.device(given.device.removeprefix("device="))
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit("bench: device=cuda: torch finds no CUDA device here")
    torch.manual_seed(0)
    known = TINY if given.tiny else SIZES
    sizes = [known[int(index)] for index in given.sizes if int(index) < len(known)]
    contests = list(plan(sizes, given.cells, given.without, known[-1] if given.tiny else LONG))
    results: dict[str, Any] = {"machine": machine(device), "contests": [], "left out": []}
    begin = time.monotonic()
    for contest in [*contests, *(["compiled"] if "compiled" not in given.without else [])]:
        if time.monotonic() - begin > given.seconds:
            results["left out"].append(str(contest))
            continue
        found = (
            hold(contest, device, given.rounds)
            if isinstance(contest, Contest)
            else compiled(sizes[0], device, given.rounds)
        )
        results["contests"].append(found)
        given.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
        given.output.with_suffix(".md").write_text(markdown(results))
        shown = {name: entry.get("ratio", "-") for name, entry in found["contestants"].items()}
        print(f"{time.monotonic() - begin:.0f} s", found["cell"], found["size"],
              found["precision"], found["pass"], json.dumps(shown), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
