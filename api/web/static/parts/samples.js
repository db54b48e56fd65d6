// Examples of a data set: pictures, vectors as bars, rows as pairs.

import { get } from "./api.js";
import { element } from "./elements.js";
import { number } from "./format.js";

const SHOWN = 8;

/** @param {object} query  split, seed, offset, limit, index. */
export function samplesOf(datasetId, query) {
  return get(`/v1/datasets/${datasetId}/samples`, query);
}

/** What an example looks like. */
export function looks({ image, values, left_out: leftOut }, name) {
  if (image) return picture(image, name);
  if (Array.isArray(values)) return bars(values, name, leftOut);
  return pairs(values ?? {}, leftOut);
}

/** What it is, in words; a row of a table has no target of its own. */
export function target(value) {
  if (value === null || value === undefined) return null;
  if (!Array.isArray(value)) return value;
  return value.length ? value.map((one) => (typeof one === "string" ? one : number(one))).join(", ") : "no label";
}

/** Pixels stay on a canvas: the page may show no image that is not a file of its own. */
function picture({ png, width, height }, name) {
  const label = `${name}: ${width}×${height} pixels`;
  const canvas = element("canvas", { role: "img", "aria-label": label, title: label, class: "picture", width: 1, height: 1 });
  if (png === null) return element("p", { class: "soft small" }, `${label}, too large to be shown`);
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  createImageBitmap(new Blob([bytes], { type: "image/png" })).then((bitmap) => {
    Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
    canvas.getContext("2d").drawImage(bitmap, 0, 0);
    canvas.dataset.drawn = "";
  });
  return canvas;
}

function bars(values, name, leftOut) {
  const known = values.filter((value) => value !== null);
  const largest = Math.max(...known.map(Math.abs), 1e-12);
  const label = `${name}: ${number(values.length + leftOut)} numbers, from ${number(Math.min(...known))} to ${number(Math.max(...known))}`;
  return element(
    "div",
    { class: "bars", role: "img", "aria-label": label, title: label },
    values.map((value) =>
      element("i", {
        class: value < 0 ? "below" : null,
        style: { "--size": value === null ? 0 : Math.abs(value) / largest },
      }),
    ),
  );
}

function pairs(values, leftOut) {
  const all = Object.entries(values);
  const more = all.length - SHOWN + leftOut;
  return [
    element(
      "dl",
      { class: "cells small" },
      all
        .slice(0, SHOWN)
        .map(([name, value]) => [
          element("dt", {}, name),
          element("dd", { title: value }, typeof value === "number" ? number(value) : (value ?? "–")),
        ]),
    ),
    more > 0 && element("p", { class: "soft small" }, `and ${number(more)} more`),
  ];
}
