"""What parts say of themselves: their docstrings, sizes, equations and diagrams."""
