"""Counts the images that could not be read, by name, and stops a run that skips too many."""

import math
from collections.abc import Iterable
from pathlib import Path

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.registry import HOOKS

from ...datasets.grey_levels import describe_lost_levels, look_at
from ...datasets.replacing_dataset import ReplacingDataset
from ...errors import InputError
from ...utils.files import escape_name, write_text
from ...utils.work_dir import SKIPPED_IMAGES_FILE

MIN_ALLOWED = 3  # files, however few the images are
NAMED_IMAGES = 3
COUNTS = 'skipped_images'  # in the message hub, which is part of every checkpoint

Counts = dict[str, list]  # of each path: how many times (int), and the last reason (str)


@HOOKS.register_module()
class SkippedImagesHook(Hook):
    """Keeps ``skipped.txt`` in the work dir, and ends the run where too much of the data is bad.

    A data set of :mod:`conmim_mm.datasets` puts another image in the place of an unreadable one;
    this hook is what tells the user. The file has a line per image: path, times, reason, between
    tabs, in the order of the paths. The counts are part of the checkpoints and go on after a
    resume.

    Several processes bring their counts together every ``interval`` iterations, at the end of an
    epoch and at the end of the run; process 0 writes, and all stop together. What the others have
    counted since is not in a checkpoint, so ``interval`` should divide the checkpoints' own where
    that is in iterations. A single process needs no interval.

    Args:
        max_share: Share of the data set's images, 0 to 1, that may be unreadable; three files may
            in any case, unless it is 0.
        interval: Iterations between two exchanges of several processes.

    Raises:
        InputError: ``max_share`` outside 0 to 1, ``interval`` below 1; during training, when more
            images than ``max_share`` allows could not be read.
    """

    # Before the checkpoint is written, with the counts in it.
    priority = 'NORMAL'

    def __init__(self, max_share: float = 0.01, interval: int = 50) -> None:
        if not 0 <= max_share <= 1:
            raise InputError(f'max_share must lie in [0, 1], but is {max_share}')
        if interval < 1:
            raise InputError(f'interval of SkippedImagesHook must be at least 1, but is {interval}')
        self.max_share = max_share
        self.interval = interval
        self.new: list[tuple[str, str]] = []  # path and reason, of this process since the exchange

    def before_train(self, runner: Runner) -> None:
        self.new = []
        counts = runner.message_hub.get_info(COUNTS, {})
        if is_main_process():
            # An earlier run's, or this run's beyond the checkpoint it goes on from.
            Path(runner.work_dir, SKIPPED_IMAGES_FILE).unlink(missing_ok=True)
            if counts:
                self._write(runner, counts)
            dataset = runner.train_dataloader.dataset
            if isinstance(dataset, ReplacingDataset) and (
                    lost := describe_lost_levels(look_at(dataset).levels)):
                runner.logger.warning(lost)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None,
                         outputs: dict | None = None) -> None:
        for sample in data_batch.get('data_samples', []):  # the model needs inputs only
            self.new += sample.get('skipped', [])
        if (runner.world_size == 1 or self.every_n_train_iters(runner, self.interval)
                or self.is_last_train_iter(runner)):
            self._exchange(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        self._exchange(runner)

    def after_train(self, runner: Runner) -> None:
        counts = runner.message_hub.get_info(COUNTS, {})
        if counts:
            runner.logger.warning(
                f'{len(counts)} of {len(runner.train_dataloader.dataset)} images could not be '
                f'read and were skipped (skips in all: {sum(n for n, _ in counts.values())}): see '
                f'{Path(runner.work_dir, SKIPPED_IMAGES_FILE)}')

    def _exchange(self, runner: Runner) -> None:
        new = [entry for of_rank in all_gather_object(self.new) for entry in of_rank]
        self.new = []
        if not new:
            return
        before = runner.message_hub.get_info(COUNTS, {})
        counts = add_counts(before, new)
        runner.message_hub.update_info(COUNTS, counts)
        if is_main_process():
            self._write(runner, counts)
        if not before:
            path, reason = new[0]
            runner.logger.warning(
                f'skipping {escape_name(path)}, which cannot be read ({escape_name(reason)}), and '
                f'whatever else cannot be: see {Path(runner.work_dir, SKIPPED_IMAGES_FILE)}')
        self._check_share(runner, counts)

    def _write(self, runner: Runner, counts: Counts) -> None:
        try:
            write_counts(Path(runner.work_dir), counts)
        except InputError as error:  # a full disk, say; the counts are in the checkpoints too
            runner.logger.warning(str(error))

    def _check_share(self, runner: Runner, counts: Counts) -> None:
        total = len(runner.train_dataloader.dataset)
        if len(counts) > allowed_unreadable(total, self.max_share):
            named = sorted(f'{escape_name(path)} ({escape_name(reason)})'
                           for path, (_, reason) in counts.items())[:NAMED_IMAGES]
            more = ', ...' if len(counts) > NAMED_IMAGES else ''
            raise InputError(
                f'{len(counts)} of {total} images cannot be read, more than '
                f'max_share={self.max_share:g} of them: {", ".join(named)}{more}; repair or '
                'remove them, or raise default_hooks.skipped_images.max_share')


def allowed_unreadable(total: int, max_share: float) -> int:
    """How many of so many images may be unreadable: their share, or three where that is less."""
    return max(math.floor(total * max_share + 1e-6), min(MIN_ALLOWED, total - 1)) * (max_share > 0)


def add_counts(counts: Counts, new: Iterable[tuple[str, str]]) -> Counts:
    """Counts with further skips added; those given stay as they are.

    Args:
        counts: So far.
        new: Path and reason of each skip.
    """
    added = dict(counts)
    for path, reason in new:
        added[path] = [added.get(path, [0])[0] + 1, reason]
    return added


def write_counts(work_dir: Path, counts: Counts) -> None:
    """Writes ``skipped.txt``."""
    lines = sorted(f'{escape_name(path)}\t{times}\t{escape_name(reason)}\n'
                   for path, (times, reason) in counts.items())
    write_text(work_dir / SKIPPED_IMAGES_FILE, ''.join(lines))
