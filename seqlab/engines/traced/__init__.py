"""Gated cells as expressions: what engines that write code of equations share."""
