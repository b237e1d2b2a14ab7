"""Makes matplotlib's SVG a part of the page: no addresses, ids of its own, the page's fonts and colours, a name and words."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping

from markupsafe import Markup

_NAMESPACE = re.compile(r"^\{[^}]*\}")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_FONT_FAMILY = re.compile(r"font:\s*([^;]*?px)\s[^;]*|font-family:[^;]*;?")
_LEFT_OUT = {"metadata", "style"}


def inlined(svg: str, *, name: str, title: str, description: str, colours: Mapping[str, str]) -> Markup:
    """Return an SVG element without a script, a style sheet or an address, for use inside HTML.

    :param name: prefix of every id, since all charts share one page.
    :param colours: what stands in the drawing for each of the page's colour variables.
    """
    root = ET.fromstring(svg)  # noqa: S314 - reads only what matplotlib has just written
    variables = {code: f"var(--{role})" for role, code in colours.items()}
    _clean(root, name, variables)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.attrib |= {"role": "img", "aria-labelledby": f"{name}-title {name}-desc"}
    for position, (tag, text) in enumerate((("title", title), ("desc", description))):
        told = ET.Element(tag, {"id": f"{name}-{tag}"})
        told.text = text
        root.insert(position, told)
    return Markup(ET.tostring(root, encoding="unicode", short_empty_elements=True))  # noqa: S704 - ET escapes texts


def _clean(element: ET.Element, name: str, variables: Mapping[str, str]) -> None:
    element.tag = _NAMESPACE.sub("", element.tag)
    element.attrib = {_NAMESPACE.sub("", key): _value(key, value, name, variables) for key, value in element.items()}
    for key in ("version", "xmlns"):
        element.attrib.pop(key, None)
    for child in list(element):
        if not isinstance(child.tag, str) or _NAMESPACE.sub("", child.tag) in _LEFT_OUT:
            element.remove(child)
        else:
            _clean(child, name, variables)


def _value(key: str, value: str, name: str, variables: Mapping[str, str]) -> str:
    key = _NAMESPACE.sub("", key)
    if key == "id":
        return f"{name}-{value}"
    if key == "href":
        return f"#{name}-{value.removeprefix('#')}"
    if key == "style":
        value = _FONT_FAMILY.sub(lambda found: f"font-size: {found[1]}" if found[1] else "", value)
    for code, variable in variables.items():
        value = value.replace(code, variable)
    return _REFERENCE.sub(rf"url(#{name}-\1)", value)
