"""Data sets of image files in which another image takes the place of an unreadable one."""

import os

from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import BaseDataset

from ..errors import UnreadableImageError
from .sample_rng import RNG_KEY, SampleIndex, replacement_rng
from .storage import reads_local_files
from .transforms.loading import check_file, reading

MAX_REPLACEMENTS = 100


class ReplacingDataset(BaseDataset):
    """Base of the data sets whose samples have an ``img_path`` and may turn out unreadable.

    In pre-training, that is with the samplers of :mod:`.sample_rng`, an unreadable image does not
    stop the run. Another one, drawn anew, takes its place, the same whatever the workers and
    processes; its sample names what it stands in for as ``skipped``, and :class:`SkippedImagesHook`
    counts. With any other sampler, as in tests, errors are raised.

    Arguments as in :class:`mmengine.dataset.BaseDataset`.

    Raises:
        UnreadableImageError: With an index, neither its image nor any of the
            ``MAX_REPLACEMENTS`` drawn in its place can be read.
    """

    def source(self, info: dict) -> dict:
        """What the pipeline starts from: here, what is known about the sample.

        Args:
            info: Of :meth:`get_data_info`.

        Raises:
            UnreadableImageError: A subclass reads the file itself, and cannot.
        """
        return info

    def prepare_data(self, idx: int) -> dict | None:
        """The sample of an index after the pipeline; see the class about unreadable images."""
        info = self.get_data_info(idx)
        if not isinstance(idx, SampleIndex):
            return self.pipeline(self.source(info))
        skipped, failure = [], None
        while len(skipped) <= MAX_REPLACEMENTS:
            try:
                return self._run_pipeline(self.source(info) | dict(skipped=skipped))
            except UnreadableImageError as error:
                failure = failure or error
                skipped.append((info['img_path'], error.reason))
            rng = replacement_rng(idx, attempt=len(skipped))
            info = self.get_data_info(int(rng.integers(len(self)))) | {RNG_KEY: rng}
        raise UnreadableImageError(f'{failure}; nor could any of {MAX_REPLACEMENTS} others drawn '
                                   'in its place be read') from failure

    def _run_pipeline(self, results: dict) -> dict | None:
        for transform in self.pipeline.transforms:
            if isinstance(transform, LoadImageFromFile):
                # LoadRGBImage raises the one error by itself; what others raise is a defect.
                path = results['img_path']
                with reading(path):
                    if '://' not in path and reads_local_files(transform):
                        check_file(os.stat(path))
                    results = transform(results)
                    if results is None:  # ignore_empty=True
                        raise ValueError('not an image')
            else:
                results = transform(results)
            if results is None:
                return None
        return results
