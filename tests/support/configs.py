"""Configuration files for tests: a valid one, written out with changes."""

from pathlib import Path

import pytest
from lowtide.config.loader import load_config
from lowtide.errors import ConfigurationError

VALID = """\
artifacts_root: artifacts
grid:
  zone: GB
  provider: neso
  threshold_gco2eq_per_kwh: 120
scheduler:
  policy: threshold
  deadline: "12h"
  expected_duration: 10m
training:
  model:
    path: shop.models:net
  data:
    path: shop.data:digits
  epochs: 3
  learning_rate: 0.002
  micro_batch_size: 128
  accumulation_steps: 4
  precision: fp32
  device: auto
"""


def write_config(folder: Path, *replacements: tuple[str, str]) -> Path:
    """Write the valid file with pieces of its text replaced; each piece must be there."""
    text = VALID
    for old, new in replacements:
        assert old in text, f"{old!r} is not in the valid configuration"
        text = text.replace(old, new)
    path = folder / "job.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, settings: dict[str, object] | None = None) -> str:
    """Return the sentence with which a configuration is refused; a misspelt key may also be missing in its right spelling."""
    with pytest.raises(ConfigurationError) as caught:
        load_config(path, settings)
    sentence, *more = str(caught.value).splitlines()
    assert more == [] or "unknown key" in sentence
    return sentence
