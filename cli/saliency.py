"""`copo saliency`: where in the picture each word of a caption comes from."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common

_CAPTION = "What is explained"
_METHOD = "How it is explained"
_OUTPUT = "Output"


def saliency(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="Image file.", show_default=False)],
    caption: Annotated[
        str | None,
        typer.Argument(metavar="CAPTION", help="Caption to explain.", show_default="the model writes one"),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option("--prompt", help="What the model was asked for.", rich_help_panel=_CAPTION)
    ] = None,
    question: Annotated[
        str | None, typer.Option("--question", help="Question asked after the caption.", rich_help_panel=_CAPTION)
    ] = None,
    answer: Annotated[str | None, typer.Option("--answer", help="Its answer.", rich_help_panel=_CAPTION)] = None,
    of: Annotated[
        str, typer.Option("--of", metavar="NAME", help="A map per word, token or answer.", rich_help_panel=_CAPTION)
    ] = "word",
    token: Annotated[
        list[str] | None,
        typer.Option("--token", metavar="WORD", help="Only this word; may be repeated.", rich_help_panel=_CAPTION),
    ] = None,
    foil: Annotated[
        str | None,
        typer.Option(
            "--foil", metavar="WORD", help="Why the word and not this one, and where.", rich_help_panel=_CAPTION
        ),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="occlusion, regions, integrated_gradients, gradient_x_input, gradient, smoothgrad, attention.",
            rich_help_panel=_METHOD,
        ),
    ] = "occlusion",
    level: Annotated[
        str | None,
        typer.Option(
            "--level",
            metavar="NAME",
            help="pixel, embedding or region.",
            show_default="the method's own",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    regions: Annotated[
        str | None,
        typer.Option(
            "--regions",
            metavar="SPEC",
            help="grid:8, patch, window:1+3, or a file of masks.",
            show_default="the method's own",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            metavar="NAME",
            help="What hides a region: neutral, blur, mean, swap.",
            show_default="the method's own",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    other: Annotated[
        str | None,
        typer.Option("--other", metavar="IMAGE", help="The image that swap takes from.", rich_help_panel=_METHOD),
    ] = None,
    samples: Annotated[
        int | None,
        typer.Option(
            "--samples",
            metavar="N",
            help="Noisy copies (smoothgrad) or pairs of orders (regions).",
            show_default="the method's own",
            rich_help_panel=_METHOD,
        ),
    ] = None,
    seed: common.Seed = 0,
    object_mask: Annotated[
        str | None,
        typer.Option(
            "--object-mask",
            metavar="FILE.png",
            help="Mask of an object, white on black: does each map find it?",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FOLDER", help="Where the files go.", rich_help_panel=_OUTPUT)
    ] = "saliency",
    html: Annotated[
        str | None,
        typer.Option(
            "--html", metavar="FILE.html", help="Also write the report, with scores and maps.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    model: common.Model = None,
    revision: common.Revision = None,
    dtype: common.Dtype = "auto",
    device: common.Device = "auto",
    device_map: common.DeviceMap = None,
    load_in_4bit: common.LoadIn4Bit = False,
    load_in_8bit: common.LoadIn8Bit = False,
    attn_implementation: common.AttnImplementation = None,
    allow_pickle: common.AllowPickle = False,
    trust_remote_code: common.TrustRemoteCode = False,
    batch_size: common.BatchSize = "auto",
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Map each word of CAPTION to the part of the image it comes from.

    Writes a folder: an overlay per word, a sheet of all of them on one scale, the raw maps (maps.safetensors) and their
    figures (saliency.json). Blue speaks for the word, red against it.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        import causal_attrib
        from causal_attrib import views
        from causal_attrib.attribution import check_writable
        from causal_attrib.evaluation.localisation import localise, read_mask
        from causal_attrib.files import replace_file
        from causal_attrib.vlm.images import read_picture

        if html is not None:
            check_writable(html)
        picture = read_picture(image)
        mask_HW = None if object_mask is None else read_mask(object_mask, *picture.pixels.size)
        vlm = common.load(
            model,
            debug=debug,
            revision=revision,
            dtype=dtype,
            device=device,
            device_map=device_map,
            load_in_4bit=load_in_4bit,
            load_in_8bit=load_in_8bit,
            attn_implementation=attn_implementation,
            allow_pickle=allow_pickle,
            trust_remote_code=trust_remote_code,
        )
        if caption is None:
            caption = vlm.describe(picture, prompt)
        asked = {"prompt": prompt, "question": question, "answer": answer}
        maps = causal_attrib.saliency(
            picture,
            caption,
            model=vlm,
            **asked,
            method=method,
            level=level,
            words=token,
            foil=foil,
            of=of,
            baseline=baseline,
            other=other,
            regions=regions,
            samples=samples,
            batch_size=int(batch_size) if batch_size.isdecimal() else batch_size,
            seed=seed,
        )
        known = None
        if mask_HW is not None:
            found = [localise(map_HW, mask_HW) for map_HW in maps.at_size(*picture.pixels.size)]
            known = tuple(
                {"hit": one.hit, "mass": one.mass, "area": one.area, "mass_above_area": one.mass_above_area}
                for one in found
            )
        files = views.write_saliency(out, maps, picture.pixels, known)
        if html is not None:
            attribution = causal_attrib.score(picture, caption, model=vlm, **asked, seed=seed)
            replace_file(html, views.report(attribution, maps).encode())
        common.stdout().print(views.saliency_table(maps, known))
        if not quiet:
            common.tell(f"Wrote {len(files)} files to {out}" + (f" and {html}" if html else ""))
