from pathlib import Path

import fsspec
import pytest

from screening.errors import ResultsError
from screening.models.cell_output import replaced


def _stop_half_way(output: Path) -> None:
    with replaced(str(output)) as temporary:
        temporary.write_bytes(b"half")
        raise RuntimeError("stopped")


def test_a_file_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "new" / "cells.h5ad"
    with pytest.raises(RuntimeError, match="stopped"):
        _stop_half_way(output)
    assert list(output.parent.iterdir()) == []
    with replaced(str(output)) as temporary:
        temporary.write_bytes(b"whole")
        assert not output.exists()
    assert [path.name for path in output.parent.iterdir()] == ["cells.h5ad"]
    assert output.read_bytes() == b"whole"


def test_the_file_can_be_read_by_whom_others_can(tmp_path: Path) -> None:
    ordinary, output = tmp_path / "ordinary", tmp_path / "cells.h5ad"
    ordinary.touch()
    with replaced(str(output)) as temporary:
        temporary.write_bytes(b"")
    assert output.stat().st_mode == ordinary.stat().st_mode


def test_remote_outputs_are_uploaded() -> None:
    with replaced("memory://cell-output/cells.h5ad") as temporary:
        temporary.write_bytes(b"whole")
    assert fsspec.filesystem("memory").cat_file("/cell-output/cells.h5ad") == b"whole"


def test_what_cannot_be_written_is_told_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ResultsError, match="can't be written"), replaced(str(tmp_path / "file" / "cells.h5ad")):
        pytest.fail("the work began")
    with pytest.raises(ResultsError, match="can't be written"), replaced("nowhere://cells.h5ad"):
        pass
