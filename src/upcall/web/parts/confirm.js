// A question before anything is done, and a short word after it.
export default {
  template: `
  <div>
    <dialog ref="box" class="u-dialog" @close="closed" @click="outside">
      <form v-if="question" method="dialog" @submit.prevent="go">
        <h2>{{ question.title }}</h2><p>{{ question.text }}</p>
        <label v-for="field in question.fields" :key="field.name"><span>{{ field.label }}</span>
          <select v-if="field.choices" v-model="values[field.name]"><option v-for="[value, words] in field.choices" :key="value" :value="value">{{ words }}</option></select>
          <input v-else v-model="values[field.name]" :type="field.type || 'text'" :min="field.min" :required="field.required" maxlength="500">
        </label>
        <footer><button type="button" class="u-quiet" @click="$refs.box.close()">Leave it</button>
          <button type="submit" class="u-go" :class="{ bad: question.danger }">{{ question.action }}</button></footer>
      </form>
    </dialog>
    <div class="u-toasts" aria-live="polite"><p v-for="toast in toasts" :key="toast.id" :class="toast.tone">{{ toast.text }}</p></div>
  </div>`,
  data: () => ({ question: null, values: {}, toasts: [], next: 1 }),
  methods: {
    ask(question) {
      this.question = question;
      this.values = Object.fromEntries(question.fields.map((field) => [field.name, field.value ?? ""]));
      this.$nextTick(() => this.$refs.box.showModal());
    },
    go() { const id = this.question.id; const values = { ...this.values }; this.$refs.box.close(); this.$emit("confirmed", { id, values }); },
    closed() { this.question = null; },
    outside(event) { if (event.target === this.$refs.box) this.$refs.box.close(); },
    say(text, tone) {
      const id = this.next++;
      this.toasts = [...this.toasts.slice(-3), { id, text, tone }];
      setTimeout(() => { this.toasts = this.toasts.filter((toast) => toast.id !== id); }, tone === "bad" ? 9000 : 5000);
    },
  },
};
