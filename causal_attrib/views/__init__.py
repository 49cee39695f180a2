"""Ways to look at an `Attribution` and its `Maps`: a table on a terminal, a page in a browser or notebook, figures."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily
from causal_attrib.views.headline import headline
from causal_attrib.views.notebook_view import in_notebook, inline, show_in_notebook
from causal_attrib.views.report_page import notebook, report, report_bytes
from causal_attrib.views.token_table import table

if TYPE_CHECKING:
    from causal_attrib.views.figure_interactions import plot_interactions
    from causal_attrib.views.figure_maps import plot_maps
    from causal_attrib.views.figure_page import plot_page
    from causal_attrib.views.figure_scores import plot_scores
    from causal_attrib.views.maps_table import saliency_table
    from causal_attrib.views.saliency_folder import check_folder, write_saliency
else:
    # matplotlib takes its time to import; a table or a page should not wait for it.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "check_folder": "saliency_folder",
            "headline": "headline",
            "in_notebook": "notebook_view",
            "inline": "notebook_view",
            "notebook": "report_page",
            "plot_interactions": "figure_interactions",
            "plot_maps": "figure_maps",
            "plot_scores": "figure_scores",
            "plot_page": "figure_page",
            "report": "report_page",
            "report_bytes": "report_page",
            "saliency_table": "maps_table",
            "show_in_notebook": "notebook_view",
            "table": "token_table",
            "write_saliency": "saliency_folder",
        },
    )


__all__ = [
    "check_folder",
    "headline",
    "in_notebook",
    "inline",
    "notebook",
    "plot_interactions",
    "plot_maps",
    "plot_scores",
    "plot_page",
    "report",
    "report_bytes",
    "saliency_table",
    "show_in_notebook",
    "table",
    "write_saliency",
]
