// Serves the edge's control endpoint on a port of its own: read the state, change it, run the function.
import http from 'node:http';

const LARGEST = 64 * 1024;

export function controlServer(edge) {
  return http.createServer(async (incoming, outgoing) => {
    let status = 200;
    let shown;
    try {
      shown = await answer(edge, incoming.method, incoming.url, await bodyOf(incoming));
    } catch (error) {
      status = 400;
      shown = { error: String(error.message) };
    }
    if (shown === undefined) {
      status = 404;
      shown = { error: 'GET / shows, POST / changes, POST /function tries the function' };
    }
    outgoing.writeHead(status, { 'content-type': 'application/json' });
    outgoing.end(JSON.stringify(shown));
  });
}

async function answer(edge, method, path, body) {
  const request = `${method} ${path}`;
  if (request === 'GET /') return state(edge);
  if (request === 'POST /') {
    change(edge.store, JSON.parse(body));
    return state(edge);
  }
  if (request === 'POST /function') return tried(edge, JSON.parse(body));
  return undefined;
}

function state({ store, counts }) {
  return {
    requests: counts,
    locations: store.locations.map((location) => location.state()),
    default_origin: store.defaultOrigin && `${store.defaultOrigin.host}:${store.defaultOrigin.port}`,
    propagation_s: store.propagationMs / 1000,
    store_fails: store.fails,
    store_reads: store.reads,
  };
}

function change(store, settings) {
  const unknown = Object.keys(settings).filter((key) => !['propagation_s', 'store_fails'].includes(key));
  if (unknown.length) throw new Error(`the edge has no ${unknown.join(', ')}`);
  const { propagation_s: seconds, store_fails: fails } = settings;
  if (seconds !== undefined && !(typeof seconds === 'number' && seconds >= 0 && seconds <= 3600)) {
    throw new Error('propagation_s must be a number from 0 to 3600');
  }
  if (fails !== undefined && typeof fails !== 'boolean') {
    throw new Error('store_fails must be true or false');
  }
  if (seconds !== undefined) store.propagationMs = seconds * 1000;
  if (fails !== undefined) store.fails = fails;
}

/** Like TestFunction of the real API, but returns the origin, too: `{"event", "route": text or null}`. */
async function tried({ routeFunction }, { event, route }) {
  return routeFunction.run(event, () => {
    if (route === undefined) throw new Error('the key value store cannot be read');
    return route ?? undefined;
  });
}

async function bodyOf(incoming) {
  const pieces = [];
  let size = 0;
  for await (const piece of incoming) {
    size += piece.length;
    if (size > LARGEST) throw new Error('too long');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}
