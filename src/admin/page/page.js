// The page for people. It asks the admin API as any program could: numbers and status every two seconds while somebody
// looks, and with an operator's token the rest. What comes from the gateway becomes text, never markup.

const EVERY = 2000;
/** Samples that rates and latencies are taken over: ten seconds. */
const WINDOW = 5;
/** Points of the small lines: four minutes. */
const POINTS = 120;
const MOST_ROUTES = 50;
const TOKEN = "cloud-cup-token";

const at = (id) => document.getElementById(id);

/** An element with attributes and children; texts become text. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// --- Asking -----------------------------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, answer) {
    super(answer?.message ?? `the gateway answers ${status}`);
    Object.assign(this, { status, answer });
  }
}

async function ask(path, { method = "GET", headers = {}, body } = {}) {
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers = { ...headers, authorization: `Bearer ${token}` };
  const signal = AbortSignal.timeout(method === "GET" ? 10_000 : 60_000);
  const response = await fetch(path, { method, headers, body, signal, cache: "no-store", redirect: "error" });
  const isJson = response.headers.get("content-type")?.startsWith("application/json");
  const answer = await (isJson ? response.json() : response.text());
  if (response.status === 401) forgetToken("This token is not the right one, or not any more.");
  if (!response.ok) throw new Refused(response.status, answer);
  return answer;
}

// --- Numbers ----------------------------------------------------------------------------------------------------------

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const UNESCAPED = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };

/** What this page wants of the text format of Prometheus: `{when, routes, plugins, breakers, connections}`. */
function read(text) {
  const sample = { when: performance.now(), routes: new Map(), plugins: new Map(), breakers: new Map(), connections: 0 };
  const entry = (map, key, fresh) => map.get(key) ?? (map.set(key, fresh()), map.get(key));
  const route = (labels) => entry(sample.routes, labels.route, () => ({ requests: 0, errors: 0, buckets: [] }));
  const plugin = (labels) => entry(sample.plugins, labels.plugin, () => ({ calls: 0, seconds: 0, faults: new Map() }));
  const readers = {
    cloudcup_requests_total(labels, value) {
      route(labels).requests += value;
      if (labels.status === "5xx") route(labels).errors += value;
    },
    cloudcup_request_duration_seconds_bucket(labels, value) {
      route(labels).buckets.push([labels.le === "+Inf" ? Infinity : Number(labels.le), value]);
    },
    cloudcup_plugin_calls_total: (labels, value) => { plugin(labels).calls = value; },
    cloudcup_plugin_seconds_total: (labels, value) => { plugin(labels).seconds = value; },
    cloudcup_plugin_faults_total: (labels, value) => plugin(labels).faults.set(labels.code, value),
    cloudcup_circuit_refused_total: (labels, value) => sample.breakers.set(breakerKey(labels.plugin, labels.breaker, labels.key), value),
    cloudcup_connections: (_, value) => { sample.connections = value; },
  };
  for (const line of text.split("\n")) {
    const [, name, labels, value] = LINE.exec(line) ?? [];
    const reader = Object.hasOwn(readers, name ?? "") && readers[name];
    if (!reader) continue;
    const pairs = [...(labels ?? "").matchAll(LABEL)];
    reader(Object.fromEntries(pairs.map(([, key, text]) => [key, text.replace(/\\./g, (pair) => UNESCAPED[pair] ?? pair)])), Number(value));
  }
  return sample;
}

const breakerKey = (...names) => JSON.stringify(names);

/** What happened on one route, or on all (`null`), from one sample to another. */
function between(from, to, only = null) {
  const sum = { requests: 0, errors: 0, buckets: [], seconds: (to.when - from.when) / 1000 };
  for (const [name, now] of to.routes) {
    if (only !== null && name !== only) continue;
    const before = from.routes.get(name);
    sum.requests += Math.max(now.requests - (before?.requests ?? 0), 0);
    sum.errors += Math.max(now.errors - (before?.errors ?? 0), 0);
    now.buckets.forEach(([bound, count], index) => {
      const more = Math.max(count - (before?.buckets[index]?.[1] ?? 0), 0);
      (sum.buckets[index] ??= [bound, 0])[1] += more;
    });
  }
  sum.rate = sum.requests / sum.seconds;
  sum.share = sum.requests > 0 ? sum.errors / sum.requests : null;
  return sum;
}

