"""The variational auto-encoder (Kingma & Welling 2014; Rezende et al. 2014).

The same encoder and decoder as the Kanerva Machine, the same bound, and N(0, I) where the machine
has a memory.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from km_rl.core.elbo import Elbo
from km_rl.errors import at_least_one
from km_rl.nn.conv import auto_encoder
from km_rl.nn.cosines import Cosines
from km_rl.nn.likelihoods import Likelihood, picture
from km_rl.nn.mlp import GaussianHead, normal
from km_rl.nn.precision import full_precision
from km_rl.nn.weights import SelfDescribing

PASSED_STD = 0.1
"""The std of q(z|x) to start from where an encoder passes cosines, as the machine's."""


class VAE(SelfDescribing):
    """q(z|x) = N, p(z) = N(0, I), p(x|z) from the decoder.

    Of an encoder that passes cosines p(z) has trained variances: the decoder cannot rescale them.

    Args:
        encoder: images ``[..., channels, H, W]`` to embeddings ``[..., encoder.width]``.
        decoder: codes ``[..., code]`` to a distribution over images.
        code: C, the width of z.
    """

    kind = "vae"

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, code: int = 100) -> None:
        super().__init__()
        width: int = encoder.width  # type: ignore[assignment]
        self.encoder, self.decoder = encoder, decoder
        self.log_prior_std: nn.Parameter | None
        cosines: Cosines | None = getattr(encoder, "cosines", None)
        if cosines is None:
            self.q_z = GaussianHead(width, code, hidden=width)
            self.log_prior_std = None
        else:
            learned: int = getattr(encoder, "learned", width)
            self.q_z = GaussianHead(width, code, learned, PASSED_STD, passes=True)
            self.log_prior_std = nn.Parameter(cosines.stds.log())
        self.code = code
        self.spec: dict[str, Any] = {}

    @classmethod
    def build(
        cls,
        image_shape: tuple[int, int, int] = (1, 28, 28),
        filters: int = 16,
        likelihood: Likelihood = "bernoulli",
        code: int = 100,
        cosines: bool = False,
    ) -> VAE:
        """The auto-encoder with the paper's encoder and decoder; as `EpisodicModel.build`."""
        at_least_one(filters=filters, code=code)
        vae = cls(*auto_encoder(image_shape, filters, likelihood, code, cosines), code=code)
        vae.spec = {
            "image_shape": image_shape,
            "filters": filters,
            "likelihood": likelihood,
            "code": code,
            "cosines": cosines,
        }
        return vae

    def forward(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        """`elbo`; there is no memory to sample."""
        return self.elbo(images)

    def elbo(self, images: Tensor) -> Elbo:
        """Distortion and KL(q(z|x)||p(z)), in nats per image, each with shape (B, T)."""
        q_z = self._encode(images)
        distortion = -self.decoder(q_z.rsample()).log_prob(images)
        rate_z = kl_divergence(q_z, self._p_z(q_z.mean))
        free = torch.zeros_like(rate_z)
        return Elbo(distortion, rate_y=free, rate_z=rate_z, rate_memory=free)

    def log_weights(self, images: Tensor, samples: int, sample_memory: bool = False) -> Tensor:
        """ln p(x, z) - ln q(z|x) of so many draws of z, in nats with shape (samples, B, T).

        As `EpisodicModel.log_weights`; there is no memory to sample.
        """
        at_least_one(samples=samples)
        q_z = self._encode(images)
        p_z = self._p_z(q_z.mean)
        draws = [q_z.rsample() for _ in range(samples)]
        ratios = [p_z.log_prob(z) - q_z.log_prob(z) for z in draws]
        likelihoods = [self.decoder(z).log_prob(images) for z in draws]
        return torch.stack(likelihoods) + torch.stack(ratios)

    def _encode(self, images: Tensor) -> Independent:
        """q(z|x); its head is outside mixed precision, as those of the machine are."""
        embeddings = self.encoder(images)
        with full_precision(embeddings):
            return self.q_z(embeddings.to(self.q_z.first.weight.dtype))

    def iterate(self, images: Tensor, steps: int = 1) -> Tensor:
        """Feed reconstructions back, as the machine reads iteratively.

        Returns:
            The pictures of every pass, in 0..1, with shape (steps, *images.shape).

        Raises:
            InputError: ``steps`` below 1.
        """
        at_least_one(steps=steps)
        passes: list[Tensor] = []
        for _ in range(steps):
            images = picture(self.decoder(self._encode(images).mean))
            passes.append(images)
        return torch.stack(passes)

    def generate(self, n: int) -> Tensor:
        """Pictures, in 0..1, of n draws from the prior, with shape (n, channels, H, W)."""
        zeros = torch.zeros(n, self.code, device=next(self.parameters()).device)
        return picture(self.decoder(self._p_z(zeros).sample()))

    def _p_z(self, like: Tensor) -> Independent:
        """p(z), for codes of that shape."""
        std = 1.0 if self.log_prior_std is None else self.log_prior_std.exp()
        return normal(torch.zeros_like(like), std)
