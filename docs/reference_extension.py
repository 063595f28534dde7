"""An extension of griffe: docstrings as the reference can show them. Nothing is imported, all is read from the source.

- Fields of campaigns say what they are in ``Field(description=…)``, which the JSON schemas have too: that becomes their
  docstring, and their default stands where the call stood.
- ``a, b`` with one text in a numpydoc section becomes two entries, each with its own type.
- Roles such as ``:func:`name` `` become plain code.
- Trees of errors are left out; docs/errors.md has them.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from griffe import Attribute, Docstring, ExprCall, ExprKeyword, ExprName, Extension, Module, Object

ROLE = re.compile(r":(?:func|class|meth|mod|attr|data):`~?([^`]+)`")
SEVERAL = re.compile(r"^(\w+(?:, \w+)+)((?: : .*)?)\n((?:    .*\n?)+)", re.MULTILINE)


class ReadableDocstrings(Extension):
    """Prepares docstrings for Markdown."""

    def on_instance(self, *, obj: Object, **kwargs: Any) -> None:
        """Split entries that share a text, and drop roles."""
        if obj.docstring is not None:
            text = SEVERAL.sub(_one_by_one, obj.docstring.value)
            obj.docstring.value = ROLE.sub(r"`\1`", text)

    def on_module_instance(self, *, mod: Module, **kwargs: Any) -> None:
        """Leave out trees."""
        if mod.docstring is not None and "├──" in mod.docstring.value:
            mod.docstring = None

    def on_attribute_instance(self, *, attr: Attribute, **kwargs: Any) -> None:
        """Replace ``Field(default=…, description=…)`` by what it says."""
        value = attr.value
        if not isinstance(value, ExprCall) or str(value.function) != "Field":
            return
        said = {each.name: each.value for each in value.arguments if isinstance(each, ExprKeyword)}
        words = said.get("description")
        if isinstance(words, ExprName):  # a constant further up in the same module
            words = attr.module[words.name].value
        if words is not None:
            attr.docstring = Docstring(ast.literal_eval(str(words)), parent=attr)
        attr.value = said.get("default")


def _one_by_one(match: re.Match[str]) -> str:
    """Repeat the text of several names for each of them."""
    names, kind, text = match.groups()
    text = text if text.endswith("\n") else f"{text}\n"
    return "".join(f"{name}{kind}\n{text}" for name in names.split(", "))
