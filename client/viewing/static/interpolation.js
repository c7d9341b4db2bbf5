// A PET on the grid of its CT, by linear interpolation. NiiVue takes the nearest voxel of an overlay, which shows a PET in
// blocks; beyond LARGEST voxels that is left so, since the copy would fill the memory of the browser.
"use strict";

const Interpolation = (() => {
  const LARGEST = 60e6;

  // Inverse of the upper three rows of an affine matrix, as [3x3 rows, offset].
  function invert(m) {
    const [[a, b, c, x], [d, e, f, y], [g, h, i, z]] = m;
    const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
    const rows = [
      [e * i - f * h, c * h - b * i, b * f - c * e],
      [f * g - d * i, a * i - c * g, c * d - a * f],
      [d * h - e * g, b * g - a * h, a * e - b * d],
    ].map((row) => row.map((value) => value / det));
    return [rows, rows.map((row) => -(row[0] * x + row[1] * y + row[2] * z))];
  }

  // From voxels of one image to voxels of another: [step along i, step along j, step along k, start].
  function steps(from, to) {
    const [rows, offset] = invert(to);
    const column = (n) => rows.map((row) => row[0] * from[0][n] + row[1] * from[1][n] + row[2] * from[2][n]);
    return [column(0), column(1), column(2), column(3).map((value, axis) => value + offset[axis])];
  }

  function sample(image, [nx, ny, nz], x, y, z) {
    if (x < -0.5 || y < -0.5 || z < -0.5 || x > nx - 0.5 || y > ny - 0.5 || z > nz - 0.5) return NaN;
    const [x0, y0, z0] = [Math.min(Math.max(Math.floor(x), 0), nx - 2), Math.min(Math.max(Math.floor(y), 0), ny - 2), Math.min(Math.max(Math.floor(z), 0), nz - 2)];
    const fx = Math.min(Math.max(x - x0, 0), 1), fy = Math.min(Math.max(y - y0, 0), 1), fz = Math.min(Math.max(z - z0, 0), 1);
    const at = x0 + nx * (y0 + ny * z0), row = nx, slab = nx * ny;
    const near = (image[at] * (1 - fx) + image[at + 1] * fx) * (1 - fy) + (image[at + row] * (1 - fx) + image[at + row + 1] * fx) * fy;
    const far = at + slab;
    const beyond = (image[far] * (1 - fx) + image[far + 1] * fx) * (1 - fy) + (image[far + row] * (1 - fx) + image[far + row + 1] * fx) * fy;
    return near * (1 - fz) + beyond * fz;
  }

  // The image on the grid of another, as a new NiiVue image; itself where it is too flat or the grid is too large.
  async function onto(pet, ct) {
    const [nx, ny, nz] = ct.hdr.dims.slice(1, 4);
    const size = pet.hdr.dims.slice(1, 4);
    if (nx * ny * nz > LARGEST || Math.min(...size) < 2) return pet;
    const [i, j, k, start] = steps(ct.hdr.affine, pet.hdr.affine);
    const slope = pet.hdr.scl_slope || 1, offset = pet.hdr.scl_inter || 0;
    const values = new Float32Array(nx * ny * nz);
    let index = 0;
    for (let c = 0; c < nz; c++)
      for (let b = 0; b < ny; b++) {
        let x = start[0] + j[0] * b + k[0] * c, y = start[1] + j[1] * b + k[1] * c, z = start[2] + j[2] * b + k[2] * c;
        for (let a = 0; a < nx; a++, x += i[0], y += i[1], z += i[2]) values[index++] = sample(pet.img, size, x, y, z) * slope + offset;
      }
    const bytes = niivue.NVImage.createNiftiArray([nx, ny, nz], ct.hdr.pixDims.slice(1, 4), ct.hdr.affine.flat(), 16, new Uint8Array(values.buffer));
    return niivue.NVImage.new(bytes.buffer, "pet.nii");
  }

  return { onto };
})();
