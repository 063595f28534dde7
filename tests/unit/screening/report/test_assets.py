import base64
import hashlib
from pathlib import Path

import pytest

from screening.errors import ReportError
from screening.report import assets


def test_the_policy_allows_these_texts_and_nothing_else() -> None:
    digest = base64.b64encode(hashlib.sha256(b"a {}").digest()).decode()
    allowed = assets.policy(["a {}"])
    assert allowed.split("; ") == [
        "default-src 'none'",
        "script-src 'none'",
        f"style-src 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_script_can_stand_in_a_page() -> None:
    script = assets.table_script("report.js")
    assert not any(mark in script for mark in ("<!--", "<script", "</script"))
    assert "SpryMedia" in script  # licences stay with what they are of
    assert "export{" not in script


def test_another_bundle_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "html").mkdir()
    (tmp_path / assets.BUNDLE).write_text("export{a as other};")
    monkeypatch.setattr(assets, "files", lambda _: tmp_path)
    assets._bundle.cache_clear()
    with pytest.raises(ReportError, match="exports no DataTables; install the version"):
        assets._bundle()
    assets._bundle.cache_clear()


@pytest.mark.parametrize("name", ["page.css", "report.css", "evaluation.css"])
def test_styles_ask_for_nothing(name: str) -> None:
    assert "url(" not in assets.style(name)
    assert "@import" not in assets.style(name)
