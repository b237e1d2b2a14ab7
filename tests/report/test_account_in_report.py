"""Bounds, score and settlement are beside the figures that they are about."""

from lowtide.records import FirstValuation, SciScore, Settlement
from lowtide.report.text import Row, render_markdown, render_table
from lowtide.tracker.emissions import Valuation
from lowtide.tracker.uncertainty import emissions_interval

from tests.support.comparisons import NOW, compared, waiting_run
from tests.support.records import make_record
from tests.support.runs import METHODS
from tests.tracker.tracker_tools import valued

BOUNDS = emissions_interval(Valuation(rows=(valued(energy=(0.002, 0.006, 0.0002)),)), METHODS)


def table(**changes: object) -> dict[str, Row]:
    return {cells[0]: cells for cells in render_table(compared(make_record(), waiting_run(**changes)))}


def test_the_bounds_stand_under_the_emissions() -> None:
    """0.82 g, RAPL and NVML 40 %, the constant a factor of two, measured intensity 5 %."""
    names = list(table(uncertainty=BOUNDS))
    assert names[names.index("Emissions") + 1] == "within the methods' known errors"
    assert table(uncertainty=BOUNDS)["within the methods' known errors"][1:3] == ("n/a", "0.465 g to 1.22 g")


def test_the_score_says_per_what_and_whether_embodied_emissions_are_in_it() -> None:
    score = SciScore(
        gco2eq_per_unit=1 / 3,
        functional_unit="1000_samples",
        units=180.0,
        operational_gco2eq=50.0,
        embodied_gco2eq=10.0,
    )
    assert table(sci=score)["SCI score"][2] == "0.333 g per 1,000 samples, M included"
    alone = score.model_copy(
        update={"gco2eq_per_unit": 50.0, "functional_unit": "run", "units": 1.0, "embodied_gco2eq": None}
    )
    assert table(sci=alone)["SCI score"][2] == "50.0 g per run"


def test_a_record_of_an_older_version_has_neither_row() -> None:
    assert not {"SCI score", "within the methods' known errors"} & set(table())


def test_the_first_valuation_and_each_error_with_its_source_can_be_followed() -> None:
    first = FirstValuation(
        as_of=NOW,
        emissions_gco2eq=1.25,
        mean_carbon_intensity_gco2eq_per_kwh=180.0,
        intensity_kinds={"forecast": 1.0},  # type: ignore[dict-item]
    )
    settlement = Settlement(settled_at=NOW, settled_energy_share=0.96, sources=("neso",))
    settled = waiting_run(settlement=settlement, first_valuation=first, uncertainty=BOUNDS)
    text = render_markdown(compared(make_record(), settled))
    assert "96.0 % of the energy is valued at actual figures of neso; first valued at 1.25 g" in text
    assert "arXiv:2509.22092" in text.replace("\\", "")
