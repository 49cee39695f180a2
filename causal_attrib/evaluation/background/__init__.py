"""How much of an answer's saliency lies on the background, and what a swap of the background does."""
