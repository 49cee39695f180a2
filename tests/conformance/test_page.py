"""docs/models.md tells of the models and checks that there are."""

from pathlib import Path

import pytest
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from tests.conformance.page import CHECKS, UNTRIED, classes_tested, refused_classes
from tests.tiny_models import BUILDERS

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_page_has_every_model_and_every_check():
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    results = [row for row in table if len(row) == len(CHECKS) + 1]
    assert results[0] == ["model", *CHECKS]
    assert [row[0] for row in results[1:]] == list(BUILDERS)
    assert all(all(row) for row in results)


@pytest.mark.skipif(not transformers.__version__.startswith("5.23."), reason="another version knows other classes")
def test_every_class_of_transformers_is_tested_refused_or_named_as_untried():
    tested, refused, untried = classes_tested(), set(refused_classes()), set(UNTRIED)
    known = set(MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.values())
    assert known - tested - refused - untried == set()
    assert (refused | untried) - known == set()
    assert not tested & untried and not tested & refused and not refused & untried
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in refused | untried)
