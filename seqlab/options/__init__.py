"""Options of cells: activations, initializers, regularizers, constraints, merges, dropout."""
