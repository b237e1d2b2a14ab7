"""docs/configuration.md is what the schema says."""

from lowtide.config.loader import PROJECT_ROOT, section_of
from lowtide.config.schema import LowtideConfig

from tests.docs.configuration_page import configuration_page

PAGE = (PROJECT_ROOT / "docs/configuration.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_schema_says() -> None:
    assert configuration_page() == PAGE, "run: python -m tests.docs.configuration_page > docs/configuration.md"


def test_the_page_has_every_key_of_every_section() -> None:
    sections = {name: section_of(field.annotation) for name, field in LowtideConfig.model_fields.items()}
    keys = [f"`{name}.{key}" for name, section in sections.items() if section for key in section.model_fields]
    assert len(keys) > 40
    assert [key for key in keys if key not in PAGE] == []
