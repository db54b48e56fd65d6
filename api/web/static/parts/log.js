// What a job's worker and trainer wrote: read once somebody wants to see it, and then as it grows.

import { get } from "./api.js";
import { element, fill } from "./elements.js";
import { clock } from "./format.js";
import { isEnded } from "./jobs.js";
import { every } from "./live.js";

const LOOK = 3000;
const PAGE = 1000;

export function logSection(jobNow) {
  const lines = element("ol", { class: "log" });
  const place = element("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Log" }, lines);
  const section = element("details", { class: "card applied" }, element("summary", {}, "Log"), place);
  let [after, isWhole, turn] = [undefined, false, Promise.resolve()];

  /** One after the other: two at once would bring the same lines. */
  function load() {
    turn = turn.then(more, more);
    return turn;
  }

  async function more() {
    const wasEnded = isEnded(jobNow());
    for (let more = true; more;) {
      const page = await get(`${jobNow().urls.self}/logs`, { after, limit: PAGE });
      lines.append(...page.data.map(line));
      after = page.last_id ?? after;
      hasMore = page.has_more;
    }
    isWhole = wasEnded;
    if (isWhole && !lines.children.length) fill(place, element("p", { class: "soft" }, "Nothing was written."));
  }

  section.addEventListener("toggle", () => section.open && load().catch(() => {}), { once: true });
  every(LOOK, async () => {
    if (section.open && !isWhole) await load();
  });
  return section;
}

function line({ logged_at: moment, level, source, message }) {
  return element(
    "li",
    { data: { level } },
    clock(moment),
    element("span", { class: "soft" }, source),
    element("code", {}, message),
  );
}
