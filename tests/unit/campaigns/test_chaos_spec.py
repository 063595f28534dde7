from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import SpecError, YamlError, load_chaos, load_screen

HEAD = "kind: chaos\nname: a\n"


def test_a_plan_is_read_with_its_defaults(write: Callable[..., Path]) -> None:
    spec = load_chaos(write(f'{HEAD}workers: {{kill: 0.1, out_of_memory: 0}}\nstore: {{"403": 1.0}}\n')).spec
    assert spec.workers == {"kill": 0.1, "out_of_memory": 0}
    assert spec.store == {"403": 1.0}
    assert (spec.seed, spec.strikes, spec.always) == (0, 2, False)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("workers: {kil: 0.1}\n", 3, "must be 'exit', 'kill', 'hang'"),
        ("workers: {kill: 1.5}\n", 3, "workers.kill: must be less than or equal to 1, not 1.5"),
        ("workers: {kill: often}\n", 3, "workers.kill: must be a number, not the text 'often'"),
        ("workers:\n  kill: 0.7\n  exit: 0.7\n", 3, "workers: the shares add up to 1.4; all together are 1 at most"),
        ("seed: 1\n", 1, "there is nothing to strike with; name faults in `workers` or `store`"),
        ("strikes: 1\nworkers: {nan: 0.1}\nstore: {'403': 0.1}\n", 3, "strikes: a 403 costs an attempt too"),
        ("strikes: 3\nworkers: {nan: 0.1}\n", 3, "strikes: must be less than or equal to 2, not 3"),
        ("always: true\nworkers: {raylet_kill: 0.1}\n", 3, "always: raylet_kill would take node after node down"),
        ("store: {'404': 0.1}\n", 3, "must be '403', '409', '412'"),
        ("store: {slow_body: 0.1}\nwrokers: {}\n", 4, "unknown key 'wrokers'; nearest: workers"),
    ],
)
def test_what_cannot_be_is_told_with_its_line(write: Callable[..., Path], text: str, line: int, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_chaos(write(HEAD + text))
    assert said in str(caught.value)
    assert caught.value.line == line


def test_a_number_as_a_key_is_put_into_quotes(write: Callable[..., Path]) -> None:
    with pytest.raises(YamlError, match="put it into quotes"):
        load_chaos(write(f"{HEAD}store: {{403: 0.1}}\n"))


def test_a_campaign_is_no_plan_of_faults(write: Callable[..., Path], screen_text: str) -> None:
    with pytest.raises(SpecError, match="a `kind: chaos` file is wanted; use `lingshu run`"):
        load_chaos(write(screen_text))
    with pytest.raises(SpecError, match="use `lingshu run --chaos`"):
        load_screen(write(f"{HEAD}workers: {{kill: 0.1}}\n"))
