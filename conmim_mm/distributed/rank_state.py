"""What each process has besides the weights that they share: random numbers, open gradients."""

from mmengine.dist import gather_object, get_rank
from mmengine.runner import Runner

from ..utils.random_state import random_state, set_random_state
from .sharded import unwrap_model


def gather_rank_states(runner: Runner) -> list[dict] | None:
    """The state of every process, in the order of their ranks.

    All processes call it together.

    Args:
        runner: The runner of this process, between two iterations.

    Returns:
        On rank 0 plain data that a checkpoint can hold; None on the others.
    """
    accumulates = not runner.optim_wrapper.should_update()  # right after a step nothing is open
    return gather_object(dict(random=random_state(), gradients={
        name: parameter.grad.cpu() for name, parameter
        in unwrap_model(runner.model).named_parameters()
        if accumulates and parameter.grad is not None}))


def restore_rank_state(runner: Runner, states: list[dict]) -> None:
    """Puts back what :func:`gather_rank_states` took; the next iteration goes on from there.

    Args:
        runner: The runner of this process, its model loaded.
        states: One state for each process of this run.
    """
    own = states[get_rank()]
    parameters = dict(unwrap_model(runner.model).named_parameters())
    for name, gradient in own['gradients'].items():
        parameters[name].grad = gradient.to(parameters[name].device, copy=True)
    set_random_state(own['random'])
