"""Synthetic anatomy: a small trunk of analytical shapes, each with a density and an uptake. No real patient is in it.

Coordinates are millimeters from the middle of the field of view: x to the left, y to the back, z to the head.
Shapes are painted in order, later ones over earlier ones: body, organs, cysts, tumour, then lungs and bone.

What makes the tumour a task for two modalities:

    tumour = hot part + dull part, cut by a plane
    hot part    density of muscle   -> CT shows no edge; PET does, but blurred
    dull part   density of a cyst   -> PET shows nothing; CT does, as it shows the cysts that are no tumour
    bowel       as hot as a tumour, touches the hot part; its contrast medium shows on CT only
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]
Xyz = tuple[float, float, float]

FIELD_OF_VIEW_XYZ_MM: Xyz = (160.0, 144.0, 144.0)
ENDLESS_MM = 1e6
CUT_WIDTH_MM = 2.0
USUAL_WALL_MM = 66.0


class Points(NamedTuple):
    """Coordinates of a regular grid that broadcast to (z, y, x)."""

    x: Floats
    y: Floats
    z: Floats


class Shape(Protocol):
    """A region of space."""

    def inside(self, points: Points) -> Mask:
        """Which points lie in the region, (z, y, x)."""


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid turned about z; an endless radius makes a cylinder."""

    center_mm: Xyz
    radii_mm: Xyz
    turn_rad: float = 0.0

    def inside(self, points: Points) -> Mask:
        """Points up to the surface."""
        x, y, z = (axis - middle for axis, middle in zip(points, self.center_mm, strict=True))
        cosine, sine = np.float32(np.cos(self.turn_rad)), np.float32(np.sin(self.turn_rad))
        along, across = cosine * x + sine * y, cosine * y - sine * x
        a, b, c = self.radii_mm
        return np.asarray((along / a) ** 2 + (across / b) ** 2 + (z / c) ** 2 <= 1)


@dataclass(frozen=True)
class Ribs:
    """Slanted rings between two cylinders, one every `every_mm`, above `from_z_mm`."""

    outer: Ellipsoid
    inner: Ellipsoid
    every_mm: float
    thick_mm: float
    from_z_mm: float

    def inside(self, points: Points) -> Mask:
        """Points in any ring."""
        height_mm = points.z + 0.3 * points.y
        ring = (np.mod(height_mm, self.every_mm) < self.thick_mm) & (points.z > self.from_z_mm)
        return np.asarray(ring & self.outer.inside(points) & ~self.inner.inside(points))


@dataclass(frozen=True)
class Overlap:
    """What two regions share."""

    first: Shape
    second: Shape

    def inside(self, points: Points) -> Mask:
        """Points in both."""
        return self.first.inside(points) & self.second.inside(points)


@dataclass(frozen=True)
class Tissue:
    """A named region of one density and one uptake."""

    name: str
    shape: Shape
    hu: float
    suv: float


@dataclass(frozen=True)
class Tumour:
    """An ellipsoid cut by a plane: hot on the side of `normal`, dull on the other."""

    shape: Ellipsoid
    normal: Xyz
    offset_mm: float
    hot_hu: float
    hot_suv: float
    dull_hu: float
    dull_suv: float

    def heat(self, points: Points) -> Floats:
        """Share of the hot part, from 0 to 1 within a few millimeters of the cut, (z, y, x)."""
        offsets = zip(points, self.shape.center_mm, self.normal, strict=True)
        distance_mm = sum((axis - middle) * n for axis, middle, n in offsets) - self.offset_mm
        return np.asarray(np.clip(0.5 + distance_mm / (2 * CUT_WIDTH_MM), 0, 1), dtype=np.float32)


@dataclass(frozen=True)
class Phantom:
    """A synthetic patient: tissues under the tumour, the tumour, tissues over it; all but the fat stay in the wall."""

    below: tuple[Tissue, ...]
    tumour: Tumour
    above: tuple[Tissue, ...]
    wall: Ellipsoid


@dataclass(frozen=True)
class Maps:
    """A phantom on a grid, before any scanner: density, uptake, tumour; each (z, y, x)."""

    hu: Floats
    suv: Floats
    tumour: Mask


