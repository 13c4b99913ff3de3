"""Batch norm over the batches of all processes, on GPUs and CPUs alike."""

import torch
import torch.distributed as dist
from mmpretrain.registry import MODELS
from torch import nn
from torch.distributed.nn.functional import all_reduce


@MODELS.register_module()
class CrossProcessBN(nn.BatchNorm1d):
    """``BatchNorm1d`` whose batch statistics run over all processes.

    PyTorch's ``SyncBatchNorm`` does the same but refuses to run on CPUs. Without several processes,
    and in eval mode, this is ``BatchNorm1d``.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalises ``(N, C)``; N may differ between processes."""
        distributed = dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
        if not (self.training and distributed):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return self._normalise(x.float()).to(x.dtype)

    def _normalise(self, x: torch.Tensor) -> torch.Tensor:
        count = all_reduce(x.new_tensor([len(x)]))
        mean = all_reduce(x.sum(dim=0)) / count
        # Squares of centred values: the difference of two large sums would cost precision.
        var = all_reduce((x - mean).square().sum(dim=0)) / count
        if self.track_running_stats:
            with torch.no_grad():
                self.num_batches_tracked += 1
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1), self.momentum)
        x = (x - mean) * (var + self.eps).rsqrt()
        return x if self.weight is None else x * self.weight + self.bias
