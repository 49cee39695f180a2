"""`copo serve`: a page and an HTTP API on one model that stays in memory."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from causal_attrib.serve.limits import Limits
from causal_attrib_cli import common

_SERVER = "Server"
_LIMITS = "Limits"


@common.flags_as("limits", common.flags_of(Limits, ("body", "pixels", "characters", "queue", "seconds"), _LIMITS))
@common.flags_as("loading", common.LOADING)
def serve(
    host: Annotated[
        str,
        typer.Option(
            "--host",
            metavar="NAME",
            help="Address to listen on; others than this machine's need a token, which is made if none is given.",
            rich_help_panel=_SERVER,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option("--port", metavar="N", min=0, max=65535, help="0 takes a free one.", rich_help_panel=_SERVER),
    ] = 8765,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TEXT",
            envvar="COPO_TOKEN",
            help="What requests have to bring.",
            show_default="none on this machine",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration",
            metavar="FILE",
            help="Calibration of verdicts, from copo eval verdict --fit.",
            show_default="that of the small model in the package",
            rich_help_panel=_SERVER,
        ),
    ] = None,
    model: common.Model = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    limits: dict[str, Any],
    loading: dict[str, Any],
) -> None:
    """Open a page on which pictures are dropped and captions scored, and an HTTP API beside it.

    The model is loaded once. `copo score --server ADDRESS` uses it from other terminals. SIGTERM and Ctrl-C let what
    runs be finished. Needs the extra serve.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.errors import InputError
        from causal_attrib.scores.settings import Settings

        try:
            import python_multipart  # noqa: F401
            import starlette  # noqa: F401
            import uvicorn  # noqa: F401
        except ModuleNotFoundError as error:
            raise InputError(f"copo serve needs {error.name}; install it with pip install 'copo[serve]'.") from None
        from causal_attrib.serve.listen import address, listen, token_for

        given = Limits(**limits)
        if calibration is not None:
            from causal_attrib.scores.inputs import calibration_of

            calibration_of(Settings(verdict=True, calibration=calibration))
        asked = token_for(host, token)
        with listen(host, port) as listening:
            vlm = common.load(model, debug=debug, **loading)
            from causal_attrib.serve.run import serve as run

            where = address(listening, host, asked)
            run(
                vlm,
                listening,
                token=asked,
                limits=given,
                calibration=calibration,
                ready=lambda: common.tell(f"Ready: {where}"),
            )