@dataclass(frozen=True)
class Anatomy:
    """Ranges that a synthetic patient is drawn from.

    size: of the body, as a share of the usual. muscle: of all within the fat, as a share of the body's. radii_mm,
    hot_suv: of the tumour. cut: largest distance of the cut from its middle, as a share of the least radius.
    dull_below_muscle_hu: how much less dense than muscle its dull part is. bowel: share of patients with a hot loop at
    the tumour. cysts: fewest and most. organ_uptake: of heart, kidneys and bladder, as a share of the usual.
    """

    size: tuple[float, float] = (0.93, 1.05)
    muscle: tuple[float, float] = (1.0, 1.0)
    radii_mm: tuple[float, float] = (13, 23)
    cut: float = 0.25
    hot_suv: tuple[float, float] = (3.5, 9)
    dull_below_muscle_hu: tuple[float, float] = (42, 52)
    bowel: float = 0.75
    cysts: tuple[int, int] = (1, 3)
    organ_uptake: float = 1.0


USUAL = Anatomy()
FASTED = Anatomy(hot_suv=(5, 10), organ_uptake=0.5)
"""Patients prepared for FDG: cool heart and kidneys, an emptied bladder, and a tumour among the hottest."""
PLAIN = Anatomy(
    size=(0.99, 1.01),
    muscle=(0.75, 1.05),
    hot_suv=(2, 16),
    dull_below_muscle_hu=(-150, -100),
    bowel=0.0,
    cysts=(0, 0),
    organ_uptake=0.3,
)
"""What a small network tells apart at a glance: muscle and a calcified part on CT, the tumour's uptake on PET."""


def rasterise(phantom: Phantom, points: Points) -> Maps:
    """Paint the phantom on a grid, starting from air."""
    shape = np.broadcast_shapes(*(axis.shape for axis in points))
    maps = Maps(np.full(shape, -1000, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.bool_))
    for tissue in phantom.below:
        maps = _paint(maps, points, tissue)
    maps = _with_tumour(maps, points, phantom)
    for tissue in phantom.above:
        maps = _paint(maps, points, tissue)
    return maps


def _paint(maps: Maps, points: Points, tissue: Tissue) -> Maps:
    inside = tissue.shape.inside(points)
    hu = np.where(inside, np.float32(tissue.hu), maps.hu)
    suv = np.where(inside, np.float32(tissue.suv), maps.suv)
    return Maps(hu, suv, maps.tumour & ~inside)


def _with_tumour(maps: Maps, points: Points, phantom: Phantom) -> Maps:
    """The tumour stays inside the muscle wall."""
    tumour = phantom.tumour
    inside = tumour.shape.inside(points) & phantom.wall.inside(points)
    heat = tumour.heat(points)
    hu = tumour.dull_hu + (tumour.hot_hu - tumour.dull_hu) * heat
    suv = tumour.dull_suv + (tumour.hot_suv - tumour.dull_suv) * heat
    return Maps(np.where(inside, hu, maps.hu), np.where(inside, suv, maps.suv), inside)


def draw_phantom(rng: Generator, anatomy: Anatomy = USUAL) -> Phantom:
    """A new synthetic patient."""
    size = float(rng.uniform(*anatomy.size))
    skin = Ellipsoid((0, 0, 0), (74 * size, 60 * size, ENDLESS_MM))
    # A child of the generator, so that patients of the usual ranges are drawn as if there were no such range.
    share = size * float(rng.spawn(1)[0].uniform(*anatomy.muscle))
    wall = Ellipsoid((0, 0, 0), (USUAL_WALL_MM * share, 52 * share, ENDLESS_MM))
    muscle_hu = float(rng.uniform(45, 55))
    tumour = _draw_tumour(rng, muscle_hu, size, anatomy)
    body = (Tissue("fat", skin, -100, 0.3), Tissue("muscle", wall, muscle_hu, float(rng.uniform(0.5, 0.8))))
    bowel = (_draw_bowel(rng, tumour),) if rng.random() < anatomy.bowel else ()
    organs = (*_draw_organs(rng, anatomy.organ_uptake), *bowel, *_draw_cysts(rng, tumour, anatomy.cysts))
    below = (*body, *(replace(organ, shape=Overlap(organ.shape, wall)) for organ in organs))
    return Phantom(below, tumour, _lungs_and_bone(wall), wall)


