"""Kernels are launched directly where a launch like it was done before."""

from __future__ import annotations

import pytest
import torch
from seqlab.engines import triton_launch
from seqlab.engines.triton_launch import MOST_KINDS, Launcher, Repeated, ordinary


class Code:
    """What a compiled kernel is to a launcher."""

    packed_metadata = ()

    def __init__(self, launched, kind):
        self.launched, self.kind = launched, kind

    def __getitem__(self, grid):
        return lambda *given: self.launched.append((self.kind, grid, given))


class Kernel:
    """What ``triton.jit`` makes: it looks at all arguments, and gives the code back."""

    arg_names = ("x", "count", "FLAG", "SIZE")

    def __init__(self, code):
        self.launched, self.code = [], code

    def __getitem__(self, grid):
        def launch(*given, **constants):
            self.launched.append(("looked", grid, given, constants))
            return self.code(self.launched, constants["FLAG"]) if self.code else None

        return launch


def launch(launcher, x, count=3, *, flag=True):
    launcher((4, 2), (x, count), (x.dtype, flag), lambda: {"SIZE": 8, "FLAG": flag, "warps": 1})


def test_a_kind_is_looked_at_once():
    kernel = Kernel(Code)
    launcher, x = Launcher(kernel), torch.zeros(8)
    for count in (3, 5, 7):
        launch(launcher, x, count)
        launch(launcher, x, count, flag=False)
    ways = [(kind, given[1]) for kind, _, given, *_ in kernel.launched]
    assert ways == [("looked", 3), ("looked", 3), (True, 5), (False, 5), (True, 7), (False, 7)]
    assert kernel.launched[0][3] == {"SIZE": 8, "FLAG": True, "warps": 1}
    _, grid, given = kernel.launched[2]
    assert grid == (4, 2, 1)
    assert given[0] is x
    assert given[1:] == (5, True, 8)


@pytest.mark.parametrize("code", [None, lambda *_: object()], ids=["interpreted", "another form"])
def test_what_gives_no_code_is_launched_as_it_is(code):
    kernel = Kernel(code)
    for _ in range(3):
        launch(Launcher(kernel), torch.zeros(8))
    assert [way[0] for way in kernel.launched] == ["looked"] * 3


def test_unaligned_memory_and_large_numbers_are_looked_at():
    kernel = Kernel(Code)
    launcher, x = Launcher(kernel), torch.zeros(64)
    unaligned = x[1:]
    launch(launcher, unaligned)
    launch(launcher, x)
    launch(launcher, unaligned)
    launch(launcher, x, 2**31)
    launch(launcher, x, -(2**31))
    assert [way[0] for way in kernel.launched] == ["looked", "looked", "looked", "looked", True]
    assert ordinary((x, 2**31 - 1, x[4:]))
    assert not ordinary((x, unaligned))


def test_kinds_do_not_grow_without_end():
    kernel = Kernel(Code)
    launcher, x = Launcher(kernel), torch.zeros(8)
    for flag in range(MOST_KINDS + 1):
        launch(launcher, x, flag=flag)
    launch(launcher, x, flag=MOST_KINDS)
    launch(launcher, x, flag=0)
    assert [way[0] for way in kernel.launched[-2:]] == [MOST_KINDS, "looked"]


def test_launches_over_the_same_memory_are_looked_at_once(monkeypatch):
    kernel, x = Kernel(Code), torch.zeros(8)
    again = Repeated(Launcher(kernel), (4,), "key", {"SIZE": 8, "FLAG": True, "warps": 1})
    again((x, 3))
    monkeypatch.setattr(triton_launch, "ordinary", None)
    for count in (5, 7):
        again((x, count))
    assert [(kind, given[1]) for kind, _, given, *_ in kernel.launched] == [
        ("looked", 3), (True, 5), (True, 7),
    ]  # fmt: skip
    assert kernel.launched[2][1:] == ((4, 1, 1), (x, 7, True, 8))


@pytest.mark.parametrize("code", [Code, None])
def test_launches_over_memory_that_begins_anywhere_are_looked_at_each_time(code):
    kernel, x = Kernel(code), torch.zeros(8)[1:] if code else torch.zeros(8)
    again = Repeated(Launcher(kernel), (4,), "key", {"SIZE": 8, "FLAG": True, "warps": 1})
    for count in (3, 5, 7):
        again((x, count))
    assert [kind for kind, *_ in kernel.launched] == ["looked"] * 3
