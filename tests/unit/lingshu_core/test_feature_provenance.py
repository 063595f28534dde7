import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import FeatureFile
from lingshu_core.feature_provenance import feature_provenance


def npz(**arrays: Any) -> FeatureFile:
    content = io.BytesIO()
    np.savez(content, names=np.array(["A", "B"]), features=np.eye(2), **arrays)
    return FeatureFile("table.npz", content.getvalue(), "")


def parquet(metadata: dict[str, str]) -> FeatureFile:
    table = pa.table({"name": ["A", "B"], "x": [1.0, 2.0]}).replace_schema_metadata(metadata)
    content = io.BytesIO()
    pq.write_table(table, content)
    return FeatureFile("table.parquet", content.getvalue(), "")


@pytest.mark.parametrize("file", [npz(), parquet({}), parquet({"other": "x"})])
def test_most_tables_say_nothing(file: FeatureFile) -> None:
    found = feature_provenance(file)
    assert found.cells == ()
    assert found.data_digest == ""


@pytest.mark.parametrize(
    "file",
    [
        npz(fitted_on=np.array(["c1", "c2"]), data_digest=np.array("abc")),
        parquet({"fitted_on": json.dumps(["c1", "c2"]), "data_digest": "abc"}),
    ],
)
def test_a_table_tells_what_it_was_made_from(file: FeatureFile) -> None:
    found = feature_provenance(file)
    assert found.cells == ("c1", "c2")
    assert found.data_digest == "abc"


@pytest.mark.parametrize("file", [parquet({"fitted_on": "{"}), npz(fitted_on=np.array([{}], dtype=object))])
def test_what_cannot_be_read_is_refused(file: FeatureFile) -> None:
    with pytest.raises(FeatureError, match="`fitted_on` has to be a list of the names of cells"):
        feature_provenance(file)
