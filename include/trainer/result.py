"""What a finished training leaves."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainingResult(BaseModel):
    """The figures of one finished training; durations in seconds, memory in bytes.

    ``train_loss`` is the mean loss per sample over the last epoch. ``train_duration_s`` covers the optimizer steps only,
    neither start-up nor evaluation. ``peak_memory_bytes`` counts data, model, gradients, optimizer state and activations:
    what CUDA allocated, or by how much the resident set rose above ``base_rss_bytes`` (its size after all imports).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str
    device_name: str
    precision: Literal["fp32", "bf16", "fp16"]
    micro_batch_size: Annotated[int, Field(ge=1)]
    accumulation_steps: Annotated[int, Field(ge=1)]
    effective_batch_size: Annotated[int, Field(ge=1)]
    seed: int
    epochs: Annotated[int, Field(ge=1)]
    optimizer_steps: Annotated[int, Field(ge=1)]
    samples: Annotated[int, Field(ge=1, description="training samples processed, each epoch counted")]
    train_loss: Annotated[float, Field(allow_inf_nan=False)]
    test_accuracy: Annotated[float, Field(ge=0, le=1, description="share of the test set classified right, 0 to 1")]
    test_samples: Annotated[int | None, Field(ge=1, description="samples in the test set; null = not recorded")] = None
    train_duration_s: Annotated[float, Field(ge=0)]
    peak_memory_bytes: Annotated[int, Field(ge=0)]
    peak_memory_kind: Literal["cuda_allocated", "rss_above_base"]
    peak_memory_reserved_bytes: int | None
    peak_memory_method: Annotated[str, Field(description="how the peak was seen, e.g. by the kernel's high-water mark")]
    base_rss_bytes: Annotated[int, Field(ge=0)]
    versions: dict[str, str]
