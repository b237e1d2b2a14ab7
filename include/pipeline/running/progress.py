"""What a person sees while a training runs: one small snapshot, about once a second."""

from dataclasses import asdict, dataclass
from typing import Any

from include.tracker import LiveFigures
from include.trainer.processes.protocol import TrainingEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One look at a running training; energy before PUE, emissions with it."""

    phase: str
    epoch: int
    epochs: int
    samples: int
    samples_total: int
    samples_per_s: float
    loss: float | None
    power_w: float
    energy_kwh: float
    emissions_gco2eq: float
    carbon_intensity_gco2eq_per_kwh: float | None

    def as_json(self) -> dict[str, Any]:
        """Return the snapshot as a JSON-able mapping."""
        return asdict(self)

    def sentence(self) -> str:
        """Return the snapshot as one line for a task log."""
        intensity = self.carbon_intensity_gco2eq_per_kwh
        grid = "" if intensity is None else f" at {intensity:.0f} g/kWh"
        loss = "" if self.loss is None else f", loss {self.loss:.4f}"
        return (
            f"{self.phase}: epoch {self.epoch}/{self.epochs}, {self.samples:,} of {self.samples_total:,} samples"
            f" ({self.samples_per_s:,.0f}/s){loss}; {self.power_w:.1f} W, {self.energy_kwh * 1000:.3f} Wh,"
            f" {self.emissions_gco2eq:.3f} g{grid}"
        )


def snapshot(phase: str, epochs: int, last: TrainingEvent | None, live: LiveFigures) -> Progress:
    """Put the child's last progress event and the tracker's live figures together."""
    data = last.data if last else {}
    return Progress(
        phase=phase,
        epoch=data.get("epoch", 0),
        epochs=epochs,
        samples=data.get("samples", 0),
        samples_total=data.get("samples_total", 0),
        samples_per_s=data.get("samples_per_s", 0.0),
        loss=data.get("loss"),
        power_w=live.power_w,
        energy_kwh=live.energy_kwh,
        emissions_gco2eq=live.emissions_gco2eq,
        carbon_intensity_gco2eq_per_kwh=live.carbon_intensity_gco2eq_per_kwh,
    )
