"""Training data: rows, their layouts, pairs, and which prompts are worth training on."""
