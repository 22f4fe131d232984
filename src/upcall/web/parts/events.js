// The event log: appended to, never drawn anew; old lines leave at the other end.
const KEPT = 400;
export default {
  template: `
  <section class="u-panel u-events" aria-label="Events">
    <h2>Events <span class="u-kinds"><button v-for="kind in kinds" :key="kind" :class="{ off: hidden.has(kind) }" @click="toggle(kind)">{{ kind }}</button></span></h2>
    <ol ref="list" class="u-log" @scroll="follow = $refs.list.scrollTop < 8" tabindex="0">
      <li v-for="one in shown" :key="one.sequence + one.kind" :data-kind="one.kind">
        <time>{{ clock(one.at) }}</time><span class="u-kind" :data-kind="one.kind">{{ one.kind }}</span>
        <p><b>{{ one.subject }}</b> {{ one.text }}</p>
      </li>
      <li v-if="!shown.length" class="u-none">Nothing has happened yet.</li>
    </ol>
  </section>`,
  props: { initial: Array },
  data() { return { events: [...this.initial].reverse(), hidden: new Set(), follow: true, pending: [] }; },
  computed: {
    kinds() { return [...new Set(this.events.map((one) => one.kind))].sort(); },
    shown() { return this.hidden.size ? this.events.filter((one) => !this.hidden.has(one.kind)) : this.events; },
  },
  watch: { follow(on) { if (on && this.pending.length) { this.events = [...this.pending, ...this.events].slice(0, KEPT); this.pending = []; } } },
  methods: {
    clock: window.upcall.clock,
    // Who scrolled back to read is not pushed away: news wait until the top is reached again.
    append(fresh) {
      const known = new Set(this.events.slice(0, 50).map((one) => one.sequence));
      const news = [...fresh].reverse().filter((one) => !known.has(one.sequence));
      if (this.follow) this.events = [...news, ...this.events].slice(0, KEPT);
      else this.pending = [...news, ...this.pending].slice(0, KEPT);
    },
    toggle(kind) { const next = new Set(this.hidden); next.has(kind) ? next.delete(kind) : next.add(kind); this.hidden = next; },
  },
};
