"""JSON near a provider's shape: any document with values of it replaced, removed or doubled by junk."""

import copy
from typing import Any

from hypothesis import strategies as st

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from([0, -1, 1e9, "2026-03-02T22:00Z", "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59", 10**30])
)
JUNK = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=4), SCALARS, max_size=2)


@st.composite
def near(draw: st.DrawFn, document: Any) -> Any:
    """Return the document with one to four of its places spoilt."""
    spoilt = {"": copy.deepcopy(document)}
    for _ in range(draw(st.integers(1, 4))):
        holder, key = _place(draw, spoilt)
        what = draw(st.sampled_from(["junk", "junk", "remove", "double"]))
        if what == "remove" and holder is not spoilt:
            del holder[key]
        elif what == "double" and isinstance(holder, list):
            holder.insert(0, copy.deepcopy(holder[key]))
        else:
            holder[key] = draw(JUNK)
    return spoilt[""]


def _place(draw: st.DrawFn, root: dict[str, Any]) -> tuple[Any, Any]:
    """Walk to a random place of a document."""
    holder, key = root, ""
    while isinstance(holder[key], dict | list) and holder[key] and draw(st.integers(0, 4)):
        holder = holder[key]
        keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        key = draw(st.sampled_from(keys))
    return holder, key
