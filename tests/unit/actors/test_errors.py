import inspect
import re

import actors.errors
from actors.errors import ActorsError

CLASSES = {name: each for name, each in vars(actors.errors).items() if inspect.isclass(each)}


def test_every_error_hangs_on_the_root() -> None:
    assert all(issubclass(each, ActorsError) for each in CLASSES.values())


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    tree = actors.errors.__doc__ or ""
    drawn = {name: len(indent) // 4 for indent, name in re.findall(r"^([│├└─ ]*)(\w+Error|\w+)(?: |$)", tree, re.M)}
    depths = {name: len(each.__mro__) - len(ActorsError.__mro__) for name, each in CLASSES.items()}
    assert {name: drawn.get(name) for name in depths} == depths


def test_every_error_says_what_it_means() -> None:
    assert all(each.__doc__ for each in CLASSES.values())