/** Where a share of the requests ended, in seconds, as if they lay evenly in their bucket. None of none. */
function quantile(buckets, share) {
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  let [low, below] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= all * share) return bound === Infinity ? Infinity : low + (bound - low) * ((all * share - below) / (count - below));
    [low, below] = [bound, count];
  }
  return Infinity;
}

// --- Words ------------------------------------------------------------------------------------------------------------

const NONE = "–";

function few(value) {
  if (value === null || !Number.isFinite(value)) return NONE;
  if (value >= 100) return Math.round(value).toLocaleString("en");
  return value.toLocaleString("en", { maximumSignificantDigits: value >= 10 ? 3 : 2 });
}

function time(seconds) {
  if (seconds === null || Number.isNaN(seconds)) return NONE;
  if (seconds === Infinity) return "> 30 s";
  if (seconds >= 1) return `${few(seconds)} s`;
  return seconds >= 0.001 ? `${few(seconds * 1e3)} ms` : `${few(seconds * 1e6)} µs`;
}

const percent = (share) => (share === null ? NONE : `${few(share * 100)} %`);
const badge = (kind, text) => make("span", { class: kind }, text);
const day = (text) => new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

// --- Tables -----------------------------------------------------------------------------------------------------------

/** Fills a place with a table, if it differs from what is there. `columns`: `[name, isNumber]`; a row is its cells. */
function table(place, columns, rows, nothing) {
  const shown = JSON.stringify(rows, (_, value) => (value instanceof Element ? value.outerHTML : value));
  if (place.shown === shown) return;
  place.shown = shown;
  if (rows.length === 0) return place.replaceChildren(make("p", { class: "empty" }, nothing));
  const heads = columns.map(([name, isNumber]) => make("th", { scope: "col", class: isNumber ? "number" : "" }, name));
  const cell = (content, [name, isNumber]) => {
    const buttons = Array.isArray(content);
    const kind = buttons ? "buttons" : isNumber ? "number" : "";
    const label = name ? { "data-label": name } : {};
    return make("td", { class: kind, ...label }, ...(buttons ? content : [content]));
  };
  const body = rows.map((row) => make("tr", {}, ...row.map((content, index) => cell(content, columns[index]))));
  place.replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...body)));
}

/** A line of the values, which is short only until there are some. */
function line(id, values) {
  const most = Math.max(...values.map((value) => (Number.isFinite(value) ? value : 0)), 1e-9);
  const width = Math.max(values.length, 30) - 1;
  const offset = width + 1 - values.length;
  const point = (value, index) => `${offset + index},${(29 - (Math.min(value ?? 0, most) / most) * 28).toFixed(1)}`;
  const polyline = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  polyline.setAttribute("points", values.map(point).join(" "));
  at(id).setAttribute("viewBox", `0 0 ${width} 30`);
  at(id).replaceChildren(polyline);
}

// --- What is shown ----------------------------------------------------------------------------------------------------

const samples = [];
const lines = { rate: [], errors: [], p50: [], p99: [], connections: [] };
let status = null;
/** What routes lead to, by pattern; an operator may know. */
let leads = new Map();
let isOperator = false;

function add(sample) {
  const last = samples.at(-1);
  const requests = (of) => [...of.routes.values()].reduce((sum, route) => sum + route.requests, 0);
  // The gateway has begun anew, or a reload has removed routes with their numbers.
  if (last && requests(sample) < requests(last)) samples.length = 0;
  samples.push(sample);
  if (samples.length > WINDOW + 1) samples.shift();
}

