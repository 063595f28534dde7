import pytest

from actors.redaction import redacted, without_secrets

PLANTED = {
    "AWS_ACCESS_KEY_ID": "AKIAPLANTED1",
    "AWS_SECRET_ACCESS_KEY": "planted/secret+key",
    "AWS_SESSION_TOKEN": "planted/secret+key-and-more",
    "RAY_AUTH_TOKEN": "0123456789abcdef",
    "RAY_AUTH_TOKEN_PATH": "/etc/ray/token",
    "MY_PASSWORD": "short",
    "HOME": "/home/somebody",
}


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://bucket/prefix", "s3://bucket/prefix"),
        ("s3://key:se/cr@et@bucket/x", "s3://***@bucket/x"),
        ("https://host/x?X-Amz-Signature=abc&y=1", "https://host/x?***"),
        ("http://root:hush@host:9000/x?token=1", "http://***@host:9000/x?***"),
        ("results/a@0.1?", "results/a@0.1?"),
    ],
)
def test_a_url_is_told_as_it_was_written_without_what_opens_a_door(url: str, told: str) -> None:
    assert redacted(url) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("key AKIAPLANTED1 and planted/secret+key.", "key *** and ***."),
        ("planted/secret+key-and-more", "***"),
        ("RAY_AUTH_TOKEN=0123456789abcdef of /etc/ray/token", "RAY_AUTH_TOKEN=*** of /etc/ray/token"),
        ("/home/somebody is short", "/home/somebody is short"),
        ('connect to "http://me:pw@host/x": no', 'connect to "http://***@host/x": no'),
        ("file:///out/DRUG@0.1 stays", "file:///out/DRUG@0.1 stays"),
        (
            "GET /x?X-Amz-Credential=AK%2F1&X-Amz-Signature=ab12 no",
            "GET /x?X-Amz-Credential=***&X-Amz-Signature=*** no",
        ),
    ],
)
def test_any_text_is_told_without_secrets(text: str, told: str) -> None:
    assert without_secrets(text, PLANTED) == told


def test_without_an_environment_that_of_the_process_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", PLANTED["AWS_SECRET_ACCESS_KEY"])
    assert without_secrets("it is planted/secret+key") == "it is ***"
