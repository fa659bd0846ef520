"""Other libraries' signatures and weights, over seqlab's own layers."""
