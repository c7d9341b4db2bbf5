"""A weighted sum of low-rank products, never wider than it must be, and its way back into one adapter.

    M = sum_i w_i b_i a_i = P Q,    P = [w_1 b_1, .., w_N b_N] (d, R),    Q = [a_1; ..; a_N] (R, k),    R = sum_i r_i

    P = Q_P R_P,  Q' = Q_Q R_Q  (thin QR);  R_P R_Q' = u S v'  (SVD);  M = (Q_P u) S (Q_Q v)'

The weight stands in one factor only. Cost O((d + k) R^2), no d x k matrix. From R (d + k) > d k on, the d x k sum
itself is the smaller of the two, and the factors turn into it without loss: what is kept never exceeds d k numbers,
and adding or turning needs at most d k more, whatever the number of terms.

Gauge of an adapter (b, a) = (U S^1/2, S^1/2 V'): `refactor` rotates it towards the adapter it replaces by orthogonal
Procrustes, R = argmin |R a - a_old| = X Y' with X . Y' = SVD(a_old a'), a <- R a, b <- b R' (Schönemann 1966).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Factors:
    """A matrix b a of shape (d, k): b (d, c) and a (c, k)."""

    b: Matrix
    a: Matrix

    @property
    def rank(self) -> int:
        """The number of columns of b."""
        return int(self.b.shape[1])

    def beside(self, other: "Factors") -> "Factors":
        """The factors of b a + b_other a_other."""
        return Factors(b=np.concatenate([self.b, other.b], axis=1), a=np.concatenate([self.a, other.a]))


@dataclass(frozen=True)
class Svd:
    """Thin singular value decomposition u diag(s) vt with its numerically zero part left out: s > 0, descending."""

    u: Matrix
    s: Vector
    vt: Matrix

    def head(self, rank: int) -> Factors:
        """The best approximation of at most this rank, balanced: (u s^1/2, s^1/2 vt)."""
        return self._balance(slice(0, rank))

    def tail(self, rank: int) -> Factors:
        """What `head` leaves out."""
        return self._balance(slice(rank, None))

    def none(self) -> Factors:
        """Factors of rank 0 in this shape."""
        return self._balance(slice(0, 0))

    def energy(self) -> float:
        """Squared Frobenius norm."""
        return float(np.sum(self.s**2))

    def tail_energies(self) -> Vector:
        """Squared Frobenius norm of `tail(rank)` at index rank = 0 .. number of singular values."""
        return np.append(np.cumsum(self.s[::-1] ** 2)[::-1], 0.0)

    def tail_share(self, rank: int) -> float:
        """Relative squared Frobenius norm of `tail`; 0 for a matrix that is zero."""
        return float(np.sum(self.s[rank:] ** 2)) / self.energy() if self.s.size else 0.0

    def times(self, scale: float) -> "Svd":
        """The decomposition of the matrix times a number above zero."""
        return Svd(u=self.u, s=scale * self.s, vt=self.vt)

    def _balance(self, part: slice) -> Factors:
        root = np.sqrt(self.s[part])
        return Factors(b=self.u[:, part] * root, a=root[:, np.newaxis] * self.vt[part])


class LowRankSum:
    """Running sum of weighted products of one shape (d, k), in float64."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self._b: list[Matrix] = []
        self._a: list[Matrix] = []
        self._dense: Matrix | None = None
        self._size = 0.0

    @property
    def numbers(self) -> int:
        """How many float64 numbers the sum holds now."""
        return self._dense.size if self._dense is not None else sum(part.size for part in (*self._b, *self._a))

    def add(self, weight: float, b: Matrix, a: Matrix) -> None:
        """Add weight * b a; b (d, r), a (r, k), any r. The arrays stay the caller's: b is copied, a is not changed."""
        self._size += abs(weight) * float(np.linalg.norm(b) * np.linalg.norm(a))
        if self._dense is not None:
            self._dense += (weight * b) @ a
            return
        self._b.append(weight * b)
        self._a.append(a)
        if self.numbers > self.shape[0] * self.shape[1]:
            factors = self._factors()
            self._dense = np.asarray(factors.b @ factors.a)
            self._b, self._a = [], []

    def times(self, right: Matrix) -> Matrix:
        """sum @ right: (d, k) with (k, q) gives (d, q)."""
        if self._dense is not None:
            return np.asarray(self._dense @ right)
        factors = self._factors()
        return np.asarray(factors.b @ (factors.a @ right))

    def svd(self, scale: float = 1.0) -> Svd:
        """Decompose scale * sum, scale > 0; what rounding alone can have left there counts as zero."""
        if self._dense is not None:
            return dense_svd(self._dense, self._size).times(scale)
        factors = self._factors()
        left, left_core = np.linalg.qr(factors.b)
        right, right_core = np.linalg.qr(factors.a.T)
        u, s, vt = np.linalg.svd(left_core @ right_core.T, full_matrices=False)
        return _without_rounding(Svd(u=left @ u, s=s, vt=vt @ right.T), self._size).times(scale)

    def _factors(self) -> Factors:
        """The sum as factors (P, Q), of rank 0 before anything was added."""
        return Factors(
            b=np.concatenate([np.empty((self.shape[0], 0)), *self._b], axis=1),
            a=np.concatenate([np.empty((0, self.shape[1])), *self._a]),
        )


