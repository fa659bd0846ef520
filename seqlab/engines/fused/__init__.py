"""The vendors' kernels (oneDNN, ATen, cuDNN): one cell, or several in one call."""
