"""The Dynamic Kanerva Machine: addresses are solved for, not learned.

    write   for t = 1..T:  w_t = E q(w|z_t, M_t-1),  M_t = M_t-1 conditioned on (w_t, z_t)
    read    w ~ q(w|z, M_T),  x ~ p(x|w M_T)
    dream   w ~ N(0, I),      x ~ p(x|w M_T)

with z = e(x) and q(w|z, M) a Gaussian around the least-squares address. Reading a picture that was
read before is one step of the attractor dynamics. As in its authors' code, codes are written at
solutions and read at draws.

Wu, Wayne, Gregor & Lillicrap, "Learning attractor dynamics for generative memory", NeurIPS 2018.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from km_rl.core.addressing import least_squares_address
from km_rl.core.elbo import Elbo
from km_rl.core.episodic import EpisodicModel
from km_rl.core.memory import Memory, kl_written, sample_written
from km_rl.core.prior import MemoryPrior
from km_rl.errors import above_zero, at_least_one
from km_rl.nn.initial import EMBEDDING_STD
from km_rl.nn.mlp import mlp, normal
from km_rl.nn.precision import full_precision


class AutoEncodingElbo(Elbo):
    """An `Elbo` whose loss also trains the auto-encoder without the memory, as the paper's does.

    Attributes:
        auto_encoder: -ln p(x|z = e(x)) in nats per image, with shape (B, T). No bound has it.
    """

    auto_encoder: Tensor

    def loss(
        self, memory_kl_weight: float = 0.0, address_kl_weight: Tensor | float = 1.0
    ) -> Tensor:
        """As `Elbo.loss`, and the mean of `auto_encoder`."""
        return super().loss(memory_kl_weight, address_kl_weight) + self.auto_encoder.mean()


class DKM(EpisodicModel[Memory]):
    """ln p(X) >= sum_t { E ln p(x_t|w_t M) - KL(q(w_t|x_t, M) || N(0, I)) } - KL(q(M|X) || p(M)).

    There is no latent code, so KL(z) is 0 and KL(y) stands for KL(w). Images are read at draws of
    w, in training and in evaluation: at solutions the sum would bound nothing. Trained as the
    paper does, the memory's KL counts (``memory_kl_weight`` 1 and ``sample_memory``); the paper's
    memory is 32 x 100 with a noise variance of 1. The prior is `MemoryPrior`, whose U_0 is a full
    matrix; that of the authors' code is one trained number times I.

    Args:
        encoder: images ``[..., channels, H, W]`` to embeddings ``[..., encoder.width]``.
        decoder: codes ``[..., code]`` to a distribution over images.
        slots: K, the rows of the memory and the width of w.
        code: C, its columns.
        noise_var: variance of a code around its read-out when it is written, and the ridge.
        learn_noise: train it.
        prior_std: std of the memory's entries around R_0 before anything is written.
        address_std: std of every w around its solution at the start; one number, trained.

    Raises:
        InputError: a size below 1, a spread that is not positive.
    """

    kind = "dkm"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        slots: int = 64,
        code: int = 100,
        noise_var: float = 1.0,
        learn_noise: bool = False,
        prior_std: float = 1.0,
        address_std: float = 0.3,
    ) -> None:
        super().__init__(encoder, decoder)
        at_least_one(slots=slots, code=code)
        above_zero(noise_var=noise_var, prior_std=prior_std, address_std=address_std)
        width: int = encoder.width  # type: ignore[assignment]
        self.code = mlp(width, width, code)
        first: nn.Linear = self.code[0]  # type: ignore[assignment]
        first.weight.data /= EMBEDDING_STD
        self.prior = MemoryPrior(slots, code, noise_var, learn_noise, prior_std)
        nn.init.normal_(self.prior.mean, std=slots**-0.5)  # at 0, every address would stay 0
        self.log_address_std = nn.Parameter(torch.tensor(address_std).log())

    def elbo(self, images: Tensor, sample_memory: bool = False) -> Elbo:
        """Write the episode in order, then read each image back; see `EpisodicModel.elbo`.

        In training it is an `AutoEncodingElbo`.
        """
        embeddings = self._embed(images)
        with full_precision(embeddings):
            z, prior, noise_var = self._encode(embeddings), self.prior(), self.prior.noise_var
            w, memory = self._written(z, prior)
            M = self._drawn(prior, w, z) if sample_memory else memory.mean
            q_w = self._q_w(M, z)
            read = q_w.rsample() @ M
            rate_memory = kl_written(prior, w, z, noise_var) / images.shape[1]
        distortion = -self.decoder(read).log_prob(images)
        elbo = AutoEncodingElbo(
            distortion,
            rate_y=kl_divergence(q_w, normal(torch.zeros_like(q_w.mean), 1.0)),
            rate_z=torch.zeros_like(distortion),
            rate_memory=rate_memory[:, None].expand_as(distortion),
        )
        if not self.training:
            return Elbo(*elbo)
        elbo.auto_encoder = -self.decoder(z).log_prob(images)
        return elbo

    def log_weights(self, images: Tensor, samples: int, sample_memory: bool = False) -> Tensor:
        """See `EpisodicModel.log_weights`; w alone is latent."""
        at_least_one(samples=samples)
        embeddings = self._embed(images)
        with full_precision(embeddings):
            z, prior = self._encode(embeddings), self.prior()
            w, memory = self._written(z, prior)
            M = self._drawn(prior, w, z) if sample_memory else memory.mean
            q_w = self._q_w(M, z)
            p_w = normal(torch.zeros_like(q_w.mean), 1.0)
            draws = [q_w.rsample() for _ in range(samples)]
            likelihoods = [self.decoder(w @ M).log_prob(images) for w in draws]
            ratios = [p_w.log_prob(w) - q_w.log_prob(w) for w in draws]
        return torch.stack(likelihoods) + torch.stack(ratios)

    def write(self, images: Tensor) -> Memory:
        """q(M|X) after the images (B, T, channels, H, W), each written where it fits best so far.

        The order of an episode moves the addresses, and by them what is written.
        """
        z = self._encode(self._embed(images))
        return self._written(z, self.prior())[1]

    def address_weights(self, images: Tensor) -> Tensor:
        """The least-squares w of each image once all are written, with shape (B, T, K)."""
        z = self._encode(self._embed(images))
        return self._w(self._written(z, self.prior())[1].mean, z)

    def codes(self, memory: Memory, embeddings: Tensor) -> Tensor:
        """w M at the least-squares address of each query, with shape (B, T, C)."""
        z, M = self._encode(embeddings), memory.mean  # which may be a float64 one
        return (self._w(M, z.to(M.dtype)) @ M).to(z.dtype)

    def dream(self, memory: Memory, n: int) -> Tensor:
        """w M at n draws of w ~ N(0, I), with shape (B, n, C)."""
        M = memory.mean
        w = torch.randn(*M.shape[:-2], n, M.shape[-2], dtype=M.dtype, device=M.device)
        return (w @ M).to(self.log_address_std.dtype)

    def _encode(self, embeddings: Tensor) -> Tensor:
        """z = e(x): the code that is written and looked for."""
        with full_precision(embeddings):
            return self.code(embeddings)

    def _written(self, z: Tensor, prior: Memory) -> tuple[Tensor, Memory]:
        """The addresses (B, T, K) at which the codes were written in turn, and the memory then."""
        addresses: list[Tensor] = []
        memory = Memory(*(x.expand(len(z), *x.shape) for x in prior))
        for z_t in z.split(1, -2):
            w_t = self._w(memory.mean, z_t)
            memory = memory.write(w_t, z_t, self.prior.noise_var)
            addresses.append(w_t)
        return torch.cat(addresses, -2), memory

    def _drawn(self, prior: Memory, w: Tensor, z: Tensor) -> Tensor:
        """M ~ q(M|X) once the codes were written."""
        return sample_written(prior, w, z, self.prior.noise_var)

    def _w(self, M: Tensor, z: Tensor) -> Tensor:
        return least_squares_address(M, z, self.prior.noise_var)

    def _q_w(self, M: Tensor, z: Tensor) -> Independent:
        return normal(self._w(M, z), self.log_address_std.exp())
