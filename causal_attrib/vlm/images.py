"""Where pictures were read before they had a room of their own; new code imports from `causal_attrib.io.pictures`."""

from causal_attrib.io.pictures import Picture, at_least_smallest, read_picture

__all__ = ["Picture", "at_least_smallest", "read_picture"]
