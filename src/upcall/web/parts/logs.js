// The output of one member, as it comes: the newest below, found by a word, kept in view while the end is in view.
const KEPT = 2000;
export default {
  template: `
  <dialog ref="box" class="u-dialog u-output" :aria-label="'Output of ' + member" @close="closed" @click="outside">
    <header><h2>{{ member }}</h2>
      <input v-model="word" type="search" placeholder="Find in the output" aria-label="Find in the output" maxlength="200">
      <span class="u-soft u-num" role="status">{{ word ? shown.length + " of " + lines.length : lines.length }} lines</span>
      <button type="button" class="u-quiet" @click="$refs.box.close()">Close</button></header>
    <ol ref="list" tabindex="0" aria-label="Lines" @scroll="atEnd = end()">
      <li v-for="one in shown" :key="one.id" :class="one.note ? 'u-none' : ''">{{ one.text }}</li>
      <li v-if="!lines.length" class="u-none">Nothing was written yet.</li>
    </ol>
  </dialog>`,
  data: () => ({ member: "", lines: [], word: "", atEnd: true, next: 1 }),
  computed: {
    shown() {
      const word = this.word.toLowerCase();
      return word ? this.lines.filter((one) => one.note || one.text.toLowerCase().includes(word)) : this.lines;
    },
  },
  methods: {
    open(member) {
      Object.assign(this, { member, lines: [], word: "", atEnd: true });
      this.$nextTick(() => this.$refs.box.open || this.$refs.box.showModal());
    },
    begin() { this.lines = []; },
    append(texts) { this.add(texts.map((text) => ({ id: this.next++, text, note: false }))); },
    say(text) { this.add([{ id: this.next++, text, note: true }]); },
    add(fresh) {
      this.lines = [...this.lines, ...fresh].slice(-KEPT);
      if (this.atEnd) this.$nextTick(() => { if (this.$refs.list) this.$refs.list.scrollTop = this.$refs.list.scrollHeight; });
    },
    // Who scrolled back to read is not pulled away.
    end() { const list = this.$refs.list; return list.scrollHeight - list.scrollTop - list.clientHeight < 24; },
    closed() { this.lines = []; this.$emit("closed"); },
    outside(event) { if (event.target === this.$refs.box) this.$refs.box.close(); },
  },
};
