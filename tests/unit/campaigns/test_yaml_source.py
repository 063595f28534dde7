from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import Problem, YamlError
from campaigns.yaml_source import MAX_BYTES, NO_SOURCE, dump_yaml, format_path, parse_yaml, read_yaml


def parse(text: str, **environment: str) -> dict[str, Any]:
    return dict(parse_yaml(text.encode(), "a.yaml", environment).data)


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2020-01-01", "2020-01-01"),
        ("=", "="),
        ("1e-3", 1e-3),
        ("1.", 1.0),
        (".5", 0.5),
        ("-0.5E+2", -50.0),
        ("12", 12),
        ("+12", 12),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775807", 1 - 2**63),
        ("0", 0),
        ("0x1F", 31),
        ("0o17", 15),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("'012'", "012"),
        ('"true"', "true"),
        ("text with # no comment", "text with"),
        ("STAT1+IRF1", "STAT1+IRF1"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(scalar: str, value: object) -> None:
    read = parse(f"key: {scalar}\n")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("a: 012\n", 1, "012 has a leading zero; write 12 for a number, '012' for a name"),
        ("a: -007\n", 1, "leading zero"),
        ("a: .inf\n", 1, "no finite number"),
        ("a: .NaN\n", 1, "no finite number"),
        ("a: 1e999\n", 1, "no finite number"),
        ("a: " + "9" * 5000, 1, "too large"),
        ("a: 9223372036854775808", 1, "too large"),
        ("a: 1\nb: 2\na: 3\n", 3, "key 'a' appears twice, first on line 1"),
        ("x:\n  a: 1\n  'a': 3\n", 3, "x.a: key 'a' appears twice, first on line 2"),
        ("a: 1\n12: 3\n", 2, "a key has to be text and '12' isn't"),
        ("a: 1\n[b]: 3\n", 2, "a key has to be text"),
        ("a: &x {b: 1}\nc:\n  <<: *x\n", 3, "merge keys"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]\n", 2, "tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
        ("a: !!str 1\n", 1, "isn't allowed"),
        ("a: ! 1\n", 1, "isn't allowed"),
        ("a: &x [*x]\n", 1, "levels deep once aliases are followed"),
        ("a: 1\nb: *x\n", 2, "undefined alias"),
        ("a: &x 1\nb: [" + "*x, " * 65 + "]\n", 2, "more than 64 aliases"),
        ("a: " + "[" * 40 + "]" * 40, 1, "levels deep"),
        ("a: " + "[" * 200_000, 1, "levels deep"),
        ("a: 1\n b: 2\n", 2, "isn't YAML"),
        ("a: [1, 2\n", 2, "isn't YAML"),
        ("a: 1\n---\nb: 2\n", 2, "isn't YAML"),
        ("a: 1\nb: \t@x\n", 2, "isn't YAML"),
        ("", 1, "is empty"),
        ("# nothing\n", 1, "is empty"),
        ("- a\n", 1, "no mapping at its top"),
        ("a: 1\nb: \x07\n", 2, "U+0007"),
        ('a: 1\nb: "\\0"\n', 2, "control character"),
        ('a: "\\ud800"\n', 1, "control character"),
        ('a: 1\nb: "\\U00110000"\n', 2, "out of range"),
        ("%YAML 1." + "1" * 5000 + "\n---\na: 1\n", 1, "out of range"),
        ("a: ${HOME}\n", 1, "only variables that begin with LINGSHU_"),
        ("a: 1\nb: [x, '${LINGSHU_UNSET}']\n", 2, "b[1]: variable LINGSHU_UNSET isn't set"),
        ("a: ${LINGSHU_EMPTY}\n", 1, "variable LINGSHU_EMPTY isn't set"),
        ("a: ${LINGSHU_A\n", 1, "without its `}`"),
        ("a: ${LINGSHU_UNSET:-${LINGSHU_A}}\n", 1, "one in another"),
        ("a: ${LINGSHU_NESTED}\n", 1, "the value of LINGSHU_NESTED holds"),
    ],
)
def test_what_is_not_strict_yaml_is_refused_with_its_line(text: str, line: int, said: str) -> None:
    environment = {"LINGSHU_A": "x", "LINGSHU_NESTED": "${LINGSHU_A}", "LINGSHU_EMPTY": "", "HOME": "secret"}
    with pytest.raises(YamlError) as caught:
        parse_yaml(text.encode(), "a.yaml", environment)
    assert said in str(caught.value)
    assert caught.value.line == line
    assert "secret" not in str(caught.value)


