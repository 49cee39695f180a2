"""An outcome of the user's own: whatever is wrong with it is told in one sentence."""

import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.outcomes import Function, checked
from causal_attrib.outcomes.function import import_function, import_outcome

MODULE = '''
import sys
def right(text, reference): return 0.5
def documented(text, reference=None):
    """Whether it barks.

    More."""
    return 1
def blank(text, reference):
    " "
def keywords(*, text, reference): return 1
def short(text): return 1
def raises(text, reference): raise KeyError("two\\nlines")
def leaves(text, reference): sys.exit(7)
number = 3
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    number = 0

    def write(text=MODULE):
        nonlocal number
        number += 1
        name = f"outcome_of_{tmp_path.name}_{number}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


def test_a_function_of_the_current_folder(module):
    name = f"{module()}:right"
    assert Function(name, import_outcome(name), None)("a dog") == 0.5


def test_what_it_means_is_its_first_line(module):
    name = module()
    assert Function("m:f", import_outcome(f"{name}:documented"), None).meaning == "Whether it barks."
    assert Function("m:f", import_outcome(f"{name}:blank"), None).meaning == "the value of m:f"


@pytest.mark.parametrize("function", ["short", "keywords"])
def test_other_arguments(module, function):
    with pytest.raises(InputError, match=r"is called with \(text, reference\) and takes \(.*text.*\); give it"):
        import_outcome(f"{module()}:{function}")


def test_a_function_in_c_tells_nothing_of_its_arguments():
    assert import_outcome("math:hypot")(3, 4) == 5.0


@pytest.mark.parametrize("function", ["number", "nothing", "a.b"])
def test_no_function(module, function):
    with pytest.raises(InputError, match=f"has no function '{function}'"):
        import_function(f"{module()}:{function}")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", r"ZeroDivisionError \(division by zero\)"),
        ("def f(:", "SyntaxError"),
        ("import no_such_module_at_all", "No module named 'no_such_module_at_all'"),
        ("raise ValueError('two\\nlines')", r"ValueError \(two lines\)"),
    ],
)
def test_a_module_that_cannot_be_imported(module, text, told):
    with pytest.raises(InputError, match=f"cannot be imported.*{told}") as error:
        import_function(f"{module(text)}:f")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (":f", "names no function of a module; give module:function"),
        ("module:", "names no function of a module"),
        ("..up:f", "names no function of a module"),
        ("no\nmodule:f", "cannot be imported"),
    ],
)
def test_names_that_are_none(name, told):
    with pytest.raises(InputError, match=told) as error:
        import_function(name)
    assert "\n" not in str(error.value)


def test_a_function_that_fails(module):
    name = f"{module()}:raises"
    with pytest.raises(InputError, match=r"raises failed with KeyError \('two.nlines'\); mend the function"):
        Function(name, import_outcome(name), None)("a dog")


def test_the_program_is_not_ended(module):
    name = f"{module()}:leaves"
    with pytest.raises(RuntimeError, match=r"leaves called sys.exit\(7\)"):
        Function(name, import_outcome(name), None)("a dog")
    with pytest.raises(RuntimeError, match=r"called sys.exit\(None\) when imported"):
        import_function(f"{module('import sys; sys.exit()')}:f")


@pytest.mark.parametrize(
    "r", [None, "0.5", b"1", [0.5], float("nan"), float("inf"), -0.01, 3, 10**400, 1j, torch.zeros(2), "x" * 500]
)
def test_what_is_no_outcome(r):
    with pytest.raises(InputError, match=r"The outcome mine:f gave .{1,120}; an outcome must be a number from 0 to 1"):
        checked(r, "mine:f")


@pytest.mark.parametrize(("r", "value"), [(True, 1.0), (1 + 1e-7, 1.0), (-1e-7, 0.0), (torch.tensor(0.25), 0.25)])
def test_what_is_one(r, value):
    assert checked(r, "mine:f") == value
