// Services with their plans, windows and schedules. A plan that is done is one thin line; one at work shows its steps.
export default {
  mixins: [window.upcall.ticking],
  template: `
  <section class="u-panel u-services" aria-label="Services">
    <h2>Services</h2>
    <p v-if="!services.length" class="u-none">Nothing is installed. <code>upcall catalog</code> lists what can be.</p>
    <article v-for="service in services" :key="service.name" class="u-service" :data-service="service.name" :data-state="service.state">
      <header>
        <i class="dot" :class="tone(service.state)"></i><h3>{{ service.name }}</h3>
        <span class="u-soft">{{ service.package === service.name ? "" : service.package }} {{ service.version }}</span>
        <span class="u-fill"></span>
        <span class="u-num">{{ service.ready }}<i>/{{ service.wanted }} ready</i></span>
        <span class="u-state" :class="tone(service.state)">{{ service.state }}</span>
      </header>
      <p v-if="service.reason" class="u-reason">{{ service.reason }}</p>
      <p v-for="one in service.degraded" :key="one.key" class="u-reason u-degraded"><i class="dot bad"></i> {{ one.what }}<span v-if="one.doing" class="u-soft"> · {{ one.doing }}</span> <span class="u-soft u-num"> · for {{ ago(one.since) }}</span></p>
      <p v-for="one in service.unplaced" :key="one.member" class="u-reason">{{ one.member }}: {{ one.state }} {{ one.reason }}</p>
      <div v-for="plan in service.plans" :key="plan.name" class="u-plan" :class="{ over: over(plan) }" :data-plan="plan.name" :data-state="plan.state">
        <div class="u-planhead">
          <span>{{ plan.name }}</span>
          <div class="u-track"><div v-for="phase in plan.phases.filter((one) => one.steps.length)" :key="phase.name" class="u-phasebar" :style="{ flex: phase.steps.length }" :title="phase.name">
            <i v-for="step in phase.steps" :key="step.name" :class="way(step.state)" :title="phase.name + ' / ' + step.name + ': ' + step.state + (step.reason ? ' · ' + step.reason : '')"></i></div></div>
          <em>{{ plan.done }}<i>/{{ plan.steps }}</i></em>
          <span class="u-state" :class="way(plan.state)">{{ plan.state }}</span>
        </div>
        <p v-if="plan.reason && !stepSays(plan)" class="u-reason">{{ plan.reason }}</p>
        <ul v-if="!over(plan)" class="u-steps">
          <template v-for="phase in plan.phases" :key="phase.name">
            <li v-for="step in busy(phase)" :key="phase.name + step.name">
              <i class="dot" :class="way(step.state)"></i><span>{{ phase.name }} / {{ step.name }}</span>
              <span class="u-soft">{{ step.state }}{{ step.reason ? " · " + step.reason : "" }}</span>
              <span class="u-num u-age">{{ ago(step.since) }}</span>
            </li>
          </template>
        </ul>
      </div>
      <div v-if="service.windows || service.schedules.length" class="u-again">
        <p v-if="service.windows" class="u-window" :data-open="service.windows.open" :title="'What the system does by itself begins in a window; time zone ' + service.windows.zone">
          <i class="dot" :class="service.windows.open ? 'good' : 'calm'"></i><span class="u-soft">windows</span><b>{{ service.windows.texts.join(", ") }}</b><span class="u-soft">{{ service.windows.zone }}</span>
          <span class="u-fill"></span><span v-if="service.windows.closes" class="u-num">{{ service.windows.open ? "open for " + until(service.windows.closes) : "opens " + day(service.windows.opens, service.windows.zone) }}</span>
        </p>
        <ul class="u-schedules">
          <li v-for="one in service.schedules" :key="one.name" :data-schedule="one.name" :data-state="one.state">
            <i class="dot" :class="toneOf(one)"></i><b :title="one.description">{{ one.name }}</b>
            <span class="u-soft" :title="one.by_person ? 'as a person said' : 'as its package says'">{{ every(one) }}</span>
            <span class="u-next u-num">{{ comes(one, service.windows) }}</span>
            <span class="u-last u-soft u-num" :title="one.ended ? day(one.ended, one.zone) : ''">{{ last(one) }}</span>
            <p v-if="one.error && one.state !== 'running'" class="u-reason">{{ one.error }}</p>
          </li>
        </ul>
      </div>
      <details v-if="service.endpoints.length" class="u-ends"><summary>{{ service.endpoints.length === 1 ? "1 endpoint" : service.endpoints.length + " endpoints" }}</summary>
        <dl><template v-for="end in service.endpoints" :key="end.name"><dt>{{ end.name }} <i>{{ end.protocol }}</i></dt><dd>{{ end.addresses.join(", ") }}</dd></template></dl>
      </details>
    </article>
  </section>`,
  props: { services: Array },
  methods: {
    every: (one) => one.every === "never" ? "never" : /^\d+ /.test(one.every) ? "every " + one.every : one.every + " " + one.zone,
    toneOf: (one) => ({ running: "wait", late: "bad", failed: "bad", due: "wait", never: "calm" })[one.state] || (one.ended ? "good" : "calm"),
    comes(one, windows) {
      if (one.state === "running") return "runs for " + this.ago(one.began);
      if (one.state === "never") return "";
      if (one.due) return windows && !windows.open ? "due, waits for " + this.day(one.next, one.zone) : "due";
      return "next " + this.day(one.next, one.zone);
    },
    last(one) {
      if (!one.ended) return "never ran";
      const late = one.late ? ", too late" : "";
      return `last ${this.ago(one.ended)} ago: ${one.outcome}, took ${window.upcall.duration(one.took_s)}${late}`;
    },
    // A plan's reason is that of the step that is at work: where that is shown, it says so itself.
    stepSays(plan) { return !this.over(plan) && plan.phases.some((phase) => this.busy(phase).some((step) => step.reason === plan.reason)); },
    over: (plan) => plan.steps === plan.done && ["done", "finished", ""].includes(plan.state),
    busy: (phase) => phase.steps.filter((step) => !["done", "forced", "pending"].includes(step.state)),
  },
};
