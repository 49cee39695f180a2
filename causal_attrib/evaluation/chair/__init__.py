"""CHAIR: which of the objects that captions name are not in the image."""
