// Nodes, each with the members that are there.
export default {
  mixins: [window.upcall.ticking],
  template: `
  <section class="u-panel u-nodes" aria-label="Nodes">
    <h2>Nodes</h2>
    <p v-if="!nodes.length" class="u-none">No node has registered yet.</p>
    <div class="u-nodegrid">
      <article v-for="node in nodes" :key="node.name" class="u-node" :data-node="node.name" :data-state="node.state">
        <header>
          <i class="dot" :class="tone(node.state)"></i><h3>{{ node.name }}</h3>
          <span class="u-tag" v-if="node.zone">zone {{ node.zone }}</span>
          <span class="u-state" :class="tone(node.state)">{{ node.state }}</span>
          <button class="u-quiet" v-if="node.state === 'up'" @click="act('drain', node.name)">Drain</button>
          <button class="u-quiet" v-else-if="['draining', 'drained'].includes(node.state)" @click="act('undrain', node.name)">Undrain</button>
        </header>
        <p v-if="node.reason" class="u-reason">{{ node.reason }}</p>
        <div class="u-meters">
          <div class="u-meter" :title="size(node.used_mib) + ' used, ' + size(node.reserved_mib) + ' reserved of ' + size(node.memory_mib)">
            <span>memory</span>
            <div class="bar"><b :style="{ width: share(node.reserved_mib, node.memory_mib) + '%' }"></b><u :style="{ width: share(node.used_mib, node.memory_mib) + '%' }"></u></div>
            <em>{{ size(node.used_mib) }}<i> / {{ size(node.memory_mib) }}</i></em>
          </div>
          <div class="u-meter" :title="node.cpu_used + ' of ' + node.cpus + ' cores, shared by weights'">
            <span>cores</span>
            <div class="bar"><u :style="{ width: share(node.cpu_used, node.cpus) + '%' }"></u></div>
            <em>{{ node.cpu_used.toFixed(2) }}<i> / {{ node.cpus }}</i></em>
          </div>
        </div>
        <ul class="u-members">
          <li v-for="one in node.members" :key="one.member" :title="[one.reason, one.address, size(one.used_mib) + ' of ' + size(one.memory_mib), one.cpu_used.toFixed(2) + ' cores', 'incarnation ' + one.incarnation].filter(Boolean).join(' · ')" :data-member="one.member" :data-state="one.state">
            <i class="dot" :class="way(one.state)"></i>
            <button class="u-name" :aria-label="'Output of ' + one.member" title="What it writes" @click="$emit('output', one.member)">{{ one.member }}<small>.{{ one.incarnation }}</small></button>
            <span class="u-fill"></span>
            <span class="u-num u-mem">{{ one.used_mib ? size(one.used_mib) : "" }}</span>
            <span class="u-num u-age">{{ ago(one.since) }}</span>
            <button class="u-quiet u-mini" :aria-label="'Restart ' + one.member" title="Restart" @click="act('restart', one.member)">
              <svg viewBox="0 0 24 24"><path d="M19 8A8 8 0 1 0 20 13M19.5 3.5V8H15"/></svg></button>
            <span v-if="one.state !== 'ready'" class="u-what" :class="way(one.state)">{{ one.state }}<template v-if="one.reason"> · {{ one.reason }}</template></span>
          </li>
          <li v-if="!node.members.length" class="u-none">nothing runs here</li>
        </ul>
      </article>
    </div>
  </section>`,
  props: { nodes: Array },
  methods: { act(verb, target) { this.$emit("act", { verb, target }); } },
};
