"""What two sets of weights do not have in common, in words."""

import logging
from collections.abc import Mapping

import torch
from mmengine.logging import print_log

from ..errors import InputError

_SHOWN_KEYS = 5


def describe_differences(own: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> str:
    """Compares the weights of a checkpoint with those of a model.

    Args:
        own: The model's state dict.
        given: The checkpoint's.

    Returns:
        Which keys are of another shape, missing and unexpected, shortened to a line; empty where
        there are none. Where it had to be shortened, the whole list goes to the log.
    """
    problems = {
        'of another shape': [
            f'{key} (checkpoint {tuple(given[key].shape)}, model {tuple(own[key].shape)})'
            for key in own if key in given and given[key].shape != own[key].shape
        ],
        'missing': [key for key in own if key not in given],
        'unexpected': [key for key in given if key not in own],
    }
    found = []
    for what, keys in problems.items():
        if not keys:
            continue
        shown, rest = keys[:_SHOWN_KEYS], keys[_SHOWN_KEYS:]
        found.append(f'{len(keys)} {what}: {", ".join(shown)}' + ' ...' * bool(rest))
        if rest:
            print_log(f'{len(keys)} weights {what}:\n  ' + '\n  '.join(keys), logger='current',
                      level=logging.ERROR)
    return '; '.join(found)


def names_of_differences(own: Mapping[str, torch.Tensor],
                         given: Mapping[str, torch.Tensor]) -> set[str]:
    """Which weights are missing, unexpected or of another shape; arguments as above."""
    return {key for key in own.keys() | given.keys()
            if key not in own or key not in given or own[key].shape != given[key].shape}


def check_state_dict(own: dict, given: dict) -> None:
    """Compares the weights of a checkpoint with those of a model.

    A checkpoint without any ``teacher.*`` key is complete without them: the teacher then starts as
    the student's copy.

    Args:
        own: The model's state dict.
        given: The checkpoint's; a leading ``module.`` in its keys is ignored.

    Raises:
        InputError: Keys are missing, unexpected or of another shape. The message names the first.
    """
    given = {key.removeprefix('module.'): value for key, value in given.items()}
    if not any(key.startswith('teacher.') for key in given):
        own = {key: value for key, value in own.items() if not key.startswith('teacher.')}
    differences = describe_differences(own, given)
    if differences:
        raise InputError(f'the checkpoint does not fit the model: {differences}. Use the config it '
                         'was trained with, or convert it first (tools/model_converters/)')
