"use strict";
const book = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const FULL = 32000, MOST_M = 24;
let shown = [], current = null, step = 0, playing = false, last = 0, carry = 0, asked = 0;

async function unpacked(e) {
  if (e.arrays) return e.arrays;
  const packed = Uint8Array.from(atob(e.data), c => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const bytes = new DataView(await new Response(stream).arrayBuffer());
  let place = 0;
  const words = n => { const a = new Float64Array(n); for (let i = 0; i < n; i++, place += 2) a[i] = bytes.getInt16(place, true) / FULL; return a; };
  const octets = n => { const a = new Uint8Array(bytes.buffer, place, n); place += n; return a; };
  const moments = e.steps + 1, circles = e.circles.length;
  e.arrays = {
    xy: words(moments * e.robots * 2), yaw: words(moments * e.robots), circle: words(moments * circles * 2), q: words(e.steps * e.q[0]),
    path: words(moments * e.path * 2),
    goal: octets(moments * e.robots), ended: octets(moments * e.robots), range: octets(moments * e.beams.length),
    action: octets(e.table.length ? e.steps : 0),
  };
  return e.arrays;
}

async function withMap(e) {
  if (e.map < 0 || book.maps[e.map].image) return;
  const image = new Image();
  await new Promise((loaded, failed) => { image.onload = loaded; image.onerror = failed; image.src = "data:image/png;base64," + book.maps[e.map].png; });
  book.maps[e.map].image = image;
}

function option(select, value, text) { const o = document.createElement("option"); o.value = value; o.textContent = text; select.append(o); }

function fillFilters() {
  at("title").textContent = book.title;
  const entrants = [...new Set(book.episodes.map(e => e.entrant))];
  option(at("entrant"), "", "all");
  entrants.forEach(name => option(at("entrant"), name, name));
  fillClusters();
}

function fillClusters() {
  const select = at("cluster"), who = at("entrant").value, count = new Map();
  book.episodes.filter(e => !who || e.entrant === who).forEach(e => count.set(e.cluster, (count.get(e.cluster) || 0) + 1));
  select.replaceChildren();
  option(select, "", "all");
  [...count].sort((a, b) => b[1] - a[1]).forEach(([name, n]) => option(select, name, `${name} (${n})`));
}

function fillList() {
  const who = at("entrant").value, what = at("cluster").value;
  shown = book.episodes.filter(e => (!who || e.entrant === who) && (!what || e.cluster === what));
  at("count").textContent = `${shown.length} of ${book.episodes.length} failed episodes`;
  at("list").replaceChildren(...shown.map(e => {
    const item = document.createElement("li"), small = document.createElement("small");
    item.textContent = e.case;
    if (e.notes.length) { const tag = document.createElement("span"); tag.className = "tag"; tag.textContent = " " + e.notes.join(", "); item.append(tag); }
    small.textContent = `${e.entrant}: ${e.how}`;
    item.append(small);
    item.addEventListener("click", () => choose(e));
    return item;
  }));
  if (shown.length) choose(shown.includes(current) ? current : shown[0]);
}

async function choose(e) {
  const ticket = ++asked;
  await unpacked(e);
  await withMap(e);
  if (ticket !== asked) return;
  current = e; step = 0; carry = 0;
  [...at("list").children].forEach((item, i) => {
    if (shown[i] === e) { item.setAttribute("aria-current", "true"); item.scrollIntoView({block: "nearest"}); } else item.removeAttribute("aria-current");
  });
  at("how").textContent = e.how;
  at("cluster-name").textContent = e.cluster;
  at("facts").replaceChildren(...[["entrant", e.entrant], ["case", e.case], ...e.facts].flatMap(([label, value]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = label; dd.textContent = value;
    return [dt, dd];
  }));
  at("scrub").max = e.steps;
  at("values").hidden = !e.q[0];
  draw();
}

function setStep(value) { step = Math.max(0, Math.min(current.steps, value)); draw(); }
function setPlaying(on) {
  playing = on; last = 0; carry = 0;
  at("play").textContent = on ? "Pause" : "Play";
  if (on) { if (step >= current.steps) step = 0; requestAnimationFrame(tick); }
}
function tick(now) {
  if (!playing) return;
  if (last) {
    carry += (now - last) / 1000 * Number(at("speed").value) / current.dt;
    const whole = Math.floor(carry);
    if (whole) { carry -= whole; setStep(step + whole); }
    if (step >= current.steps) return setPlaying(false);
  }
  last = now;
  requestAnimationFrame(tick);
}

function draw() {
  const e = current, a = e.arrays, canvas = at("world"), g = canvas.getContext("2d"), size = canvas.width, me = e.robot;
  const x = (k, r) => a.xy[(k * e.robots + r) * 2] * e.reach, y = (k, r) => a.xy[(k * e.robots + r) * 2 + 1] * e.reach;
  const follow = at("follow").checked, map = e.map < 0 ? null : book.maps[e.map], px = x(step, me), py = y(step, me), yaw = a.yaw[step * e.robots + me] * Math.PI;
  const whole = map ? Math.max(...map.size) / 2 : e.walled ? e.half : Math.min(e.half, e.reach + 1), half = follow ? 2.5 : Math.min(whole, map ? MOST_M / 2 : whole) * 1.04, scale = size / 2 / half, thick = map ? Math.max(1, half / 5.2) : 1;
  const within = (value, side) => { const room = Math.max(0, side / 2 + .5 - half); return Math.max(-room, Math.min(room, value)); };
  const ox = follow ? px : map ? within(px, map.size[0]) : 0, oy = follow ? py : map ? within(py, map.size[1]) : 0;
  const world = () => g.setTransform(scale, 0, 0, -scale, size / 2 - ox * scale, size / 2 + oy * scale);
  g.setTransform(1, 0, 0, 1, 0, 0);
  g.clearRect(0, 0, size, size);
  world();
  if (map) { g.fillStyle = "#bfc2c2"; g.fillRect(ox - half, oy - half, 2 * half, 2 * half); g.fillStyle = "#f6f4ee"; g.fillRect(-map.size[0] / 2, -map.size[1] / 2, ...map.size); }
  const disc = (px, py, r, fill, edge) => { g.beginPath(); g.arc(px, py, r, 0, 2 * Math.PI); if (fill) { g.fillStyle = fill; g.fill(); } if (edge) { g.strokeStyle = edge; g.lineWidth = .035; g.stroke(); } };
  g.strokeStyle = "#e7e3d8"; g.lineWidth = .015;
  const across = map ? map.size[0] / 2 : e.half, up = map ? map.size[1] / 2 : e.half;
  g.beginPath();
  for (let m = -Math.floor(across); m <= across; m++) { g.moveTo(m, -up); g.lineTo(m, up); }
  for (let m = -Math.floor(up); m <= up; m++) { g.moveTo(-across, m); g.lineTo(across, m); }
  g.stroke();
  const sx = px + e.mount[0] * Math.cos(yaw) - e.mount[1] * Math.sin(yaw), sy = py + e.mount[0] * Math.sin(yaw) + e.mount[1] * Math.cos(yaw);
  const beams = drawn => { if (at("lidar").checked) e.beams.forEach((angle, j) => {
    const part = a.range[step * e.beams.length + j] / 255, r = part * e.range;
    drawn(sx + r * Math.cos(yaw + angle), sy + r * Math.sin(yaw + angle), part);
  }); };
  g.strokeStyle = "rgba(86,180,233,.45)"; g.lineWidth = .012 * thick;
  beams((qx, qy) => { g.beginPath(); g.moveTo(sx, sy); g.lineTo(qx, qy); g.stroke(); });
  if (map) drawMap(g, map, ox - half, oy - half, 2 * half);
  g.fillStyle = "#2f8fc4";
  beams((qx, qy, part) => { if (part < 1) { g.beginPath(); g.arc(qx, qy, .035 * thick, 0, 2 * Math.PI); g.fill(); } });
  g.strokeStyle = "#3e4c59"; g.lineWidth = .06;
  if (e.walled && !map) g.strokeRect(-e.half, -e.half, 2 * e.half, 2 * e.half);
  e.walls.forEach(w => { g.beginPath(); g.moveTo(w[0], w[1]); g.lineTo(w[2], w[3]); g.stroke(); });
  const goal = a.goal[step * e.robots + me];
  g.setLineDash([.12, .12]); g.strokeStyle = "rgba(0,158,115,.5)"; g.lineWidth = .03; g.beginPath(); g.moveTo(px, py);
  for (let i = goal; i < e.goals.length && !map; i++) g.lineTo(e.goals[i][0], e.goals[i][1]);
  g.stroke(); g.setLineDash([]);
  const route = e.routes.filter(item => item[0] <= step).pop()[1];
  line(g, route, "rgba(0,158,115,.5)", .05 * thick);
  for (let i = 0; i < e.path; i++) disc(a.path[(step * e.path + i) * 2] * e.reach, a.path[(step * e.path + i) * 2 + 1] * e.reach, .07 * thick, "#009e73", "#ffffff");
  e.goals.forEach((p, i) => disc(p[0], p[1], .27, i < goal ? "rgba(0,158,115,.12)" : i === goal ? "rgba(0,158,115,.35)" : null, "#009e73"));
  const n = e.circles.length;
  for (let i = 0; i < n; i++) {
    const cx = a.circle[(step * n + i) * 2] * e.reach, cy = a.circle[(step * n + i) * 2 + 1] * e.reach, moving = e.circles[i][1] !== "static";
    disc(cx, cy, e.circles[i][0], moving ? "#e69f00" : "#8a94a0", moving ? "#a86a00" : "#5f6a75");
    const before = Math.max(0, step - 1), vx = cx - a.circle[(before * n + i) * 2] * e.reach, vy = cy - a.circle[(before * n + i) * 2 + 1] * e.reach;
    if (moving && step) { g.strokeStyle = "#1f2933"; g.lineWidth = .03; g.beginPath(); g.moveTo(cx, cy); g.lineTo(cx + vx / e.dt, cy + vy / e.dt); g.stroke(); }
  }
  for (let r = 0; r < e.robots; r++) {
    if (at("trail").checked) { g.strokeStyle = r === me ? "rgba(0,114,178,.55)" : "rgba(160,70,138,.4)"; g.lineWidth = .04 * thick; g.beginPath(); for (let k = 0; k <= step; k++) g[k ? "lineTo" : "moveTo"](x(k, r), y(k, r)); g.stroke(); }
    const over = a.ended[step * e.robots + r], h = a.yaw[step * e.robots + r] * Math.PI;
    const tone = over ? "#d55e00" : r === me ? "#0072b2" : "#a0468a";
    if (e.body.length) {
      line(g, [...e.body, e.body[0]].map(([u, v]) => [x(step, r) + u * Math.cos(h) - v * Math.sin(h), y(step, r) + u * Math.sin(h) + v * Math.cos(h)]), "#ffffff", .035, tone);
    } else disc(x(step, r), y(step, r), e.radius[r], tone, "#ffffff");
    g.strokeStyle = "#ffffff"; g.lineWidth = .05; g.beginPath(); g.moveTo(x(step, r), y(step, r));
    g.lineTo(x(step, r) + e.radius[r] * Math.cos(h), y(step, r) + e.radius[r] * Math.sin(h)); g.stroke();
  }
  g.setTransform(1, 0, 0, 1, 0, 0);
  g.fillStyle = "#1f2933"; g.font = "26px sans-serif"; g.textBaseline = "alphabetic";
  [...e.goals.keys()].forEach(i => { g.textAlign = "center"; g.fillText(String(i + 1), size / 2 + (e.goals[i][0] - ox) * scale, size / 2 - (e.goals[i][1] - oy) * scale + 9); });
  if (map && Math.max(...map.size) > 2 * half) drawOverview(g, size, map, [ox, oy, half], [px, py], route, e.goals[goal]);
  at("scrub").value = step;
  at("clock").textContent = `${(step * e.dt).toFixed(1)} of ${(e.steps * e.dt).toFixed(1)} s`;
  if (e.q[0]) drawValues(e, a);
}

function line(g, points, stroke, width, fill) {
  g.beginPath(); points.forEach((p, i) => g[i ? "lineTo" : "moveTo"](...p));
  if (fill) { g.fillStyle = fill; g.fill(); }
  g.strokeStyle = stroke; g.lineWidth = width; g.stroke();
}

function drawMap(g, map, left, bottom, side) {
  const [width, height] = map.size;
  g.save();
  g.beginPath(); g.rect(left, bottom, side, side); g.clip();
  g.scale(1, -1); g.imageSmoothingEnabled = false;
  g.drawImage(map.image, -width / 2, -height / 2, width, height);
  g.strokeStyle = "#3e4c59"; g.lineWidth = .05; g.strokeRect(-width / 2, -height / 2, width, height);
  g.restore();
}

function drawOverview(g, size, map, view, robot, route, goal) {
  const [width, height] = map.size, scale = Math.min(.3 * size / width, .26 * size / height), gap = 16;
  const middle = [size - gap - width * scale / 2, gap + height * scale / 2], dot = 7 / scale;
  const sx = size / 2 + (robot[0] - view[0]) / view[2] * size / 2, sy = size / 2 - (robot[1] - view[1]) / view[2] * size / 2;
  if (sx > size - width * scale - 4 * gap && sy < height * scale + 4 * gap) middle[0] = gap + width * scale / 2;  // the robot would be under it
  g.setTransform(scale, 0, 0, -scale, ...middle);
  g.fillStyle = "#ffffff"; g.fillRect(-width / 2, -height / 2, width, height);
  g.save(); g.scale(1, -1); g.imageSmoothingEnabled = true; g.imageSmoothingQuality = "high"; g.drawImage(map.image, -width / 2, -height / 2, width, height); g.restore();
  g.strokeStyle = "#3e4c59"; g.lineWidth = 4 / scale; g.strokeRect(-width / 2, -height / 2, width, height);
  line(g, route, "#009e73", 3 / scale);
  const spot = (p, color) => { g.beginPath(); g.arc(...p, dot, 0, 2 * Math.PI); g.fillStyle = color; g.fill(); };
  if (goal) spot(goal, "#009e73");
  spot(robot, "#0072b2");
  g.strokeStyle = "#1f2933"; g.lineWidth = 2 / scale; g.strokeRect(view[0] - view[2], view[1] - view[2], 2 * view[2], 2 * view[2]);
  g.setTransform(1, 0, 0, 1, 0, 0);
}

function drawValues(e, a) {
  const canvas = at("q"), g = canvas.getContext("2d"), n = e.q[0], k = Math.min(step, e.steps - 1);
  const values = Array.from({length: n}, (_, i) => a.q[k * n + i] * e.q[1]), low = Math.min(...values), high = Math.max(...values);
  g.clearRect(0, 0, canvas.width, canvas.height);
  const rows = n, height = canvas.height / rows;
  g.font = `${Math.min(22, Math.max(8, height * .75))}px sans-serif`; g.textBaseline = "middle";
  values.forEach((v, i) => {
    const part = high > low ? (v - low) / (high - low) : 1, best = a.action.length ? a.action[k] === i : v === high;
    g.fillStyle = best ? "#0072b2" : "#b7cfe0";
    g.fillRect(210, i * height + 1, 10 + part * 330, height - 2);
    if (height < 7) return;
    g.fillStyle = "#1f2933"; g.textAlign = "right";
    const t = e.table[i];
    g.fillText(t ? `${t[0].toFixed(2)}, ${t[1].toFixed(2)}` : String(i), 200, (i + .5) * height);
    g.textAlign = "left"; g.fillText(v.toFixed(2), 230 + part * 330, (i + .5) * height);
  });
}

at("entrant").addEventListener("change", () => { fillClusters(); fillList(); });
at("cluster").addEventListener("change", fillList);
at("play").addEventListener("click", () => setPlaying(!playing));
at("scrub").addEventListener("input", () => { setPlaying(false); setStep(Number(at("scrub").value)); });
["lidar", "trail", "follow"].forEach(id => at(id).addEventListener("change", draw));
document.addEventListener("keydown", event => {
  if (["SELECT", "INPUT"].includes(event.target.tagName) && event.key !== " ") return;
  const i = shown.indexOf(current);
  const keys = {
    " ": () => setPlaying(!playing), ArrowLeft: () => { setPlaying(false); setStep(step - 1); }, ArrowRight: () => { setPlaying(false); setStep(step + 1); },
    ArrowUp: () => choose(shown[Math.max(0, i - 1)]), ArrowDown: () => choose(shown[Math.min(shown.length - 1, i + 1)]),
    End: () => { setPlaying(false); setStep(current.steps - Math.round(2 / current.dt)); }, Home: () => setStep(0),
  };
  if (!keys[event.key] || event.target.tagName === "BUTTON" && event.key === " ") return;
  event.preventDefault();
  keys[event.key]();
});
fillFilters();
fillList();
const [wanted, moment] = decodeURIComponent(location.hash.slice(1)).split("@");  // page.html#SUITE:SCENARIO:INDEX@STEP
const linked = book.episodes.find(e => e.case === wanted);
if (linked) choose(linked).then(() => setStep(Number(moment) || 0));
