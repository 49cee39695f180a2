"""Files of captions: score them, merge shards, compare two models."""
