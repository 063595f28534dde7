from __future__ import annotations

import sys

import pytest

from lingshu_core.cells import CellSource, read_cells
from lingshu_core.checkpoint import load_header
from lingshu_core.errors import CheckpointError, UnreadableCells


@pytest.mark.parametrize(
    ("url", "package", "extra"), [("gs://bucket/x", "gcsfs", "gcs"), ("az://container/x", "adlfs", "azure")]
)
def test_a_file_system_that_is_not_installed_is_told_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, url: str, package: str, extra: str
) -> None:
    known = sys.modules["fsspec.registry"]._registry  # what was loaded before is not looked for again
    monkeypatch.delitem(known, url.partition("://")[0], raising=False)
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    cure = rf"pip install 'lingshu-screen\[{extra}\]', on every node"
    with pytest.raises(CheckpointError, match=cure):
        load_header(url)
    with pytest.raises(UnreadableCells, match=cure):
        read_cells(CellSource(f"{url}.h5ad", {"perturbation": "perturbation"}))
