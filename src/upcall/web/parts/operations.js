// Operations as a tree: what is wanted, who is waited for and why, and what happens when the time is over.
const Row = {
  name: "u-operation",
  mixins: [window.upcall.ticking],
  template: `
  <li class="u-op" :class="{ over: operation.ended_at && !operation.stands }" :data-operation="operation.id" :data-state="operation.state">
    <div class="u-ophead">
      <i class="dot" :class="tone(operation.state)"></i>
      <b>{{ kindOf(operation) }}</b><span class="u-target">{{ operation.target }}</span>
      <span class="u-tag" :title="operation.who_wins">{{ operation.klass }}</span>
      <span class="u-tag bad" v-if="operation.forced_by" :title="operation.forced_reason">forced by {{ operation.forced_by }}</span>
      <span class="u-tag" v-if="operation.firmness && operation.firmness !== 'enforced'">{{ operation.firmness }}</span>
      <span class="u-when">
        <span class="u-state" :class="tone(operation.state)">{{ operation.stands ? "stands" : operation.state }}</span>
        <span class="u-num u-age" :title="operation.id">{{ operation.ended_at ? clock(operation.ended_at) : ago(operation.since) }}</span>
      </span>
    </div>
    <p v-if="operation.waits_for" class="u-waits">{{ operation.waits_for }}</p>
    <p v-else-if="operation.outcome" class="u-soft u-outcome">{{ operation.outcome }}</p>
    <p class="u-soft u-opfoot">
      <span>{{ operation.id }}</span><span v-if="operation.reason">{{ operation.reason }}</span><span v-if="own">asked by {{ operation.asked_by }}{{ operation.origin === "ours" ? "" : " (" + operation.origin + ")" }}</span>
      <span v-if="operation.next_look_at && !operation.ended_at && operation.next_look_at > now">{{ operation.next_look_is || "looked at again in" }} {{ until(operation.next_look_at) }}</span>
      <span v-if="operation.deadline_at && !operation.ended_at && !(parent && Math.abs(operation.deadline_at - parent.deadline_at) < 1)">{{ operation.deadline_at > now ? "window ends in " + until(operation.deadline_at) : "window is over" }}{{ operation.on_deadline ? ", then " + operation.on_deadline : "" }}</span>
      <span class="u-opacts" v-if="operation.state === 'open'"><button v-if="operation.cancels_alone" class="u-quiet" @click="act('cancel')">Cancel</button><button class="u-quiet bad" @click="act('force')">Force</button></span>
    </p>
    <ul v-if="operation.children.length" class="u-ops">
      <u-operation v-for="child in operation.children" :key="child.id" :operation="child" :parent="operation" @act="$emit('act', $event)"></u-operation>
    </ul>
  </li>`,
  props: { operation: Object, parent: Object },
  // Who asked is said once, for all that follows from it.
  computed: { own() { return !this.parent || this.parent.asked_by !== this.operation.asked_by; } },
  emits: ["act"],
  methods: { act(verb) { this.$emit("act", { verb, target: this.operation.id, words: this.kindOf(this.operation) + " of " + this.operation.target }); } },
};
Row.components = { "u-operation": Row };

export default {
  components: { "u-operation": Row },
  template: `
  <section class="u-panel u-operations" aria-label="Operations">
    <h2>Operations <small v-if="open">{{ open }} open</small></h2>
    <p v-if="!operations.length" class="u-none">Nothing is asked of any service.</p>
    <ul class="u-ops"><u-operation v-for="one in operations" :key="one.id" :operation="one" @act="$emit('act', $event)"></u-operation></ul>
  </section>`,
  props: { operations: Array },
  computed: { open() { return this.operations.filter((one) => !one.ended_at).length; } },
};
