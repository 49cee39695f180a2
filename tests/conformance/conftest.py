"""What the checks of every architecture share: the model, and where their measurements are noted for the page."""

from pathlib import Path

import pytest

from tests.tiny_generic import RARE
from tests.tiny_models import BUILDERS, tiny

HERE = Path(__file__).parent
# What costs least and finds most.
QUICK = {
    "test_logits_equal_a_call_by_hand",
    "test_hidden_tokens_equal_an_edited_embedding_table",
    "test_a_hidden_word_is_read_on_no_path",
    "test_packed_branches_equal_rows_read_alone",
}


def pytest_collection_modifyitems(config, items):
    """All checks of all models take minutes: those of rare ones are made when the page is written."""
    if config.getoption("--models-page", None):
        return
    left_out = [
        item
        for item in items
        if item.path.parent == HERE
        and hasattr(item, "callspec")
        and item.originalname not in QUICK
        and any(value in RARE for value in item.callspec.params.values() if isinstance(value, str))
    ]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(params=BUILDERS)
def vlm(request):
    return tiny(request.param)


@pytest.fixture
def measured(request, vlm):
    """Note what was measured for the page, and hold it against its tolerance."""

    def note(check, value, tolerance):
        request.node.user_properties.append(("measured", (vlm.name, check, float(value), tolerance)))
        assert value <= tolerance

    return note


@pytest.fixture
def without(request, vlm):
    def note(check, reason):
        request.node.user_properties.append(("without", (vlm.name, check, reason)))
        pytest.skip(reason)

    return note
