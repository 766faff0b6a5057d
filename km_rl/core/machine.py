"""The Kanerva Machine: an auto-encoder whose prior over codes is read from memory.

    write   y, z ~ q(y|x), q(z|x)      M | X = the prior conditioned on (w(y), z)
    read    y ~ q(y|x)                 z ~ q(z|x, w M)       x ~ p(x|z)
    dream   y ~ N(0, I)                z = w M               x ~ p(x|z)

Wu, Wayne, Graves & Lillicrap, "The Kanerva Machine: a generative distributed memory", ICLR 2018.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Independent, kl_divergence

from km_rl.core.addressing import START_DIMS, START_STD, Addressing
from km_rl.core.diagonal import DiagonalMemory
from km_rl.core.elbo import Elbo
from km_rl.core.episodic import EpisodicModel
from km_rl.core.memory import Memory, kl_written, sample_written
from km_rl.core.prior import MemoryPrior
from km_rl.errors import InputError, above_zero, at_least_one, not_below_zero
from km_rl.nn.cosines import Cosines
from km_rl.nn.mlp import GaussianHead, normal
from km_rl.nn.precision import full_precision


class Reading(NamedTuple):
    """What reading one query with the memory gives.

    Attributes:
        y: the address that was read at: a draw of q(y|x), or its mean.
        q_y: the address posterior q(y|x).
        p_z: the code's prior p(z|y, M).
        q_z: the code's posterior q(z|x, y, M).
    """

    y: Tensor
    q_y: Independent
    p_z: Independent
    q_z: Independent

    def log_weight(self, images: Tensor, decoder: nn.Module) -> Tensor:
        """ln p(x, y, z|M) - ln q(y, z|x, M) at the y that was drawn and a draw of z, (B, T)."""
        z = self.q_z.rsample()
        return decoder(z).log_prob(images) + self._log_ratio(z)

    def _log_ratio(self, z: Tensor) -> Tensor:
        """ln p(y) p(z|y, M) - ln q(y|x) q(z|x, y, M)."""
        p_y = normal(torch.zeros_like(self.y), 1.0)
        address = p_y.log_prob(self.y) - self.q_y.log_prob(self.y)
        return address + self.p_z.log_prob(z) - self.q_z.log_prob(z)


class KanervaMachine(EpisodicModel[Memory]):
    """The generative model and its inference networks.

    Args:
        encoder: images ``[..., channels, H, W]`` to embeddings ``[..., encoder.width]``.
        decoder: codes ``[..., code]`` to a distribution over images.
        slots: K, the rows of the memory.
        code: C, its columns.
        key: S, the width of the address variable y and of its key.
        noise_var: variance of a code around its read-out; the paper has 1, `km_rl.Config` 0.01,
            with which it learns much faster.
        learn_noise: train it.
        address_noise_std: std of the noise on the input of q(y|x) in training. Without it an
            address can carry the image and bypass the memory.
        prior_std: std of the memory's entries before anything is learned or written.
        learn_prior_mean: train R_0; it stays 0 otherwise.
        diagonal_covariance: slots are independent of one another, see `core.diagonal`.
        unwritten: nothing is ever written, so that M stays the prior's: what is left is a VAE
            whose codes have the prior p(z|y), to see what a memory is worth.

    Raises:
        InputError: a size below 1, a spread that is not positive, noise that is negative.
    """

    kind = "km"

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        *,
        slots: int = 64,
        code: int = 100,
        key: int = 50,
        noise_var: float = 1.0,
        learn_noise: bool = False,
        address_noise_std: float = 0.2,
        prior_std: float = 1.0,
        learn_prior_mean: bool = True,
        diagonal_covariance: bool = False,
        unwritten: bool = False,
    ) -> None:
        super().__init__(encoder, decoder)
        at_least_one(slots=slots, code=code, key=key)
        above_zero(noise_var=noise_var, prior_std=prior_std)
        not_below_zero(address_noise_std=address_noise_std)
        width: int = encoder.width  # type: ignore[assignment]
        self.addressing = Addressing(slots, key)
        spreads = (noise_var, learn_noise, prior_std)
        self.prior = MemoryPrior(slots, code, *spreads, learn_prior_mean, diagonal_covariance)
        std = noise_var**0.5
        cosines: Cosines | None = getattr(encoder, "cosines", None)
        learned: int = getattr(encoder, "learned", width)
        self.q_y = GaussianHead(width, key, learned).start_sharp(min(START_DIMS, key), START_STD)
        if cosines is None:
            self.q_z_write = GaussianHead(width, code, width, std)
            self.q_z_read = GaussianHead(width + code, code, 2 * code, std).start_as_identity()
        else:
            gain = cosines.gain(noise_var)
            self.q_z_write = GaussianHead(width, code, learned, std, passes=True)
            self.q_z_read = GaussianHead(width + code, code, learned, std, gain=gain)
        self.address_noise_std = address_noise_std
        self.key_width = key
        self.unwritten = unwritten

    def elbo(self, images: Tensor, sample_memory: bool = False, writes: int = 1) -> Elbo:
        """Write the episode, then read each image back from what was written.

        Args:
            images: episodes with shape (B, T, channels, H, W).
            sample_memory: read from one draw of M ~ q(M|X), not from its mean.
            writes: how often the episode is written, each time with fresh samples.

        Returns:
            Every term in nats per image, each with shape (B, T).
        """
        embeddings = self._embed(images)
        with full_precision(embeddings):
            M, kl_memory = self._written(embeddings.repeat(1, writes, 1), sample_memory)
            reading = self._read(embeddings, M)
            rate_memory = kl_memory / images.shape[1]
        distortion = -self.decoder(reading.q_z.rsample()).log_prob(images)
        return Elbo(
            distortion,
            kl_divergence(reading.q_y, normal(torch.zeros_like(reading.y), 1.0)),
            kl_divergence(reading.q_z, reading.p_z),
            rate_memory[:, None].expand_as(distortion),
        )

    def log_weights(self, images: Tensor, samples: int, sample_memory: bool = False) -> Tensor:
        """See `EpisodicModel.log_weights`."""
        at_least_one(samples=samples)
        embeddings = self._embed(images)
        with full_precision(embeddings):
            M, _ = self._written(embeddings, sample_memory)
            return torch.stack(
                [
                    self._read(embeddings, M).log_weight(images, self.decoder)
                    for _ in range(samples)
                ]
            )

    def write(self, images: Tensor, mask: Tensor | None = None) -> Memory:
        """q(M|X): the prior conditioned on one sample of every image's address and code.

        Args:
            images: episodes with shape (B, T, channels, H, W).
            mask: which images to write, true or false, with shape (B, T), for episodes of unequal
                length.

        Raises:
            InputError: another mask.
        """
        if mask is not None and (mask.dtype != torch.bool or mask.shape != images.shape[:2]):
            raise InputError(
                f"A mask of {mask.dtype} and shape {tuple(mask.shape)} was given: one of "
                f"{torch.bool} and shape {tuple(images.shape[:2])} is expected, as many as images."
            )
        if self.unwritten:
            mask = None
        return self.prior().write(*self.items(images), self.prior.noise_var, mask)

    def items(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """What `write` writes: one sample of each image's address weights and code.

        Args:
            images: episodes with shape (B, T, channels, H, W).

        Returns:
            w with shape (B, T, K) and z with shape (B, T, C); T is 0 if nothing is written.
        """
        return self._items(self._embed(images))

    def codes(self, memory: Memory, embeddings: Tensor) -> Tensor:
        """The mean of q(z|x, y, M) at the mean of q(y|x), with shape (B, T, C)."""
        return self._read(embeddings, memory.mean, sample=False).q_z.mean

    def dream(self, memory: Memory, n: int) -> Tensor:
        """The mean of p(z|y, M) at n draws of y ~ p(y), with shape (B, n, C)."""
        y = self.addressing.addresses.new_empty(*memory.mean.shape[:-2], n, self.key_width)
        return self._read_out(memory.mean, self.addressing(y.normal_()))

    def interpolate(self, memory: Memory, a: Tensor, b: Tensor, n: int = 8) -> Tensor:
        """Walk in a straight line from the weights of ``a`` to those of ``b``.

        Args:
            a, b: images with shape (B, channels, H, W).

        Returns:
            Pictures with shape (B, n, channels, H, W).
        """
        w_a, w_b = self.address_weights(torch.stack([a, b], 1)).split(1, 1)
        share = torch.linspace(0, 1, n, device=w_a.device)[:, None]
        return self.decode(memory, torch.lerp(w_a, w_b, share))

    def interpolate_codes(self, memory: Memory, a: Tensor, b: Tensor, n: int = 8) -> Tensor:
        """As `interpolate`, in a straight line between the codes that are read for both."""
        z_a, z_b = self.codes(memory, self._embed(torch.stack([a, b], 1))).split(1, 1)
        share = torch.linspace(0, 1, n, device=z_a.device)[:, None]
        return self._pictures(torch.lerp(z_a, z_b, share))

    def address_weights(self, images: Tensor) -> Tensor:
        """w at the mean of q(y|x), with shape (B, T, K)."""
        return self.addressing(self.q_y(self._embed(images)).mean)

    def decode(self, memory: Memory, w: Tensor) -> Tensor:
        """Pictures of the read-out at weights with shape (B, n, K)."""
        return self._pictures(self._read_out(memory.mean, w))

    def _items(self, embeddings: Tensor) -> tuple[Tensor, Tensor]:
        """Address weights and codes to write: one sample of each posterior."""
        if self.unwritten:
            embeddings = embeddings[:, :0]
        w = self.addressing(self._q_y(embeddings).rsample())
        return w, self.q_z_write(embeddings).rsample()

    def _written(self, embeddings: Tensor, sample_memory: bool) -> tuple[Tensor, Tensor]:
        """A draw of M ~ q(M|X) or its mean, (B, K, C), and KL(q(M|X) || p(M)) in nats, (B,)."""
        prior = self.prior()
        written = (*self._items(embeddings), self.prior.noise_var)
        if isinstance(prior, DiagonalMemory):
            memory = prior.write(*written)
            M, kl = memory.sample() if sample_memory else memory.mean, memory.kl(prior)
            return M, kl.to(embeddings)
        M = sample_written(prior, *written) if sample_memory else prior.write(*written).mean
        return M, kl_written(prior, *written).to(embeddings)

    def _read(self, embeddings: Tensor, M: Tensor, sample: bool = True) -> Reading:
        q_y = self._q_y(embeddings)
        y = q_y.rsample() if sample else q_y.mean
        p_z = normal(self._read_out(M, self.addressing(y)), self.prior.noise_var.sqrt())
        return Reading(y, q_y, p_z, self.q_z_read(torch.cat([embeddings, p_z.mean], -1)))

    def _q_y(self, embeddings: Tensor) -> Independent:
        if self.training:
            embeddings = embeddings + self.address_noise_std * torch.randn_like(embeddings)
        return self.q_y(embeddings)

    @staticmethod
    def _read_out(M: Tensor, w: Tensor) -> Tensor:
        """w M, in the precision of the memory, which may be a float64 one."""
        return (w.to(M.dtype) @ M).to(w.dtype)
