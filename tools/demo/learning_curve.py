"""The loss and hit rate of a run as a picture."""

import math
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def draw_learning_curve(scalars: list[dict], num_patches: int, target: Path, title: str) -> None:
    """Draws loss and hit rate over the steps, each beside chance.

    Args:
        scalars: What was logged of each step: ``step``, ``loss`` and ``hit_rate``.
        num_patches: Patches L of an image: chance is a loss of ln L and a hit rate of 1 / L.
        target: Picture to write.
        title: Heading.
    """
    figure = Figure(figsize=(9, 3.6), layout='constrained')
    FigureCanvasAgg(figure)
    steps = [entry['step'] for entry in scalars]
    panels = (
        ('loss', 'loss', math.log(num_patches), f'chance: ln {num_patches}'),
        ('hit_rate', 'own patch ranked first', 1 / num_patches, f'chance: 1/{num_patches}'),
    )
    for axes, (key, label, chance, chance_label) in zip(
            figure.subplots(1, 2), panels, strict=True):
        axes.plot(steps, [entry[key] for entry in scalars], color='#1f5fa8')
        axes.axhline(chance, color='#b04a2f', linestyle='--', linewidth=1)
        axes.annotate(chance_label, (steps[-1], chance), xytext=(0, 4), ha='right',
                      textcoords='offset points', color='#b04a2f', fontsize=9)
        axes.set_xlabel('step')
        axes.set_title(label, fontsize=10)
        axes.set_ylim(bottom=0)
        axes.spines[['top', 'right']].set_visible(False)
    figure.suptitle(title, fontsize=11)
    figure.savefig(target, dpi=120)
