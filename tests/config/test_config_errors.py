"""Every mistake in a configuration is one sentence that names the place, the value and the remedy."""

from pathlib import Path

import pytest
from lowtide.config.loader import load_config, parse_setting
from lowtide.errors import ConfigurationError

from tests.support.configs import VALID, refusal, write_config


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("epochs: 3", "epoch: 3", "unknown key 'training.epoch'; did you mean 'training.epochs'?"),
        ("grid:", "gird:", "unknown key 'gird'; did you mean 'grid'?"),
        ("device: auto", "device: auto\nwhatever: 1", "unknown key 'whatever'; known here: artifacts_root, grid,"),
        ("  learning_rate: 0.002\n", "", "the key 'training.learning_rate' is missing; add it"),
        ("epochs: 3", "epochs: three", "training.epochs is 'three', which cannot be used: it should be a valid int"),
        ("epochs: 3", "epochs: true", "training.epochs is True, which cannot be used: it should be a valid integer"),
        ("epochs: 3", "epochs: 2.5", "training.epochs is 2.5, which cannot be used: it should be a valid integer"),
        ("0.002", ".nan", "training.learning_rate is nan, which cannot be used: it should be"),
        ("accumulation_steps: 4", "accumulation_steps: 0", "accumulation_steps is 0, which cannot be used: it should"),
        ("precision: fp32", "precision: fp8", "training.precision is 'fp8', which cannot be used: it should be 'fp32'"),
        ("zone: GB", "zone: GBX", "zone 'GBX' is not in the zone table; did you mean GB"),
        ("zone: GB", "zone: NO", "grid.zone is False, which cannot be used: write the zone in quotes"),
        ("zone: GB", "zone: aws:us-west-2", "lies at a border of grids, so its zone is not certain; write the zone"),
        ("provider: neso", "provider: nesso", "grid.provider is 'nesso', which cannot be used: it should be 'auto'"),
        ("provider: neso", "provider: replay", "grid.replay is missing; add grid.replay.virtual_start"),
        ("  threshold_gco2eq_per_kwh: 120\n", "", "'threshold' needs grid.threshold_gco2eq_per_kwh; add it"),
        ('  deadline: "12h"\n', "", "'threshold' waits, so it needs scheduler.deadline; add one"),
        ('"12h"', '"5m"', "scheduler.deadline '5m' after submission is shorter than scheduler.expected_duration"),
        ('"12h"', "soon", "scheduler.deadline is 'soon', which cannot be used: write a clock time like '06:00'"),
        ('"12h"', '"24:00"', "scheduler.deadline is '24:00', which cannot be used"),
        ('"12h"', "2026-03-01T06:00:00", "or a timestamp with an offset like '2026-03-01T06:00+01:00'"),
        ('"12h"', "2026-03-01", "scheduler.deadline is datetime.date(2026, 3, 1), which cannot be used"),
        ("10m", "10", "scheduler.expected_duration is 10, which cannot be used: write a duration like 45s"),
        ("10m", "99999999999999d", "expected_duration is '99999999999999d', which cannot be used: write a duration"),
        (
            "shop.models:net",
            "shop.models.net",
            "training.model.path is 'shop.models.net', which cannot be used: write the",
        ),
        (
            "shop.models:net",
            "shop/models.py:net",
            "a colon and the function or class in it, like my_project.models:Net",
        ),
        ("shop.models:net", "3", "training.model.path is 3, which cannot be used: it should be a valid string"),
        ("artifacts_root: artifacts", "artifacts_root: s3://bucket/x", "'s3://bucket/x' is an object store"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_file_and_remedy(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    path = write_config(tmp_path, (old, new))
    sentence = refusal(path)
    assert sentence.startswith(f"{path}: ")
    assert message in sentence


def test_each_mistake_is_a_line_and_a_misspelt_key_comes_first(tmp_path: Path) -> None:
    path = write_config(tmp_path, ("epochs: 3", "epoch: 3"), ("0.002", "-1"))
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, {"training.seed": -1})
    lines = str(caught.value).splitlines()
    assert len(lines) == 4
    assert lines[0] == f"{path}: unknown key 'training.epoch'; did you mean 'training.epochs'?"
    assert f"{path}: the key 'training.epochs' is missing; add it" in lines
    assert lines[3].startswith("--set training.seed is -1, which cannot be used: ")


def test_fp16_on_the_cpu_is_impossible(tmp_path: Path) -> None:
    path = write_config(tmp_path, ("fp32", "fp16"), ("device: auto", "device: cpu"))
    assert "'fp16' needs a GPU, but training.device is 'cpu'; use 'bf16' or 'fp32'" in refusal(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (VALID + "grid:\n  zone: DE\n", "line 21, column 1: the key 'grid' occurs twice"),
        (
            VALID.replace("epochs: 3", "epochs: 3\n  epochs: 4"),
            "line 16, column 3: the key 'epochs' occurs twice",
        ),
        (VALID.replace("  zone", "\tzone"), r"line 3, column 1: found character '\t'"),
        (VALID + "---\na: 1\n", "line 21, column 1: but found another document"),
        ("a: [1, 2", "line 1, column 9"),
        ("? [1, 2]\n: 3\n", "a key must be plain text"),
        ("a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
        ("", "is not a mapping of sections"),
        ("- a\n- b\n", "is not a mapping of sections; see include/configs/optimized.yaml"),
    ],
)
def test_what_is_no_yaml_mapping_is_refused_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(content, encoding="utf-8")
    sentence = refusal(path)
    assert sentence.startswith(str(path))
    assert message in sentence


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_bytes(VALID.encode("utf-16"))
    assert "cannot be read ('utf-8' codec can't decode" in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.yaml").endswith(
        "no.yaml: there is no such configuration file; see include/configs for examples"
    )
    assert "cannot be read" in refusal(tmp_path)


