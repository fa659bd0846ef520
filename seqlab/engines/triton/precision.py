"""What torch is told about the precision of products on a GPU."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import torch

#: Looked up once, as it is asked in every call; an older torch has none.
_KERNELS: Any = getattr(torch.backends.cudnn, "rnn", None)


def recurrent_tf32() -> bool:
    """Whether recurrent kernels may round the factors of float32 products to TF32.

    It is what cuDNN's recurrent kernels follow: ``torch.backends.cudnn.rnn.fp32_precision``, and
    ``torch.backends.cudnn.allow_tf32`` in a torch that has none. Where the one was set the other
    may not be asked for.
    """
    if _KERNELS is None:
        return bool(torch.backends.cudnn.allow_tf32)
    return bool(_KERNELS.fp32_precision == "tf32")


def product_settings() -> Hashable:
    """All settings that decide how torch multiplies matrices on a GPU."""
    products: Any = torch.backends.cuda.matmul
    single = getattr(products, "fp32_precision", None)
    return (
        products.allow_tf32 if single is None else single,
        products.allow_fp16_reduced_precision_reduction,
        products.allow_bf16_reduced_precision_reduction,
        torch.are_deterministic_algorithms_enabled(),
    )
