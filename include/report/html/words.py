"""What the page says in words of its own: what a status means, and what the terms mean."""

from typing import Final

from include.report.model import Direction, Status

STATUS: Final[dict[Status, tuple[str, str]]] = {
    "claimed": (
        "Claimed",
        "The figures meet the rules for a claim. What is claimed is the sentence above, and no more.",
    ),
    "simulated": (
        "Simulated",
        "The grid or the energy was replayed or modelled. The figures show how it works; nothing is claimed.",
    ),
    "withheld": ("Withheld", "No claim is made, for the reasons below. The figures are shown as they are."),
    "no_baseline": (
        "No baseline",
        "There is no run to compare with. Only what waiting did to this run's own emissions is known.",
    ),
}
DIRECTION: Final[dict[Direction, str]] = {
    "lower": "Lower",
    "higher": "Higher",
    "no_measurable_change": "No measurable change",
}
TERMS: Final = (
    (
        "Emissions",
        "Energy of each interval, times the site's PUE, times the grid's intensity then, summed over the ledger's rows."
        " Location-based, in grams of CO2-equivalent.",
    ),
    (
        "Attribution",
        "The change in grams, divided without a residual into work, efficiency, grid conditions and waiting"
        " (LMDI-I: Ang, Energy Policy 32, 2004).",
    ),
    (
        "Of that change, ours",
        "The grams of the parts that count as ours, and what percentage of the baseline's emissions they are, as of the whole"
        " change. The last line, and a headline that claims, have another base: what the same samples would have emitted without them.",
    ),
    ("Work", "More or fewer samples than the baseline."),
    ("Efficiency", "Energy per sample, PUE included. Counts as ours where the meters can tell it."),
    (
        "Grid conditions",
        "The grid when this run was submitted, against the grid of the baseline. Nobody's merit: the weather.",
    ),
    (
        "Waiting",
        "The grid when the run used its energy, against the grid had it begun at submission."
        " Counts as ours where a decision made the run wait.",
    ),
    (
        "Perfect knowledge",
        "The same energy curve at the best time between submission and deadline, known only afterwards. No plan can do better.",
    ),
    (
        "95 % by the test set's size",
        "Where the accuracy may lie for other test samples of the same kind (Wilson score interval, 1927). The change's bounds"
        " are Newcombe's (1998) of two independent test sets; both runs saw the same one, so they are wider than need be.",
    ),
    (
        "Within the methods' known errors",
        "The bounds if every method errs as far as its published error goes, all in the same direction.",
    ),
)
PART_MEANING: Final = {
    "work": "samples processed",
    "grid_conditions": "the grid at submission against the baseline's",
    "efficiency": "energy per sample, PUE included",
    "waiting": "the grid when run against the grid at submission",
}
KIND_MEANING: Final = {
    "measured": "measured",
    "estimated": "estimated by the provider",
    "forecast": "forecast",
    "cached": "last good reading",
    "modelled": "modelled",
    "replayed": "replayed",
}
FOLLOWS: Final = {
    "comparison": "Bars any claim about the change.",
    "efficiency": "Bars a claim about efficiency and the total.",
    "nothing": "Noted.",
}
