from collections.abc import Callable
from pathlib import Path
from typing import Any

from screening.planning.asked import digest_of
from screening.planning.campaign import load_campaign

WriteScreen = Callable[..., Path]
FEW: dict[str, Any] = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}


def test_what_is_asked_is_the_same_wherever_it_is_computed(write_screen: WriteScreen) -> None:
    spec = load_campaign(write_screen(**FEW)).spec
    faster = load_campaign(write_screen(**FEW, compute={"backend": "ray", "replicas": 3})).spec
    other = load_campaign(write_screen(**FEW, seed=1)).spec
    assert digest_of(spec) == digest_of(faster) != digest_of(other)
