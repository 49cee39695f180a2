"""Chat templates of all manners, and those that are broken."""

import sys
import time

import pytest

import causal_attrib
from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM
from causal_attrib.vlm.conversation import Conversation, converse
from tests.conftest import PARK
from tests.tiny_models import tiny

USER = (
    "{% if m['role'] == 'user' %}[INST]{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}[/INST]"
)
# As Pixtral's: a list cannot be added to a string.
STRING_ALONE = (
    "{{ bos_token }}{% for m in messages %}" + USER + "{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}"
)
# A list is printed as Python prints it.
PRINTED = STRING_ALONE.replace("m['content'] + eos_token", "m['content'] }}{{ eos_token")
PARTS_ALONE = STRING_ALONE.replace("m['content'] + eos_token", "m['content'][0]['text'] + eos_token")


@pytest.fixture
def processor(monkeypatch):
    processor = tiny("llava_clip_llama").processor
    return lambda template: monkeypatch.setattr(processor, "chat_template", template) or processor


@pytest.mark.parametrize("template", [STRING_ALONE, PRINTED, PARTS_ALONE])
def test_what_the_assistant_says_is_given_as_the_template_takes_it(processor, template):
    expected = Conversation("<s>[INST]<image>Look.[/INST]", "", "</s>[INST]And?[/INST]")
    assert converse(processor(template), "Look.", "And?") == expected


def test_a_template_that_takes_strings_alone_scores(processor):
    known = tiny("llava_clip_llama")
    vlm = VLM(known.model, processor(STRING_ALONE), name="strings")
    scored = causal_attrib.score(PARK, "a red dog", model=vlm, question="Is it red?", answer="yes")
    assert "".join(token.text for token in scored.tokens).strip() == "a red dog"


def test_a_prompt_with_the_word_that_stands_for_the_response(processor):
    assert converse(processor(PARTS_ALONE), "RESPONSE?", "RESPONSES or RESPONSE?") == Conversation(
        "<s>[INST]<image>RESPONSE?[/INST]", "", "</s>[INST]RESPONSES or RESPONSE?[/INST]"
    )


@pytest.mark.parametrize(
    "template, said",
    [
        ("{% if %}", "cannot be used (Expected an expression"),
        ("{{ 1 / 0 }}", "cannot be used (division by zero)"),
        ("{{ raise_exception('only\none line') }}", "cannot be used (only one line)"),
        ("{{ messages[7]['content'] }}", "cannot be used"),
        ("{{ ''.__class__.__mro__ }}", "cannot be used"),
        ("hello", "leaves out what the model says"),
        (5, "cannot be used"),
        ("{% macro m(n) %}{{ m(n) }}{% endmacro %}{{ m(1) }}", "cannot be used (maximum recursion depth"),
    ],
    ids=str,
)
def test_broken_templates(processor, template, said):
    with pytest.raises(InputError) as error:
        converse(processor(template), "Look.")
    assert said in str(error.value) and "\n" not in str(error.value)


def test_a_template_without_an_end(processor):
    """Each loop is as long as Jinja allows; the three of them would take years."""
    loops = "".join(f"{{% for {name} in range(99999) %}}" for name in "abc") + "{% endfor %}" * 3
    tracer, began = sys.gettrace(), time.process_time()
    with pytest.raises(InputError, match="does not end within 1,000,000 steps"):
        converse(processor(loops), "Look.")
    assert time.process_time() - began < 20 and sys.gettrace() is tracer
