"""An initializer that loads all of a module's weights or says which are wrong."""

from mmengine.registry import WEIGHT_INITIALIZERS
from torch import nn

from ..checkpoint.differences import describe_differences
from ..checkpoint.reading import load_checkpoint_file, model_state, weights_below
from ..errors import InputError


@WEIGHT_INITIALIZERS.register_module()
class StrictPretrained:
    """MMEngine's ``Pretrained`` for heads and necks, without its silence.

    ``Pretrained`` warns of weights that do not fit and leaves the module as it was.

    Args:
        checkpoint: A file or address.
        prefix: Start of the names of the module's weights in it, such as ``'head.'``.
    """

    def __init__(self, checkpoint: str, prefix: str) -> None:
        self.checkpoint = checkpoint
        self.prefix = prefix

    def __call__(self, module: nn.Module) -> None:
        """Loads ``module``.

        Raises:
            InputError: No such checkpoint, or weights that are missing, unexpected or of another
                shape.
        """
        given = weights_below(model_state(load_checkpoint_file(self.checkpoint)), self.prefix)
        differences = describe_differences(module.state_dict(), given)
        if differences:
            raise InputError(f'{self.checkpoint} does not fit the {type(module).__name__} '
                             f'({self.prefix}*): {differences}')
        module.load_state_dict(given)
