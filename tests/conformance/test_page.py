"""docs/models.md tells of the models and checks that there are."""

from pathlib import Path

from tests.conformance.page import CHECKS
from tests.tiny_models import BUILDERS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_page_has_every_model_and_every_check():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    results = [row for row in table if len(row) == len(CHECKS) + 1]
    assert results[0] == ["model", *CHECKS]
    assert [row[0] for row in results[1:]] == list(BUILDERS)
    assert all(all(row) for row in results)
