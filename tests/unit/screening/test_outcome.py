import pytest

from actors.errors import StoreUnavailable
from campaigns.errors import VocabularyError, Where
from screening.errors import ResultsError
from screening.outcome import outcome_of


@pytest.mark.parametrize("error", [StoreUnavailable("no answer"), ResultsError("no answer"), OSError("no answer")])
def test_what_we_raise_on_purpose_speaks_for_itself(error: Exception) -> None:
    assert outcome_of(error) == (2, "no answer")


def test_a_file_that_fails_is_named() -> None:
    assert outcome_of(FileNotFoundError(2, "No such file", "a.yaml")) == (2, "a.yaml: No such file")


def test_several_problems_keep_their_lines_and_show_what_they_quote() -> None:
    error = VocabularyError([Where("a.yaml").problem("one \u202e"), Where("a.yaml").problem("two")])
    assert outcome_of(error) == (2, "a.yaml: one \\u202e\na.yaml: two")


def test_anything_else_is_a_bug() -> None:
    code, said = outcome_of(KeyError("x"))
    assert code == 1
    assert said.startswith("KeyError: 'x' (a bug")


def test_the_client_of_a_store_is_explained() -> None:
    botocore = pytest.importorskip("botocore.exceptions", reason="s3fs brings botocore")
    code, said = outcome_of(botocore.NoCredentialsError())
    assert code == 2
    assert "AWS_ACCESS_KEY_ID" in said
