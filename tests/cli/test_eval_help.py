import pytest


def test_flags_with_underscores(copo):
    assert (
        "no file none.jsonl"
        in copo("eval", "chair", "--captions", "none.jsonl", "--objects", "x", "--group_by", "a").stderr
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["eval", "chair"], "ground truth is one of"),
        (["eval", "chair", "--objects", "o.json"], "give --captions FILE, or --model"),
        (["eval", "pope"], "Missing option"),
        (["eval", "amber"], "Missing option"),
        (["eval", "amber", "--annotations", "a.json"], "give --responses FILE, or --model"),
        (["pope", "build"], "Missing option"),
    ],
)
def test_missing_flags_are_exit_code_2(copo, arguments, told):
    result = copo(*arguments)
    assert result.exit_code == 2 and told in result.stderr
