"""Any gated cell as Triton kernels made from its own equations, for GPUs."""
