"""What a training step descends, and how a GPU starts it.

The nets of the paper are so small that on a GPU a step is mostly the time it takes to start its
kernels one by one. After `record` they are started all together, several times as fast, see
docs/speed.md.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from km_rl.core.elbo import Elbo
from km_rl.errors import InputError
from km_rl.train.recipe import Recipe

MISMATCH = "set_warn_on_accumulate_grad_stream_mismatch"
"""What tells torch that gradients come from another stream on purpose."""


class Objective(nn.Module):
    """The loss of a batch of episodes and the terms of their bound, as a recipe weighs them.

    Args:
        model: ``model(images, sample_memory=...)`` returns an `Elbo`.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe

    def forward(self, images: Tensor, address_kl_weight: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the means of the `Elbo`'s four terms in nats per image.

        Args:
            images: episodes with shape (B, T, channels, H, W).
            address_kl_weight: of KL(y) in the loss, a scalar.
        """
        elbo: Elbo = self.model(images, sample_memory=self.recipe.sample_memory)
        terms = torch.stack([term.detach().mean() for term in elbo])
        return elbo.loss(self.recipe.memory_kl_weight, address_kl_weight), terms


def record(objective: Objective, images: Tensor, address_kl_weight: Tensor) -> None:
    """Let the objective and its gradients be CUDA graphs, for batches of this shape alone.

    Where it is recorded nothing can be asked of a number: a covariance that is not positive
    definite gives NaN instead of an error, and no jitter is tried. The random stream of the GPU is
    left as it was.

    Raises:
        InputError: the model asks for a number on the way, so that it cannot be recorded.
    """
    if hasattr(torch.autograd.graph, MISMATCH):  # newer than the oldest torch that will do
        getattr(torch.autograd.graph, MISMATCH)(False)
    before = torch.cuda.get_rng_state(images.device)
    samples = (images.clone(), address_kl_weight.clone())
    try:
        torch.cuda.make_graphed_callables(objective, samples, allow_unused_input=True)
    except RuntimeError as error:
        kind = getattr(objective.model, "kind", type(objective.model).__name__)
        raise InputError(
            f"The steps of a {kind} cannot be recorded as CUDA graphs here "
            f"({str(error).splitlines()[0]}): leave out --cuda-graphs."
        ) from error
    torch.cuda.set_rng_state(before, images.device)
