"""Pictures that explain what a model in training has learnt, from a batch it is fed."""

from typing import NamedTuple

import numpy as np
import torch
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP

from ..errors import InputError
from ..models.selfsup.conmim import ConMIM
from .attention import CLASS_TOKEN, attention_maps, attention_weights
from .look_up import LookUp, describe_score, look_up
from .sheet import to_pixels
from .sheets import (
    AttentionRow,
    draw_filled_holes,
    draw_similarities,
    draw_token_colours,
    sheet_of_attention,
)
from .token_pca import patch_tokens, token_colours


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
        model: Outside of any wrapper.
        inputs: What the data preprocessor returns, on the model's device: ``student_view`` and
            ``teacher_view`` ``(B, 3, H, W)``, normalised, and ``mask`` ``(B, L)`` bool.
        max_images: The first so many are shown.

    Raises:
        InputError: The model is under FSDP, where one process alone would wait for the others.
    """
    if any(isinstance(module, FSDP) for module in model.modules()):
        raise InputError('pictures cannot be made of a model under FSDP, whose weights no process '
                         'has whole; make them from a checkpoint with tools/visualization')
    inputs = {key: value[:max_images] for key, value in inputs.items()}
    found = look_up(model, inputs)
    return [
        picture_similarity(model, inputs, found),
        picture_filled_holes(model, inputs, found),
        picture_attention(model, inputs),
        picture_token_colours(model, inputs),
    ]


def picture_similarity(model: ConMIM, inputs: dict[str, torch.Tensor], found: LookUp) -> Picture:
    """The similarity of some holes to the teacher's patches."""
    pixels = [to_pixels(inputs[view], model.data_preprocessor)
              for view in ('student_view', 'teacher_view')]
    grid = model.backbone.grid_of(inputs['student_view'])
    return Picture(
        'patch_similarity', 'Which patch belongs in the hole?',
        'For some hidden patches (A, B, ...), how alike the student\'s guess is to each patch of '
        'the teacher. White frame: the right patch; cross: the one that the student takes for it. '
        f'{describe_score(found)} Learning shows as cross and frame falling together.',
        draw_similarities(*pixels, found, grid))


def picture_filled_holes(model: ConMIM, inputs: dict[str, torch.Tensor], found: LookUp) -> Picture:
    """The holes filled with the patches taken for them."""
    return Picture(
        'filled_holes', 'Holes filled by look-up',
        'Each hole holds the patch of the same image that the student takes for the hidden one: '
        f'ConMIM recognises and paints nothing. Blue frames are right. {describe_score(found)} '
        'A wrong patch of the same kind (sky for sky) is a near miss.',
        draw_filled_holes(to_pixels(inputs['student_view'], model.data_preprocessor), found,
                          model.backbone.grid_of(inputs['student_view'])))


def picture_attention(model: ConMIM, inputs: dict[str, torch.Tensor]) -> Picture:
    """Last block, mean over the heads, of the class token and of the middle patch."""
    images = inputs['student_view']
    rows, columns = grid = model.backbone.grid_of(images)
    queries = (CLASS_TOKEN, 1 + rows // 2 * columns + columns // 2)
    weights = attention_weights(model.teacher.backbone, images).mean(dim=1)
    maps = torch.stack([attention_maps(weights, query, grid) for query in queries], dim=1)
    pixels = to_pixels(images, model.data_preprocessor)
    return Picture(
        'attention', 'Where the teacher looks',
        'Self-attention of the last block, mean over its heads: of the class token, and of the '
        'framed patch. 1 is an even share of all tokens. A map without contrast says nothing yet; '
        'a spot around the framed patch that is the same in every image goes by position, not by '
        'content. (No loss is put on the class token, so its map may stay even.)',
        sheet_of_attention([AttentionRow(image, pair, queries) for image, pair in zip(
            pixels, maps, strict=True)], ['class token', 'framed patch']).pixels())


def picture_token_colours(model: ConMIM, inputs: dict[str, torch.Tensor]) -> Picture:
    """Patch tokens of the teacher as colours."""
    images = inputs['student_view']
    colours = token_colours(patch_tokens(model.teacher.backbone, images))
    return Picture(
        'token_pca', 'Patches of the same kind',
        'The first three principal components of the teacher\'s patch tokens, over all images '
        'together, as red, green and blue: patches of the same colour are alike to the model, also '
        'across images. Colours that follow objects are a good sign; smooth ramps from edge to '
        'edge are positions only.',
        draw_token_colours(to_pixels(images, model.data_preprocessor), colours,
                           model.backbone.grid_of(images)))
