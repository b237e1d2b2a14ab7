"""The command line as a user runs it: a real process, its output and its exit status."""

import json
import os
import subprocess
import sys

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.trainer.mnist import ensure_mnist

from tests.support.command_line import LOWTIDE
from tests.support.config_files import write_config

CLEAN_REPLAY = {"virtual_start": "2025-04-15T11:00", "speed": 60.0}


def lowtide(*arguments, **environment):
    return subprocess.run(
        [LOWTIDE, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable, **environment},
        cwd=PROJECT_ROOT,
        check=False,
    )


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory):
    ensure_mnist(PROJECT_ROOT / ".data", report=print)
    folder = tmp_path_factory.mktemp("runs")
    config = write_config(folder, grid__replay=CLEAN_REPLAY)
    base = lowtide("train", config, "--now", "--output", folder / "base", "--set", "training.precision=fp32")
    mine = lowtide("train", config, "--output", folder / "mine", "--json")
    return folder, base, mine


def test_train_leaves_a_record_and_a_ledger_and_says_where(two_runs):
    folder, base, mine = two_runs
    assert base.returncode == 0, base.stderr
    assert "gCO2eq" in base.stdout
    assert str(folder / "base" / "record.json") in base.stdout
    assert json.loads(mine.stdout) == json.loads((folder / "mine" / "record.json").read_text())
    assert (folder / "mine" / "ledger.jsonl").read_text().count("\n") >= 3


def test_train_shows_the_decision_it_rests_on(two_runs):
    folder, *_ = two_runs
    decisions = (folder / "mine" / "decisions.jsonl").read_text().splitlines()
    assert json.loads(decisions[-1])["reason"] == "below_threshold"
    assert json.loads((folder / "base" / "decisions.jsonl").read_text().splitlines()[-1])["reason"] == "immediate"


def test_compare_writes_the_reports_and_prints_the_table(two_runs):
    folder, *_ = two_runs
    done = lowtide("compare", "--baseline", folder / "base", "--run", folder / "mine", "--output", folder / "report")
    assert done.returncode == 0, done.stderr
    report = json.loads((folder / "report" / "report.json").read_text())
    assert report["headline"]["status"] == "simulated"
    assert str(folder / "report" / "report.json") in done.stdout
    page = (folder / "report" / "report.html").read_text(encoding="utf-8")
    assert f"page: {folder / 'report' / 'report.html'}" in done.stdout
    assert page.count("which sum to") == 2  # both ledgers were found, read and drawn
    assert "NOT the record" not in page
    assert "baseline" in done.stdout
    assert (folder / "report" / "report.md").exists()


def test_a_typical_hour_is_shown_as_modelled(two_runs):
    done = lowtide("intensity", "--zone", "DE", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reading"]["kind"] == "modelled"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["intensity", "--zone", "DEE"], ", DE?"),
        (["train", "no/such.yaml"], "no such configuration file"),
        (["train", "demo.yaml", "--set", "training.epochs=0"], "training.epochs"),
        (["train", "demo.yaml", "--set", "nonsense"], "key=value"),
        (["compare", "--run", "no/such/run", "--output", "x"], "no/such/run"),
        (["trian"], "invalid choice"),
        (["train", "demo.yaml", "--output", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_a_users_mistake_is_one_sentence_and_status_2(arguments, expected):
    done = lowtide(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_model_that_does_not_exist_is_refused_before_the_wait(tmp_path):
    config = write_config(
        tmp_path, grid__threshold_gco2eq_per_kwh=1.0, training__model={"path": "lowtide.trainer.models:mpl"}
    )
    done = lowtide("train", config, "--output", tmp_path / "run")
    assert done.returncode == 2
    assert "training.model.path 'lowtide.trainer.models:mpl': module" in done.stderr
    assert "did you mean 'mlp'?" in done.stderr
    assert not (tmp_path / "run" / "decisions.jsonl").exists()


def test_every_mistake_of_a_file_is_a_line_and_the_status_is_2(tmp_path):
    config = write_config(tmp_path, training__epochs=0, training__model={"path": "models.net"}, grid__zone="DEE")
    done = lowtide("train", config)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.count(f"{config}: ") for line in done.stderr.splitlines()] == [1, 1, 1]


def test_a_deadline_that_leaves_no_time_can_refuse_the_run(tmp_path):
    config = write_config(
        tmp_path,
        scheduler__on_latest_start="skip",
        scheduler__deadline="2025-04-15T05:00-07:00",
        grid__threshold_gco2eq_per_kwh=1.0,
    )
    done = lowtide("train", config, "--output", tmp_path / "run")
    assert done.returncode == 3
    assert not (tmp_path / "run" / "record.json").exists()


@pytest.mark.parametrize("command", ["", "train", "compare", "intensity", "history", "settle", "export"])
def test_help_has_examples(command):
    done = lowtide(*command.split(), "--help")
    assert done.returncode == 0
    assert "examples:" in done.stdout


def test_help_imports_no_command_and_none_of_their_libraries():
    code = (
        "import contextlib, io, sys; from lowtide.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit): main(['--help'])\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('numpy', 'pydantic', 'requests', 'rich', 'yaml')"
        " or m.startswith('lowtide.cli.') and m != 'lowtide.cli.main'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
