"""Accuracy against time as SVG: one line a contestant, time on a logarithmic axis, error on a logarithmic one from the top."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 980, 480, 64, 40, 400, 52
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a6d3b", "#7f7f7f", "#6a3d9a")
ERRORS = (0.5, 0.4, 0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.025, 0.02, 0.015, 0.01)


def nice_times(least, most):
    """1, 2 and 5 times powers of ten within the range."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    return [t for p in powers for t in (10.0 ** p, 2 * 10.0 ** p, 5 * 10.0 ** p) if least <= t <= most]


class Axes:
    """Places on the page of a time and of an accuracy."""

    def __init__(self, points):
        times, errors = [t for t, _ in points], [max(1 - a, 1e-4) for _, a in points]
        self.times = min(times) / 1.15, max(times) * 1.15
        self.errors = max(errors) * 1.1, min(errors) / 1.1

    @staticmethod
    def share(value, ends):
        return (math.log(value) - math.log(ends[0])) / (math.log(ends[1]) - math.log(ends[0]))

    def x(self, time):
        return LEFT + self.share(time, self.times) * (WIDTH - LEFT - RIGHT)

    def y(self, accuracy):
        return HEIGHT - BOTTOM - self.share(max(1 - accuracy, 1e-4), self.errors) * (HEIGHT - TOP - BOTTOM)


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'


def line(x1, y1, x2, y2, colour="#ddd"):
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def grid(axes):
    right, floor = WIDTH - RIGHT, HEIGHT - BOTTOM
    for t in nice_times(*axes.times):
        yield line(axes.x(t), TOP, axes.x(t), floor)
        yield text(axes.x(t), floor + 18, f"{t:g}")
    for error in ERRORS:
        if axes.errors[1] <= error <= axes.errors[0]:
            yield line(LEFT, axes.y(1 - error), right, axes.y(1 - error))
            yield text(LEFT - 6, axes.y(1 - error) + 4, f"{100 * (1 - error):g} %", "end")
    yield f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{floor - TOP}" fill="none" stroke="#888"/>'


def curve(axes, i, name, points):
    """Line, points and a row of the legend."""
    colour = COLOURS[i % len(COLOURS)]
    dash = ' stroke-dasharray="5 3"' if i >= len(COLOURS) else ""
    places = [(axes.x(t), axes.y(a)) for t, a in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"{dash}/>'
    for x, y in places:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>'
    x, y = WIDTH - RIGHT + 14, TOP + 14 + 20 * i
    yield f'<line x1="{x}" y1="{y}" x2="{x + 22}" y2="{y}" stroke="{colour}" stroke-width="2.4"{dash}/>'
    yield text(x + 28, y + 4, name, "start")


def svg(title, curves):
    """The page; curves: (name, [(seconds, accuracy), ..]) with finite accuracies."""
    curves = [(name, points) for name, points in curves if points]
    axes = Axes([p for _, points in curves for p in points])
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', text(LEFT, TOP - 16, title, "start", ' font-size="14"'),
           *grid(axes), text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, "seconds of training (median over seeds)")]
    for i, (name, points) in enumerate(curves):
        out += curve(axes, i, name, points)
    return "\n".join([*out, "</svg>", ""])
