"""The training section of the configuration: what is trained, and how."""

from typing import Annotated, Any, Literal, cast

from pydantic import Field, model_validator

from include.config.batching import MemoryTargetText, MicroBatchSize, complete_batching
from include.config.section import Section
from include.config.times import Duration, parse_duration

PrecisionName = Literal["fp32", "bf16", "fp16"]
ScheduleName = Literal["constant", "linear", "cosine"]

_IMPORT_PATH = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


class ImportedConfig(Section):
    """Something of the user's own, by import path; only ever read from the YAML file."""

    path: Annotated[str, Field(pattern=_IMPORT_PATH, description="package.module:callable")]
    kwargs: Annotated[dict[str, Any], Field(description="arguments of the callable")] = {}  # noqa: RUF012 pydantic copies it


class TrainingConfig(Section):
    """What is trained, and how."""

    model: ImportedConfig
    data: ImportedConfig
    epochs: Annotated[int, Field(ge=1, le=100_000, description="passes over the training data")]
    optimizer: Annotated[Literal["sgd", "adam", "adamw"], Field(description="of torch.optim; sgd without momentum")] = (
        "adamw"
    )
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False, description="of the optimizer; see lr_schedule")]
    lr_schedule: Annotated[
        ScheduleName, Field(description="constant, or falling to 0 over the training: linear or cosine")
    ] = "constant"
    warmup_steps: Annotated[
        int, Field(ge=0, description="optimizer steps over which the learning rate rises to its full value")
    ] = 0
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False, description="as the optimizer understands it")] = (
        0.0
    )
    clip_gradient_norm: Annotated[
        float | None,
        Field(gt=0, allow_inf_nan=False, description="greatest norm of the whole gradient; null = no clipping"),
    ] = None
    seed: Annotated[int, Field(ge=0, lt=2**63, description="of the weights and of the order of samples")] = 0
    micro_batch_size: Annotated[
        MicroBatchSize,
        Field(description="samples per forward and backward pass; auto: as many as memory_target allows"),
    ]
    accumulation_steps: Annotated[
        int | None, Field(ge=1, description="micro-batches per optimizer step; null = what effective_batch_size takes")
    ] = None
    # filled in below where it is null
    effective_batch_size: int = Field(
        default=cast("int", None),
        ge=1,
        description="samples per optimizer step; null = micro_batch_size x accumulation_steps",
    )
    memory_target: Annotated[
        MemoryTargetText, Field(description="of auto: greatest peak, as a share of the unaccumulated one or like 2GiB")
    ] = "50%"
    precision: Annotated[PrecisionName, Field(description="fp32, bf16 (autocast), or fp16 (GPU only)")] = "fp32"
    device: Annotated[Literal["auto", "cuda", "cpu"], Field(description="auto: CUDA where there is one")] = "auto"
    fused_optimizer: Annotated[bool, Field(description="one kernel for the whole optimizer step, where it can be")] = (
        True
    )
    channels_last: Annotated[bool, Field(description="memory format of image models; may be faster on GPUs")] = False
    compile: Annotated[
        bool, Field(description="torch.compile the model, where that works; pays for long trainings")
    ] = False
    data_placement: Annotated[
        Literal["auto", "device", "host"],
        Field(description="where tensors live; auto: on the device if they take less than a quarter of what is free"),
    ] = "auto"
    loader_workers: Annotated[
        int | None,
        Field(ge=0, le=64, description="processes that fetch streamed data; null = up to 4 on a GPU, none on a CPU"),
    ] = None
    checkpoint_interval: Annotated[
        Duration | None, Field(description="time between two checkpoints; null = only before a stop and at the end")
    ] = parse_duration("5m")
    checkpoint_steps: Annotated[
        int | None, Field(ge=1, description="optimizer steps between two checkpoints; null = by time only")
    ] = None
    stall_timeout: Annotated[
        Duration | None, Field(description="a training without a sign of progress for so long is ended; null = never")
    ] = parse_duration("30m")
    environment: Annotated[
        tuple[str, ...],
        Field(strict=False, description="further environment variables that the training child may see"),
    ] = ()

    @model_validator(mode="before")
    @classmethod
    def _complete(cls, raw: Any) -> Any:
        return complete_batching(raw)
