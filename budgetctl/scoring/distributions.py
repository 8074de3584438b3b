"""Quantiles and tail probabilities that the intervals and tests need, without SciPy."""

import math
from statistics import NormalDist

_CONTINUED_FRACTION_STEPS = 500
_CONTINUED_FRACTION_TOLERANCE = 1e-15
_TINY = 1e-300
_BISECTION_STEPS = 200


def check_level(level: float) -> None:
    """Refuse a confidence level that is not strictly between 0 and 1.

    Raises:
        ValueError: `level` is outside (0, 1); percentages are a frequent slip.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level lies between 0 and 1 (0.95, not 95), got {level!r}")


def normal_quantile(level: float) -> float:
    """Two-sided normal quantile: 1.96 for a level of 0.95."""
    check_level(level)
    return NormalDist().inv_cdf(0.5 + level / 2.0)


def regularised_incomplete_beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) by Lentz's continued fraction (Press et al., Numerical Recipes, 3rd ed., section 6.4)."""
    if x <= 0.0:
        return 0.0
    if x >= 1.0:
        return 1.0
    if x > (a + 1.0) / (a + b + 2.0):
        return 1.0 - regularised_incomplete_beta(b, a, 1.0 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) * _beta_fraction(a, b, x) / a


def _beta_fraction(a: float, b: float, x: float) -> float:
    c = 1.0
    d = 1.0 / _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, _CONTINUED_FRACTION_STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d = 1.0 / _away_from_zero(1.0 + even * d)
        c = _away_from_zero(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d = 1.0 / _away_from_zero(1.0 + odd * d)
        c = _away_from_zero(1.0 + odd / c)
        step = d * c
        value *= step
        if abs(step - 1.0) < _CONTINUED_FRACTION_TOLERANCE:
            return value
    raise ArithmeticError(f"the incomplete beta function did not converge at a={a}, b={b}, x={x}")


def _away_from_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def student_t_two_sided_tail(t: float, degrees: float) -> float:
    """P(|T| >= |t|) for Student's t with `degrees` (need not be whole) degrees of freedom."""
    if degrees <= 0.0:
        raise ValueError(f"Student's t needs positive degrees of freedom, got {degrees!r}")
    return regularised_incomplete_beta(degrees / 2.0, 0.5, degrees / (degrees + t * t))


def student_t_quantile(level: float, degrees: float) -> float:
    """Two-sided Student quantile: 4.303 for a level of 0.95 and 2 degrees of freedom.

    Above a million degrees of freedom the normal quantile is returned (they differ by less than 1e-5).
    """
    check_level(level)
    if degrees > 1e6:
        return normal_quantile(level)
    tail = 1.0 - level
    low, high = 0.0, 1.0
    while student_t_two_sided_tail(high, degrees) > tail:
        low, high = high, high * 2.0
    for _ in range(_BISECTION_STEPS):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        if student_t_two_sided_tail(middle, degrees) > tail:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
