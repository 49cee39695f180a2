"""AMBER: captions and yes/no questions on one set of images."""