function showNumbers() {
  const now = samples.at(-1);
  at("connections").textContent = few(now.connections);
  const point = { connections: now.connections };
  if (samples.length > 1) {
    const recent = between(samples[0], now);
    const last = between(samples.at(-2), now);
    at("rate").textContent = few(recent.rate);
    at("errors").textContent = percent(recent.share);
    at("p50").textContent = time(quantile(recent.buckets, 0.5));
    at("p99").textContent = time(quantile(recent.buckets, 0.99));
    Object.assign(point, { rate: last.rate, errors: last.share ?? 0, p50: quantile(last.buckets, 0.5) ?? 0, p99: quantile(last.buckets, 0.99) ?? 0 });
  }
  for (const [name, value] of Object.entries(point)) {
    lines[name].push(value);
    if (lines[name].length > POINTS) lines[name].shift();
    line(`${name}-line`, lines[name]);
  }
}

function showRoutes() {
  const now = samples.at(-1);
  if (!now) return;
  const wanted = at("filter").value.trim().toLowerCase();
  const known = new Set([...now.routes.keys(), ...leads.keys()]);
  const rows = [...known]
    .filter((name) => `${name} ${leads.get(name) ?? ""}`.toLowerCase().includes(wanted))
    .map((name) => ({ name, total: now.routes.get(name)?.requests ?? 0, recent: between(samples[0], now, name) }))
    .filter(({ name, total }) => name !== "" || total > 0)
    .sort((one, other) => (other.recent.rate || 0) - (one.recent.rate || 0) || other.total - one.total || one.name.localeCompare(other.name));
  const shown = rows.slice(0, MOST_ROUTES).map(({ name, total, recent }) => {
    const isLive = samples.length > 1;
    const numbers = [isLive ? few(recent.rate) : NONE, percent(recent.share), time(quantile(recent.buckets, 0.5)), time(quantile(recent.buckets, 0.99)), few(total)];
    const label = name === "" ? make("span", { class: "note" }, "no route") : make("code", {}, name);
    return [label, ...(isOperator ? [leads.get(name) ?? ""] : []), ...numbers];
  });
  const columns = [["Pattern"], ...(isOperator ? [["Goes to"]] : []), ["Requests/s", true], ["Errors", true], ["p50", true], ["p99", true], ["All", true]];
  table(at("routes"), columns, shown, wanted ? "No route has this in its pattern." : "There is no route.");
  at("routes-note").textContent = rows.length > MOST_ROUTES ? `The first ${MOST_ROUTES} of ${rows.length} by rate.` : "";
}

