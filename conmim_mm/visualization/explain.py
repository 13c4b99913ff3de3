"""Pictures that explain what a model in training has learnt, from a batch it is fed."""

from typing import NamedTuple

import numpy as np
import torch

from ..models.backbones.conmim_vit import ConMIMViT
from ..models.selfsup.conmim import ConMIM
from .attention import CLASS_TOKEN, attention_maps, attention_weights
from .look_up import describe_score, look_up
from .sheet import describe_bands, to_pixels
from .sheets import (
    AttentionRow,
    draw_filled_holes,
    draw_similarities,
    draw_token_colours,
    sheet_of_attention,
)
from .token_pca import patch_tokens, token_colours

SIMILARITY = (
    'For some hidden patches (A, B, ...), how alike the student\'s guess is to each patch of the '
    'teacher. White frame: the right patch; cross: the one that the student takes for it. {score} '
    'Learning shows as cross and frame falling together.')
FILLED_HOLES = (
    'Each hole holds the patch of the same image that the student takes for the hidden one: ConMIM '
    'recognises and paints nothing. Blue frames are right. {score} A wrong patch of the same kind '
    '(sky for sky) is a near miss.')
ATTENTION = (
    'Self-attention of the last block, mean over its heads: of the class token, and of the framed '
    'patch. 1 is an even share of all tokens. A map without contrast says nothing yet; a spot '
    'around the framed patch that is the same in every image goes by position, not by content. (No '
    'loss is put on the class token, so its map may stay even.)')
TOKEN_COLOURS = (
    'The first three principal components of the teacher\'s patch tokens, over all images '
    'together, as red, green and blue: patches of the same colour are alike to the model, also '
    'across images. Colours that follow objects are a good sign; smooth ramps from edge to edge '
    'are positions only.')


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


def explain_samples(model: ConMIM, inputs: dict[str, torch.Tensor],
                    max_images: int = 4) -> list[Picture]:
    """Four pictures: the look-up, the holes filled by it, attention, and tokens as colours.

    The look-up is the student's with the teacher; attention and colours are the teacher's, whose
    weights are the result of the training. Neither the model's mode nor its weights, its batch
    norms' statistics or any random numbers are touched; it may be called by one of several
    processes.

    Args:
        model: Outside of any wrapper; under FSDP no process has its whole weights.
        inputs: What the data preprocessor returns, on the model's device: ``student_view`` and
            ``teacher_view`` ``(B, 3, H, W)``, normalised, and ``mask`` ``(B, L)`` bool.
        max_images: The first so many are shown.
    """
    inputs = {key: value[:max_images] for key, value in inputs.items()}
    images, teacher = inputs['student_view'], model.teacher.backbone
    pixels, teacher_pixels = (to_pixels(inputs[view], model.data_preprocessor)
                              for view in ('student_view', 'teacher_view'))
    grid = model.backbone.grid_of(images)
    found = look_up(model, inputs)
    score = describe_score(found)
    colours = token_colours(patch_tokens(teacher, images))
    pictures = [
        Picture('patch_similarity', 'Which patch belongs in the hole?',
                SIMILARITY.format(score=score),
                draw_similarities(pixels, teacher_pixels, found, grid)),
        Picture('filled_holes', 'Holes filled by look-up', FILLED_HOLES.format(score=score),
                draw_filled_holes(pixels, found, grid)),
        Picture('attention', 'Where the teacher looks', ATTENTION,
                draw_attention(teacher, images, pixels)),
        Picture('token_pca', 'Patches of the same kind', TOKEN_COLOURS,
                draw_token_colours(pixels, colours, grid)),
    ]
    bands = describe_bands(model.data_preprocessor, images.shape[1])
    return [one._replace(caption=f'{one.caption} {bands}'.strip()) for one in pictures]


def draw_attention(backbone: ConMIMViT, images: torch.Tensor, pixels: np.ndarray) -> np.ndarray:
    """Last block, mean over the heads, of the class token and of the middle patch.

    Args:
        backbone: Whose attention.
        images: ``(B, 3, H, W)``, normalised.
        pixels: The same, ``(B, H, W, 3)`` uint8.

    Returns:
        ``(H, W, 3)`` uint8.
    """
    rows, columns = grid = backbone.grid_of(images)
    queries = (CLASS_TOKEN, 1 + rows // 2 * columns + columns // 2)
    weights = attention_weights(backbone, images).mean(dim=1)
    maps = torch.stack([attention_maps(weights, query, grid) for query in queries], dim=1)
    return sheet_of_attention([AttentionRow(image, pair, queries) for image, pair in zip(
        pixels, maps, strict=True)], ['class token', 'framed patch']).pixels()
