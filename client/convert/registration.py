"""How far a PET lies from its CT, over the space that both cover: three figures that fail in different ways.

    bodies      CT: HU > -300; PET: value > 0.3 m, m the median of the PET inside of the CT's body, so that units and
                scale do not matter; of either the largest component, its holes filled plane by plane
    overlap     Dice of both bodies
    centroids   distance of their centroids
    MI          sum over bins of p(c, q) ln(p(c, q) / (p(c) p(q))), 32 x 32 bins, HU in [-1000, 300], PET up to its
                99.5th percentile, in nats
    shift       length of the translation of the PET that maximises Mattes' mutual information (Mattes et al. 2003,
                doi:10.1109/TMI.2003.809072), by gradient descent from no shift; none where the descent ends at less
                than 0.9 of what it began with, as it does in images without structure

The shift is what a warning goes by. On 37 patients it told a PET that was moved by 20 mm in 98 % of six directions, by
30 mm in 99.5 %, by 40 mm in 98.6 %, without one false alarm; the centroids of bodies that are cut by the field of view
told 26, 46 and 57 %.
"""

import math
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from client.data.checks import Issue, Subject
from client.data.conversion import Registration
from client.data.preprocessing import resample
from client.data.volume import Volume, bounds_xyz_mm, to_image

LARGEST_SHIFT_MM = 12.0
LEAST_OVERLAP = 0.7
SMALLEST_VOXEL_MM = 4.0
MOST_VOXELS = 500_000
BODY_HU = -300.0
BODY_SHARE_OF_MEDIAN = 0.3
WINDOW_HU = (-1000.0, 300.0)
PEAK_PERCENTILE = 99.5
BINS = 32
SAMPLES, SEED = 20_000, 1
FEWEST_VOXELS = 4
FIRST_STEP_MM, LAST_STEP_MM, STEPS = 8.0, 0.1, 60
LEAST_INFORMATION_KEPT = 0.9
UNKNOWN = Registration(None, None, None)


@dataclass(frozen=True, eq=False)
class SharedSpace:
    """CT and PET (z, y, x) on one grid over the space that both cover; `grid` has its geometry, cubes of voxels."""

    ct_hu: NDArray[np.float32]
    pet: NDArray[np.float32]
    grid: sitk.Image

    @property
    def spacing_mm(self) -> float:
        """Edge of a voxel."""
        return float(self.grid.GetSpacing()[0])


def compare_in_space(ct: Volume, pet: Volume) -> Registration:
    """The figures of a pair; None where images share no space, or one of them is constant or not finite there."""
    space = shared_space(ct, pet)
    if space is None or not all(np.isfinite(image).all() and np.ptp(image) for image in (space.ct_hu, space.pet)):
        return UNKNOWN
    overlap, centroid_mm = compare_bodies(space)
    information = mutual_information(np.clip(space.ct_hu, *WINDOW_HU), _clip_peak(space.pet))
    return Registration(best_shift_mm(space, pet), overlap, information, centroid_mm)


def registration_issues(subject: Subject, found: Registration) -> tuple[Issue, ...]:
    """A warning with millimeters for a pair beyond the limits, a note for one that cannot be compared."""
    step = "look at both in one viewer; register them again at the workstation if they are shifted"
    if found.shift_mm is not None and found.shift_mm > LARGEST_SHIFT_MM:
        told, limit = f"PET shifted by {found.shift_mm:.0f} mm against the CT", f"at most {LARGEST_SHIFT_MM:g} mm"
        return (subject.issue("registration", "pet.nii.gz", told, limit, step, grade="warning"),)
    if found.overlap is not None and found.overlap < LEAST_OVERLAP:
        apart = f", centroids {found.centroid_mm:.0f} mm apart" if found.centroid_mm is not None else ""
        told = f"bodies of PET and CT that overlap by {found.overlap:.2f} (Dice){apart}"
        return (
            subject.issue("registration", "pet.nii.gz", told, f"at least {LEAST_OVERLAP:g}", step, grade="warning"),
        )
    if found.shift_mm is None:
        told, expected = "PET and CT that cannot be compared", "two images of one body"
        return (subject.issue("registration-unknown", "pet.nii.gz", told, expected, step, grade="note"),)
    return ()


