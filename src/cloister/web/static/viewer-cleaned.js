// The cleaned picture under the outlines, made by the server when it is first asked for; forgotten with every correction, because
// what was corrected is kept in it as it was.
export class Cleaned {
  constructor(root, view) {
    this.view = view;
    this.address = `/api/v1/samples/${encodeURIComponent(root.dataset.viewer)}/cleaned`;
    this.box = root.querySelector("[data-cleaned]");
    this.told = root.querySelector("[data-cleaned-told]");
    this.levels = null; // of the cleaned picture
    this.first = null; // of the original
    this.asked = 0; // how often it was asked for or became outdated: an answer to an earlier question is too late
    this.box?.addEventListener("change", () => (this.box.checked ? this.show() : this.hide()));
  }

  original(levels) {
    this.first = levels;
    if (this.box?.checked) this.show(); // as a browser restores it
  }

  outdated() {
    this.levels = null;
    this.asked += 1;
    if (!this.box?.checked) return;
    this.box.checked = false;
    this.hide();
  }

  hide() {
    this.say("");
    if (this.first) this.view.use(this.first);
  }

  async show() {
    if (this.levels) {
      this.view.use(this.levels);
      return this.say();
    }
    const asked = (this.asked += 1);
    this.box.disabled = true;
    this.say("The cleaned picture is being made …");
    try {
      const got = await fetch(this.address, { method: "POST", headers: { Accept: "image/*, application/problem+json" } });
      if (!got.ok) {
        const said = await got.json().catch(() => ({}));
        throw new Error([said.title, said.detail, said.remedy].filter((text) => typeof text === "string").join(" "));
      }
      const bytes = await got.blob();
      if (asked === this.asked) {
        this.levels = await this.view.load(bytes);
        this.say();
      }
    } catch (error) {
      this.box.checked = false;
      this.hide();
      this.say(error.message || "The server did not answer. Try again.");
    }
    this.box.disabled = false;
  }

  say(text = "Cleaned: light evened, noise and litter removed, objects as they are. For looking at; sizes are measured on the original.") {
    this.told.textContent = text;
    this.told.hidden = !text;
  }
}