def _draw_organs(rng: Generator, share: float) -> tuple[Tissue, ...]:
    """Organs with physiological uptake; the ranges overlap with those of a tumour."""

    def near(x: float, y: float, z: float) -> Xyz:
        dx, dy, dz = rng.uniform(-4, 4, 3)
        return x + float(dx), y + float(dy), z + float(dz)

    heart, liver = near(14, -14, 38), near(-32, -2, 2)
    return (
        Tissue("liver", Ellipsoid(liver, (26, 32, 24)), 60, float(rng.uniform(1.8, 2.6))),
        Tissue("myocardium", Ellipsoid(heart, (21, 19, 22)), 45, share * float(rng.uniform(2.5, 8))),
        Tissue("blood", Ellipsoid(heart, (13, 11, 14)), 40, 1.5),
        Tissue("left kidney", Ellipsoid(near(36, 24, -14), (10, 9, 18)), 32, share * float(rng.uniform(3, 7))),
        Tissue("right kidney", Ellipsoid(near(-36, 26, -20), (10, 9, 18)), 32, share * float(rng.uniform(3, 7))),
        Tissue("bladder", Ellipsoid(near(0, -10, -54), (20, 17, 14)), 5, share * float(rng.uniform(5, 12))),
    )


def _draw_tumour(rng: Generator, muscle_hu: float, size: float, anatomy: Anatomy) -> Tumour:
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.6)
    center = (float(66 * size * reach * np.cos(angle)), float(52 * size * reach * np.sin(angle)), rng.uniform(-45, 8))
    radii = rng.uniform(*anatomy.radii_mm, 3)
    normal = rng.normal(size=3)
    normal /= np.linalg.norm(normal)
    return Tumour(
        shape=Ellipsoid(center, _xyz(radii), float(rng.uniform(0, np.pi))),
        normal=_xyz(normal),
        offset_mm=float(rng.uniform(-anatomy.cut, anatomy.cut) * radii.min()),
        hot_hu=muscle_hu,
        hot_suv=float(rng.uniform(*anatomy.hot_suv)),
        dull_hu=muscle_hu - float(rng.uniform(*anatomy.dull_below_muscle_hu)),
        dull_suv=float(rng.uniform(0.8, 1.2)),
    )


def _draw_bowel(rng: Generator, tumour: Tumour) -> Tissue:
    """A hot loop filled with contrast medium that touches the hot end of the tumour."""
    radii = rng.uniform(9, 14, 3)
    distance_mm = float(np.mean(tumour.shape.radii_mm) + 0.7 * radii.mean())
    center = np.array(tumour.shape.center_mm) + distance_mm * np.array(tumour.normal)
    return Tissue("bowel", Ellipsoid(_xyz(center), _xyz(radii)), 130, float(rng.uniform(3.5, 8)))


def _draw_cysts(rng: Generator, tumour: Tumour, fewest_most: tuple[int, int]) -> tuple[Tissue, ...]:
    """Cysts: on CT they look like the dull part of the tumour."""
    fewest, most = fewest_most
    cysts = []
    for _ in range(int(rng.integers(fewest, most + 1))):
        center = (float(rng.uniform(-48, 48)), float(rng.uniform(-34, 34)), float(rng.uniform(-60, 60)))
        shape = Ellipsoid(center, _xyz(rng.uniform(8, 15, 3)), float(rng.uniform(0, np.pi)))
        cysts.append(Tissue("cyst", shape, tumour.dull_hu, 0.5))
    return tuple(cysts)


def _lungs_and_bone(wall: Ellipsoid) -> tuple[Tissue, ...]:
    a, b, _ = wall.radii_mm
    cage = Ellipsoid((0, 0, 0), (a - 6, b - 6, ENDLESS_MM))
    return (
        Tissue("left lung", Ellipsoid((38, 4, 52), (20, 32, 40)), -800, 0.4),
        Tissue("right lung", Ellipsoid((-38, 4, 56), (20, 32, 36)), -800, 0.4),
        Tissue("ribs", Ribs(wall, cage, every_mm=26, thick_mm=8, from_z_mm=4), 400, 1.0),
        Tissue("spine", Ellipsoid((0, b - 14, 0), (13, 12, ENDLESS_MM)), 250, 1.3),
    )


def _xyz(values: NDArray[np.float64]) -> Xyz:
    x, y, z = (float(value) for value in values)
    return x, y, z
