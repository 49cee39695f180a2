"""What the checks of every architecture share: the model, and where their measurements are noted for the page."""

import pytest

from tests.tiny_models import BUILDERS, tiny


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
