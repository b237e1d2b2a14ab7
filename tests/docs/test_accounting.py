"""docs/accounting.md says what the code does: each known error with its bounds and source."""

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.tracker.uncertainty import ENERGY_ERRORS, INTENSITY_ERRORS

PAGE = (PROJECT_ROOT / "docs" / "accounting.md").read_text(encoding="utf-8")
ERRORS = {**{name: error for name, error in ENERGY_ERRORS.items() if name != "none"}, **INTENSITY_ERRORS}


@pytest.mark.parametrize("name", ERRORS)
def test_the_table_has_the_error_with_its_bounds_and_its_source(name):
    error = ERRORS[name]
    assert f"| {name} | -{100 * error.below:.0f} % | +{100 * error.above:.0f} % | {error.source} |" in PAGE