function showDocument() {
  const { file, hash, source, drifted, on_trial } = status.document;
  at("about").textContent = `${status.version} · revision ${status.revision}`;
  const rows = [
    ["File", make("code", {}, file)],
    ["SHA-256", make("code", {}, hash.slice(0, 16))],
    ["Leads", source === "file" ? "the file" : "what was applied last"],
    ["State", on_trial ? badge("warn", "on trial: it is taken back unless it is confirmed") : badge("good", "in force")],
    ["File is", drifted ? badge("warn", "not what is served") : badge("good", "what is served")],
    ["Workers", `${status.workers}`],
  ];
  at("document").replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

function showBackends() {
  const rows = status.upstreams.flatMap(({ name, backends }) => backends.map((backend) => [name, backend]));
  const ill = ([, backend]) => Number(backend.healthy);
  rows.sort((one, other) => ill(one) - ill(other));
  const cells = rows.map(([name, { host, healthy, ejections, cause }]) => [
    make("code", {}, host), name, healthy ? badge("good", "healthy") : badge("bad", "ejected"), few(ejections),
    cause ? `${healthy ? "was: " : ""}${cause}` : "",
  ]);
  table(at("backends"), [["Backend"], ["Upstream"], ["Health"], ["Ejections", true], ["Why"]], cells, "There is no backend.");
}

function showPlugins() {
  const [from, now] = [samples[0], samples.at(-1)];
  const cells = status.plugins.map(({ name, attachments, tripped, trips }) => {
    const all = now?.plugins.get(name) ?? { calls: 0, seconds: 0, faults: new Map() };
    const before = from?.plugins.get(name) ?? { calls: 0, seconds: 0 };
    const calls = all.calls - before.calls;
    const rate = samples.length > 1 ? calls / ((now.when - from.when) / 1000) : null;
    const each = calls > 0 ? (all.seconds - before.seconds) / calls : all.calls > 0 ? all.seconds / all.calls : null;
    const faults = [...all.faults].map(([code, count]) => `${few(count)} ${code}`).join(", ");
    const state = tripped ? badge("bad", "tripped: passed over") : badge("good", trips ? `in use, was tripped ${trips}×` : "in use");
    return [make("code", {}, name), state, few(attachments), few(rate), time(each), faults || "none"];
  });
  table(at("plugins"), [["Plugin"], ["State"], ["Uses", true], ["Calls/s", true], ["Time a call", true], ["Faults"]], cells, "No plugin is attached.");
}

function showOthers() {
  const states = { closed: "good", "half-open": "warn", open: "bad" };
  const breakers = status.breakers.map(({ plugin, name, key, state, forced }) => [
    name, make("code", {}, key), plugin, badge(states[state] ?? "warn", forced ? `${state}, held there` : state),
    few(samples.at(-1)?.breakers.get(breakerKey(plugin, name, key)) ?? 0),
  ]);
  table(at("breakers"), [["Breaker"], ["Watches"], ["Plugin"], ["State"], ["Refused", true]], breakers, "No request has met a breaker.");
  const certificates = status.certificates.map(({ listener, names, expires }) => {
    const days = Math.floor((Date.parse(expires) - Date.now()) / 86_400_000);
    const left = days < 0 ? badge("bad", "expired") : badge(days < 7 ? "bad" : days < 30 ? "warn" : "good", `${days} days`);
    return [names.join(", "), listener, expires.slice(0, 10), left];
  });
  table(at("certificates"), [["For"], ["Listener"], ["Expires"], ["Left"]], certificates, "No listener shows a certificate.");
  const sets = status.key_sets.map(({ name, keys, age, fetch_failures, error }) => [
    name, few(keys), age === null ? "" : time(age), few(fetch_failures), error ? badge("bad", error) : badge("good", "there"),
  ]);
  table(at("keys"), [["Key set"], ["Keys", true], ["Age", true], ["Failures", true], ["State"]], sets, "There is no key set.");
}

// --- An operator's part -----------------------------------------------------------------------------------------------

let revisions = [];

async function showOperators() {
  try {
    const [known, routes] = await Promise.all([ask("/v1/revisions"), ask("/v1/routes")]);
    const lead = ({ upstream, action, plugins }) => [...plugins, upstream ?? action].join(" → ");
    leads = new Map(routes.map(({ pattern, rules }) => [pattern, rules.map(lead).join("; ")]));
    revisions = known;
    isOperator = true;
  } catch (error) {
    if (error instanceof Refused && [401, 403].includes(error.status)) [isOperator, leads] = [false, new Map()];
    else throw error;
  }
  for (const id of ["revisions-section", "explain-section"]) at(id).hidden = !isOperator;
  at("unlock").hidden = isOperator;
  at("unlocked").hidden = !(isOperator && sessionStorage.getItem(TOKEN));
  if (isOperator) showRevisions();
}

function showRevisions() {
  const cells = revisions.map(({ number, applied, source, author, message }, index) => {
    const before = revisions[index + 1];
    const isRunning = number === status?.revision;
    const see = make("button", { type: "button", "aria-label": `Changes of revision ${number}`, onclick: () => compare(before.number, number) }, "Changes");
    const back = make("button", { type: "button", "aria-label": `Roll back to revision ${number}`, onclick: () => rollBack(number) }, "Roll back");
    return [make("b", {}, `${number}`), isRunning ? badge("good", "running") : "", day(applied), source, author, message,
      [before ? see : null, isRunning ? null : back]];
  });
  table(at("revisions"), [["Revision"], [""], ["Applied"], ["By"], ["Author"], ["Message"], [""]], cells, "No revision is remembered.");
}

function differencesOf({ differences, more }) {
  const text = (value) => (typeof value === "object" && value !== null ? JSON.stringify(value, null, 2) : JSON.stringify(value));
  const told = differences.map(({ pointer, change, old, new: now }) => {
    const sign = { added: "+", removed: "−", changed: "~" }[change] ?? "?";
    const values = change === "changed" ? `${text(old)} → ${text(now)}` : text(change === "added" ? now : old);
    return make("p", { class: `difference mono ${change}` }, `${sign} ${pointer || "the whole document"}  ${values}`);
  });
  if (told.length === 0) told.push(make("p", { class: "empty" }, "The two documents are the same."));
  if (more) told.push(make("p", { class: "empty" }, "There are more differences."));
  return told;
}

/** Opens the dialog. `act`: `[label, what to do]`, which answers with what became of it and leaves the dialog open. */
function open(title, text, differences, act) {
  at("dialog-title").textContent = title;
  at("dialog-text").textContent = text;
  at("dialog-differences").replaceChildren(...differencesOf(differences));
  at("dialog-outcome").hidden = true;
  at("dialog-close").textContent = act ? "Cancel" : "Close";
  const button = at("dialog-act");
  button.hidden = !act;
  button.disabled = false;
  button.textContent = act?.[0] ?? "";
  button.onclick = async () => {
    button.disabled = true;
    at("dialog-outcome").textContent = await act[1]();
    at("dialog-outcome").hidden = false;
    at("dialog-close").textContent = "Close";
    at("dialog-close").focus();
    await look();
  };
  if (!at("dialog").open) at("dialog").showModal();
  // What changes something is not what Enter does by itself.
  at("dialog-close").focus();
}

async function compare(from, to) {
  await heeding(async () => {
    const differences = await ask(`/v1/diff?from=${from}&to=${to}`);
    open(`Revision ${to}`, `What it has changed since revision ${from}. Secrets are not shown.`, differences);
  });
}

async function rollBack(number) {
  await heeding(async () => {
    const current = (await ask("/v1/status")).revision;
    const differences = await ask(`/v1/diff?from=${current}&to=${number}`);
    const text = `The document of revision ${number} becomes a new revision. These are its differences from revision ${current}, which is served now. Secrets are not shown.`;
    open(`Roll back to revision ${number}?`, text, differences, [`Roll back to ${number}`, () => goBack(number, current)]);
  });
}

/** Goes back only from the revision that the differences were shown of. Answers in words. */
async function goBack(number, current) {
  const path = `/v1/rollback?revision=${number}&message=${encodeURIComponent(`back to ${number}`)}`;
  try {
    const { outcome, revision, warnings = [] } = await ask(path, { method: "POST", headers: { "if-match": `"${current}"` } });
    const told = outcome === "unchanged" ? `Revision ${revision} is the same; nothing has changed.` : `Done: revision ${revision} is served.`;
    return [told, ...warnings.map(diagnostic)].join("\n");
  } catch (error) {
    const { outcome, revision, diagnostics = [] } = error.answer ?? {};
    if (outcome === "conflict") return `Nothing was done: revision ${revision} is served by now. Look at the differences again.`;
    return [`Nothing was done: ${outcome === "rejected" ? "the document is refused" : error.message}.`, ...diagnostics.map(diagnostic)].join("\n");
  }
}

const diagnostic = ({ pointer, message, hint }) => `${pointer || "document"}: ${message}${hint ? ` (${hint})` : ""}`;

async function explain(event) {
  event.preventDefault();
  const fields = at("headers").value.split("\n").map((text) => text.trim()).filter(Boolean);
  const headers = fields.map((text) => text.split(/:(.*)/s)).map(([name, value = ""]) => [name.trim(), value.trim()]);
  const asked = { method: at("method").value.trim(), url: at("url").value.trim(), headers };
  try {
    const told = await ask("/v1/explain", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(asked) });
    at("explanation").replaceChildren(explanation(told));
  } catch (error) {
    at("explanation").replaceChildren(make("p", { class: "bad" }, error.message));
  }
}

