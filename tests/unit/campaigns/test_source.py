from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import ScreenSpec, SpecError, TrainSpec, dump_spec, load_any, load_screen, load_training


def test_the_kind_decides_what_is_read(write: Callable[..., Path], train_text: str, screen_text: str) -> None:
    assert isinstance(load_any(write(train_text)).spec, TrainSpec)
    assert isinstance(load_any(write(screen_text)).spec, ScreenSpec)


def test_the_source_knows_the_lines(write: Callable[..., Path], screen_text: str) -> None:
    path = write(screen_text)
    where = load_screen(path).source.where(("perturbations", "genetic"))
    assert (where.file, where.line) == (str(path), 6)


def test_variables_are_taken_from_the_given_environment(write: Callable[..., Path], screen_text: str) -> None:
    path = write(screen_text.replace("results/screen", "${LINGSHU_OUT:-results}/screen"))
    assert load_screen(path, {"LINGSHU_OUT": "s3://bucket"}).spec.output == "s3://bucket/screen"
    assert load_screen(path, {}).spec.output == "results/screen"


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("name: a\n", 1, "missing field 'kind'; write `kind: train` or `kind: screen`"),
        ("name: a\nkind: scren\n", 2, "kind: unknown kind 'scren'; nearest: screen"),
        ("name: a\nkind: [train]\n", 2, "kind: unknown kind"),
    ],
)
def test_a_file_of_no_kind_is_refused(write: Callable[..., Path], text: str, line: int, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_any(write(text))
    assert said in str(caught.value)
    assert caught.value.line == line


def test_a_file_of_the_other_kind_names_its_command(
    write: Callable[..., Path], train_text: str, screen_text: str
) -> None:
    with pytest.raises(SpecError, match=r"a `kind: screen` file is wanted; use `lingshu train`"):
        load_screen(write(train_text))
    with pytest.raises(SpecError, match=r"a `kind: train` file is wanted; use `lingshu run`"):
        load_training(write(screen_text))


def test_a_dumped_spec_is_read_back_the_same(write: Callable[..., Path], train_text: str, screen_text: str) -> None:
    odd = screen_text.replace("contexts: all_seen", "contexts: [{donor: ['012', 'no', '1e-3']}]")
    drugs = odd.replace("genetic: all_seen", "drug: [{name: X, doses: [1.0e-7, 3]}, Y]")
    for text in (train_text, screen_text, odd, drugs):
        spec = load_any(write(text)).spec
        assert load_any(write(dump_spec(spec), "resolved.yaml")).spec == spec
