// What keeps a screen up to date: one event stream, or a look from time to time; neither while the tab is hidden. (Six
// open streams to one host are all that browsers allow: a hidden tab that kept one would block the others.)

const TYPES = [
  "job.created",
  "job.claimed",
  "job.started",
  "job.released",
  "job.lost",
  "job.warned",
  "job.cancel_requested",
  "job.pause_requested",
  "job.run_requested",
  "job.paused",
  "job.resumed",
  "job.retried",
  "job.succeeded",
  "job.failed",
  "job.cancelled",
  "epoch.completed",
  "checkpoint.created",
  "job.progress",
];

/** Follow a job. `listener(event)` gets each event once, and progress as `{object: "job.progress"}`. */
export function follow(job, after, listener, changed = () => {}) {
  let source = null;
  let last = after;
  const hear = (message) => {
    if (message.lastEventId) last = message.lastEventId;
    listener(JSON.parse(message.data));
  };
  const open = () => {
    if (source || document.hidden) return;
    source = new EventSource(job.urls.stream + (last ? `?after=${last}` : ""));
    for (const type of TYPES) source.addEventListener(type, hear);
    source.addEventListener("open", () => changed("live"));
    source.addEventListener("error", () => {
      changed(source.readyState === EventSource.CLOSED ? "ended" : "reconnecting");
    });
  };
  const close = () => {
    source?.close();
    source = null;
  };
  const turn = () => (document.hidden ? close() : open());
  document.addEventListener("visibilitychange", turn);
  addEventListener("pagehide", close);
  open();
  return () => {
    document.removeEventListener("visibilitychange", turn);
    close();
  };
}

/** Do it again and again while somebody looks: not sooner than after `milliseconds`, and ten times as long as it took. */
export function every(milliseconds, work) {
  let timer = null;
  const next = (pause) => {
    clearTimeout(timer);
    timer = document.hidden ? null : setTimeout(run, pause);
  };
  const run = async () => {
    const begun = performance.now();
    await Promise.resolve(work()).catch(() => {});
    next(Math.max(milliseconds, 10 * (performance.now() - begun)));
  };
  document.addEventListener("visibilitychange", () => next(0));
  next(milliseconds);
}

/** At most once in so many milliseconds, and the last time for certain. */
export function seldom(milliseconds, work) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      work();
    }, milliseconds);
  };
}
