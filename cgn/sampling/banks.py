"""Images for classifiers, recombined from banks of rows; each mask, texture and background is computed once.

A row costs a share of a forward pass. A recombination costs three look-ups and equation 2.
"""

from collections.abc import Callable

import numpy as np
import torch

from cgn.composer import compose
from cgn.errors import CgnInputError
from cgn.images.jitter import jitter_shapes, shades
from cgn.images.pixels import to_uint8
from cgn.model import CGN
from cgn.noise import MECHANISMS, Mechanism
from cgn.sampling.sampler import Factors, Sampler

_ROWS_AT_ONCE = 4096  # some seconds' worth on a CPU


class Counterfactuals:
    """A stream of images that a model draws from a sampler's factors. The label of an image is its shape's.

    Image i depends on the model and the sampler alone, not on the part of the stream it is drawn with. Rows
    are stored as 8-bit levels (`cgn.images.pixels`), as in a data set on disk.
    """

    def __init__(self, model: CGN, sampler: Sampler, tick: Callable[[str], None] = lambda _: None) -> None:
        """Computes the rows of all banks in the sampler's policy.

        Args:
            model: the model whose rows are recombined.
            sampler: draws the factors; it must have as many classes as the model.
            tick: called every few thousand rows with a line of progress; may raise to stop the computation.

        Raises:
            CgnInputError: sampler and model have different numbers of classes.
        """
        if sampler.classes != len(model.card.class_names):
            raise CgnInputError(
                "classes", f"the sampler has {sampler.classes}, the model {len(model.card.class_names)}"
            )
        self._model, self._sampler = model, sampler
        self._banks = {
            mechanism: self._rows(mechanism, sampler.bank(mechanism), tick)
            for mechanism in MECHANISMS
            if sampler.policy.bank_rows(mechanism)
        }

    def images(self, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the images ``start`` to ``stop - 1`` of the stream.

        Returns:
            Composites (N, 3, R, R), float32 in [-1, 1] (jitter may exceed the range by STRONGEST_SHADE), and
            the labels of their shapes, (N,) int64.
        """
        plan = self._sampler.plan(start, stop)
        rows = {mechanism: self._levels(mechanism, factors) for mechanism, factors in plan.items()}
        m, f, b = (bank.index_select(0, index).float() for bank, index in rows.values())
        m *= 1 / 255
        jitter = {name: factors.jitter for name, factors in plan.items() if factors.jitter is not None}
        if jitter:
            m = jitter_shapes(m, torch.from_numpy(jitter["shape"]))
            f += 127.5 * shades(torch.from_numpy(jitter["texture"]))
            b += 127.5 * shades(torch.from_numpy(jitter["background"]))
        # Equation 2 is affine in f and b, so it commutes with the map from levels to [-1, 1].
        x_NCHW = compose(m, f, b).mul_(1 / 127.5).sub_(1)
        return x_NCHW, torch.from_numpy(plan["shape"].labels)

    def _levels(self, mechanism: Mechanism, factors: Factors) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns rows as levels, and the index of each factor's row."""
        if factors.rows is not None:
            return self._banks[mechanism], torch.from_numpy(factors.rows)
        # The counterfactuals of one shape share its row: neighbours in the stream with the same seed.
        new = np.append(True, factors.seeds[1:] != factors.seeds[:-1])[: len(factors)]
        distinct = Factors(factors.labels[new], factors.seeds[new])
        return self._rows(mechanism, distinct), torch.from_numpy(new.cumsum() - 1)

    def _rows(
        self, mechanism: Mechanism, factors: Factors, tick: Callable[[str], None] = lambda _: None
    ) -> torch.Tensor:
        """Returns the rows of N factors, uint8 (N, channels, R, R)."""
        of_rows = factors.factors()
        resolution = self._model.card.resolution
        rows = torch.empty(
            len(of_rows), 1 if mechanism == "shape" else 3, resolution, resolution, dtype=torch.uint8
        )
        for start in range(0, len(of_rows), _ROWS_AT_ONCE):
            part = self._model.rows(mechanism, of_rows[start : start + _ROWS_AT_ONCE])[:, : rows.shape[1]]
            levels = to_uint8(part.permute(0, 2, 3, 1).numpy())
            rows[start : start + _ROWS_AT_ONCE] = torch.from_numpy(levels).permute(0, 3, 1, 2)
            tick(f"{mechanism}: {start + len(part)} of {len(of_rows)} rows")
        return rows
