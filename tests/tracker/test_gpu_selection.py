"""CUDA_VISIBLE_DEVICES in NVML's numbers, against a stand-in of the driver's library beneath the real pynvml."""

from pathlib import Path

import pytest
from lowtide.tracker.gpu import Gpu, gpus_of_this_machine, select_gpus

from tests.support.nvml import Device, driver

A = "GPU-4e817856-1fb8-192a-7ab7-0e0e4476c184"
B = "GPU-4eaaaaaa-2222-3333-4444-555555555555"
C = "GPU-90000000-2222-3333-4444-555555555555"
SLICE = "MIG-11112222-3333-4444-5555-666677778888"
GPUS = [Gpu(uuid=A, name="A100"), Gpu(uuid=B, name="A100"), Gpu(uuid=C, name="A100", mig_uuids=(SLICE,))]


@pytest.mark.parametrize(
    ("visible", "indices"),
    [
        ("0", (0,)),
        ("2,0", (0, 2)),
        (" 1 , 2 ", (1, 2)),
        ("", ()),
        ("-1", ()),
        ("1,-1,2", (1,)),  # CUDA sees nothing after an invalid entry
        ("0,9,1", (0,)),
        ("NoDevFiles", ()),
        (A, (0,)),
        (f"{C},{A}", (0, 2)),
        ("GPU-9", (2,)),
        ("gpu-9", ()),
        ("GPU-4e8", (0,)),
        ("GPU-4e", ()),  # two devices begin so: it names neither
        (SLICE, (2,)),
        ("MIG-1111", (2,)),
        (f"MIG-{C}/1/0", (2,)),
    ],
)
def test_each_form_of_the_variable_names_the_devices_that_cuda_would_show(
    visible: str, indices: tuple[int, ...]
) -> None:
    """Indices, UUIDs, their prefixes, MIG instances in both spellings, and CUDA's rule for what is wrong."""
    selection = select_gpus({"CUDA_VISIBLE_DEVICES": visible}, GPUS)
    assert selection.indices == indices
    assert selection.uuids == tuple(GPUS[index].uuid for index in indices)
    assert selection.visible is None, "the user's choice is left as it is"
    assert len(selection.problems) == visible.startswith("MIG")


def test_without_the_variable_only_the_first_device_is_counted_and_shown() -> None:
    """A training on one of eight GPUs is not charged for what others do on the remaining seven."""
    selection = select_gpus({}, GPUS)
    assert (selection.indices, selection.visible, selection.problems) == ((0,), A, ())
    alone = select_gpus({}, GPUS[:1])
    assert (alone.indices, alone.visible) == ((0,), None)
    assert select_gpus({}, []).indices == select_gpus({"CUDA_VISIBLE_DEVICES": "0"}, []).indices == ()


def test_where_a_number_may_mean_any_device_all_are_charged_and_that_is_reported() -> None:
    """CUDA counts the fastest first, NVML by the bus: too much is charged rather than too little."""
    mixed = [*GPUS[:2], Gpu(uuid=C, name="GeForce GT 710")]
    for environment in ({}, {"CUDA_VISIBLE_DEVICES": "0"}):
        selection = select_gpus(environment, mixed)
        assert (selection.indices, selection.visible) == ((0, 1, 2), None)
        assert "all 3 GPUs is charged" in selection.problems[0]
    told = {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert select_gpus(told, mixed).indices == (1,)
    assert select_gpus({"CUDA_VISIBLE_DEVICES": C}, mixed).indices == (2,)


def test_the_devices_of_the_machine_are_read_through_pynvml(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """MIG instances too; and without a driver there are none."""
    assert gpus_of_this_machine() == []
    with driver([Device(A), Device(C, mig=[SLICE])], monkeypatch, tmp_path):
        first, second = gpus_of_this_machine()
    assert (first.uuid, first.mig_uuids) == (A, ())
    assert (second.uuid, second.mig_uuids) == (C, (SLICE,))
