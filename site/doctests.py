"""Examples in docstrings as code: without this, `>>>` is a quotation within quotations."""

import griffe


class Doctests(griffe.Extension):
    def on_object(self, *, obj, **kwargs):
        if obj.docstring is not None:
            obj.docstring.value = fenced(obj.docstring.value)


def fenced(text):
    """The same text with a fence around each run of lines that begins with `>>>` and ends with an empty line."""
    lines, inside = [], False
    for line in text.splitlines():
        begins = line.lstrip().startswith(">>>")
        if inside and not line.strip():
            lines.append("```")
            inside = False
        elif begins and not inside:
            # Away from a section before it (Raises:), to which it would be taken to belong.
            lines += ["", "```pycon"]
            inside = True
        lines.append(line)
    return "\n".join([*lines, "```"] if inside else lines)
