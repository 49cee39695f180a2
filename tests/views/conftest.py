import hashlib

import pytest
from PIL import Image

from causal_attrib import Attribution, Token


@pytest.fixture
def picture_path(tmp_path):
    path = tmp_path / "dusk <1>.png"
    Image.new("RGBA", (40, 20), (255, 0, 0, 128)).save(path)
    return path


@pytest.fixture
def sunset(picture_path):
    """A true word, a false one, a token without scores, and all that HTML and rich would read as markup."""
    tokens = [
        Token(0, "dog", 7, 0, 0, 3, -0.5, 1.0, 0.25, 0.015625, 0.75, 0.35),
        Token(1, " <b>[red]", 8, 1, 3, 12, -0.5, 1.0, 0.0, 0.0, 0.0, 0.0),
        Token(2, "\n", 9, 1, 12, 13),
        Token(3, 'sun"set', 10, 2, 13, 20, -4.0, 2.0, 0.0, 0.0, -0.5, 0.0),
    ]
    return Attribution(
        'dog <b>[red]\nsun"set</script>',
        tokens,
        image={"path": str(picture_path), "sha256": hashlib.sha256(picture_path.read_bytes()).hexdigest()},
        model={"id": "bundled", "dtype": "float32", "device": "cpu"},
        outcome={"name": "grounding", "value": 0.5, "meaning": "what <it> meant"},
        cost={"forwards": 1234, "positions": 56789, "seconds": 1.25},
        settings={"mask": "zero", "samples": None},
        tool={"name": "copo", "version": "0.1.0"},
    )
