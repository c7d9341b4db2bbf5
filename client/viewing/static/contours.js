// Contours of masks, drawn as lines over the slices of a NiiVue canvas: the border of the voxels on that very slice.
// NiiVue's own outline is three-dimensional, so that it fills the slice above and below which a tumour ends.
"use strict";

const Contours = (() => {
  const PLANES = [[0, 1, 2], [0, 2, 1], [1, 2, 0]]; // of NiiVue's axCorSag: axis to the right, axis up, axis across

  // Whether a voxel (right, anterior, superior order, as NiiVue shows it) lies inside.
  function inside(mask, position) {
    let index = 0;
    for (let axis = 0; axis < 3; axis++) {
      if (position[axis] < 0 || position[axis] >= mask.dimsRAS[axis + 1]) return false;
      index += mask.img2RASstart[axis] + position[axis] * mask.img2RASstep[axis];
    }
    return mask.img[index] > 0;
  }

  // Edges between a voxel inside and one outside on one slice, in voxel units: [[u, v], [u, v]].
  function edges(mask, plane, level) {
    const [across, up, through] = PLANES[plane];
    const [width, height] = [mask.dimsRAS[across + 1], mask.dimsRAS[up + 1]];
    const position = [0, 0, 0];
    position[through] = level;
    const at = (u, v) => {
      position[across] = u;
      position[up] = v;
      return inside(mask, position);
    };
    const found = [];
    for (let v = 0; v <= height; v++) {
      for (let u = 0; u <= width; u++) {
        const here = at(u, v);
        if (here !== at(u - 1, v)) found.push([[u, v], [u, v + 1]]);
        if (here !== at(u, v - 1)) found.push([[u, v], [u + 1, v]]);
      }
    }
    return found;
  }

  // Edges joined to lines, so that they can be dashed.
  function join(found) {
    const ends = new Map();
    const key = (point) => `${point[0]},${point[1]}`;
    found.forEach((edge, number) => edge.forEach((point) => ends.set(key(point), [...(ends.get(key(point)) || []), number])));
    const used = new Set();
    const lines = [];
    found.forEach((edge, number) => {
      if (used.has(number)) return;
      used.add(number);
      const line = [...edge];
      for (;;) {
        const tip = line[line.length - 1];
        const next = ends.get(key(tip)).find((other) => !used.has(other));
        if (next === undefined) break;
        used.add(next);
        const [a, b] = found[next];
        line.push(key(a) === key(tip) ? b : a);
      }
      lines.push(line);
    });
    return lines;
  }

  // From fractions of the volume to pixels of the canvas, for one tile; it undoes what NiiVue does for a mouse position.
  function place(viewer, tile) {
    const [across, up] = PLANES[tile.axCorSag];
    const low = viewer.frac2mm([0, 0, 0], 0);
    const high = viewer.frac2mm([1, 1, 1], 0);
    let [left, top, width, height] = tile.leftTopWidthHeight;
    const mirrored = width < 0;
    if (mirrored) [left, width] = [left + width, -width];
    return (u, v) => {
      const x = (low[across] + u * (high[across] - low[across]) - tile.leftTopMM[0]) / tile.fovMM[0];
      const y = (low[up] + v * (high[up] - low[up]) - tile.leftTopMM[1]) / tile.fovMM[1];
      return [left + (mirrored ? 1 - x : x) * width, top + (1 - y) * height];
    };
  }

  const known = new WeakMap(); // mask -> lines by plane and level; scrolling back draws them again

  function linesOf(mask, plane, level) {
    if (!known.has(mask)) known.set(mask, new Map());
    const lines = known.get(mask);
    const name = `${plane}/${level}`;
    if (!lines.has(name)) lines.set(name, join(edges(mask, plane, level)));
    return lines.get(name);
  }

  // Draw masks over every slice of the viewer; `marks` are {mask, colour, dashes}.
  function draw(viewer, canvas, marks) {
    const context = canvas.getContext("2d");
    [canvas.width, canvas.height] = [viewer.gl.canvas.width, viewer.gl.canvas.height];
    const scale = window.devicePixelRatio || 1;
    for (const tile of viewer.screenSlices.filter((shown) => shown.axCorSag <= 2)) {
      const [left, top, width, height] = tile.leftTopWidthHeight;
      context.save();
      context.beginPath();
      context.rect(Math.min(left, left + width), top, Math.abs(width), height);
      context.clip();
      const paths = marks.map(({ mask }) => outline(place(viewer, tile), tile, mask));
      paths.forEach((path) => stroke(context, path, 3.2 * scale, "rgba(0, 0, 0, 0.6)", []));
      paths.forEach((path, number) => stroke(context, path, 1.6 * scale, marks[number].colour, marks[number].dashes));
      context.restore();
    }
  }

  function outline(toPixels, tile, mask) {
    const [across, up, through] = PLANES[tile.axCorSag].map((axis) => mask.dimsRAS[axis + 1]);
    const level = Math.min(through - 1, Math.max(0, Math.floor(tile.sliceFrac * through)));
    const path = new Path2D();
    for (const line of linesOf(mask, tile.axCorSag, level)) {
      line.forEach(([u, v], number) => path[number ? "lineTo" : "moveTo"](...toPixels(u / across, v / up)));
    }
    return path;
  }

  // Dark lines come below those in colour, so that one contour shows between the dashes of another.
  function stroke(context, path, width, colour, dashes) {
    context.lineJoin = "round";
    context.setLineDash(dashes.map((length) => length * (window.devicePixelRatio || 1)));
    [context.lineWidth, context.strokeStyle] = [width, colour];
    context.stroke(path);
  }

  return { draw, edges, join };
})();
