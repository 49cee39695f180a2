"""The README shows what the command prints."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = ("score", ROOT / "examples" / "park.png", "a dog and a red frisbee on the grass at sunset")
NUMBER = re.compile(r"-?\d+\.\d+")


def lines(text: str) -> list[str]:
    """Lines without numbers, rules and the time it took."""
    kept = [re.sub(r"\s+", " ", NUMBER.sub("#", line)).strip() for line in text.splitlines()]
    return [line for line in kept if line and "─" not in line]


def test_the_readme_s_example_is_the_output(copo):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", readme, re.DOTALL)[1]
    printed = copo(*COMMAND).stdout
    assert lines(shown) == lines(printed)
    without_time = [NUMBER.findall(re.sub(r"[\d.]+ s\b", "", text)) for text in (shown, printed)]
    assert [float(number) for number in without_time[0]] == pytest.approx(
        [float(number) for number in without_time[1]], abs=0.02
    )
