r"""The evidence lower bound of an episode, per image and term by term (Wu et al. 2018, eq. 12).

.. math::
    \ln p(X|M) \ge \sum_t \left[ \mathbb E \ln p(x_t|z_t) - \mathrm{KL}(q(y_t|x_t) \| p(y_t))
    - \mathrm{KL}(q(z_t|x_t, y_t, M) \| p(z_t|y_t, M)) \right]

The paper's bound is conditional: what the memory holds is free. With KL(q(M|X)||p(M))/T added the
same sum bounds ln p(X).
"""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Elbo(NamedTuple):
    """The four terms in nats per image, each with shape (B, T); lower is better for all.

    Attributes:
        distortion: -ln p(x|z).
        rate_y: KL(q(y|x) || p(y)), what the address costs.
        rate_z: KL(q(z|x, y, M) || p(z|y, M)), what the code costs beyond the read-out.
        rate_memory: KL(q(M|X) || p(M)) / T, each image's share of what the memory holds.
    """

    distortion: Float[Tensor, "B T"]
    rate_y: Float[Tensor, "B T"]
    rate_z: Float[Tensor, "B T"]
    rate_memory: Float[Tensor, "B T"]

    @property
    def bound(self) -> Float[Tensor, "B T"]:
        """The paper's bound on -ln p(x|M), in nats per image; KL(M) is not counted."""
        return self.distortion + self.rate_y + self.rate_z

    @property
    def full_bound(self) -> Float[Tensor, "B T"]:
        """KL(M)/T counted too, in nats per image: bounds -ln p(X) if M was drawn from q(M|X)."""
        return self.bound + self.rate_memory

    def loss(
        self, memory_kl_weight: float = 0.0, address_kl_weight: Float[Tensor, ""] | float = 1.0
    ) -> Float[Tensor, ""]:
        """What is minimised: the mean of the four terms, two of them weighted.

        Args:
            memory_kl_weight: 0 is the paper, 1 the full bound on ln p(X).
            address_kl_weight: 1 is the bound; less lets addresses form while training starts.
        """
        loss = self.distortion + address_kl_weight * self.rate_y + self.rate_z
        if memory_kl_weight > 0:
            loss = loss + memory_kl_weight * self.rate_memory
        return loss.mean()
