"""What the teacher's view differs by (ConMIM paper, section 3.2: asymmetric image perturbation)."""

import numpy as np
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter, ImageOps

from ..errors import InputError


class TeacherPerturbation:
    """Colour jitter, greyscale, blur and solarisation, each with its probability, in this order.

    All of it acts on colours or very locally, so pixels stay where they are. Defaults as in the
    original implementation.

    Args:
        jitter_prob: Probability of the colour jitter.
        brightness: Jitter factor drawn from ``[1 - brightness, 1 + brightness]``.
        contrast: Likewise.
        saturation: Likewise.
        hue: Shift drawn from ``[-hue, hue]``, in turns of the colour circle; at most 0.5.
        grey_prob: Probability of greyscale.
        blur_prob: Probability of Gaussian blur.
        blur_radius: Range of the blur's standard deviation, in pixels.
        solarise_prob: Probability of solarisation.
        solarise_threshold: Grey levels from this one on are inverted.

    Raises:
        InputError: A probability or a range that is none.
    """

    def __init__(self,
                 jitter_prob: float = 0.8,
                 brightness: float = 0.4,
                 contrast: float = 0.4,
                 saturation: float = 0.2,
                 hue: float = 0.1,
                 grey_prob: float = 0.2,
                 blur_prob: float = 0.1,
                 blur_radius: tuple[float, float] = (0.1, 2.0),
                 solarise_prob: float = 0.2,
                 solarise_threshold: int = 128) -> None:
        for name, prob in dict(jitter_prob=jitter_prob, grey_prob=grey_prob, blur_prob=blur_prob,
                               solarise_prob=solarise_prob).items():
            if not 0 <= prob <= 1:
                raise InputError(f'{name} must lie in [0, 1], but is {prob}')
        for name, factor in dict(brightness=brightness, contrast=contrast,
                                 saturation=saturation).items():
            if not 0 <= factor <= 1:
                raise InputError(f'{name} must lie in [0, 1], but is {factor}')
        if not 0 <= hue <= 0.5:
            raise InputError(f'hue must lie in [0, 0.5], but is {hue}')
        if not 0 <= blur_radius[0] <= blur_radius[1]:
            raise InputError(f'blur_radius must be a range from 0 on, but is {blur_radius}')
        self.jitter_prob = jitter_prob
        ranges = (
            (F.adjust_brightness, 1 - brightness, 1 + brightness),
            (F.adjust_contrast, 1 - contrast, 1 + contrast),
            (F.adjust_saturation, 1 - saturation, 1 + saturation),
            (F.adjust_hue, -hue, hue),
        )
        # An empty range must not cost an 8-bit round trip through another colour space.
        self.jitter_ranges = [entry for entry in ranges if entry[1] < entry[2]]
        self.grey_prob = grey_prob
        self.blur_prob = blur_prob
        self.blur_radius = blur_radius
        self.solarise_prob = solarise_prob
        self.solarise_threshold = solarise_threshold

    def __call__(self, image: Image.Image, rng: np.random.Generator) -> Image.Image:
        """A perturbed copy of an RGB image of the same size."""
        if rng.random() < self.jitter_prob:
            for i in rng.permutation(len(self.jitter_ranges)):
                adjust, low, high = self.jitter_ranges[i]
                image = adjust(image, rng.uniform(low, high))
        if rng.random() < self.grey_prob:
            image = F.to_grayscale(image, num_output_channels=3)
        if rng.random() < self.blur_prob:
            image = image.filter(ImageFilter.GaussianBlur(rng.uniform(*self.blur_radius)))
        if rng.random() < self.solarise_prob:
            image = ImageOps.solarize(image, self.solarise_threshold)
        return image
