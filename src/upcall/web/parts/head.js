// What every part uses: words for times and sizes, the meaning of states, and the theme.
// The theme stands on the document before anything is drawn, so a dark page never flashes white.
(() => {
  const GOOD = ["up", "running", "ready", "done", "finished", "forced", "lifted"];
  const BAD = ["failed", "lost", "gone", "silent", "blocked", "recovering", "no host", "declined"];
  const CALM = ["shut down", "withdrawn", "pending", "wanted", "held", "drained", "paused"];
  const listeners = new Set();
  setInterval(() => listeners.forEach((tick) => tick(Date.now() / 1000)), 1000);

  const two = (number) => String(number).padStart(2, "0");
  // A zone that this browser does not know is its own: the name that is shown says which.
  const known = (zone) => { try { return Intl.DateTimeFormat("en-GB", { timeZone: zone }) && zone; } catch { return undefined; } };
  const theme = {
    get choice() { try { return localStorage.getItem("upcall-theme") || "auto"; } catch { return "auto"; } },
    get dark() {
      return this.choice === "dark" || (this.choice === "auto" && matchMedia("(prefers-color-scheme: dark)").matches);
    },
    set(choice) { try { localStorage.setItem("upcall-theme", choice); } catch { /* private window */ } this.apply(); },
    apply() {
      document.documentElement.dataset.theme = this.dark ? "dark" : "light";
      if (window.Quasar && window.Quasar.Dark) window.Quasar.Dark.set(this.dark);
      window.dispatchEvent(new CustomEvent("upcall-theme", { detail: { dark: this.dark } }));
    },
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => theme.apply());

  window.upcall = {
    theme,
    // A step or a member that is "running" is on its way; a service that is "running" has arrived.
    way: (state) => state === "running" ? "wait" : window.upcall.tone(state),
    tone: (state) => GOOD.includes(state) ? "good" : BAD.includes(state) ? "bad" : CALM.includes(state) ? "calm" : "wait",
    onTick(tick) { listeners.add(tick); return () => listeners.delete(tick); },
    duration(seconds) {
      const s = Math.max(0, Math.floor(seconds));
      if (s < 60) return `${s}s`;
      if (s < 3600) return `${Math.floor(s / 60)}m ${two(s % 60)}s`;
      if (s < 86400) return `${Math.floor(s / 3600)}h ${two(Math.floor(s % 3600 / 60))}m`;
      return `${Math.floor(s / 86400)}d ${Math.floor(s % 86400 / 3600)}h`;
    },
    clock(at) { const d = new Date(at * 1000); return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`; },
    // Within a week by its weekday, as people say it.
    // In the time zone that is named with it (a service's own), so that a rule and the time that follows from it agree.
    day(at, zone) {
      const parts = {}, near = Math.abs(at - Date.now() / 1000) < 6 * 86400;
      const wanted = { timeZone: known(zone), hourCycle: "h23", weekday: "short", year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", timeZoneName: "short" };
      for (const one of new Intl.DateTimeFormat("en-GB", wanted).formatToParts(new Date(at * 1000))) parts[one.type] = one.value;
      const date = near ? parts.weekday : `${parts.year}-${parts.month}-${parts.day}`;
      return `${date} ${parts.hour}:${parts.minute} ${parts.timeZoneName}`;
    },
    size: (mib) => mib < 1000 ? `${Math.round(mib)} MiB` : `${(mib / 1024).toFixed(1)} GiB`,
    share: (part, whole) => whole > 0 ? Math.min(100, 100 * part / whole) : 0,
    kind: (operation) => operation.kind === "maintenance" ? "drain" : operation.kind === "lost" ? "loss" : operation.kind.replaceAll("_", " "),
  };
  // A part that shows seconds: `now` ticks once a second for all of them.
  window.upcall.ticking = {
    data: () => ({ now: Date.now() / 1000 }),
    mounted() { this.stopTicking = window.upcall.onTick((now) => { this.now = now; }); },
    unmounted() { this.stopTicking(); },
    methods: {
      tone: window.upcall.tone, way: window.upcall.way, size: window.upcall.size, share: window.upcall.share, clock: window.upcall.clock,
      day: window.upcall.day,
      kindOf: window.upcall.kind,
      ago(at) { return at ? window.upcall.duration(this.now - at) : ""; },
      until(at) { return window.upcall.duration(at - this.now); },
    },
  };
  theme.apply();
  document.addEventListener("DOMContentLoaded", () => setTimeout(() => theme.apply(), 0));
})();
