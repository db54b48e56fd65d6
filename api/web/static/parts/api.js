// The public API, as every other client uses it; the browser adds the cookie.

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail ?? "Something went wrong.");
    this.status = status;
    this.code = body.error?.code ?? "unknown";
    this.errors = body.errors ?? [];
    this.requestId = body.request_id ?? null;
  }
}

export const scope = document.documentElement.dataset.scope;
export const maySubmit = scope === "submit" || scope === "admin";

export function get(path, parameters = {}, options = {}) {
  return request("GET", path + query(parameters), options);
}

/** Done once, however often it is sent. */
export function post(path, body, options = {}) {
  const headers = options.once === false ? {} : { "Idempotency-Key": options.key ?? newKey() };
  return request("POST", path, { ...options, headers, body });
}

export function remove(path) {
  return request("DELETE", path, {});
}

export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Every page of a list, the first ones first, until there are enough. */
export async function all(path, parameters = {}, most = 1000) {
  const found = [];
  let after;
  do {
    const page = await get(path, { ...parameters, after, limit: 100 });
    found.push(...page.data);
    after = page.has_more ? page.last_id : undefined;
  } while (after && found.length < most);
  return found;
}

export function query(parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== "")
      for (const one of [value].flat()) search.append(name, one);
  }
  return search.size ? `?${search}` : "";
}

export function signIn() {
  location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
}

async function request(method, path, { body, headers = {}, signal }) {
  const options = { method, headers: { Accept: "application/json", ...headers }, signal };
  if (body !== undefined) {
    options.body = typeof body === "string" ? body : JSON.stringify(body);
    options.headers["Content-Type"] = "application/json";
  }
  const answer = await fetch(path, options).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The service does not answer. Is it running, and is the network there?" });
  });
  if (answer.status === 401) signIn();
  if (answer.status === 204) return null;
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(answer.status, content);
  return content;
}