def shared_space(ct: Volume, pet: Volume) -> SharedSpace | None:
    """Both images on one grid along the patient's axes; None where they share less than a few voxels of an axis.

    The voxels are as small as a few hundred thousand of them allow: 4 mm around a tumour, 8 mm over a whole body.
    """
    low, high = np.stack([bounds_xyz_mm(ct), bounds_xyz_mm(pet)], axis=1)
    low, high = low.max(axis=0), high.min(axis=0)
    edge_mm = max(SMALLEST_VOXEL_MM, float(np.prod(np.clip(high - low, 0, None)) / MOST_VOXELS) ** (1 / 3))
    size = [math.floor(extent / edge_mm) for extent in high - low]
    if min(size) < FEWEST_VOXELS:
        return None
    grid = sitk.Image(size, sitk.sitkFloat32)
    grid.SetSpacing([edge_mm] * 3)
    grid.SetOrigin([float(start) + edge_mm / 2 for start in low])
    ct_hu = resample(_shrink(ct, edge_mm), grid, outside=WINDOW_HU[0])
    return SharedSpace(ct_hu, resample(_shrink(pet, edge_mm), grid, outside=0.0), grid)


def _shrink(volume: Volume, edge_mm: float) -> sitk.Image:
    """The image with as many of its voxels averaged as an edge holds; a whole body is smoothed no voxel at a time."""
    factors = [
        max(1, min(size, int(edge_mm / mm))) for size, mm in zip(volume.shape_zyx, volume.spacing_zyx_mm, strict=True)
    ]
    return sitk.BinShrink(to_image(volume), factors[::-1])


def compare_bodies(space: SharedSpace) -> tuple[float | None, float | None]:
    """Dice of both bodies, and the distance of their centroids in mm; None where either image shows no body."""
    tissue = space.ct_hu > BODY_HU
    limit = BODY_SHARE_OF_MEDIAN * float(np.median(space.pet[tissue])) if tissue.any() else 0.0
    if limit <= 0:
        return None, None
    of_ct, of_pet = _body(tissue), _body(space.pet > limit)
    overlap = 2 * np.count_nonzero(of_ct & of_pet) / (np.count_nonzero(of_ct) + np.count_nonzero(of_pet))
    apart = np.subtract(ndimage.center_of_mass(of_ct), ndimage.center_of_mass(of_pet))
    return float(overlap), float(space.spacing_mm * np.linalg.norm(apart))


def mutual_information(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Mutual information of two arrays of one shape, in nats; 0 where either is constant."""
    counts, _, _ = np.histogram2d(one.ravel(), other.ravel(), bins=BINS)
    joint = counts / counts.sum()
    product = np.outer(joint.sum(axis=1), joint.sum(axis=0))
    seen = joint > 0
    return max(0.0, float((joint[seen] * np.log(joint[seen] / product[seen])).sum()))


def best_shift_mm(space: SharedSpace, pet: Volume) -> float | None:
    """Length of the translation of the PET that maximises mutual information; None where none is found."""
    fixed = sitk.GetImageFromArray(np.clip(space.ct_hu, *WINDOW_HU))
    fixed.CopyInformation(space.grid)
    peak = float(np.percentile(pet.array_zyx, PEAK_PERCENTILE)) or 1.0
    moving = sitk.Clamp(_shrink(pet, space.spacing_mm), sitk.sitkFloat32, 0.0, peak)
    try:
        search = _translation_search(SAMPLES / space.ct_hu.size)
        unmoved = -search.MetricEvaluate(fixed, moving)
        found = search.Execute(fixed, moving)
    except RuntimeError:  # no sample of the one lies in the other, or all have one value
        return None
    if -search.GetMetricValue() < LEAST_INFORMATION_KEPT * unmoved:
        return None  # it went astray, and says neither that there is a shift nor that there is none
    shift_mm = float(np.linalg.norm(found.GetParameters()))
    return shift_mm if math.isfinite(shift_mm) else None


def _translation_search(share: float) -> sitk.ImageRegistrationMethod:
    """The search for a translation over that share of the voxels, which repeats itself: one thread, no chance."""
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(BINS)
    if share < 1:
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(share, SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(FIRST_STEP_MM, LAST_STEP_MM, STEPS)
    method.SetInitialTransform(sitk.TranslationTransform(3))
    return method


def _clip_peak(pet: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(pet, 0, np.percentile(pet, PEAK_PERCENTILE))


def _body(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest component (6 neighbors), with the holes of each plane filled."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    body = labels == sizes.argmax()
    return np.stack([ndimage.binary_fill_holes(plane) for plane in body])
