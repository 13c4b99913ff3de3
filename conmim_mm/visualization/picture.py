"""What the functions that explain a model return."""

from typing import NamedTuple

import numpy as np


class Picture(NamedTuple):
    """A picture with the words that belong to it.

    Attributes:
        name: Short, for a file name: lower case, words joined by ``_``.
        title: A few words, for a heading.
        caption: One or two sentences: what is seen, and how to read it.
        image: ``(H, W, 3)`` uint8, RGB.
    """

    name: str
    title: str
    caption: str
    image: np.ndarray
