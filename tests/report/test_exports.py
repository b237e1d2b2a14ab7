"""Exports, read back by the readers of those who read them: CodeCarbon, pandas, Hugging Face's hub library, our own schema."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import pandas as pd
import pytest
from codecarbon.output_methods.emissions_data import EmissionsData  # noqa: TID253 its own columns are what is tested
from codecarbon.output_methods.file import FileOutput  # noqa: TID253 as above
from huggingface_hub import ModelCard
from lowtide.records import ReplayAnchor, TrainingRecord
from lowtide.report.export import (
    CODECARBON_COLUMNS,
    csv_text,
    json_text,
    lowtide_row,
    model_card_block,
    model_card_text,
)

from tests.support.records import SUBMITTED, make_record
from tests.support.schemas import RECORD_SCHEMA


def run(**changes: Any) -> TrainingRecord:
    return make_record(**{"pue": 1.5, "gpu_kwh": 0.006, **changes})


def read(text: str) -> "pd.DataFrame":
    return pd.read_csv(io.StringIO(text))


def test_the_columns_are_those_of_the_codecarbon_that_is_installed_in_its_order() -> None:
    blank: dict[str, Any] = dict.fromkeys(EmissionsData.__dataclass_fields__, 0)
    assert list(EmissionsData(**blank).values) == CODECARBON_COLUMNS
    assert not set(CODECARBON_COLUMNS) & set(lowtide_row(run()))


def test_figures_are_in_codecarbons_units_with_the_pue_in_every_energy() -> None:
    """2 Wh CPU, 6 Wh GPU, 0.2 Wh RAM in 600 s, PUE 1.5, 200 g/kWh: 12.3 Wh, 2.46 g, 18 W for the CPU."""
    line = read(csv_text([run()])).iloc[0]
    assert line["energy_consumed"] == pytest.approx(0.0123)
    assert line["cpu_energy"] + line["gpu_energy"] + line["ram_energy"] == pytest.approx(line["energy_consumed"])
    assert (line["emissions"], line["cpu_power"], line["duration"]) == pytest.approx((0.00246, 18.0, 600.0))
    assert line["emissions_rate"] == pytest.approx(0.00246 / 600)
    assert (line["country_iso_code"], line["pue"], line["energy_before_pue_kwh"]) == ("GBR", 1.5, pytest.approx(0.0082))
    assert math.isnan(line["water_consumed"]), "nobody measured it: not zero"
    assert line["emissions_gco2eq"] == pytest.approx(1000 * line["emissions"])


def test_codecarbons_own_reader_updates_the_line_of_a_run_in_our_file(tmp_path: Path) -> None:
    """Its header is taken as CodeCarbon's own, our line is found by run_id, and another one is put beside it."""
    path = tmp_path / "emissions.csv"
    path.write_text(csv_text([run(run_id="a"), run(run_id="b")], codecarbon_only=True))
    output = FileOutput("emissions.csv", str(tmp_path), on_csv_write="update")
    newer = dict(read(path.read_text()).iloc[0]) | {"emissions": 7.0}
    output.out(EmissionsData(**newer), None)
    after = pd.read_csv(path)
    assert list(after["run_id"]) == ["b", "a"]
    assert list(after["emissions"]) == pytest.approx([0.00246, 7.0])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["emissions.csv"], "no file was backed up as of another format"


def test_codecarbons_dashboard_finds_the_columns_that_it_reads_beside_lowtides() -> None:
    """The columns of codecarbon/viz/data.py, which itself needs an extra of CodeCarbon's that is not installed."""
    table = read(csv_text([run(run_id="a"), run(run_id="b")], project_name="nightly"))
    own = table[table.project_name == "nightly"].sort_values(by="timestamp")
    assert own["emissions"].sum() == pytest.approx(2 * 0.00246)
    assert own["duration"].sum() == 1200
    for column in ("country_name", "country_iso_code", "region", "on_cloud", "cloud_provider", "cloud_region"):
        assert column in own.columns
    assert set(own["on_cloud"]) == {"N"}, "anything else makes the dashboard look for a cloud's region"


def test_the_time_is_the_real_end_also_of_a_replayed_run() -> None:
    anchor = ReplayAnchor(real_start=SUBMITTED.replace(year=2027), virtual_start=SUBMITTED, speed=60.0)
    line = read(csv_text([run(replay=anchor, duration_s=3600.0)])).iloc[0]
    assert line["timestamp"] == "2027-03-01T20:01:00"


@pytest.mark.parametrize("name", ['a,"b"\nc', "; drop", "ü=1"])
def test_any_text_survives_the_csv(name: str) -> None:
    (line,) = csv.DictReader(io.StringIO(csv_text([run(run_id=name, problems=[name, "x"])])))
    assert (line["run_id"], line["problems"]) == (name, f"{name}; x")


def test_the_model_card_is_read_by_hugging_faces_library_in_grams() -> None:
    record = run()
    card = ModelCard(model_card_text(record, training_type="fine-tuning") + "\n# A model\n")
    block = card.data.to_dict()["co2_eq_emissions"]
    assert block["emissions"] == pytest.approx(record.emissions_gco2eq, rel=1e-12)
    assert set(block) == {"emissions", "source", "training_type", "geographical_location", "hardware_used"}
    assert (block["training_type"], block["geographical_location"]) == ("fine-tuning", "Great Britain (GB)")
    assert "100.0 % measured" in block["source"]


def test_the_block_can_be_merged_into_a_card_that_is_there(tmp_path: Path) -> None:
    from huggingface_hub import metadata_load, metadata_save

    path = tmp_path / "README.md"
    path.write_text("---\nlicense: mit\n---\n# Mine\n")
    metadata_save(path, {**(metadata_load(path) or {}), **model_card_block(run())})
    assert metadata_load(path) == {"license": "mit", **model_card_block(run())}
    assert path.read_text().endswith("# Mine\n")


def test_json_is_the_record_and_keeps_its_schema() -> None:
    schema = json.loads(RECORD_SCHEMA.read_text())
    jsonschema.validate(json.loads(json_text([run()])), schema)
    assert [TrainingRecord.model_validate(data) for data in json.loads(json_text([run(), run(seed=1)]))] == [
        run(),
        run(seed=1),
    ]


def test_a_model_card_says_that_energy_is_missing() -> None:
    problems = ("the energy of this run is incomplete: the disk is full",)
    (block,) = model_card_block(run(energy_complete=False, uncovered_s=None, problems=problems)).values()
    assert "a part of its energy is missing: the energy of this run is incomplete" in block["source"]
    assert "missing" not in model_card_block(run())["co2_eq_emissions"]["source"]


def test_a_model_card_and_a_csv_line_say_of_which_energy_the_emissions_are_missing() -> None:
    """A profile's lifecycle figures, say, in a run whose own signal is of direct factors; and hours of which nothing is known."""
    whole = run()
    partly = run(foreign_signal_share=0.25, unvalued_energy_kwh=0.75 * whole.energy_kwh.total)
    (block,) = model_card_block(partly).values()
    assert (
        "its emissions are incomplete: of 25.0 % of its energy only another signal or factor type than average, lifecycle is"
        " known and of 50.0 % of its energy no intensity is known"
    ) in block["source"]
    assert "incomplete" not in model_card_block(whole)["co2_eq_emissions"]["source"]
    lines = list(csv.DictReader(io.StringIO(csv_text([whole, partly]))))
    assert [line["complete"] for line in lines] == ["True", "False"]
    assert float(lines[1]["unvalued_energy_before_pue_kwh"]) == partly.unvalued_energy_kwh
