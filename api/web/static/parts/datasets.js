// A data set in few words.

import { element } from "./elements.js";
import { number } from "./format.js";

const CHIPS = { uploading: "queued", queued: "queued", processing: "starting", ready: "succeeded", failed: "failed" };

export function isSettled(dataset) {
  return ["ready", "failed"].includes(dataset.status);
}

export function datasetChip({ status }) {
  return element("span", { class: "chip", data: { status: CHIPS[status] } }, status);
}

/** `1,797 images of 8×8 in 10 classes` */
export function contents({ manifest }) {
  if (!manifest) return null;
  const examples = Object.values(manifest.splits).reduce((sum, split) => sum + split.examples, 0);
  const count = manifest.classes && number(manifest.classes.length);
  const classes = manifest.classes
    ? manifest.multi_label
      ? ` with any of ${count} labels`
      : ` in ${count} classes`
    : "";
  switch (manifest.kind) {
    case "image":
      return `${number(examples)} ${manifest.channels === 3 ? "color " : ""}images${manifest.size ? ` of ${manifest.size.join("×")}` : " of several sizes"}${classes}`;
    case "vector":
      return `${number(examples)} vectors of ${number(manifest.features)}${classes}`;
    case "table":
      return `${number(examples)} rows of ${number(manifest.columns.length + (manifest.texts?.length ?? 0))} columns`;
    default:
      return `${number(examples)} examples`;
  }
}
