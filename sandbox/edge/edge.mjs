// Emulates CloudFront: serves the public name, and runs the route function for each request.
//
// node --experimental-vm-modules edge.mjs '{"endpoint", "store", "distribution", "function", ...}'
// prints {"public": port, "control": port} when it serves, and ends when its standard input does.
// Nothing is cached. See edge.py for the rest.
import http from 'node:http';

import { controlServer } from './control_endpoint.mjs';
import { NotAllowed, fixedPartOf, headersOf, requestEvent, responseEvent, setCookiesOf } from './events.mjs';
import { EdgeFunction } from './function.mjs';
import { Store } from './locations.mjs';
import { forward, passOn } from './proxy.mjs';

const chosen = JSON.parse(process.argv[2]);
const distribution = { id: chosen.distribution, domain: `${chosen.distribution.toLowerCase()}.cloudfront.net` };
const store = new Store(chosen);
const routeFunction = await EdgeFunction.load(chosen.function);
const counts = { total: 0, retried: 0, aborted: 0, broken: 0, by_default: 0, origins: {}, statuses: {} };

async function serve(incoming, outgoing) {
  counts.total += 1;
  const { location } = incoming.socket;
  outgoing.on('close', () => {
    if (!outgoing.writableFinished) counts.aborted += 1;
  });
  // The function starts in this iteration of the event loop; the body waits in the socket.
  const event = requestEvent(incoming, distribution);
  let routed;
  try {
    routed = await viewerRequest(event, location);
  } catch (error) {
    refuse(incoming, outgoing, location, error instanceof NotAllowed ? 502 : 503, error);
    return;
  }
  if (outgoing.destroyed) return;
  if (!routed.origin) counts.by_default += 1;
  const origin = routed.origin ?? store.defaultOrigin;
  if (!origin) {
    refuse(incoming, outgoing, location, 502, new Error('the distribution has no origin'));
    return;
  }
  const name = `${origin.host}:${origin.port}`;
  counts.origins[name] = (counts.origins[name] ?? 0) + 1;
  forward(incoming, outgoing, {
    origin,
    headers: originHeaders(incoming, routed, origin, event),
    patienceMs: chosen.origin_patience_s * 1000,
    counts,
    onAnswer: (answer) => {
      reply(answer, outgoing, location, event, routed.request).catch((error) => {
        answer.destroy();
        refuse(incoming, outgoing, location, error instanceof NotAllowed ? 502 : 503, error);
      });
    },
    onFailure: (status, error) => refuse(incoming, outgoing, location, status, error),
  });
}

async function viewerRequest(event, location) {
  const before = fixedPartOf(event.request);
  const { result, origin } = await routeFunction.run(event, location.read);
  if (!result || fixedPartOf(result) !== before) {
    throw new NotAllowed('the function changed what it may only read');
  }
  return { request: result, headers: headersOf(result), origin };
}

function originHeaders(incoming, routed, origin, event) {
  const usual = origin.protocol === 'https' ? 443 : 80;
  const { cookie } = incoming.headers;
  const client = incoming.socket.remoteAddress;
  const earlier = routed.headers['x-forwarded-for'];
  const headers = {
    ...routed.headers,
    host: origin.port === usual ? origin.host : `${origin.host}:${origin.port}`,
    'x-forwarded-for': earlier ? `${earlier}, ${client}` : client,
    'x-amz-cf-id': event.context.requestId,
    via: `${incoming.httpVersion} ${distribution.domain} (CloudFront)`,
  };
  if (cookie !== undefined) headers.cookie = cookie;
  if ('transfer-encoding' in incoming.headers) headers['transfer-encoding'] = 'chunked';
  return headers;
}

async function reply(answer, outgoing, location, viewerEvent, request) {
  let { statusCode } = answer;
  const event = responseEvent(viewerEvent, request, answer);
  let { response } = event;
  // CloudFront does not run a viewer-response function for an error of the origin.
  if (statusCode < 400) {
    ({ result: response } = await routeFunction.run(event, location.read));
    if (!response || !Number.isInteger(response.statusCode)) {
      throw new NotAllowed('the function did not return a response');
    }
    ({ statusCode } = response);
  }
  if (outgoing.destroyed) return;
  const headers = headersOf(response);
  const cookies = setCookiesOf(response);
  if (cookies.length) headers['set-cookie'] = cookies;
  sign(headers, location, statusCode < 400 ? 'Miss' : 'Error', viewerEvent.context.requestId);
  count(statusCode);
  outgoing.sendDate = false;
  outgoing.writeHead(statusCode, headers);
  passOn(answer, outgoing, counts);
}

function refuse(incoming, outgoing, location, status, error) {
  if (outgoing.destroyed) return;
  if (outgoing.headersSent) {
    outgoing.destroy();
    return;
  }
  count(status);
  const headers = { 'content-type': 'text/plain' };
  sign(headers, location, 'Error', '');
  outgoing.writeHead(status, headers);
  outgoing.end(`The edge answers ${status}: ${error.message || error.code || 'no answer in time'}\n`);
  // Read the rest of the body: a client that is still sending does not read the answer.
  incoming.resume();
}

function sign(headers, location, outcome, requestId) {
  headers['x-cache'] = `${outcome} from cloudfront`;
  headers['x-amz-cf-pop'] = location.name;
  headers['x-amz-cf-id'] = requestId;
}

function count(status) {
  counts.statuses[status] = (counts.statuses[status] ?? 0) + 1;
}

const server = http.createServer(
  // Longer than any client keeps a connection, so that the client closes it first.
  { keepAliveTimeout: 120_000, requestTimeout: 0, noDelay: true, maxHeaderSize: 32 * 1024 },
  serve,
);
let accepted = 0;
server.on('connection', (socket) => {
  socket.location = store.locations[accepted++ % store.locations.length];
});
const control = controlServer({ store, counts, routeFunction });

await store.follow();
const ports = await Promise.all([server, control].map(listen));
console.log(JSON.stringify({ public: ports[0], control: ports[1] }));
process.stdin.on('end', () => process.exit()).on('error', () => process.exit()).resume();
process.on('SIGTERM', () => process.exit());

function listen(one) {
  return new Promise((resolve) => {
    one.listen({ port: 0, host: '127.0.0.1', backlog: 1024 }, () => resolve(one.address().port));
  });
}
