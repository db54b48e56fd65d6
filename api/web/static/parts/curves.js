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

  /** Every row, or as many as the service gives at once. */
  async loadAll() {
    this.forget();
    await this.load(ALL);
  }

  /** What has come since the last time. */
  async load(most = FIRST) {
    const parameters = { interval: this.interval, keys: this.keys.length ? ["step", ...this.keys].join(",") : "", since_step: this.last, max_points: most };
    const found = await get(this.path, parameters);
    const [before, count] = [this.steps.length, found.columns.step.length];
    for (const name of new Set([...Object.keys(this.columns), ...Object.keys(found.columns)])) {
      const column = (this.columns[name] ??= new Array(before).fill(null));
      const added = found.columns[name] ?? new Array(count).fill(null);
      for (const value of added) column.push(value);
    }
    for (const [name, steps] of Object.entries(found.nonfinite)) (this.nonfinite[name] ??= []).push(...steps);
    this.last = found.last_step ?? this.last;
    this.downsampled ||= found.downsampled;
    return count;
  }
}
