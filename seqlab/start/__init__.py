"""Training that begins with the weights of a finished model, in parts, frozen or at other rates."""
