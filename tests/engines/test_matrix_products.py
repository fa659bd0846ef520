"""Products by oneDNN and by our own code are those of torch, with their derivatives."""

from __future__ import annotations

import copy

import pytest
import seqlab
import torch
import torch.nn.functional as F
from seqlab.engines.compiled import matrix_products
from seqlab.engines.compiled.matrix_products import linear, transposed
from seqlab.engines.cpp_compiler import find_compiler

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"),
    reason="torch is built without oneDNN",
)


@pytest.fixture(name="calls", autouse=True)
def _calls(monkeypatch):
    """As on a processor that MKL is slow on, whatever the size; the products that oneDNN made."""
    seen, once = [], matrix_products._onednn

    def counted(*given):
        seen.append(given)
        return once(*given)

    monkeypatch.setattr(matrix_products, "_is_slow_with_mkl", lambda: True)
    monkeypatch.setattr(matrix_products, "LEAST_WORK", 0)
    monkeypatch.setattr(matrix_products, "_onednn", counted)
    return seen


def gradients(function, tensors, wanted):
    given = [
        None if t is None else t.clone().requires_grad_(want)
        for t, want in zip(tensors, wanted, strict=True)
    ]
    output = function(*given)
    learnt = [t for t in given if t is not None and t.requires_grad]
    first = torch.autograd.grad((output.square() * slope(output)).sum(), learnt, create_graph=True)
    second = torch.autograd.grad(sum((g * slope(g)).sum() for g in first), learnt)
    return [output, *first, *second]


def slope(like):
    return torch.linspace(-1, 1, like.numel(), dtype=like.dtype).view_as(like)


@pytest.mark.parametrize("wanted", [(True, True, True), (False, True, True), (True, False, False)])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 1, 1), (17, 33), (2, 70, 16)])
def test_linear_and_its_derivatives(shape, biased, wanted, calls):
    torch.manual_seed(3)
    x, weight = torch.randn(shape), torch.randn(9, shape[-1]) / shape[-1] ** 0.5
    tensors = [x, weight, torch.randn(9) if biased else None]
    exact = [None if t is None else t.double() for t in tensors]
    found, expected = gradients(linear, tensors, wanted), gradients(F.linear, exact, wanted)
    assert calls
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == theirs.shape
        assert (mine - theirs).norm() <= 1e-5 * theirs.norm() + 1e-5


def test_first_derivatives_alone_are_by_onednn_too(calls):
    x, weight = torch.randn(4, 6, requires_grad=True), torch.randn(5, 6, requires_grad=True)
    bias = torch.randn(5, requires_grad=True)
    d = torch.randn(4, 5)
    found = torch.autograd.grad(linear(x, weight, bias), (x, weight, bias), d)
    assert len(calls) == 2
    expected = torch.autograd.grad(F.linear(x, weight, bias), (x, weight, bias), d)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_what_it_does_not_take(calls, monkeypatch):
    double = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(linear(double, double, None), double @ double.T)
    x = torch.randn(3, 4)
    with monkeypatch.context() as patch:
        patch.setattr(matrix_products, "_enabled", lambda: False)
        assert torch.equal(linear(x, x, None), F.linear(x, x))
    monkeypatch.setattr(matrix_products, "LEAST_WORK", 1000)
    assert torch.equal(linear(x, x, None), F.linear(x, x))
    monkeypatch.setattr(matrix_products, "LEAST_WORK", 0)
    monkeypatch.setattr(matrix_products, "_is_slow_with_mkl", lambda: False)
    assert torch.equal(linear(x, x, None), F.linear(x, x))
    assert not calls


@pytest.mark.parametrize("options", [{}, {"reset_after": False}, {"dropout": 0.4}], ids=str)
def test_a_layer_learns_as_by_the_loop(options, asymmetric, calls, sums):
    layer = asymmetric(seqlab.GRU(5, 7, engine="compiled", **options))
    reference = copy.deepcopy(layer)
    reference.engine = "loop"
    x, mask = torch.randn(3, 6, 5), torch.rand(3, 6) > 0.3
    found = []
    for each in (layer, reference):
        torch.manual_seed(1)
        x = x.detach().requires_grad_()
        each(x, mask=mask)[0].square().sum().backward()
        found.append([x.grad, *(p.grad for p in each.parameters())])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-5)
    # the projection and the gradient of its input, which dropout masks
    assert len(calls) == (0 if "dropout" in options else 2)
    # the gradients of both matrices; of the one for an input that dropout masks by torch
    assert len(sums) == {"reset_after": 3, "dropout": 1}.get(next(iter(options), ""), 2)


@pytest.fixture(name="sums")
def _sums(monkeypatch):
    """How often our own code for transposed factors was called."""
    find_compiler()
    library, seen = matrix_products._library(), []

    class Counted:
        def transposed(self, *given):
            seen.append(given)
            library.transposed(*given)

    monkeypatch.setattr(matrix_products, "_library", Counted)
    return seen


def sliced(rows, columns):
    """Columns of wider lines, as gates are of all gates; nothing but NaN beside them."""
    whole = torch.full((rows, columns + 9), float("nan"))
    whole[:, 5 : 5 + columns] = torch.randn(rows, columns)
    return whole[:, 5 : 5 + columns]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("lie", [torch.randn, sliced, lambda n, m: torch.randn(m, n).T])
@pytest.mark.parametrize(
    "size", [(1, 1, 1), (2, 12, 32), (191, 13, 33), (193, 63, 31), (400, 24, 64), (7, 1, 70)]
)
def test_transposed(size, lie, threads, sums):
    count, rows, columns = size
    torch.manual_seed(5)
    left, right = lie(count, rows), lie(count, columns)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = transposed(left, right)
    finally:
        torch.set_num_threads(before)
    assert len(sums) == 1
    expected = left.double().T @ right.double()
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6 * count)


def test_transposed_does_not_depend_on_threads(sums):
    left, right = torch.randn(500, 90), torch.randn(500, 70)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(transposed(left, right))
    finally:
        torch.set_num_threads(before)
    assert len(sums) == 3
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_what_transposed_leaves_to_torch(sums, monkeypatch):
    left, right = torch.randn(6, 3), torch.randn(6, 4)
    assert transposed(left[:0], right[:0]).eq(0).all()
    assert transposed(left.double(), right.double()).dtype is torch.float64
    monkeypatch.setattr(matrix_products, "_library", lambda: None)
    assert torch.equal(transposed(left, right), left.T @ right)
    assert not sums


def test_the_default_type_is_not_that_of_a_product():
    left, right = torch.randn(6, 5), torch.randn(6, 4)
    expected = left.T @ right
    torch.set_default_dtype(torch.float64)
    try:
        found = transposed(left, right)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected)
