"""What every model with a memory does alike: build, read iteratively, denoise and dream.

The memory differs: a Gaussian posterior here, the Kanerva Machine's; other papers' in `baselines`.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from km_rl.core.elbo import Elbo
from km_rl.errors import InputError, at_least_one
from km_rl.nn.conv import auto_encoder
from km_rl.nn.likelihoods import Likelihood, picture
from km_rl.nn.precision import at_least_single
from km_rl.nn.weights import SelfDescribing

State = TypeVar("State")
Model = TypeVar("Model", bound="EpisodicModel[Any]")


class EpisodicModel(SelfDescribing, Generic[State]):
    """An auto-encoder around a memory, ``State``, that is written anew for each episode.

    A subclass says what its bound is (`elbo`), how an episode is written (`write`) and which codes
    are read from memory: for a query (`codes`), for a random address (`dream`).

    Args:
        encoder: images ``[..., channels, H, W]`` to embeddings ``[..., encoder.width]``.
        decoder: codes ``[..., code]`` to a distribution over images.
    """

    prices_memory: ClassVar[bool] = True
    """Whether the memory is drawn from a posterior whose KL is known; if not, `Elbo.rate_memory`
    is 0 and `Elbo.full_bound` bounds nothing."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.spec: dict[str, Any] = {}

    @classmethod
    def build(
        cls: type[Model],
        image_shape: tuple[int, int, int] = (1, 28, 28),
        filters: int = 16,
        likelihood: Likelihood = "bernoulli",
        slots: int = 64,
        code: int = 100,
        cosines: bool = False,
        **options: Any,
    ) -> Model:
        """The model with the paper's encoder and decoder; ``options`` as in the class.

        ``cosines`` passes the lowest frequencies beside them, see `km_rl.nn.cosines`.
        """
        at_least_one(filters=filters, slots=slots, code=code)
        sizes = {"slots": slots, "code": code, **options}
        model = cls(*auto_encoder(image_shape, filters, likelihood, code, cosines), **sizes)
        nets = {"image_shape": image_shape, "filters": filters, "likelihood": likelihood}
        model.spec = {**nets, "cosines": cosines, **sizes}
        return model

    def forward(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        """`elbo`, under the name that distributed training wraps."""
        return self.elbo(images, sample_memory)

    def elbo(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        """Write the episode, then read each image back from what was written.

        Args:
            images: episodes with shape (B, T, channels, H, W).
            sample_memory: read from one draw of the memory, not from its mean.

        Returns:
            Every term in nats per image, each with shape (B, T).
        """
        raise NotImplementedError

    def log_weights(self, images: Tensor, samples: int, sample_memory: bool = False) -> Tensor:
        """Importance weights of each image, given the memory that its episode was written to.

        Args:
            images: episodes with shape (B, T, channels, H, W); each is written once.
            samples: draws of all that is latent, given the memory.
            sample_memory: read from one draw of the memory, not from its mean.

        Returns:
            ln p(x, y, z|M) - ln q(y, z|x, M) in nats with shape (samples, B, T). The mean of minus
            these is the bound of `elbo`, and the mean of their exponentials is p(x|M).

        Raises:
            InputError: ``samples`` below 1.
        """
        raise NotImplementedError

    def write(self, images: Tensor) -> State:
        """The memory after the episodes with shape (B, T, channels, H, W)."""
        raise NotImplementedError

    def address_weights(self, images: Tensor) -> Tensor:
        """Where each image is read after all are written, at means, with shape (B, T, K).

        Where several heads read, they have an axis of their own before the last.
        """
        raise NotImplementedError

    def codes(self, memory: State, embeddings: Tensor) -> Tensor:
        """What is read for queries (B, T, width), at means: codes with shape (B, T, C)."""
        raise NotImplementedError

    def dream(self, memory: State, n: int) -> Tensor:
        """What is read at n random addresses: codes with shape (B, n, C)."""
        raise NotImplementedError

    def iterate(self, memory: State, images: Tensor, steps: int = 1) -> Tensor:
        """Iterative reading (algorithm 1): each pass queries with the pass before.

        Args:
            memory: B memories; they are read at their means.
            images: queries with shape (B, T, channels, H, W).
            steps: passes.

        Returns:
            The pictures, means of p(x|z), of every pass, with shape (steps, B, T, channels, H, W).

        Raises:
            InputError: ``steps`` below 1.
        """
        at_least_one(steps=steps)
        passes: list[Tensor] = []
        for _ in range(steps):
            images = self._pictures(self.codes(memory, self._embed(images)))
            passes.append(images)
        return torch.stack(passes)

    def read(self, memory: State, images: Tensor, steps: int = 1) -> Tensor:
        """The last pass of `iterate`, with the shape of ``images``."""
        return self.iterate(memory, images, steps)[-1]

    def denoise(self, clean: Tensor, noisy: Tensor, steps: int = 8) -> Tensor:
        """Write the clean episode, query with the noisy one; shape as `iterate`."""
        return self.iterate(self.write(clean), noisy, steps)

    def generate(self, memory: State, n: int, steps: int = 1) -> Tensor:
        """Dream from random addresses, then read iteratively.

        Returns:
            The pictures of every step with shape (steps, B, n, channels, H, W); the first is
            decoded from a `dream`, each later one from reading the one before.

        Raises:
            InputError: ``n`` or ``steps`` below 1.
        """
        at_least_one(n=n, steps=steps)
        first = self._pictures(self.dream(memory, n))
        if steps == 1:
            return first[None]
        return torch.cat([first[None], self.iterate(memory, first, steps - 1)])

    def _embed(self, images: Tensor) -> Tensor:
        if images.dim() != 5:
            raise InputError(
                f"Images of shape {tuple(images.shape)} were given: episodes of shape "
                f"(B, T, channels, height, width) are expected; one episode is images[None]."
            )
        if not images.numel():
            raise InputError(
                f"Images of shape {tuple(images.shape)} were given, which are none: at least one "
                f"episode of at least one image is expected."
            )
        return at_least_single(self.encoder(images))

    def _pictures(self, codes: Tensor) -> Tensor:
        return picture(self.decoder(codes))
