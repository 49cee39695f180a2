"""`copo select`: the prompts worth training on."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common


@common.reads_pictures
@common.flags_as("loading", common.LOADING)
def select(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="JSON Lines or Parquet, or a folder of scenes.", show_default=False)
    ],
    positional: Annotated[str | None, typer.Argument(metavar="OUT", hidden=True)] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help="JSON Lines file to write.", show_default=False),
    ] = None,
    keep: Annotated[float, typer.Option("--keep", help="Share of the prompts that is kept.")] = 0.6,
    reward: Annotated[
        str,
        typer.Option(
            "--reward",
            metavar="NAME",
            help="match, choice, numeric, yesno, objects, format, vicrit, or module:function.",
        ),
    ] = "match",
    num_generations: Annotated[int, typer.Option("--num-generations", help="Completions per prompt.")] = 8,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", metavar="N", help="Longest completion, in tokens.")
    ] = 256,
    image_root: Annotated[
        str | None,
        typer.Option("--image-root", help="What the paths of pictures start from.", show_default="the folder of DATA"),
    ] = None,
    system_prompt: Annotated[
        str | None,
        typer.Option(
            "--system-prompt", metavar="TEXT", help="System message for rows that have none; not written to OUT."
        ),
    ] = None,
    seed: common.Seed = 0,
    model: common.Model = None,
    json: common.Json = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    loading: dict,
) -> None:
    """Keep the prompts whose completions are right now and then: those that a group-relative method learns from.

    Completions of each prompt are sampled at temperature 1. The prompts whose rewards vary most are written, as rows
    that copo train and TRL take (HERO's gate, done beforehand).
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        # Before torch is imported, which takes seconds.
        from causal_attrib.training.recipe.check import check_reward_name, check_there

        out = common.place(out, positional, "FILE.jsonl")
        check_reward_name(reward)
        check_there(data)

        from causal_attrib.choices import check_seed
        from causal_attrib.io.json_files import check_rows_name
        from causal_attrib.training.data.reading import check_writable, read_data, with_system_prompt, write_data
        from causal_attrib.training.data.select import check_selection, sample_rewards, select_prompts
        from causal_attrib.training.scoring.rewards import check_names, check_not_async, check_reward, choose_reward

        judge = choose_reward(reward)
        check_not_async(reward, judge, "copo select")
        check_rows_name(out, "Prompts")
        check_writable(out)
        check_seed(seed)
        common.check_outputs([out], [data])
        rows = read_data(data, image_root=image_root)
        check_selection(rows, keep, num_generations, max_new_tokens)
        check_names(rows, data)
        check_reward(reward, judge, rows, data)
        vlm = common.load(model, debug=debug, **loading)
        asked = with_system_prompt(rows, system_prompt)
        from causal_attrib.training.data.prompt_lengths import check_lengths

        check_lengths(vlm, asked, data)
        with common.progress("Sampling", quiet=quiet) as progress:
            rewards = sample_rewards(
                vlm,
                asked,
                judge,
                num_generations,
                longest=max_new_tokens,
                seed=seed,
                progress=progress,
            )
        write_data(out, select_prompts(rows, rewards, keep))
        flat = sum(len(set(group)) == 1 for group in rewards)
        mean = sum(map(sum, rewards)) / (len(rewards) * num_generations)
        told = f"Mean reward {mean:.2f}; at {flat} of {len(rows)} prompts all completions got the same.\nWrote {out}"
        record = {"out": out, "prompts": len(rows), "mean_reward": mean, "all_alike": flat}
        if flat == len(rows) and not quiet:
            common.tell(
                "Warning: At no prompt do the rewards differ, so that a group-relative method learns nothing from what "
                "is written; choose another reward, longer completions, or prompts that are right now and then.",
                "yellow",
            )
        common.told(told, record, json=json, quiet=quiet)
