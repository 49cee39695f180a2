"""`copo vicrit`: captions with one false word that the model is to name."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


def vicrit(
    data: Annotated[
        str,
        typer.Argument(metavar="DATA", help="Rows with image and caption, or a folder of scenes.", show_default=False),
    ],
    positional: Annotated[str | None, typer.Argument(metavar="OUT", hidden=True)] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="JSON Lines file to write.", show_default=False),
    ] = None,
    lexicon: Annotated[
        str,
        typer.Option(
            "--lexicon", metavar="NAME", help="Whose objects take each other's place: coco80, or a synonyms file."
        ),
    ] = "coco80",
    image_root: Annotated[
        str | None,
        typer.Option("--image-root", help="What the paths of pictures start from.", show_default="the folder of DATA"),
    ] = None,
    seed: common.Seed = 0,
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Write rows whose captions have one false word or phrase, to be named (ViCrit, arXiv 2506.10128).

    Train on them with copo train --data OUT --reward vicrit.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from causal_attrib.choices import check_seed
        from causal_attrib.io.json_files import check_rows_name
        from causal_attrib.training.data.false_spans import false_span_rows
        from causal_attrib.training.data.reading import check_writable, write_data
        from causal_attrib.words.lexicon import read_lexicon
        from causal_attrib.words.matcher import Matcher

        check_seed(seed)
        out = common.place(out, positional, "FILE.jsonl")
        check_rows_name(out, "Rows")
        check_writable(out)
        common.check_outputs([out], [data])
        rows, skipped = false_span_rows(data, Matcher(read_lexicon(lexicon), "repaired"), seed, image_root)
        write_data(out, rows)
        left_out = f"; {skipped} captions have no word that could be changed" if skipped else ""
        record = {"out": out, "rows": len(rows), "skipped": skipped}
        common.told(f"Wrote {len(rows)} rows to {out}{left_out}", record, json=json, quiet=quiet)
