"""Tests that need a GPU. ``SEQLAB_TEST_DEVICE=cpu`` runs their code where there is none."""

from __future__ import annotations

import os

import pytest
import torch

# cuBLAS asks for it at its first product, where only repeatable algorithms are allowed
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@pytest.fixture(scope="session")
def device():
    """Where a test computes what the CPU computes as well."""
    name = os.environ.get("SEQLAB_TEST_DEVICE", "cuda")
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    return torch.device(name)


@pytest.fixture
def exact_products():
    """float32 products of full digits, where cuDNN would take TF32's."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before