def test_an_alias_bomb_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 8)]
    with pytest.raises(YamlError, match="more than 30,000 keys and values"):
        parse_yaml("\n".join(lines[:8]).encode(), "a.yaml", {})


def test_problems_are_told_together() -> None:
    with pytest.raises(YamlError) as caught:
        parse("a: 012\nb: ${HOME}\nb: 3\n")
    assert [problem.line for problem in caught.value.problems] == [1, 2, 3]


def test_a_few_aliases_work() -> None:
    assert parse("a: &x {k: [1]}\nb: *x\n") == {"a": {"k": [1]}, "b": {"k": [1]}}


def test_every_field_has_its_line() -> None:
    source = parse_yaml(b"# first\na:\n  b:\n    - x\n    - {c: 1,\n       d: 2}\n", "a.yaml", {})
    assert source.lines[("a",)] == 2
    assert source.lines[("a", "b")] == 3
    assert source.lines[("a", "b", 0)] == 4
    assert source.lines[("a", "b", 1, "d")] == 6


def test_the_place_of_a_missing_field_is_the_block_around_it() -> None:
    source = parse_yaml(b"a:\n  b: [1]\n", "a.yaml", {})
    where = source.where(("a", "b", 7, "x"))
    assert (where.file, where.line, where.field) == ("a.yaml", 2, "a.b")


def test_without_a_file_the_whole_path_is_kept() -> None:
    where = NO_SOURCE.where(("a", 1, "odd key"))
    assert (where.line, where.field) == (None, 'a[1]["odd key"]')


def test_paths_are_written_as_users_read_them() -> None:
    assert format_path(("perturbations", "genetic", 3)) == "perturbations.genetic[3]"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${LINGSHU_A}/b", "x/b"),
        ("'${LINGSHU_A:-y}/b'", "x/b"),
        ("${LINGSHU_UNSET:-../data}/b", "../data/b"),
        ("${LINGSHU_EMPTY:-y}", "y"),
        ("${LINGSHU_UNSET:-}x", "x"),
        ("$LINGSHU_A $5", "$LINGSHU_A $5"),
        ("${LINGSHU_NUMBER}", "12"),
    ],
)
def test_variables_are_replaced_in_text(text: str, value: str) -> None:
    environment = {"LINGSHU_A": "x", "LINGSHU_EMPTY": "", "LINGSHU_NUMBER": "12"}
    assert parse(f"a: {text}\n", **environment) == {"a": value}


def test_variables_come_from_the_process_by_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LINGSHU_A", "x")
    (tmp_path / "a.yaml").write_text("a: ${LINGSHU_A}\n")
    assert read_yaml(tmp_path / "a.yaml").data == {"a": "x"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing.yaml", None, "No such file"),
        (".", None, "Is a directory"),
        ("nul\0.yaml", None, "null byte"),
        ("large.yaml", b"a: " + b"x" * MAX_BYTES, "larger than 1,048,576 bytes"),
        ("latin.yaml", "a: 1\nb: 5 µl\n".encode("latin-1"), "latin.yaml:2: byte 0xb5 is no UTF-8"),
        ("utf16.yaml", "a: 1\n".encode("utf-16"), "is no text in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_of_ours(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(YamlError, match=said):
        read_yaml(path)


YAML_LIKE = st.text(
    alphabet=st.one_of(st.sampled_from(list("{}[]:-,&*!|>'\"%@`#?<=. \n\t\\${}~01xue")), st.characters()),
    max_size=60,
)


@settings(max_examples=400)
@given(st.one_of(st.binary(max_size=60), YAML_LIKE.map(lambda text: text.encode("utf-8", "surrogatepass"))))
def test_nothing_but_a_yaml_error_comes_out_of_any_bytes(content: bytes) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        data = parse_yaml(content, "a.yaml", {}).data
    except YamlError as error:
        data, problems = {}, error.problems
    assert isinstance(data, dict)
    assert all(problem.file == "a.yaml" and problem.text for problem in problems)


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12)
ODD_TEXTS = st.sampled_from(
    ["no", "012", "09", "1e-3", "1:30", "0x1f", "", "~", "<<", "=", "2020-01-01", "a: b", "- x"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**63, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | ODD_TEXTS
    | TEXTS.filter(lambda text: "${" not in text),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXTS.filter(lambda text: text != "<<"), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS.filter(lambda text: text != "<<"), VALUES, max_size=4))
def test_what_is_dumped_is_read_back_as_it_was(data: dict[str, Any]) -> None:
    assert parse_yaml(dump_yaml(data).encode(), "a.yaml", {}).data == data