def test_a_long_value_is_cut_short(tmp_path: Path) -> None:
    sentence = refusal(write_config(tmp_path, ("zone: GB", f"zone: {'Z' * 50}{'Y' * 5000}")))
    assert "training.epochs" not in sentence
    assert "ZZZ..., which cannot be used" in sentence or "YYY..., which cannot be used" in sentence


def test_a_setting_is_named_as_the_user_gave_it(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    sentence = refusal(path, {"training.epochs": 0})
    assert sentence.startswith("--set training.epochs is 0, which cannot be used: ")
    assert (
        refusal(path, {"training.epoch": 3}) == "--set: unknown key 'training.epoch'; did you mean 'training.epochs'?"
    )
    with pytest.raises(ConfigurationError, match=r"^Param training\.epochs is 0, "):
        load_config(path, {"training.epochs": 0}, settings_name="Param")


def test_a_setting_below_a_value_is_refused(tmp_path: Path) -> None:
    assert "'epochs' is not a section" in refusal(write_config(tmp_path), {"training.epochs.x": 1})


def test_settings_lie_over_the_file_and_change_the_checksum(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    plain, changed = load_config(path), load_config(path, {"training.epochs": 7, "tracker.interval": "1s"})
    assert (plain.values.training.epochs, changed.values.training.epochs) == (3, 7)
    assert changed.values.tracker.interval.total_seconds() == 1
    assert plain.sha256 != changed.sha256
    assert plain.sha256 == load_config(path).sha256


def test_fractions_of_a_second_count_in_the_checksum(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    sums = {load_config(path, {"tracker.interval": text}).sha256 for text in ("1.5s", "2s", "0.5s", "0.4s")}
    assert len(sums) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.epochs=3", ("training.epochs", 3)),
        (" a.b =x=y", ("a.b", "x=y")),
        ("scheduler.deadline=null", ("scheduler.deadline", None)),
    ],
)
def test_a_setting_is_read_as_yaml(text: str, expected: tuple[str, object]) -> None:
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["training.epochs", "=3", "", "a=[1"])
def test_what_is_no_setting_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="--set"):
        parse_setting(text)


def test_merge_keys_and_lists_are_read(tmp_path: Path) -> None:
    path = write_config(tmp_path, ("    path: shop.data:digits", "    <<: &d {path: shop.data:digits}"))
    assert load_config(path).values.training.data.path == "shop.data:digits"
    environment = load_config(path, {"training.environment": ["HTTP_PROXY", "NO_PROXY"]}).values.training.environment
    assert environment == ("HTTP_PROXY", "NO_PROXY")


def test_the_artifact_root_may_be_relative_absolute_or_a_file_address(tmp_path: Path) -> None:
    path = write_config(tmp_path)
    assert load_config(path).artifacts_path.name == "artifacts"
    assert load_config(path, {"artifacts_root": str(tmp_path)}).artifacts_path == tmp_path.resolve()
    assert load_config(path, {"artifacts_root": f"file://{tmp_path}"}).artifacts_path == tmp_path.resolve()
