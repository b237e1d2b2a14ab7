"""Colours of a style sheet's variables, and how well one is read on another (WCAG 2: relative luminance)."""

import re

Colour = tuple[float, float, float]


def variables(css: str, scheme: str) -> dict[str, Colour]:
    """The colours that a page has for who prefers ``light`` or ``dark``."""
    light, dark = css.split("prefers-color-scheme: dark", 1)
    found = _colours(light)
    return found if scheme == "light" else found | _colours(dark.split("@media", 1)[0])


def contrast(one: Colour, other: Colour) -> float:
    """From 1 (the same) to 21 (black on white)."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def over(colour: Colour, alpha: float, below: Colour) -> Colour:
    """What is seen of a colour that lets through what is below it."""
    red, green, blue = (alpha * a + (1 - alpha) * b for a, b in zip(colour, below, strict=True))
    return red, green, blue


def _colours(css: str) -> dict[str, Colour]:
    found = re.findall(r"--([\w-]+):\s*#([0-9a-f]{6})\b", css)
    return {name: (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for name, code in found}


def _luminance(colour: Colour) -> float:
    parts = [value / 255 for value in colour]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
