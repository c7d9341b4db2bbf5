"""How a center steps in a round, and how far that can take it: the optimiser that both sides count on.

    x_t = (1 - r_t l) x_(t-1) - r_t mhat_t / (sqrt(vhat_t) + eps)        AdamW, r_t the rate of step t, l the decay
    m_t = b1 m_(t-1) + (1 - b1) g_t,    v_t = b2 v_(t-1) + (1 - b2) g_t^2,    mhat_t = m_t / (1 - b1^t), vhat_t likewise

By Cauchy-Schwarz, with q = b1^2 / b2 < 1, for any gradients g whatever:

    |m_t| = (1 - b1) |sum_i b1^(t-i) g_i| <= (1 - b1) (sum_(j<t) q^j)^(1/2) (sum_i b2^(t-i) g_i^2)^(1/2)
    |mhat_t| / sqrt(vhat_t) <= c_t = (1 - b1) / (1 - b1^t) ((1 - b2^t) / (1 - b2) (1 - q^t) / (1 - q))^(1/2)

c_1 = 1, c_40 = 1.46 and c_t < 7.3 for ever with b1 = 0.9, b2 = 0.999; a step reaches c_t with gradients that grow as
(b1 / b2)^-i. It exceeds the (1 - b1) / sqrt(1 - b2) of Kingma and Ba (arXiv 1412.6980, section 2.1), which is the case
of one gradient after only zeros. Summed over the steps of a round, entry by entry,

    |x_T - x_0| <= D_T + S_T |x_0|,     D_t = |1 - r_t l| D_(t-1) + r_t c_t,     S_t = |1 - r_t l| S_(t-1) + r_t l

A tensor that some steps leave alone has taken fewer steps, and both sums only grow. No data, no loss, no clipping of
gradients and no local term can take an honest center farther, since all of these change gradients alone. AdamW: arXiv
1711.05101, algorithm 2. The same holds for the rest of a recipe (`protocol.messages.recipe`):

gate_rate   r_t of a gate or gain is that many times the rate; it alone may move so much farther.
ema         what is sent is an average sum_t w_t x_t, w_t >= 0, sum w_t = 1, of the states x_0 .. x_T of the round. Each
            has |x_t - x_0| <= D_t + S_t |x_0| <= D_T + S_T |x_0|, and so has what lies between them.
kept        moments that go on are those of the gradients g_1 .. g_t since they were fresh, at most those of all rounds
            of the stage: c_t with t counted from the stage's first step, for which nothing above asks that the x_t
            belong to one round. A tensor that has fewer behind it has a smaller c_t.
"""

from dataclasses import dataclass
from functools import lru_cache

from protocol.messages.settings import Training

BETAS = (0.9, 0.999)
EPSILON = 1e-8
WARM_UP_STEPS = 5
SLACK = 0.01
FLOAT32_STEP = 2.0**-22
OTHER_ROUNDING_STEPS = 100
GATES = ("gate", "gain")
KNOWN_REACHES = 64


@dataclass(frozen=True)
class Reach:
    """How far a round can take an entry x: at most `move + shrink |x|`.

    move: D_T, with what rounding to float32 may add. shrink: S_T, likewise.
    """

    move: float
    shrink: float


def warm_up(rate: float, step: int) -> float:
    """The learning rate of a step, counted from 0: it rises in equal parts over the first WARM_UP_STEPS."""
    return rate * min(1.0, (step + 1) / WARM_UP_STEPS)


def is_gate(key: str) -> bool:
    """Whether the tensor of this key is, or belongs to, a gate or a gain of a PET pathway, as networks name them."""
    return key.rpartition(".")[2].partition("@")[0] in GATES


def rate_factor(key: str, training: Training) -> float:
    """How many times the learning rate of a round a tensor moves at: `gate_rate` for a gate or gain of a pathway."""
    return training.recipe.gate_rate if is_gate(key) else 1.0


def step_limits(steps: int) -> list[float]:
    """c_1 .. c_T, never falling."""
    first, second = BETAS
    quotient, limits = first**2 / second, [0.0]
    for t in range(1, steps + 1):
        spread = (1 - second**t) / (1 - second) * (1 - quotient**t) / (1 - quotient)
        limits.append(max(limits[-1], (1 - first) / (1 - first**t) * spread**0.5))
    return limits[1:]


def reach_of(training: Training, key: str = "", rounds_before: int = 0) -> Reach:
    """What the steps of a round can do to an entry.

    SLACK and a float32 step for each operation of the loop are added; OTHER_ROUNDING_STEPS stand for what is computed
    once, such as the row norms that a fresh magnitude begins with.

    Args:
        training: of the round.
        key: of the entry's tensor; without one, of any that is no gate.
        rounds_before: of the stage, whose moments the optimiser may have kept.
    """
    steps, rate = training.local_steps, training.learning_rate * rate_factor(key, training)
    before = rounds_before * steps if training.recipe.optimiser == "kept" else 0
    return _reach(steps, rate, training.weight_decay, before)


@lru_cache(maxsize=KNOWN_REACHES)
def _reach(steps: int, learning_rate: float, weight_decay: float, steps_before: int) -> Reach:
    move = shrink = 0.0
    for step, limit in enumerate(step_limits(steps_before + steps)[steps_before:]):
        rate = warm_up(learning_rate, step)
        kept = abs(1 - rate * weight_decay)
        move, shrink = kept * move + rate * limit, kept * shrink + rate * weight_decay
    rounding = (steps + OTHER_ROUNDING_STEPS) * FLOAT32_STEP
    return Reach(move=(1 + SLACK) * move * (1 + rounding), shrink=(1 + SLACK) * shrink + rounding)
