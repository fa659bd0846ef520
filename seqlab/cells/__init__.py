"""Cells: one time step of a recurrence, with its parameters."""
