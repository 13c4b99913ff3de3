from pathlib import Path

import torch
import torch.distributed as dist

from conmim_mm.models import CrossProcessBN

from ...ranks import on_ranks


def normalise_a_part(folder: Path) -> None:
    dist.init_process_group('gloo')
    rank = dist.get_rank()
    data = torch.load(folder / 'in.pt')
    part = slice(0, 5) if rank == 0 else slice(5, 16)  # batches of unequal size
    bn = CrossProcessBN(3)
    x = data['x'][part].requires_grad_()
    y = bn(x)
    (y * data['grad'][part]).sum().backward()
    torch.save(dict(y=y.detach(), x_grad=x.grad, weight_grad=bn.weight.grad,
                    buffers=dict(bn.named_buffers())), folder / f'{rank}.pt')
    dist.barrier()  # or the first to leave hangs up on the other, which then fails
    dist.destroy_process_group()


def test_two_processes_equal_one(tmp_path) -> None:
    x, grad = 5 + 2 * torch.randn(16, 3), torch.randn(16, 3)
    torch.save(dict(x=x, grad=grad), tmp_path / 'in.pt')
    on_ranks(normalise_a_part, tmp_path).check_returncode()
    parts = [torch.load(tmp_path / f'{rank}.pt') for rank in (0, 1)]

    bn = torch.nn.BatchNorm1d(3)
    x.requires_grad_()
    y = bn(x)
    (y * grad).sum().backward()
    torch.testing.assert_close(torch.cat([part['y'] for part in parts]), y.detach())
    torch.testing.assert_close(torch.cat([part['x_grad'] for part in parts]), x.grad)
    torch.testing.assert_close(sum(part['weight_grad'] for part in parts), bn.weight.grad)
    for part in parts:
        torch.testing.assert_close(part['buffers'], dict(bn.named_buffers()))


def test_one_process_is_plain_batch_norm() -> None:
    x = torch.randn(8, 3)
    ours, plain = CrossProcessBN(3), torch.nn.BatchNorm1d(3)
    assert torch.equal(ours(x), plain(x))
    assert torch.equal(ours.running_var, plain.running_var)
