// The viewer: a list of cases, one or two sides, each with three planes of the same place.
"use strict";

const MARKS = { gtv: { colour: "#19d3ff", dashes: [] }, prediction: { colour: "#ffb000", dashes: [6, 4] } };
const INVERTED = { R: [255, 0], G: [255, 0], B: [255, 0], A: [255, 255], I: [0, 255] };
// Black, red, yellow, white; uptake below one half of the scale lets the CT through, as in the pictures of the reports.
const HOT = { R: [0, 255, 255, 255], G: [0, 0, 255, 255], B: [0, 0, 0, 255], A: [0, 255, 255, 255], I: [0, 93, 191, 255] };
const FADES_BELOW_LOW = 1;
const AXIS_OF_PLANE = [2, 1, 0];
const WINDOW_KEYS = { 1: 0, 2: 1, 3: 2 };
const element = (id) => document.getElementById(id);
const state = { cases: [], number: 0, loads: 0, panes: [], plane: 0 };

class Pane {
  constructor(image) {
    const figure = element("pane-template").content.firstElementChild.cloneNode(true);
    element("panes").append(figure);
    this.figure = figure;
    this.image = figure.querySelector(".image");
    this.image.value = image;
    this.masks = {};
    this.volumes = {};
    this.viewer = new niivue.Niivue({
      isRadiologicalConvention: true,
      sagittalNoseLeft: true,
      isNearestInterpolation: false,
      isOrientationTextVisible: true,
      showAllOrientationMarkers: true,
      multiplanarShowRender: 0,
      multiplanarPadPixels: 4,
      dragAndDropEnabled: false,
      dragMode: niivue.DRAG_MODE ? niivue.DRAG_MODE.contrast : 1,
      crosshairColor: [0.9, 0.8, 0.2, 0.7],
      crosshairWidth: 0.3,
      crosshairWidthUnit: "percent",
      crosshairGap: 6,
      clipPlaneHotKey: "",
      cycleClipPlaneHotKey: "",
      viewModeHotKey: "",
      logLevel: "error",
    });
  }

  async start() {
    await this.viewer.attachToCanvas(this.figure.querySelector("canvas.volume"));
    this.viewer.addColormap("pet-inverted", INVERTED);
    this.viewer.addColormap("pet-over-ct", HOT);
    const draw = this.viewer.drawScene.bind(this.viewer);
    this.viewer.drawScene = () => {
      draw();
      this.drawContours();
    };
    this.viewer.onLocationChange = (location) => this.showLocation(location);
    this.image.addEventListener("change", () => this.update());
    this.figure.querySelectorAll("input").forEach((box) => box.addEventListener("change", () => this.viewer.drawScene()));
  }

  async load(number, entry, isCurrent) {
    if (this.number === number) return;
    const fetched = (file) => fetchImage(`cases/${number}/${file}.nii.gz`);
    const has = (file) => entry.files.includes(file);
    const images = await Promise.all(["ct", "pet"].filter(has).map(fetched));
    const masks = await Promise.all(["gtv", "prediction"].filter(has).map(fetched));
    if (images.length === 2) images[1] = await Interpolation.onto(images[1], images[0]);
    if (!isCurrent()) return;
    this.number = number;
    this.masks = Object.fromEntries(["gtv", "prediction"].filter(has).map((file, place) => [file, masks[place]]));
    this.volumes = Object.fromEntries(["ct", "pet"].filter(has).map((file, place) => [file, images[place]]));
    this.replaceVolumes(images);
    for (const option of this.image.options) option.disabled = !(option.value === "fused" ? has("ct") && has("pet") : has(option.value));
    if (this.image.selectedOptions[0].disabled) this.image.value = has("ct") ? "ct" : "pet";
    this.figure.querySelector(".true").hidden = !has("gtv");
    this.figure.querySelector(".predicted").hidden = !has("prediction");
    this.viewer.scene.crosshairPos = this.middle();
    this.update();
  }

  // NiiVue computes all layers anew for each volume that comes or goes, minutes of it without a graphics card; once is enough.
  replaceVolumes(images) {
    this.viewer.updateGLVolume = () => {};
    [...this.viewer.volumes].forEach((volume) => this.viewer.removeVolume(volume));
    images.forEach((volume) => this.viewer.addVolume(volume));
    delete this.viewer.updateGLVolume;
  }

