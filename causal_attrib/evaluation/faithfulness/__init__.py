"""Does a map point at what the model uses? Curves, controls, proofs, rankings on scenes."""
