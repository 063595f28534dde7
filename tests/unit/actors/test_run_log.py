import io
import json
import logging
import threading
from collections.abc import Callable, Iterator

import pytest

from actors import run_log
from actors.errors import BadLogFormat
from actors.run_log import label_process, log_environment, logged_as, start_logging, stop_logging

LOGGER = logging.getLogger("actors.test_run_log")
SECRET = "planted/secret/key/0123456789"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], io.StringIO]]:
    """Log into a stream: `logged("json")`."""
    monkeypatch.setattr(run_log, "_process", {})
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    handlers = []

    def start(form: str) -> io.StringIO:
        stream = io.StringIO()
        handlers.append(start_logging(form, stream))
        return stream

    yield start
    for handler in handlers:
        stop_logging(handler)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_which_run_replica_and_lease_it_is_of(logged: Callable[[str], io.StringIO]) -> None:
    stream = logged("json")
    label_process(campaign="tiny", run_id="ab12", replica="", node="n1")
    with logged_as(replica="replica-3", lease="l1"):
        LOGGER.info("lease %s", "begins")
        LOGGER.warning("task failed", extra={"task": "t1", "replica": "replica-4"})
    LOGGER.info("idle")
    first, second, third = lines(stream)
    assert {**first, "time": "", "host": "", "process": 0} == {
        **{"time": "", "level": "info", "logger": "actors.test_run_log", "message": "lease begins"},
        **{"campaign": "tiny", "run_id": "ab12", "replica": "replica-3", "node": "n1", "lease": "l1"},
        **{"host": "", "process": 0},
    }
    assert (second["level"], second["task"], second["replica"]) == ("warning", "t1", "replica-4")
    assert "lease" not in third


def test_a_thread_is_of_the_process_and_of_no_lease(logged: Callable[[str], io.StringIO]) -> None:
    stream = logged("json")
    label_process(campaign="tiny")
    with logged_as(lease="l1"):
        thread = threading.Thread(target=lambda: LOGGER.info("beat"))
        thread.start()
        thread.join()
    (line,) = lines(stream)
    assert line["campaign"] == "tiny"
    assert "lease" not in line


def test_words_name_the_same_in_brackets(logged: Callable[[str], io.StringIO]) -> None:
    stream = logged("text")
    with logged_as(campaign="tiny", lease="l1"):
        LOGGER.info("two\nlines")
    assert stream.getvalue().endswith("info    actors.test_run_log: two lines [campaign=tiny lease=l1]\n")


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_credential_is_logged(logged: Callable[[str], io.StringIO], form: str) -> None:
    stream = logged(form)
    with logged_as(lease=SECRET):
        LOGGER.warning("denied for %s at http://me:hush-hush@host/", SECRET)
        LOGGER.warning("%s%s", "x" * (run_log.LONGEST_LINE - 10), SECRET)  # none is cut into halves either
        try:
            raise OSError(f"signature X-Amz-Signature=abcdef0123 for {SECRET}")
        except OSError:
            LOGGER.exception("it failed")
    text = stream.getvalue()
    assert "denied for ***" in text
    assert "Traceback" in text
    for part in (SECRET, SECRET[:10], "hush-hush", "abcdef0123"):
        assert part not in text


def test_libraries_are_heard_from_warnings_on(logged: Callable[[str], io.StringIO]) -> None:
    stream = logged("json")
    logging.getLogger("library").info("chatter")
    logging.getLogger("library").warning("trouble")
    assert [line["message"] for line in lines(stream)] == ["trouble"]


def test_starting_again_changes_the_format_and_doubles_nothing(logged: Callable[[str], io.StringIO]) -> None:
    first, second = logged("text"), logged("json")
    LOGGER.info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def test_a_format_that_there_is_not_is_told() -> None:
    with pytest.raises(BadLogFormat, match="LINGSHU_LOG is 'xml' and has to be text or json"):
        log_environment({"LINGSHU_LOG": "xml"})
    assert log_environment({"LINGSHU_LOG": "json", "HOME": "/x"}) == {"LINGSHU_LOG": "json"}
    assert log_environment({"LINGSHU_LOG": ""}) == {}
