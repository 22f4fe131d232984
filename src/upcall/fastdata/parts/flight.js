// The flight: altitude and track, both wings with their 20,000 sensors, what was found, how fast and how late it is.
// The wings are drawn once; a snapshot brings the sensors whose health changed, and only these are painted again.
const KINDS = ["step", "spike", "stuck", "noise", "drift"];
const COLOURS = {
  light: { cell: "#a9b9cf", edge: "#d5dde8", step: "#d4572e", spike: "#c2189b", stuck: "#4a4f5c", noise: "#b87503", drift: "#1f63e0" },
  dark: { cell: "#3d4d64", edge: "#222c3a", step: "#ff8a5c", spike: "#ff6ad5", stuck: "#e6e9f0", noise: "#f0bd4f", drift: "#79a8ff" },
};
const NEAR_PX = 9;
const TRACE_S = 20; // a sensor that was ill stays marked for so long

export default {
  template: `
  <div class="u-flight">
    <header class="f-head">
      <div class="f-title"><h2>{{ run ? run.flight : empty ? "No flight yet" : "Flight" }}</h2>
        <p class="u-soft">{{ says }}</p></div>
      <dl class="f-sums">
        <div><dt>readings/s</dt><dd class="u-num" data-sum="readings">{{ million(now.readings_per_s) }}</dd><dd class="f-more">{{ fixed(now.mb_per_s, 1) }} MB/s as float32</dd></div>
        <div><dt>on the wire</dt><dd class="u-num">{{ fixed(now.packed_mb_per_s, 2) }} MB/s</dd><dd class="f-more">{{ fixed(now.bits_per_reading, 1) }} bits a reading</dd></div>
        <div><dt>lag</dt><dd class="u-num" :class="{ 't-wait': now.lag_s > 5 }" data-sum="lag">{{ fixed(now.lag_s, 1) }} s</dd><dd class="f-more">behind the last complete second</dd></div>
        <div><dt>anomalies</dt><dd class="u-num" data-sum="found">{{ now.found || 0 }}</dd><dd class="f-more">{{ now.matched || 0 }} match a labelled fault</dd></div>
        <div><dt>missing</dt><dd class="u-num" :class="{ 't-wait': now.missing }">{{ now.missing || 0 }}</dd><dd class="f-more">readings that never came</dd></div>
      </dl>
    </header>
    <p v-if="trouble" class="u-reason" role="status">{{ trouble }}</p>
    <div class="f-grid">
      <section class="f-card f-wings" aria-label="Wings">
        <h3>Wings, from above <small>{{ flying }} sensors; each dot is one, ill ones are larger</small></h3>
        <canvas ref="wings" @mousemove="look" @mouseleave="tip = null" @click="pickAt"></canvas>
        <div v-if="tip" class="f-tip" :style="{ left: tip.x + 'px', top: tip.y + 'px' }">{{ tip.text }}</div>
        <ul class="f-legend"><li v-for="kind in kinds" :key="kind"><i :style="{ background: colours[kind] }"></i>{{ kind }} <b class="u-num">{{ ill[kind] || 0 }}</b></li></ul>
      </section>
      <section class="f-card f-altitude" aria-label="Altitude"><h3>Altitude <small v-if="now.flight">{{ now.flight.altitude_ft.toLocaleString() }} ft, {{ now.flight.speed_kt }} kt, heading {{ Math.round(now.flight.heading_deg) }}°</small></h3>
        <canvas ref="altitude" class="f-plot"></canvas></section>
      <section class="f-card f-track" aria-label="Position"><h3>Position <small v-if="now.flight">{{ degrees(now.flight.latitude, "N", "S") }}, {{ degrees(now.flight.longitude, "E", "W") }}</small></h3>
        <canvas ref="track" class="f-plot"></canvas></section>
      <section class="f-card f-found" aria-label="Anomalies"><h3>Anomalies <small>newest first; click one to see its sensor</small></h3>
        <ol><li v-for="one in episodes" :key="one.key" :class="{ on: picked === one.sensor }" tabindex="0" @click="pick(one.sensor)" @keydown.enter="pick(one.sensor)" :data-kind="one.kind" :data-sensor="one.sensor">
          <i :style="{ background: colours[one.kind] }"></i><span><b>{{ one.kind }}</b><code>{{ one.name }}</code></span>
          <span class="f-marks"><span v-if="one.open" class="u-state bad">now</span><span v-if="one.labelled" class="u-state good" :title="one.labelled">labelled</span></span>
          <time class="u-num">{{ one.when }}</time><span class="f-says">{{ one.says }}</span></li>
        <li v-if="!episodes.length" class="u-none">Nothing has been found yet.</li></ol></section>
      <section class="f-card f-series" aria-label="Sensor"><h3>{{ series ? series.name : "A sensor" }} <small>{{ series ? series.what : "click an anomaly or a dot" }}</small></h3>
        <canvas ref="series" class="f-plot"></canvas></section>
    </div>
    <p class="f-note">The trajectory is a recorded flight. The sensors are modelled from it, and so are their faults; the detector does not see the labels.</p>
  </div>`,
  data: () => ({ run: null, empty: false, now: {}, trouble: "", episodes: [], picked: -1, series: null, tip: null, ill: {}, kinds: KINDS, dark: window.upcall.theme.dark, flying: "0" }),
  computed: {
    colours() { return COLOURS[this.dark ? "dark" : "light"]; },
    says() {
      if (!this.run) return this.empty ? "The aircraft has not sent anything yet." : "";
      const at = window.upcall.duration(this.now.flight_second || 0);
      return `${this.run.title}, ${at} into the recording; each sensor is read ${this.run.rate_hz} times a second`;
    },
  },
  mounted() {
    this.health = new Uint8Array(0); this.gone = new Map(); this.x = this.y = null; this.flight = null;
    this.onTheme = (event) => { this.dark = event.detail.dark; this.drawAll(); };
    window.addEventListener("upcall-theme", this.onTheme);
    this.resized = new ResizeObserver(() => this.drawAll());
    ["wings", "altitude", "track", "series"].forEach((name) => this.resized.observe(this.$refs[name]));
    this.$emit("ready");
  },
  unmounted() { window.removeEventListener("upcall-theme", this.onTheme); this.resized.disconnect(); },
  methods: {
    million: (value) => value == null ? "–" : value ? (value / 1e6).toFixed(2) + " M" : "0",
    fixed: (value, digits) => value == null ? "–" : value.toFixed(digits),
    degrees: (value, above, below) => `${Math.abs(value).toFixed(3)}° ${value < 0 ? below : above}`,

    // -- what the page is told --------------------------------------------------------------------------------------
    layout(told) { // once: where the sensors sit
      const read = (text) => new Int16Array(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);
      this.x = read(told.x); this.y = read(told.y); this.names = told.kinds; this.health = new Uint8Array(this.x.length);
      this.drawWings();
    },
    began(told) { // a run: the whole flight's altitude and track
      this.run = told.run; this.flight = told.flight; this.flying = told.flying.toLocaleString(); this.flies = new Set(told.blocks);
      this.health.fill(0); this.gone.clear(); this.series = null; this.picked = -1;
      this.drawAll();
    },
    update(told) {
      this.trouble = told.trouble || ""; this.empty = !!told.empty; // asked, and nothing is there: else nobody knows
      if (told.now) this.now = told.now;
      if (told.episodes) this.episodes = told.episodes;
      if (told.changed) this.paint(told.changed);
      this.drawFlight();
    },
    show(series) { // of the sensor that was picked, or of the newest anomaly's while none was
      this.series = series;
      if (this.picked < 0) { this.picked = series.sensor; this.drawWings(); }
      this.drawSeries();
    },
    pick(sensor) { this.picked = sensor; this.$emit("pick", sensor); this.drawWings(); },

    // -- wings ------------------------------------------------------------------------------------------------------
    paint(changed) {
      const now = Date.now() / 1000;
      for (const [sensor, byte] of changed) {
        if (this.health[sensor] && !byte) this.gone.set(sensor, [now, this.health[sensor]]);
        this.health[sensor] = byte;
      }
      for (const [sensor, [at]] of this.gone) if (now - at > TRACE_S) this.gone.delete(sensor);
      const ill = {};
      this.health.forEach((byte) => { if (byte) { const kind = KINDS[(byte >> 5) - 1]; ill[kind] = (ill[kind] || 0) + 1; } });
      this.ill = ill;
      this.drawWings();
    },
    context(name) { // a canvas as sharp as the screen
      const canvas = this.$refs[name];
      if (!canvas || !canvas.clientWidth) return null;
      const ratio = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); this.base = name === "wings" ? null : this.base;
      }
      const context = canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      return { context, width, height, ratio };
    },
    place(width, height) { // millimetres to pixels: the nose is up, the left wing left
      const scale = Math.min((width - 24) / 81000, (height - 16) / 33000);
      return { scale, left: width / 2, top: (height - 33000 * scale) / 2 };
    },
    drawWings() {
      const at = this.x && this.context("wings");
      if (!at) return;
      const { context, width, height, ratio } = at, { scale, left, top } = this.place(width, height);
      const look = `${width}x${height}@${ratio}${this.dark}${this.flying}`;
      if (!this.base || this.baseLook !== look) { this.base = this.drawBase(width, height, ratio, scale, left, top); this.baseLook = look; }
      context.drawImage(this.base, 0, 0, width, height);
      const mark = (sensor, byte, alpha) => {
        const x = left + this.y[sensor] * 4 * scale, y = top + this.x[sensor] * 4 * scale;
        const colour = this.colours[KINDS[(byte >> 5) - 1]], size = 3 + Math.min(31, byte & 31) / 10;
        context.globalAlpha = alpha * .25; context.fillStyle = colour; context.beginPath(); context.arc(x, y, size * 2.2, 0, 7); context.fill();
        context.globalAlpha = alpha; context.beginPath(); context.arc(x, y, size, 0, 7); context.fill();
        if (sensor === this.picked) { context.strokeStyle = colour; context.lineWidth = 1.5; context.beginPath(); context.arc(x, y, size * 2.2 + 2, 0, 7); context.stroke(); }
      };
      const now = Date.now() / 1000;
      this.gone.forEach(([since, byte], sensor) => mark(sensor, byte & 0xe0, .5 * Math.max(0, 1 - (now - since) / TRACE_S)));
      this.health.forEach((byte, sensor) => { if (byte) mark(sensor, byte, 1); });
      context.globalAlpha = 1;
    },
    drawBase(width, height, ratio, scale, left, top) {
      const canvas = document.createElement("canvas");
      canvas.width = width * ratio; canvas.height = height * ratio;
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      const body = context.createLinearGradient(0, 0, 0, height); // the fuselage between the wings, for the eye
      [[0, "00"], [.18, "ff"], [.82, "ff"], [1, "00"]].forEach(([at, seen]) => body.addColorStop(at, this.colours.edge + seen));
      context.fillStyle = body; context.fillRect(left - 3400 * scale, 0, 6800 * scale, height);
      // A cell is as wide as 0.9 of 91 mm along the span, and as long as 0.8 of a twenty-fifth of the chord there.
      const wide = Math.max(.8, 82 * scale), long = (sensor) => Math.max(.8, (17700 - 13700 * (Math.abs(this.y[sensor] * 4) - 3600) / 36300) / 25 * .8 * scale);
      for (let sensor = 0; sensor < this.x.length; sensor++) {
        context.fillStyle = !this.flies || this.flies.has(Math.floor(sensor / 1000)) ? this.colours.cell : this.colours.edge;
        context.fillRect(left + this.y[sensor] * 4 * scale, top + this.x[sensor] * 4 * scale - long(sensor) / 2, wide, long(sensor));
      }
      return canvas;
    },
    nearest(event) {
      if (!this.x) return -1;
      const canvas = this.$refs.wings, { scale, left, top } = this.place(canvas.clientWidth, canvas.clientHeight);
      let best = NEAR_PX ** 2, found = -1;
      for (let sensor = 0; sensor < this.x.length; sensor++) {
        const dx = left + this.y[sensor] * 4 * scale - event.offsetX, dy = top + this.x[sensor] * 4 * scale - event.offsetY;
        const distance = dx * dx + dy * dy - (this.health[sensor] ? 30 : 0); // an ill one is easier to hit
        if (distance < best) { best = distance; found = sensor; }
      }
      return found;
    },
    look(event) {
      const sensor = this.nearest(event);
      if (sensor < 0) { this.tip = null; return; }
      const byte = this.health[sensor];
      const text = `${this.names[Math.floor(sensor / 50) % 20]} ${sensor}` + (byte ? `: ${KINDS[(byte >> 5) - 1]}` : "");
      this.tip = { x: event.offsetX + 14, y: event.offsetY + 30, text };
    },
    pickAt(event) { const sensor = this.nearest(event); if (sensor >= 0) this.pick(sensor); },

    // -- plots ------------------------------------------------------------------------------------------------------
    drawAll() { this.drawWings(); this.drawFlight(); this.drawSeries(); },
    style: (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim(),
    drawFlight() {
      if (!this.flight) return;
      const marked = Math.min(1, (this.now.flight_second || 0) / Math.max(1, this.flight.seconds));
      const altitude = this.context("altitude");
      if (altitude) {
        const { context, width, height } = altitude, high = Math.max(...this.flight.altitude_ft, 1), n = this.flight.altitude_ft.length;
        const px = (share) => 52 + (width - 60) * share, py = (feet) => height - 20 - (height - 30) * feet / high;
        const to = (i) => [px(i / (n - 1)), py(this.flight.altitude_ft[i])];
        context.fillStyle = this.style("--faint"); context.font = "11px system-ui"; context.textAlign = "right";
        for (let feet = 0; feet <= high; feet += 10000) { // a line for each ten thousand feet
          context.fillText(feet.toLocaleString() + (feet ? "" : " ft"), 46, py(feet) + 4);
          this.line(context, 2, (i) => [px(i), py(feet)], this.style("--line2"), 1);
        }
        context.textAlign = "center";
        for (let hour = 1; hour * 3600 < this.flight.seconds; hour++) context.fillText(`${hour} h`, px(hour * 3600 / this.flight.seconds), height - 4);
        this.line(context, n, to, this.style("--held"), 1.5);
        const upto = Math.max(1, Math.round(marked * (n - 1)));
        context.fillStyle = this.style("--mark-soft"); context.beginPath(); context.moveTo(px(0), py(0));
        for (let i = 0; i <= upto; i++) context.lineTo(...to(i));
        context.lineTo(to(upto)[0], py(0)); context.fill();
        this.line(context, upto + 1, to, this.style("--mark"), 2);
        this.dot(context, ...to(upto));
      }
      const track = this.context("track");
      if (track) {
        const { context, width, height } = track, { latitude, longitude } = this.flight, n = latitude.length;
        const [south, north, west, east] = [Math.min(...latitude), Math.max(...latitude), Math.min(...longitude), Math.max(...longitude)];
        const shrink = Math.cos((south + north) / 2 * Math.PI / 180);
        const scale = Math.min((width - 24) / Math.max(1e-6, (east - west) * shrink), (height - 24) / Math.max(1e-6, north - south));
        const to = (i) => [width / 2 + (longitude[i] - (east + west) / 2) * shrink * scale, height / 2 - (latitude[i] - (north + south) / 2) * scale];
        this.line(context, n, to, this.style("--held"), 1.5);
        const upto = Math.max(1, Math.round(marked * (n - 1)));
        this.line(context, upto + 1, to, this.style("--mark"), 2);
        this.dot(context, ...to(upto));
      }
    },
    drawSeries() {
      const at = this.series && this.context("series");
      if (!at || !this.series.seconds.length) return;
      const { context, width, height } = at, { seconds, mean, least, greatest, from, to: until } = this.series;
      const low = Math.min(...least), high = Math.max(...greatest), span = Math.max(1e-9, high - low), n = seconds.length;
      const px = (second) => 8 + (width - 16) * (second - seconds[0]) / Math.max(1, seconds[n - 1] - seconds[0]);
      const py = (value) => height - 20 - (height - 36) * (value - low) / span;
      if (from !== undefined) { // while the anomaly lasts
        context.fillStyle = this.style("--bad-soft"); const a = Math.max(8, px(from)); context.fillRect(a, 4, Math.max(2, Math.min(width - 8, px(until)) - a), height - 22);
      }
      context.fillStyle = this.style("--mark-soft"); context.beginPath();
      for (let i = 0; i < n; i++) context.lineTo(px(seconds[i]), py(greatest[i]));
      for (let i = n - 1; i >= 0; i--) context.lineTo(px(seconds[i]), py(least[i]));
      context.fill();
      this.line(context, n, (i) => [px(seconds[i]), py(mean[i])], this.style("--mark"), 1.5);
      context.fillStyle = this.style("--faint"); context.font = "11px system-ui"; context.textAlign = "left";
      context.fillText(`${high.toPrecision(5)} ${this.series.unit}`, 8, 11); context.fillText(low.toPrecision(5), 8, height - 6);
      context.textAlign = "right"; context.fillText(`second ${seconds[n - 1]}`, width - 8, height - 6);
    },
    line(context, n, to, colour, width) {
      context.strokeStyle = colour; context.lineWidth = width; context.lineJoin = "round"; context.beginPath();
      for (let i = 0; i < n; i++) context.lineTo(...to(i));
      context.stroke();
    },
    dot(context, x, y) {
      context.fillStyle = this.style("--mark"); context.beginPath(); context.arc(x, y, 4.5, 0, 7); context.fill();
      context.strokeStyle = this.style("--face"); context.lineWidth = 2; context.stroke();
    },
  },
};
