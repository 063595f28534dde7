from __future__ import annotations

import inspect
import re

from lingshu_core import errors
from lingshu_core.errors import LingshuCoreError

CLASSES = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}


def test_every_error_hangs_on_the_root() -> None:
    assert len(CLASSES) > 5
    assert all(issubclass(each, LingshuCoreError) for each in CLASSES.values())


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    tree = errors.__doc__ or ""
    drawn = {name: len(indent) // 4 for indent, name in re.findall(r"^    ([│├└─ ]*)(\w+)(?= {2}|$)", tree, re.M)}
    depths = {name: len(each.__mro__) - len(LingshuCoreError.__mro__) for name, each in CLASSES.items()}
    assert drawn == depths


def test_every_error_says_what_it_means() -> None:
    assert all(each.__doc__ for each in CLASSES.values())
