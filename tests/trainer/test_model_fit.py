"""Showing the model two samples before the training leaves nothing that the training cannot use."""

import pytest
import torch
from lowtide.trainer import models
from lowtide.trainer.checkpoint import weights_are_finite
from lowtide.trainer.trainer import Training
from torch import Tensor, nn

from tests.trainer.conftest import MakeConfig


class Caching(nn.Module):
    """Makes a table at its first call and keeps it, as rotary embeddings do."""

    def __init__(self) -> None:
        super().__init__()
        self.layers, self.score = nn.Sequential(nn.Flatten(), nn.Linear(784, 16)), nn.Linear(16, 10)
        self.table: Tensor | None = None

    def forward(self, inputs: Tensor) -> Tensor:
        hidden: Tensor = self.layers(inputs)
        if self.table is None:
            self.table = torch.linspace(0, 1, hidden.shape[-1], device=hidden.device).cos()
        outputs: Tensor = self.score(hidden * self.table)
        return outputs


def lazy() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(16), nn.ReLU(), nn.LazyLinear(10))


def with_integers() -> nn.Module:
    """A quantised layer's way: integers that are a parameter, but learn nothing."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    model.register_parameter("scale", nn.Parameter(torch.arange(3), requires_grad=False))
    return model


@pytest.mark.parametrize("make", [Caching, lazy, with_integers])
def test_models_that_change_at_their_first_call_can_be_trained(
    make: object, training_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "mlp", make)
    result = Training(training_config(), emit=lambda kind, data: None).run()
    assert result.test_accuracy > 0.5


def test_whether_weights_are_finite_is_asked_only_of_those_that_can_be_otherwise() -> None:
    model = with_integers()
    assert weights_are_finite(model)
    with torch.no_grad():
        next(parameter for parameter in model.parameters() if parameter.is_floating_point())[0] = float("nan")
    assert not weights_are_finite(model)


def test_the_check_with_two_samples_draws_nothing(training_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that draws in evaluation too leaves the generator as it was, so that the weights are the same."""

    class Drawing(Caching):
        def forward(self, inputs: Tensor) -> Tensor:
            if not self.training:
                torch.rand(())
            return super().forward(inputs)

    losses = []
    for make in (Caching, Drawing):
        monkeypatch.setattr(models, "mlp", make)
        losses.append(Training(training_config(), emit=lambda kind, data: None).run().train_loss)
    assert losses[0] == losses[1]
