"""What a run says of itself when it learns nothing, or nothing of use: limits and words."""

import re

SHORTCUT_HIT_RATE = 0.9  # above it, positions are matched
CHANCE_FACTOR = 1.5  # below so many times the hit rate of guessing, it is guessing
COLLAPSE_SIMILARITY = 0.99  # above it, the teacher's tokens of an image are all alike

SHORTCUT = ('{hit_rate:.0%} of the hidden patches are found: the student matches positions rather '
            'than content. Is there an absolute position embedding (use_abs_pos_emb)? '
            'See docs/learning.md.')
CHANCE = ('{hit_rate:.2%} of the hidden patches are found, where guessing finds {chance:.2%}, and '
          'the warm-up is long over: the student does not learn. Give the relative position table '
          'a higher rate (optim_wrapper.paramwise_cfg.custom_keys.relative_position_bias_table.'
          'lr_mult) or a start that tells holes apart (model.backbone.rel_pos_init_slope). '
          'See docs/learning.md.')
COLLAPSE = ("the teacher's tokens of an image are all alike (mean cosine similarity "
            '{similarity:.3f}): nothing is left to recognise. Stop this run, and start again, or '
            'go on from a checkpoint before that, with a lower optim_wrapper.optimizer.lr or a '
            'slower teacher (default_hooks.teacher.momentum). See docs/learning.md.')


def sign_of(warning: str) -> str | None:
    """Which of the three a warning is, its fields filled in; None for any other."""
    for sign in (SHORTCUT, CHANCE, COLLAPSE):
        if re.fullmatch('.*?'.join(map(re.escape, re.split(r'\{[^}]*\}', sign))), warning):
            return sign
    return None