  // Where the contour, else the prediction, is largest along each axis; the middle of the image without either.
  middle() {
    const mask = this.masks.gtv || this.masks.prediction;
    if (!mask) return [0.5, 0.5, 0.5];
    const sizes = mask.dimsRAS.slice(1, 4);
    const areas = sizes.map((size) => new Float64Array(size));
    const first = mask.img2RASstart.reduce((sum, start) => sum + start, 0);
    const [right, front, up] = mask.img2RASstep;
    for (let z = 0; z < sizes[2]; z++)
      for (let y = 0; y < sizes[1]; y++) {
        let index = first + y * front + z * up;
        for (let x = 0; x < sizes[0]; x++, index += right)
          if (mask.img[index] > 0) [areas[0][x], areas[1][y], areas[2][z]] = [areas[0][x] + 1, areas[1][y] + 1, areas[2][z] + 1];
      }
    return areas.map((area, axis) => {
      const most = Math.max(...area);
      const largest = [...area.keys()].filter((at) => area[at] === most);
      return most > 0 ? (largest[largest.length >> 1] + 0.5) / sizes[axis] : 0.5;
    });
  }

  update() {
    const { ct, pet } = this.volumes;
    const shown = this.image.value;
    const [low, high] = element("window").value.split(",").map(Number);
    if (ct) this.set(ct, { colormap: "gray", low, high, opacity: shown === "pet" ? 0 : 1 });
    if (pet) {
      const opacity = { ct: 0, pet: 1, fused: Number(element("fusion").value) / 100 }[shown];
      const high = Number(element("suv").value);
      const looks = { fused: { colormap: "pet-over-ct", low: high / 2, type: FADES_BELOW_LOW }, pet: { colormap: "pet-inverted", low: 0, type: 0 } };
      this.set(pet, { ...(looks[shown] || looks.pet), high, opacity });
    }
    const onWhite = shown === "pet";
    this.viewer.opts.backColor = onWhite ? [1, 1, 1, 1] : [0, 0, 0, 1];
    this.viewer.opts.fontColor = onWhite ? [0.05, 0.2, 0.5, 1] : [1, 1, 1, 1];
    this.viewer.updateGLVolume();
    this.viewer.createOnLocationChange();
  }

  set(volume, { colormap, low, high, opacity, type = 0 }) {
    volume.colormapType = type;
    volume.colormap = colormap; // first: it sets the window to one of NiiVue's own
    [volume.cal_min, volume.cal_max] = [low, high];
    volume.opacity = opacity;
  }

  drawContours() {
    const ticked = { gtv: ".truth", prediction: ".prediction" };
    const marks = Object.entries(this.masks)
      .filter(([file]) => this.figure.querySelector(ticked[file]).checked)
      .map(([file, mask]) => ({ mask, ...MARKS[file] }));
    Contours.draw(this.viewer, this.figure.querySelector("canvas.lines"), marks);
  }

  showLocation(location) {
    state.plane = location.axCorSag <= 2 ? location.axCorSag : state.plane;
    const units = new Map([[this.volumes.ct, "HU"], [this.volumes.pet, "SUV"]]);
    const values = this.viewer.volumes.map((volume, place) => {
      const value = location.values[place] && location.values[place].value;
      return Number.isFinite(value) ? `${value.toFixed(units.get(volume) === "HU" ? 0 : 2)} ${units.get(volume)}` : "";
    });
    this.figure.querySelector(".values").textContent = values.filter(Boolean).join(" · ");
  }

  scroll(steps) {
    const move = [0, 0, 0];
    move[AXIS_OF_PLANE[state.plane]] = steps;
    this.viewer.moveCrosshairInVox(...move);
  }
}

// NiiVue would fetch a file twice and show an answer that is no image as one.
async function fetchImage(address) {
  const answer = await fetch(address);
  if (!answer.ok) throw new Error(await answer.text());
  return niivue.NVImage.new(await answer.arrayBuffer(), address);
}

function say(text) {
  element("status").textContent = text;
}

