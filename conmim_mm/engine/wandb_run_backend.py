"""W&B as a run of ours uses it."""

from mmengine.config import Config
from mmengine.visualization import WandbVisBackend
from mmengine.visualization.vis_backend import force_init_env
from mmpretrain.registry import VISBACKENDS

from ..errors import InputError


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
