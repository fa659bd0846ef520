"""How a number looks in a message."""

NUMBER = r"-?\d[\d.e+-]*"
