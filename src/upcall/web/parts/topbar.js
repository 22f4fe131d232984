// The head of the page: what it is, how it is in one look, the tabs, the theme.
export default {
  template: `
  <header class="u-top">
    <div class="u-brand">
      <svg viewBox="0 0 24 24" aria-hidden="true"><path d="M8 19V6M4.5 9.5 8 6l3.5 3.5M16 5v13M12.5 14.5 16 18l3.5-3.5"/></svg>
      <b>upcall</b><span class="u-cluster">{{ summary.cluster || "…" }}</span>
    </div>
    <nav class="u-tabs" role="tablist">
      <button v-for="tab in tabs" :key="tab.name" role="tab" :aria-selected="tab.name === active"
        :class="{ on: tab.name === active }" @click="$emit('tab', tab.name)">{{ tab.label }}</button>
    </nav>
    <dl class="u-sums" v-if="summary.nodes !== undefined">
      <div><dt>nodes</dt><dd :class="summary.nodes_up < summary.nodes ? 't-wait' : ''">{{ summary.nodes_up }}<i>/{{ summary.nodes }}</i></dd></div>
      <div><dt>members</dt><dd :class="summary.members_ready < summary.members ? 't-wait' : ''">{{ summary.members_ready }}<i>/{{ summary.members }}</i></dd></div>
      <div><dt>cores</dt><dd>{{ summary.cpu_used.toFixed(1) }}<i>/{{ summary.cpus }}</i></dd></div>
      <div><dt>memory</dt><dd>{{ (summary.memory_used_mib / 1024).toFixed(1) }}<i>/{{ (summary.memory_mib / 1024).toFixed(1) }} GiB</i></dd></div>
      <div><dt>waits</dt><dd :class="summary.waiting.length ? 't-wait' : ''">{{ summary.waiting.length }}</dd></div>
    </dl>
    <div class="u-tools">
      <span class="u-live" :class="summary.connected ? 'good' : 'bad'" :title="summary.trouble || 'live'" role="status">
        <i class="dot" :class="summary.connected ? 'good' : 'bad'"></i>{{ summary.connected ? "live" : "reconnecting" }}</span>
      <button class="u-icon" @click="cycle" :title="'Theme: ' + choice" :aria-label="'Theme: ' + choice">
        <svg v-if="choice === 'light'" viewBox="0 0 24 24"><circle cx="12" cy="12" r="4"/><path d="M12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M5.6 18.4 7 17M17 7l1.4-1.4"/></svg>
        <svg v-else-if="choice === 'dark'" viewBox="0 0 24 24"><path d="M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10Z"/></svg>
        <svg v-else viewBox="0 0 24 24"><circle cx="12" cy="12" r="8"/><path d="M12 4a8 8 0 0 1 0 16Z" class="full"/></svg>
      </button>
    </div>
  </header>`,
  props: { summary: Object, tabs: Array, active: String },
  data: () => ({ choice: window.upcall.theme.choice }),
  mounted() { window.upcall.theme.apply(); },
  methods: {
    cycle() {
      this.choice = { auto: "light", light: "dark", dark: "auto" }[this.choice] || "auto";
      window.upcall.theme.set(this.choice);
    },
  },
};
