"""What is kept serves every later pass, whatever mode it was first needed in."""

import pytest
import torch

from conmim_mm.models.layers.tensor_cache import keep_tensors


@pytest.fixture
def index():
    """A cached function with nothing in its cache."""
    @keep_tensors(maxsize=4)
    def make(side: int) -> torch.Tensor:
        return torch.arange(side).flip(0)

    return make


class Gather(torch.nn.Module):
    def __init__(self, index) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[self.index(3)]


def test_is_kept(index) -> None:
    assert index(3) is index(3) and index(3).equal(torch.tensor([2, 1, 0]))


def test_an_exporters_tensors_are_not_kept(index) -> None:
    graph = torch.export.export(Gather(index), (torch.zeros(3, 2),)).module()
    assert type(index(3)) is torch.Tensor and index(3).equal(torch.tensor([2, 1, 0]))
    x = torch.rand(3, 2)
    assert graph(x).equal(x.flip(0))
    # nor does what is kept already disturb the exporter
    assert torch.export.export(Gather(index), (x,)).module()(x).equal(x.flip(0))


def test_serves_a_backward_pass_after_inference_mode(index) -> None:
    with torch.inference_mode():
        index(3)
    x = torch.rand(3, 2, requires_grad=True)
    x[index(3)].square().sum().backward()
    assert x.grad.equal(2 * x)
