"""``lowtide intensity`` as a user runs it, against servers that speak each provider's shape."""

import json
import os
import subprocess
import sys
from datetime import timedelta

import pytest
from lowtide.config.loader import PROJECT_ROOT
from lowtide.timeutil import utc_now

from tests.support import carbon_aware_sdk, neso, watttime
from tests.support.command_line import LOWTIDE
from tests.support.loopback import Loopback, json_answer
from tests.support.providers import SECRET, SERVERS


def intensity(*arguments, **environment):
    return subprocess.run(
        [LOWTIDE, "intensity", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "LOWTIDE_PYTHON": sys.executable, **environment},
        cwd=PROJECT_ROOT,
        check=False,
    )


@pytest.mark.parametrize("name", SERVERS)
def test_each_provider_is_asked_at_the_address_and_with_the_key_of_the_environment(name):
    speaker = SERVERS[name]
    secrets = {"LOWTIDE_GRID_TOKEN": SECRET} if speaker.credentials else {}
    secrets |= {"LOWTIDE_GRID_LOGIN": "me"} if "login" in speaker.credentials else {}
    with Loopback() as server:
        speaker.route(server, speaker.answering(utc_now(), 90, 90, 90, 90))
        done = intensity("--zone", speaker.zone, "--provider", name, "--json", LOWTIDE_GRID_URL=server.url, **secrets)
    assert done.returncode == 0, done.stderr
    reading = json.loads(done.stdout)["reading"]
    assert (reading["source"], reading["zone"]) == (name, speaker.zone)
    assert reading["carbon_intensity_gco2eq_per_kwh"] == pytest.approx(90.0)
    assert SECRET not in done.stdout + done.stderr
    assert watttime.TOKEN not in done.stdout + done.stderr


def test_a_self_hosted_sdk_is_asked_for_its_own_location():
    with Loopback() as server:
        recent = utc_now() - timedelta(minutes=3)
        server.route("/emissions/bylocation", json_answer([carbon_aware_sdk.emission(recent, 70)]))
        done = intensity(
            *("--zone", "GB", "--provider", "carbon_aware_sdk", "--region", "uksouth", "--signal-type", "average"),
            LOWTIDE_GRID_URL=server.url,
        )
    assert done.returncode == 0, done.stderr
    assert "GB: 70 gCO2eq/kWh, estimated" in done.stdout
    assert "source carbon_aware_sdk:uksouth; average signal, lifecycle emission factors" in done.stdout


def test_a_cloud_region_gets_the_reading_of_its_grid():
    now = SERVERS["neso"].start(utc_now())
    with Loopback() as server:
        server.route("/intensity", json_answer({"data": [neso.slot(now, forecast=120)]}))
        done = intensity("--zone", "azure:uksouth", LOWTIDE_GRID_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert "GB: 120 gCO2eq/kWh, forecast" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--zone", "aws:us-west-2"], "likely US-NW-BPAT or US-NW-PACW"),
        (["--zone", "DE", "--provider", "neso"], "does not cover zone 'DE'"),
        (["--zone", "GB", "--region", "99"], "number from 1 to 17"),
        (["--zone", "US-CAL-CISO", "--provider", "watttime"], "LOWTIDE_GRID_LOGIN"),
        (["--zone", "GB", "--provider", "carbon_aware_sdk"], "grid.region"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_status_2(arguments, said):
    done = intensity(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
