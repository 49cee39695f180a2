"""The README shows what the command prints."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = ("score", ROOT / "examples" / "park.png", "a dog and a red frisbee on the grass at sunset")
NUMBER = re.compile(r"-?\d+\.\d+")


def words(text: str) -> list[str]:
    """All that is said but the numbers; where a line is broken depends on the terminal."""
    return re.sub(r"─+", " ", NUMBER.sub("#", text)).split()


def test_the_readme_s_example_is_the_output(copo):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", readme, re.DOTALL)[1]
    printed = copo(*COMMAND).stdout
    assert words(shown) == words(printed)
    without_time = [NUMBER.findall(re.sub(r"[\d.]+ s\b", "", text)) for text in (shown, printed)]
    assert [float(number) for number in without_time[0]] == pytest.approx(
        [float(number) for number in without_time[1]], abs=0.02
    )
