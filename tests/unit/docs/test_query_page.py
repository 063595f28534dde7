from pathlib import Path

from campaigns.publish_spec import PublishSpec
from screening.publishing.publication import CAMPAIGN_COLUMNS
from screening.tables.row_query import KEYWORDS, SHORT_NAMES

DOCS = Path(__file__).parents[3] / "docs"


def test_what_may_be_written_is_explained() -> None:
    page = (DOCS / "query.md").read_text(encoding="utf-8")
    words = {*SHORT_NAMES, *SHORT_NAMES.values(), *CAMPAIGN_COLUMNS}
    assert not {word for word in words if f"`{word}`" not in page}
    assert not {word for word in set(KEYWORDS) - {"true", "false"} if word not in page}


def test_every_field_of_publish_is_explained() -> None:
    page = (DOCS / "campaigns.md").read_text(encoding="utf-8").partition("## `publish`")[2]
    assert not {name for name in PublishSpec.model_fields if f"`{name}`" not in page}
