"""The learning rate for another batch than a recipe's, accumulated batches counted."""


def scaling_of_a_batch(auto_scale_lr: dict | None, accumulative_counts: int) -> dict | None:
    """A config's ``auto_scale_lr`` as MMEngine has to be given it.

    MMEngine divides the images of one batch on all GPUs by ``base_batch_size``; a recipe's base is
    the images of an optimizer step, which may be several batches.

    Args:
        auto_scale_lr: ``base_batch_size`` in images of a step, and ``enable``; or None.
        accumulative_counts: Batches of a step.

    Returns:
        The same, with the base in images of a batch.
    """
    if not auto_scale_lr or 'base_batch_size' not in auto_scale_lr:
        return auto_scale_lr
    base = auto_scale_lr['base_batch_size'] / accumulative_counts
    return dict(auto_scale_lr, base_batch_size=base)
