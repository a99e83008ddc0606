// Smoke test of a running deployment, without dependencies and without changing anything there:
//   npm run test:smoke -- --base-url=https://… [--revision=<sha>] [--timeout=<seconds>]
import { parseArgs } from 'node:util';

const { values } = parseArgs({
  options: {
    'base-url': { type: 'string' },
    revision: { type: 'string' },
    timeout: { type: 'string', default: '10' },
  },
});

/** @param {unknown} condition @param {string} reason */
function demand(condition, reason) {
  if (!condition) throw new Error(reason);
}

function base() {
  const given = values['base-url'] ?? '';
  demand(/^https?:\/\/[^/]/.test(given) && URL.canParse(given), 'give --base-url=http(s)://host');
  return new URL(given.endsWith('/') ? given : `${given}/`);
}

function timeout() {
  const seconds = Number(values.timeout);
  demand(seconds > 0 && seconds <= 300, '--timeout must be from above 0 to 300 seconds');
  return seconds * 1000;
}

/** @param {string} path @param {RequestInit} [init] */
async function request(path, init) {
  const response = await fetch(new URL(path.replace(/^\//, ''), site), {
    redirect: 'error',
    ...init,
    signal: AbortSignal.timeout(limit),
  });
  return { response, text: await response.text() };
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('the answer is not JSON');
  }
}

async function isAlive() {
  const { response, text } = await request('api/health/live');
  demand(response.status === 200, `answered ${response.status}`);
  demand(parse(text).status === 'alive', 'does not say that it is alive');
}

async function isReady() {
  const { response, text } = await request('api/health');
  const { status, revision, checks } = parse(text);
  const failing = Object.entries(checks ?? {})
    .filter(([, check]) => !check.ok)
    .map(([name, check]) => `${name} ${check.reason}`);
  demand(
    response.status === 200 && status === 'ready',
    `answered ${response.status}: ${failing.join(', ') || status}`,
  );
  if (values.revision) {
    demand(revision === values.revision, `serves revision ${revision}, not ${values.revision}`);
  }
}

async function pageRenders() {
  const { response, text } = await request('');
  demand(response.status === 200, `answered ${response.status}`);
  demand(/<h1[^>]*>Kanvaro<\/h1>/.test(text), 'is not the page of Kanvaro');
  const script = /src="([^"]*\/_next\/static\/[^"]+\.js[^"]*)"/.exec(text)?.[1];
  demand(script, 'loads no script');
  const asset = await request(String(script).replaceAll('&amp;', '&'));
  demand(asset.response.status === 200, `its script answered ${asset.response.status}`);
}

async function projectsAnswer() {
  const { response, text } = await request('api/projects');
  demand(response.status === 200, `answered ${response.status}`);
  demand(Array.isArray(parse(text).projects), 'holds no list of projects');
}

async function projectsValidate() {
  const headers = { 'Content-Type': 'application/json' };
  const init = { method: 'POST', headers, body: '{"name":""}' };
  const { response } = await request('api/projects', init);
  demand(response.status === 400, `a nameless project was answered with ${response.status}`);
}

/** @param {unknown} error */
function reason(error) {
  if (!(error instanceof Error)) return String(error);
  if (error.name === 'TimeoutError') return `no answer within ${limit / 1000} s`;
  const cause = /** @type {{code?: string, message?: string} | undefined} */ (error.cause);
  return cause ? (cause.code ?? cause.message ?? error.message) : error.message;
}

/** @param {string} name @param {() => Promise<void>} check */
async function verify(name, check) {
  const started = performance.now();
  /** @param {string} verdict */
  const say = (verdict) =>
    console.log(`smoke: ${name}: ${verdict} (${Math.round(performance.now() - started)} ms)`);
  try {
    await check();
    say('ok');
    return true;
  } catch (error) {
    say(`FAILED: ${reason(error)}`);
    return false;
  }
}

/** @type {URL} */
let site;
/** @type {number} */
let limit;
try {
  site = base();
  limit = timeout();
} catch (error) {
  console.error(`smoke: ${reason(error)}`);
  process.exit(1);
}

const verdicts = [
  await verify('alive', isAlive),
  await verify(values.revision ? `ready with ${values.revision}` : 'ready', isReady),
  await verify('page', pageRenders),
  await verify('projects', projectsAnswer),
  await verify('projects validation', projectsValidate),
];
process.exitCode = verdicts.every(Boolean) ? 0 : 1;
