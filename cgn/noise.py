"""Noise drawn from seeds: the noise vector u, and the cyclic shift (roll) of a texture.

The same seed gives the same noise on every device and with every library version. All values derive from the
raw bits of Philox4x64-10, a counter-based generator whose stream is fixed by its key. The arithmetic uses
only operations that IEEE 754 rounds exactly (+, -, *, /, sqrt), and no ``log`` or ``cos`` of a maths library.
"""

import secrets
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cgn.errors import CgnInputError

# The three mechanisms; and "reference", the unconstrained cGAN of families that have one.
Mechanism = Literal["shape", "texture", "background", "reference"]
MECHANISMS: tuple[Mechanism, ...] = ("shape", "texture", "background")

MAX_SEED = 2**64 - 1

_BELOW_MINUS_2 = 0.022750131948179195  # the standard normal distribution function at -2

# The second word of the Philox key selects the quantity. All mechanisms share the stream of u, because the
# paper feeds one u to all three for a non-counterfactual sample. Rolls are independent of u and each other.
_STREAM_U = 0
_STREAM_ROLL = {mechanism: 1 + i for i, mechanism in enumerate(MECHANISMS)}


def draw_seed() -> int:
    """Returns a random seed: 64 bits from the operating system."""
    return secrets.randbits(64)


def check_seed(seed: int) -> int:
    """Returns ``seed`` if it is an integer in [0, 2^64 - 1], else raises CgnInputError."""
    if type(seed) is int and 0 <= seed <= MAX_SEED:
        return seed
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed <= MAX_SEED:
        raise CgnInputError("seed", f"{seed!r} is not an integer in [0, 2^64 - 1]")
    return int(seed)


def noise(seeds: Sequence[int], size: int, *, truncated: bool = False) -> NDArray[np.float32]:
    """Returns standard normal noise u of N seeds, float32 (N, size).

    Element i of a seed's u depends only on the seed and i, not on the other seeds or on ``size``.

    Args:
        seeds: the seeds, each in [0, 2^64 - 1].
        size: length of u.
        truncated: draw from the normal distribution truncated to [-2, 2], as in BigGAN (Brock et al. 2019,
            section 3.1). The truncated and the plain noise of a seed have the same quantiles.
    """
    raw = _bits(seeds, _STREAM_U, size)
    # 53 random bits, centred in their cell: never 0 or 1, so the quantile is finite (|u| < 8.3).
    p = ((raw >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    if truncated:
        p = _BELOW_MINUS_2 + p * (1 - 2 * _BELOW_MINUS_2)
    return normal_quantile(p).astype(np.float32)


def roll(seed: int, mechanism: Mechanism, resolution: int) -> tuple[int, int]:
    """Returns a texture's cyclic shift (rows down, columns right), each uniform in [0, resolution).

    The shift removes global shape from a texture. A mechanism that cannot predict where its pixels end up
    cannot draw an object (paper section 3.1, "Texture Mechanism"). ``resolution`` must be a power of two, so
    that the shift is exactly uniform.
    """
    ((down, right),) = rolls([seed], mechanism, resolution).tolist()
    return down, right


def rolls(seeds: Sequence[int], mechanism: Mechanism, resolution: int) -> NDArray[np.int64]:
    """Returns the rolls of N seeds, (N, 2); see `roll`."""
    bits = _bits(seeds, _STREAM_ROLL[mechanism], 2) & np.uint64(resolution - 1)
    return bits.astype(np.int64)


def _bits(seeds: Sequence[int], stream: int, count: int) -> NDArray[np.uint64]:
    """Returns the first ``count`` 64-bit words of each seed's stream, (N, count)."""
    # One generator is given each key in turn: a new generator per key takes five times as long.
    generator = np.random.Philox(key=0)
    state = generator.state
    key = state["state"]["key"]
    key[1] = stream
    bits = np.empty((len(seeds), count), np.uint64)
    for i, seed in enumerate(seeds):
        key[0] = check_seed(seed)
        generator.state = state
        bits[i] = generator.random_raw(count)
    return bits


def normal_quantile(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the inverse of the standard normal distribution function, for p in (0, 1).

    Wichura's algorithm AS 241 (PPND16, Applied Statistics 37, 1988), relative error about 1e-16.
    """
    q = p - 0.5
    r = 0.180625 - q * q
    z: NDArray[np.float64] = q * _poly(r, _A) / _poly(r, _B)
    tails = np.abs(q) > 0.425
    z[tails] = _tail_quantile(p[tails])
    return z


def _tail_quantile(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the quantile where p is below 0.075 or above 0.925, which holds for 15 % of random values."""
    lower = p < 0.5
    r = np.sqrt(-_log(np.where(lower, p, 1.0 - p)))
    z: NDArray[np.float64] = _poly(r - 1.6, _C) / _poly(r - 1.6, _D)
    far = r > 5.0  # p or 1 - p below e^-25
    if far.any():
        z[far] = _poly(r[far] - 5.0, _E) / _poly(r[far] - 5.0, _F)
    return np.where(lower, -z, z)


def _poly(x: NDArray[np.float64], coefficients: tuple[float, ...]) -> NDArray[np.float64]:
    """Evaluates a polynomial by Horner's rule, lowest coefficient first."""
    y = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        y *= x
        y += c
    return y


def _log(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns ln x for x > 0 as 2 atanh s, s = (m-1)/(m+1), with exactly rounded operations only."""
    mantissa, exponent = np.frexp(x)
    low = mantissa < 0.7071067811865476
    mantissa = np.where(low, mantissa * 2.0, mantissa)
    exponent = np.where(low, exponent - 1, exponent)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    series = _poly(s * s, tuple(1.0 / k for k in range(1, 25, 2)))
    return exponent * 0.6931471805599453 + 2.0 * s * series


# fmt: off
_A = (3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3,
      1.3731693765509461125e+4, 4.5921953931549871457e+4, 6.7265770927008700853e+4,
      3.3430575583588128105e+4, 2.5090809287301226727e+3)
_B = (1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3,
      2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4,
      5.2264952788528545610e+3)
_C = (1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0,
      3.64784832476320460504e0, 1.27045825245236838258e0, 2.41780725177450611770e-1,
      2.27238449892691845833e-2, 7.74545014278341407640e-4)
_D = (1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1,
      1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4,
      1.05075007164441684324e-9)
_E = (6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0,
      2.96560571828504891230e-1, 2.65321895265761230930e-2, 1.24266094738807843860e-3,
      2.71155556874348757815e-5, 2.01033439929228813265e-7)
_F = (1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2,
      7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7,
      2.04426310338993978564e-15)
# fmt: on
