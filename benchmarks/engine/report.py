"""Tables in Markdown, and which aims were reached."""

from __future__ import annotations

from collections.abc import Sequence

from ways import Way


def number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def show_ways(title: str, ways: Sequence[Way], floor: float | None) -> dict:
    """One table; ratios are to the ways above, the factor is to the floor."""
    print(f"### {title}\n")
    first = ways[0].median
    rows = []
    for way in ways:
        seconds = way.median
        difference = way.difference if isinstance(way.difference, str) else f"{way.difference:.1e}"
        rows.append(
            [
                way.name,
                number(seconds),
                number(first / seconds, ".1f") if seconds and first else "-",
                number(seconds / floor) if seconds and floor else "-",
                difference if way.right else f"WRONG: {difference}",
                "all" if way.share == 1 else f"{way.share:.3f}",
            ]
        )
    if floor:
        rows.append(["floor", number(floor), number(first / floor, ".1f") if first else "-", "1.00", "", ""])
    table(["way", "CPU s", "x first", "x floor", "max difference (nats)", "share measured"], rows)
    return {"ways": [way.record() for way in ways], "floor": floor}


def seconds_of(job: dict | None, name: str) -> float | None:
    return next((way["seconds"] for way in (job or {}).get("ways", ()) if way["name"] == name), None)


def aims(results: dict) -> list[dict]:
    """Each aim with what was measured; None where something it needs is missing."""
    reached = []

    def aim(what: str, limit: float, value: float | None, at_least: bool) -> None:
        holds = None if value is None else bool(value >= limit if at_least else value <= limit)
        reached.append({"aim": what, "limit": limit, "measured": value, "reached": holds})

    def ratio(above: float | None, below: float | None) -> float | None:
        return above / below if above and below else None

    for name, result in results["models"].items():
        scores, sampled, peers = result.get("scores"), result.get("sampled"), result.get("peers")
        if scores:
            packed = seconds_of(scores, "PackedEngine")
            pixels, cached = (seconds_of(scores, f"by hand, {how}") for how in ("with pixels", "vision once"))
            aim(f"{name}: scores, times faster than by hand with pixels", 30, ratio(pixels, packed), True)
            aim(f"{name}: scores, times faster than by hand with vision once", 10, ratio(cached, packed), True)
            aim(f"{name}: scores, times the floor", 1.2, ratio(packed, scores["floor"]), False)
        if sampled:
            packed = seconds_of(sampled, "PackedEngine")
            drawing = seconds_of(sampled, "PackedEngine, drawing alone")
            naive = seconds_of(sampled, "generate for each prefix, with pixels")
            aim(f"{name}: drawing, times faster than generate", 28, ratio(naive, drawing), True)
            aim(f"{name}: sampled, times the floor", 1.2, ratio(packed, sampled["floor"]), False)
        for job in peers or ():
            mine = seconds_of(job, "PackedEngine")
            for way in job["ways"]:
                if way["name"].startswith(("captum", "inseq")) and way["right"]:
                    aim(f"{name}: times faster than {way['name']}", 2, ratio(way["seconds"], mine), True)
        if result.get("memory"):
            one = result["memory"]["one forward"]
            for job in ("scores", "sampled"):
                grown = result["memory"].get(f"{job}, PackedEngine")
                aim(f"{name}: {job}, peak memory over that of one forward", 1.7, ratio(grown, one), False)
    by_T = [point for point in results.get("growth", ()) if point["size"] == "T"]
    if by_T:
        factors = [point.get("factor") for point in by_T]
        aim("factor to the floor, longest caption over shortest", 1.0, ratio(factors[-1], factors[0]), False)
    return reached


def show_growth(points: Sequence[dict]) -> None:
    print("## Growth (llava)\n")
    rows = [
        [
            f"{point['size']} = {point['value']}",
            str(point["prompt"]),
            number(point["floor"], ".3f"),
            number(point.get("seconds"), ".3f"),
            number(point.get("factor")),
            number(point["forward_seconds"], ".3f"),
        ]
        for point in points
    ]
    table(["size", "P", "floor s", "PackedEngine s", "x floor", "one forward by hand s"], rows)
