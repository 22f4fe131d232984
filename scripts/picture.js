// What a picture of a page is made of. `record` keeps what is drawn on each canvas, from before anything is drawn;
// `collect` walks the page as it is laid out. All of it is plain data, in pixels of the page.
window.picture = (() => {
  const paths = CanvasRenderingContext2D.prototype, drawn = new WeakMap(), open = new WeakMap(), fades = new WeakMap();
  const wrap = (name, record) => {
    const real = paths[name];
    paths[name] = function (...given) { record.call(this, ...given); return real.apply(this, given); };
  };
  const add = (context, shape) => {
    if (!drawn.has(context.canvas)) drawn.set(context.canvas, []);
    drawn.get(context.canvas).push({ alpha: context.globalAlpha, ...shape });
  };
  const paint = (style) => fades.get(style) || style;
  wrap("clearRect", function () { drawn.set(this.canvas, []); });
  wrap("beginPath", function () { open.set(this, []); });
  for (const name of ["moveTo", "lineTo"]) wrap(name, function (x, y) { open.get(this).push([x, y]); });
  wrap("arc", function (x, y, r) { open.set(this, { x, y, r }); });
  wrap("fill", function () { add(this, { k: "path", points: open.get(this), fill: paint(this.fillStyle) }); });
  wrap("stroke", function () {
    add(this, { k: "path", points: open.get(this), stroke: paint(this.strokeStyle), width: this.lineWidth });
  });
  wrap("fillRect", function (x, y, w, h) { add(this, { k: "cell", x, y, w, h, fill: paint(this.fillStyle) }); });
  wrap("fillText", function (text, x, y) {
    const wide = this.measureText(text).width, left = { center: x - wide / 2, right: x - wide }[this.textAlign] ?? x;
    add(this, { k: "text", t: text, x: left, y, w: wide, size: 11, weight: 400, fill: paint(this.fillStyle) });
  });
  wrap("drawImage", function (image) { add(this, { k: "image", shapes: drawn.get(image) || [] }); });
  const gradient = paths.createLinearGradient, stop = CanvasGradient.prototype.addColorStop;
  paths.createLinearGradient = function (...line) {
    const made = gradient.apply(this, line);
    fades.set(made, { line, stops: [] });
    return made;
  };
  CanvasGradient.prototype.addColorStop = function (at, colour) {
    fades.get(this).stops.push([at, colour]);
    stop.call(this, at, colour);
  };

  // -- the page ------------------------------------------------------------------------------------------------------

  const colours = new Map();
  const one = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const plain = (colour) => { // any CSS colour as #rrggbb and how opaque it is
    if (!colours.has(colour)) {
      paths.clearRect.call(one, 0, 0, 1, 1);
      one.fillStyle = colour;
      one.fillRect(0, 0, 1, 1);
      const [red, green, blue, alpha] = one.getImageData(0, 0, 1, 1).data;
      const hex = "#" + [red, green, blue].map((value) => value.toString(16).padStart(2, "0")).join("");
      colours.set(colour, { hex, alpha: alpha / 255 });
    }
    return colours.get(colour);
  };
  const SIDES = ["Top", "Right", "Bottom", "Left"];

  const collect = () => {
    const out = [];
    const box = (style, rect, clip, alpha) => {
      const left = rect.left, top = rect.top, right = Math.min(rect.right, clip.right);
      const bottom = Math.min(rect.bottom, clip.bottom);
      const sides = SIDES.map((side) => {
        const { hex, alpha: seen } = plain(style[`border${side}Color`]);
        const width = style[`border${side}Style`] === "none" ? 0 : parseFloat(style[`border${side}Width`]);
        return width && seen ? { width, hex } : null;
      });
      const around = sides.every((side) => side && side.hex === sides[0].hex);
      const fill = plain(style.backgroundColor);
      if (fill.alpha || around)
        out.push({ k: "box", x: left, y: top, w: right - left, h: bottom - top, alpha,
          fill: fill.alpha ? fill.hex : "none", opaque: fill.alpha || 1, stroke: around ? sides[0].hex : "none",
          r: Math.min(parseFloat(style.borderTopLeftRadius) || 0, rect.height / 2) });
      if (around) return;
      const line = (side, x, y, w, h) => side && out.push({ k: "box", x, y, w, h, fill: side.hex, opaque: 1, stroke: "none", r: 0, alpha });
      line(sides[0], left, top, right - left, sides[0]?.width);
      line(sides[1], right - sides[1]?.width, top, sides[1]?.width, bottom - top);
      if (rect.bottom <= clip.bottom) line(sides[2], left, bottom - sides[2]?.width, right - left, sides[2]?.width);
      line(sides[3], left, top, sides[3]?.width, bottom - top);
    };
    const measured = (node, from, to) => {
      const range = document.createRange();
      range.setStart(node, from);
      range.setEnd(node, to);
      return range.getBoundingClientRect();
    };
    const pieces = function* (node) { // words, and the parts of one that is broken at the end of a line
      for (const word of node.textContent.matchAll(/\S+/g)) {
        const end = word.index + word[0].length;
        let from = word.index, top = measured(node, from, from + 1).top;
        for (let at = from + 1; at < end && measured(node, from, end).height > measured(node, from, from + 1).height + 3; at++) {
          const next = measured(node, at, at + 1).top;
          if (next <= top + 3) continue;
          yield [from, at];
          from = at; top = next;
        }
        yield [from, end];
      }
    };
    const text = (node, style, clip, alpha) => {
      const lines = [];
      for (const [from, to] of pieces(node)) {
        const rect = measured(node, from, to);
        if (!rect.width || rect.bottom > clip.bottom + 2 || rect.top < clip.top - 2 || rect.left > clip.right) continue;
        const last = lines[lines.length - 1];
        if (last && Math.abs(last.top - rect.top) < 3) last.to = to;
        else lines.push({ top: rect.top, from, to });
      }
      for (const line of lines) {
        let rect = measured(node, line.from, line.to), said = node.textContent.slice(line.from, line.to);
        if (rect.right > clip.right + 1) { // as the page cuts it, with an ellipsis
          const room = clip.right - parseFloat(style.fontSize) * .9;
          while (line.to > line.from && rect.right > room) rect = measured(node, line.from, --line.to);
          said = node.textContent.slice(line.from, line.to).trimEnd() + "…";
          rect = { left: rect.left, right: rect.right + parseFloat(style.fontSize) * .9, bottom: rect.bottom, height: rect.height };
        }
        out.push({ k: "text", t: said.replace(/\s+/g, " "), x: rect.left, y: rect.bottom - rect.height * .24,
          w: rect.right - rect.left, size: parseFloat(style.fontSize), weight: style.fontWeight, alpha,
          fill: plain(style.color).hex, mono: style.fontFamily.includes("mono") });
      }
    };
    const walk = (element, clip, seen) => {
      if (!element.checkVisibility({ visibilityProperty: true })) return;
      const style = getComputedStyle(element), rect = element.getBoundingClientRect(), alpha = seen * style.opacity;
      if (alpha < .05 || rect.top > clip.bottom - 2 || rect.bottom < clip.top || rect.left > clip.right) return;
      if (rect.width && rect.height) box(style, rect, clip, alpha);
      if (element instanceof SVGSVGElement) {
        out.push({ k: "icon", x: rect.left, y: rect.top, w: rect.width, h: rect.height, alpha, inner: element.innerHTML,
          view: element.getAttribute("viewBox"), stroke: plain(style.stroke).hex, width: parseFloat(style.strokeWidth) });
        return;
      }
      if (element instanceof HTMLCanvasElement) {
        if (rect.top + rect.height / 2 < clip.bottom) out.push({ k: "image", x: rect.left, y: rect.top, shapes: drawn.get(element) || [] });
        return;
      }
      if (style.overflowY !== "visible" || style.overflowX !== "visible")
        clip = { top: Math.max(clip.top, rect.top), bottom: Math.min(clip.bottom, rect.bottom), right: Math.min(clip.right, rect.right) };
      for (const child of element.childNodes)
        if (child.nodeType === Node.TEXT_NODE) text(child, style, clip, alpha);
        else if (child instanceof Element) walk(child, clip, alpha);
      const after = getComputedStyle(element, "::after");
      if (after.content !== "none" && after.position === "absolute")
        box(after, new DOMRect(rect.left + parseFloat(after.left), rect.top + parseFloat(after.top), parseFloat(after.width), parseFloat(after.height)), clip, alpha);
    };
    walk(document.body, { top: 0, bottom: innerHeight, right: innerWidth }, 1);
    return { shapes: out, background: plain(getComputedStyle(document.body).backgroundColor).hex };
  };
  return { collect };
})();
