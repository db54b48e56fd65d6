// The curves of a job, fetched once and then only what is new.

import { get } from "./api.js";

export const STEP_KEYS = ["train/loss", "gradient_norm", "learning_rate"];
export const FIRST = 20_000;
export const ALL = 100_000;

export class Curves {
  constructor(job, interval, keys = []) {
    this.path = job.urls.metrics;
    this.interval = interval;
    this.keys = keys;
    this.turn = Promise.resolve();
    this.isFinest = false;
    this.forget();
  }

  forget() {
    this.columns = { step: [] };
    this.last = 0;
    this.downsampled = false;
    this.nonfinite = {};
  }

  get steps() {
    return this.columns.step;
  }

  get names() {
    return Object.keys(this.columns).filter((name) => name !== "step");
  }

  values(name) {
    return this.columns[name] ?? [];
  }

  /** What has come since the last time. */
  load(most = FIRST) {
    return this.#queue(async () => this.#take(await this.#ask(this.last, most)));
  }

  /** Everything anew: every row, or as many as the service gives at once. */
  loadAll() {
    this.isFinest = true;
    return this.#anew(ALL);
  }

  /** Everything anew, for what was told may have been taken back. */
  reload() {
    return this.#anew(FIRST);
  }

  #anew(most) {
    return this.#queue(async () => {
      const found = await this.#ask(0, most);
      this.forget();
      this.#take(found);
    });
  }

  /** One request at a time: two would bring the same rows. */
  #queue(work) {
    this.turn = this.turn.then(work, work);
    return this.turn;
  }

  #ask(since, most) {
    const keys = this.keys.length ? ["step", ...this.keys].join(",") : "";
    return get(this.path, { interval: this.interval, keys, since_step: since, max_points: most });
  }

  #take(found) {
    const [before, count] = [this.steps.length, found.columns.step.length];
    for (const name of new Set([...Object.keys(this.columns), ...Object.keys(found.columns)])) {
      const column = (this.columns[name] ??= new Array(before).fill(null));
      const added = found.columns[name] ?? new Array(count).fill(null);
      for (const value of added) column.push(value);
    }
    for (const [name, steps] of Object.entries(found.nonfinite)) (this.nonfinite[name] ??= []).push(...steps);
    this.last = found.last_step ?? this.last;
    this.downsampled ||= found.downsampled;
  }
}