def svd_of(product: Factors) -> Svd:
    """The singular value decomposition of one product b a."""
    total = LowRankSum((product.b.shape[0], product.a.shape[1]))
    total.add(1.0, product.b, product.a)
    return total.svd()


def dense_svd(matrix: Matrix, size: float | None = None) -> Svd:
    """The decomposition of a dense matrix (d, k); `size` adds up the norms of its terms, by default its own."""
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    return _without_rounding(Svd(u=u, s=s, vt=vt), float(np.linalg.norm(matrix)) if size is None else size)


def refactor(decomposition: Svd, start: Matrix) -> Factors:
    """The best approximation of the rank of `start`, as an adapter whose a (r, k) lies as near to `start` as it can.

    Directions in which the matrix is zero keep b = 0 and get rows of `start` outside the other rows' span, so that
    they can still learn: b and a both zero would have no gradient.
    """
    rank = start.shape[0]
    head = decomposition.head(rank)
    spare = rank - head.rank
    if spare:
        idle = Factors(b=np.zeros((head.b.shape[0], spare)), a=_outside(start, decomposition.vt[:rank], spare))
        head = head.beside(idle)
    rotation = _procrustes(head.a, start)
    return Factors(b=head.b @ rotation.T, a=rotation @ head.a)


def _without_rounding(decomposition: Svd, size: float) -> Svd:
    """The directions above what float64 can have left of terms whose norms add up to `size`."""
    largest_side = max(decomposition.u.shape[0], decomposition.vt.shape[1])
    kept = decomposition.s > size * largest_side * np.finfo(np.float64).eps
    return Svd(u=decomposition.u[:, kept], s=decomposition.s[kept], vt=decomposition.vt[kept])


def _outside(start: Matrix, directions: Matrix, count: int) -> Matrix:
    """The `count` strongest rows (count, k) of `start` (r, k) after the span of orthonormal `directions` is removed."""
    rest = start - (start @ directions.T) @ directions
    _, s, vt = np.linalg.svd(rest, full_matrices=False)
    rows = np.zeros((count, start.shape[1]))
    found = min(count, s.size)
    rows[:found] = s[:found, np.newaxis] * vt[:found]
    return rows


def _procrustes(rows: Matrix, towards: Matrix) -> Matrix:
    """The orthogonal (r, r) matrix R that minimises |R rows - towards|_F; both (r, k)."""
    u, _, vt = np.linalg.svd(towards @ rows.T)
    return np.asarray(u @ vt)
