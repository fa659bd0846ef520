"""What cells state that multiply no hidden state by a matrix."""

from __future__ import annotations

#: Of the conformance kit's checks: that of the wrapper ``multiplicative``, which refuses them.
NO_PRODUCT = {"wrapper_multiplicative": "no matrix multiplies the state that it would rescale"}
