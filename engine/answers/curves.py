"""A curve of `tune` as a picture: SVG, which every browser shows, in a few lines of text."""

from typing import Final
from xml.sax.saxutils import escape

from engine.answers.tuning import Curve, Point
from engine.answers.words import harmless, lasting

WIDTH: Final = 640
HEIGHT: Final = 400
LEFT, RIGHT, TOP, BOTTOM = 90, 30, 50, 60  # of what lies around the curve
TICKS: Final = 4


def svg(curve: Curve) -> str:
    """Return the curve as an SVG document: false verdicts to the right, detection time upwards.

    A value whose mean detection is not known (no outage that all values detect) is drawn at 0.
    """
    times = [point.detect_us_mean or 0 for point in curve.points]
    false = [point.false for point in curve.points]
    most_us, most = max([*times, 1]), max([*false, 1])

    def at(point: Point) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * point.false / most
        share = (point.detect_us_mean or 0) / most_us
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    front = sorted(at(point) for point in curve.points if point.on_front)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, TOP - 25, f"{curve.key}: detection time against false verdicts", size=14),
        *_axes(most_us, most),
        f'<polyline fill="none" stroke="#0a7" stroke-width="2" points="{_points(front)}"/>',
    ]
    labels: dict[tuple[float, float], list[str]] = {}
    for point in curve.points:
        labels.setdefault(at(point), []).append(point.value)
    for point in curve.points:
        x, y = at(point)
        color = "#0a7" if point.on_front else "#999"
        said = escape(harmless(f"{curve.key}={point.value}: {point.false} false"))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{color}"><title>{said}</title></circle>'
        )
    parts += [_text(x + 8, y - 6, ", ".join(values)) for (x, y), values in labels.items()]
    return "\n".join([*parts, "</svg>", ""])


def _axes(most_us: int, most: int) -> list[str]:
    floor, ceiling, end = HEIGHT - BOTTOM, TOP, WIDTH - RIGHT
    parts = [
        f'<path d="M{LEFT} {ceiling}V{floor}H{end}" fill="none" stroke="black"/>',
        _text((LEFT + end) / 2, HEIGHT - 15, "false verdicts", anchor="middle"),
    ]
    for tick in range(TICKS + 1):
        y = floor - (floor - ceiling) * tick / TICKS
        parts.append(_text(LEFT - 8, y + 4, lasting(most_us * tick // TICKS), anchor="end"))
    for count in sorted({most * tick // TICKS for tick in range(TICKS + 1)}):
        x = LEFT + (end - LEFT) * count / most
        parts.append(_text(x, floor + 18, str(count), anchor="middle"))
    return parts


def _points(places: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _text(x: float, y: float, said: str, *, size: int = 12, anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}">'
        f"{escape(harmless(said))}</text>"
    )
