"""Ways to look at an `Attribution`: a table on a terminal, a line in a notebook, a page in a browser."""

from causal_attrib.views.report import inline_html, page
from causal_attrib.views.table import table

__all__ = ["inline_html", "page", "table"]
