"""Sending what a run logs to TensorBoard, W&B or MLflow as well."""

import importlib.util
import os
from collections.abc import Iterable
from pathlib import Path

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env
from mmpretrain.registry import VISBACKENDS

from ..checkpoint.settings import type_name
from ..errors import InputError

PROJECT = 'conmim_mm'
TRACKERS = ('tensorboard', 'wandb', 'mlflow')


def add_trackers(cfg: Config, names: Iterable[str]) -> None:
    """Adds trackers to the backends of a config's visualizer, beside the local files.

    Args:
        cfg: A config with a ``work_dir``, whose name becomes that of the run; changed in place. A
            tracker that it has already stays as it is set there.
        names: Out of :data:`TRACKERS`.

    Raises:
        InputError: No such tracker, or its package is not installed.
    """
    if cfg.get('visualizer') is None:
        cfg.visualizer = dict(type='Visualizer')
    backends = [*(cfg.visualizer.get('vis_backends') or [dict(type='LocalVisBackend')])]
    for name in dict.fromkeys(names):
        if name not in TRACKERS:
            raise InputError(f'no such tracker: {name}; there are {", ".join(TRACKERS)}')
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # no origin: a folder that W&B left lying about
            raise InputError(f'--track {name} needs a package that is not installed: '
                             f'pip install {name}')
        backend = tracker_backend(name, Path(cfg.work_dir).expanduser().absolute())
        if not any(name in type_name(other).lower() for other in backends):
            backends.append(backend)
    cfg.visualizer.vis_backends = backends


def tracker_backend(name: str, work_dir: Path) -> dict:
    """The config of a tracker's backend.

    Args:
        name: One of :data:`TRACKERS`.
        work_dir: Absolute path of the run's folder.
    """
    if name == 'tensorboard':
        return dict(type='TensorboardVisBackend')
    if name == 'wandb':
        project = os.environ.get('WANDB_PROJECT', PROJECT)
        # a resumed run is a new one to W&B; the group holds them together
        start = dict(project=project, name=work_dir.name, group=work_dir.name)
        return dict(type='mmpretrain.WandbRunBackend', init_kwargs=start,
                    define_metric_cfg=[dict(name='*', step_metric='iter')])
    backend = dict(
        type='MLflowVisBackend',
        exp_name=os.environ.get('MLFLOW_EXPERIMENT_NAME', PROJECT),
        run_name=work_dir.name,
        # By default MMEngine adds what lies in the work dir at the end. MLflow's own copies of
        # earlier starts lie there, too, so that every start would double them.
        artifact_suffix=())
    if uri := os.environ.get('MLFLOW_TRACKING_URI'):
        return backend | dict(tracking_uri=uri)
    # MMEngine's default, a folder of files, is refused by MLflow since its version 3.7
    return backend | dict(tracking_uri=f'sqlite:///{work_dir}/mlflow.db',
                          artifact_location=(work_dir / 'mlflow_artifacts').as_uri())


@VISBACKENDS.register_module()
class WandbRunBackend(WandbVisBackend):
    """MMEngine's, without the copy of all code below the working directory.

    MMEngine has W&B collect and upload every Python file there, which includes a virtual
    environment, and whatever else the user did not mean to publish.

    Arguments as in :class:`mmengine.visualization.WandbVisBackend`.

    Raises:
        InputError: At the start, where W&B has no account to send to.
    """

    def _init_env(self) -> None:
        import wandb
        try:
            super()._init_env()
        except wandb.errors.UsageError as error:
            raise InputError(f'W&B cannot start: {error} Without an account, or without a network, '
                             'set WANDB_MODE=offline') from error

    @force_init_env
    def add_config(self, config: Config, **_: object) -> None:
        """Sends the config, and nothing else.

        Args:
            config: Of the run.
        """
        self._wandb.config.update(config.to_dict(), allow_val_change=True)
