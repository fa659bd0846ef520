"""Any gated cell as C++ made from its own equations: traced, generated, compiled, run."""
