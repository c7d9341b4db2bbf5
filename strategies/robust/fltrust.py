"""Updates are trusted as far as they point where a reference points, and none is longer than it.

    t_i = max(0, cos(U_i, U_0)),    U = sum_i t_i (|U_0| / |U_i|) U_i / sum_i t_i

U_0 is the update of a center of the study that trains on cases which people have looked at one by one. Any number of
liars is held off, as far as they point elsewhere: what points where the reference does is trusted, whoever sends it.
What the reference's cases do not show is trusted little: it should have the modalities and scanners of all.

Unlike in the paper the reference itself is one of the updates, with trust 1, so that a round of liars alone is the
reference's. Shares by cases do not count. With DoRA, gains are shortened to first order.

Cao et al. 2021 (arXiv 2012.13995), algorithm 2.
"""

import numpy as np

from strategies.robust.contract import Compared, Weighing


def fewest(_liars: int) -> int:
    """The reference and one more."""
    return 2


def weigh(compared: Compared) -> Weighing:
    """Trust as weights, and lengths that make every update as long as the reference.

    A reference that did not move trusts nobody and is all there is; `compared` has one.
    """
    place, norms = compared.reference or 0, compared.norms
    told = (norms > 0) & (norms[place] > 0)
    cosines = np.divide(compared.products[place], norms * norms[place], out=np.zeros_like(norms), where=told)
    trust = np.maximum(cosines, 0.0)
    trust[place] = 1.0
    lengths = np.divide(norms[place], norms, out=np.ones_like(norms), where=told)
    return Weighing(trust / trust.sum(), lengths)
