"""Draw what a rollout costs as it grows, for the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter

TARGET = Path(__file__).parents[2] / "docs" / "pictures" / "scale.svg"
COLOUR = "#1f6f8b"


def plot_scale(sizes: Sequence[int], cpu: Sequence[float], memory: Sequence[float]) -> None:
    """Draw the cost of rollouts over their number of devices.

    :param sizes: devices
    :param cpu: milliseconds for each device
    :param memory: most MB resident
    """
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "supersim"  # the same file for the same figures
    panels = (("CPU for each device (ms)", cpu, "{:.2f}"), ("Most memory resident (MB)", memory, "{:.0f}"))
    figure, axes = plt.subplots(1, len(panels), figsize=(9, 3.2), layout="constrained")
    for axis, (title, values, shown) in zip(axes, panels, strict=True):
        axis.semilogx(sizes, values, "o-", color=COLOUR)
        for size, value in zip(sizes, values, strict=True):
            axis.annotate(shown.format(value), (size, value), (0, 7), textcoords="offset points", ha="center")
        axis.set_ylim(0, 1.35 * max(values))
        axis.set_xticks(sizes)
        axis.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
        axis.minorticks_off()
        axis.margins(x=0.12)
        axis.set_xlabel("devices")
        axis.set_title(title, fontsize="medium")
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(TARGET, metadata={"Date": None})
    plt.close(figure)
