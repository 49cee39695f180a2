"""`copo merge-adapter`: an adapter and its base model as one."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


def merge_adapter(
    adapter: Annotated[
        str, typer.Argument(metavar="ADAPTER", help="Folder or hub id of an adapter.", show_default=False)
    ],
    positional: common.Folder = None,
    out: common.FolderFlag = None,
    dtype: common.Dtype = "auto",
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Add the weights of an adapter, as copo train writes it, to those of its base model, and save the whole."""
    with common.told_plainly(debug=debug, quiet=quiet):
        from pathlib import Path

        from causal_attrib.errors import InputError
        from causal_attrib.training.data.reading import check_folder, no_empty_folder

        folder = common.place(out, positional, "DIR")
        if Path(adapter).is_dir() and not (Path(adapter) / "adapter_config.json").is_file():
            raise InputError(f"{adapter} holds no adapter (no adapter_config.json); a whole model needs no merging.")
        if Path(folder).is_dir() and any(Path(folder).iterdir()):
            raise InputError(f"{folder} is not empty; name a new folder for the model.")
        with no_empty_folder(Path(folder)):
            check_folder(Path(folder))
            vlm = common.load(adapter, debug=debug, dtype=dtype, device="cpu")
            vlm.model.save_pretrained(folder)
            vlm.processor.save_pretrained(folder)
        common.told(f"Wrote {folder}", {"out": folder, "adapter": adapter}, json=json, quiet=quiet)