async function show(number) {
  const entry = state.cases[number];
  state.number = number;
  const load = ++state.loads;
  document.querySelectorAll("#cases button").forEach((button, place) => button.setAttribute("aria-current", String(place === number)));
  const current = document.querySelector('#cases [aria-current="true"]');
  current.scrollIntoView({ block: "nearest" });
  element("case-name").textContent = `${entry.name} (${number + 1} of ${state.cases.length})`;
  element("issues").replaceChildren(...entry.issues.map(issueItem));
  say("loading …");
  try {
    await Promise.all(state.panes.map((pane) => pane.load(number, entry, () => load === state.loads)));
    if (load === state.loads) say(["Patient's right on the left; front or head up.", entry.remark].filter(Boolean).join(" · "));
  } catch (error) {
    say(`This case cannot be shown: ${error.message || error}. If the viewer was stopped, start it again.`);
  }
  document.body.dataset.shown = entry.name;
}

function issueItem(issue) {
  const item = document.createElement("li");
  item.textContent = `${SIGNS[issue.grade]} ${issue.message}`;
  return item;
}

const SIGNS = { error: "✖ error:", warning: "▲ warning:", note: "● note:", clear: "" };

async function setBeside() {
  const wanted = element("beside").checked ? 2 : 1;
  while (state.panes.length > wanted) {
    const pane = state.panes.pop();
    pane.viewer.gl.getExtension("WEBGL_lose_context").loseContext();
    pane.figure.remove();
  }
  while (state.panes.length < wanted) await addPane(state.panes.length ? "pet" : "fused");
  const [left, right] = state.panes.map((pane) => pane.viewer);
  left.broadcastTo(right ? [right] : [], { "2d": true, "3d": false, zoomPan: true });
  if (right) right.broadcastTo([left], { "2d": true, "3d": false, zoomPan: true });
  if (!right) state.panes[0].figure.querySelector(".prediction").checked = true;
  await show(state.number);
  state.panes.forEach((pane) => pane.viewer.drawScene());
}

async function addPane(image) {
  const pane = new Pane(image);
  state.panes.push(pane);
  await pane.start();
  const predicted = state.cases.some((entry) => entry.files.includes("prediction"));
  if (!predicted || state.panes.length < 2) return;
  const [truth, prediction] = state.panes;
  prediction.image.value = truth.image.value;
  truth.figure.querySelector(".prediction").checked = false;
  prediction.figure.querySelector(".truth").checked = false;
}

function update() {
  sayScales();
  state.panes.forEach((pane) => pane.update());
}

function sayScales() {
  element("suv-shown").textContent = element("suv").value;
  element("fusion-shown").textContent = `${element("fusion").value} %`;
}

function step(by) {
  return show((state.number + by + state.cases.length) % state.cases.length);
}

function toggleHelp() {
  element("help").hidden = !element("help").hidden;
  element("help-button").setAttribute("aria-expanded", String(!element("help").hidden));
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || ["INPUT", "SELECT"].includes(event.target.tagName)) return;
  const actions = {
    n: () => step(1),
    p: () => step(-1),
    b: () => element("beside").click(),
    m: () => nextImage(state.panes[0]),
    ArrowUp: () => state.panes[0].scroll(1),
    ArrowDown: () => state.panes[0].scroll(-1),
    "?": toggleHelp,
  };
  const action = actions[event.key] || (event.key in WINDOW_KEYS && (() => pickWindow(WINDOW_KEYS[event.key])));
  if (!action) return;
  event.preventDefault();
  event.stopPropagation();
  action();
}

function nextImage(pane) {
  const usable = [...pane.image.options].filter((option) => !option.disabled);
  pane.image.value = usable[(usable.findIndex((option) => option.selected) + 1) % usable.length].value;
  pane.update();
}

function pickWindow(place) {
  element("window").selectedIndex = place;
  update();
}

async function start() {
  state.cases = await (await fetch("cases.json")).json();
  element("cases").replaceChildren(...state.cases.map(caseItem));
  element("previous").addEventListener("click", () => step(-1));
  element("next").addEventListener("click", () => step(1));
  element("beside").addEventListener("change", setBeside);
  element("help-button").addEventListener("click", toggleHelp);
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  ["window", "suv", "fusion"].forEach((id) => element(id).addEventListener("input", update));
  document.addEventListener("keydown", onKey, true);
  sayScales();
  await setBeside();
}

function caseItem(entry, number) {
  const button = document.createElement("button");
  button.textContent = `${entry.name} ${SIGNS[entry.grade].replace(":", "")}`;
  button.addEventListener("click", () => show(number));
  const item = document.createElement("li");
  item.append(button);
  return item;
}

start().catch((error) => say(`The viewer cannot start: ${error.message || error}`));