function explanation({ host, path, patterns, rules, plugins, action, upstream, backends, refused }) {
  const list = (items) => make("div", {}, ...items.map((item) => make("div", {}, item)));
  const verdict = (chosen, name, text) => (chosen ? badge("good", `${name}: ${text}`) : `${name}: ${text}`);
  const actions = action ? [
    action.kind !== "forward" && [action.kind, action.status, action.location].filter(Boolean).join(" "),
    action.host && `host becomes ${action.host}`,
    action.path && `path becomes ${action.path}`,
    ...action.edits.map((edit) => `edits ${edit}`),
  ].filter(Boolean) : [];
  const rows = [
    ["Host", host && make("code", {}, host)],
    ["Path", path && make("code", {}, path)],
    ["Patterns", patterns.length && list(patterns.map((one) => verdict(one.verdict === "chosen", one.pattern, one.verdict)))],
    ["Rules", rules.length && list(rules.map((one) => verdict(one.verdict === "chosen", `rule ${one.index}`, [one.verdict, ...(one.verdict === "no-match" && one.missing.length ? [`needs ${one.missing.join(", ")}`] : [])].join(", "))))],
    ["Plugins", plugins.length && list(plugins.map((one) => (one.sees ? one.name : `${one.name}: does not see it`)))],
    ["Action", actions.length && list(actions)],
    ["Upstream", upstream],
    ["Backends", backends.length && list(backends.map((one) => badge(one.healthy ? "good" : "bad", `${one.host}${one.next ? ", has the next turn" : ""}`)))],
    ["Answer", refused && badge("bad", `${refused.status} ${refused.code}: ${refused.message}`)],
  ];
  const told = rows.filter(([, value]) => value);
  return make("dl", {}, ...told.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
}

// --- Its life ---------------------------------------------------------------------------------------------------------

let timer = null;
let isLooking = false;

async function look() {
  if (isLooking) return;
  isLooking = true;
  clearTimeout(timer);
  await heeding(async () => {
    const before = status?.revision;
    const [numbers, told] = await Promise.all([ask("/metrics"), ask("/v1/status")]);
    status = told;
    add(read(numbers));
    if (isOperator || before === undefined) await showOperators();
    for (const show of [showNumbers, showRoutes, showDocument, showBackends, showPlugins, showOthers]) show();
  });
  isLooking = false;
  if (!document.hidden) timer = setTimeout(look, EVERY);
}

/** Does something and shows why it failed, if it did. */
async function heeding(work) {
  try {
    await work();
    at("trouble").hidden = true;
  } catch (error) {
    const text = error instanceof Refused ? error.message : `The gateway does not answer (${error.message}). What stands below is old.`;
    if (at("trouble").textContent !== text) at("trouble").textContent = text;
    at("trouble").hidden = false;
  }
}

function forgetToken(text) {
  sessionStorage.removeItem(TOKEN);
  at("state").textContent = text;
}

async function unlock(event) {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, at("token").value.trim());
  at("token").value = "";
  await heeding(showOperators);
  if (isOperator) {
    at("state").textContent = "";
    at("lock").focus();
    showRoutes();
  } else {
    at("token").focus();
  }
}

async function lock() {
  forgetToken("");
  at("explanation").replaceChildren();
  await heeding(showOperators);
  showRoutes();
  at("token").focus();
}

function key(event) {
  const isWriting = event.target instanceof HTMLElement && event.target.matches("input, textarea");
  if (event.key !== "/" || isWriting || event.ctrlKey || event.metaKey || event.altKey || at("dialog").open) return;
  event.preventDefault();
  at("filter").focus();
}

at("unlock").addEventListener("submit", unlock);
at("lock").addEventListener("click", lock);
at("explain").addEventListener("submit", explain);
at("filter").addEventListener("input", showRoutes);
at("dialog-close").addEventListener("click", () => at("dialog").close());
document.addEventListener("keydown", key);
document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
look();
