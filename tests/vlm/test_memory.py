"""Whether weights fit, told from the headers of their files."""

import pytest
import torch
from safetensors.torch import save_file

from causal_attrib.errors import InputError
from causal_attrib.io.hub import Home
from causal_attrib.vlm.memory import _left_to_container, check_room, count_weights, free_bytes, needed_bytes

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    "counts, dtype, bits, need",
    [
        ({"F32": 10}, "auto", None, 40),
        ({"F32": 10}, "bfloat16", None, 20),
        ({"BF16": 10, "F32": 2}, "auto", None, 28),
        ({"BF16": 10, "F32": 2}, "float32", None, 48),
        ({"I64": 3, "F16": 1}, "float32", None, 28),  # whole numbers stay what they are
        ({"U8": 5, "F8_E4M3": 5}, "float32", None, 10),
        ({"BF16": 10}, "auto", 8, 10),
        ({"BF16": 10}, "float32", 4, 5),
    ],
)
def test_bytes_once_loaded(counts, dtype, bits, need):
    assert needed_bytes(counts, dtype, bits) == need


def test_weights_are_counted_by_type(tmp_path):
    assert count_weights(Home(str(tmp_path))) is None
    (tmp_path / "config.json").write_text("{}")
    assert count_weights(Home(str(tmp_path))) is None
    save_file(
        {"a": torch.zeros(2, 3), "b": torch.zeros(5).half(), "c": torch.tensor(1.0)}, tmp_path / "model.safetensors"
    )
    assert count_weights(Home(str(tmp_path))) == {"F32": 7, "F16": 5}


def test_weights_of_all_shards_are_counted(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    save_file({"a": torch.zeros(2, 3)}, tmp_path / "one.safetensors")
    save_file({"b": torch.zeros(4)}, tmp_path / "two.safetensors")
    (tmp_path / "model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}'
    )
    assert count_weights(Home(str(tmp_path))) == {"F32": 10}


def test_room_is_asked_for():
    free = free_bytes(CPU)
    if free is None:
        pytest.skip("free memory cannot be told here")
    assert 0 < free < 10**15
    check_room("a model", 1, CPU)
    with pytest.raises(
        InputError, match=r"The weights of a model take \d+\.\d GB and cpu has \d+\.\d GB of memory free"
    ):
        check_room("a model", 2 * free, CPU)


def test_where_free_memory_cannot_be_told_nothing_is_refused():
    assert free_bytes(torch.device("meta")) is None
    check_room("a model", 1e30, torch.device("meta"))


def test_a_container_has_its_own_limit(tmp_path):
    assert _left_to_container(tmp_path) == []
    for name, content in {"memory.max": "max", "memory.current": "700", "memory.stat": "anon 400\nfile 300"}.items():
        (tmp_path / name).write_text(content + "\n")
    assert _left_to_container(tmp_path) == []
    (tmp_path / "memory.max").write_text("1000\n")
    assert _left_to_container(tmp_path) == [600]
