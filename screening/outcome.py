"""The exit code of an error and its one message: the same for a command and for a run that no command waits for."""

from __future__ import annotations

EXIT_CRASH, EXIT_WRONG, EXIT_BAD_INPUT, EXIT_PARTIAL, EXIT_INTERRUPTED = 1, 1, 2, 3, 130


def outcome_of(error: Exception) -> tuple[int, str]:
    """Return the exit code of an error and the message that goes with it.

    An error that we raise on purpose speaks for itself. Any other is none that we expected, and the message says so.
    """
    from screening.errors import is_storage_error

    if isinstance(error, OSError):
        # A full disk, a folder that can't be written: the machine's own words are the clearest.
        said = f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error)
        return EXIT_BAD_INPUT, presentable(said)
    if is_storage_error(error):
        advice = "check the address, the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and AWS_ENDPOINT_URL"
        return EXIT_BAD_INPUT, presentable(f"the store can't be used: {error}; {advice}")
    if isinstance(error, _known_errors()):
        return EXIT_BAD_INPUT, presentable(str(error))
    summary = presentable(" ".join(str(error).split())[:400])
    return EXIT_CRASH, f"{type(error).__name__}: {summary} (a bug: `lingshu --debug …` shows the trace)"


def _known_errors() -> tuple[type[Exception], ...]:
    # Not before there is an error: the specs behind `campaigns` take longer to build than the help to print.
    from actors.errors import ActorsError
    from campaigns.errors import CampaignError
    from lingshu_core.errors import LingshuCoreError
    from screening.errors import ScreeningError

    return ActorsError, CampaignError, LingshuCoreError, ScreeningError


def presentable(message: str) -> str:
    """Leave out what is secret, and escape what would steer the terminal, line by line."""
    from actors.redaction import without_secrets
    from campaigns.errors import printable

    return "\n".join(map(printable, without_secrets(message).split("\n")))
