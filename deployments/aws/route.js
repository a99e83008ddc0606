// Which colour answers a viewer: the CloudFront Function (cloudfront-js-2.0, at most 10 KB) of both
// the viewer-request and the viewer-response event of the distribution.
//
// The associated KeyValueStore holds one item, `route`, which the pipeline writes:
//   {"version": 7, "token": 3, "live": "blue", "next": "green", "share": 10, "epoch": 5,
//    "hosts": {"blue": "abc.us-east-1.awsapprunner.com", "green": "..."}}
// `share` percent of the viewers get `next`, the others `live`. While `share` only grows, nobody
// goes back; a new `epoch` draws lots afresh, so that not the same people are first each time.
// A host with a port is spoken to in plain HTTP (the sandbox), one without in HTTPS.
//
// Whatever goes wrong here, the distribution's own origin answers: the colour promoted last.
//
// The runtime is ES 5.1 and a part of ES 6 to 12. Among what it lacks: optional chaining, default
// parameters, destructuring, spread, classes, for-of, and awaiting inside an argument list.
import cf from 'cloudfront';

const COOKIE = 'kanvaro-viewer';
const COOKIE_ATTRIBUTES = 'Path=/; Max-Age=604800; Secure; HttpOnly; SameSite=Lax';
const VIEWER = /^[0-9a-f]{16}$/;
const HOST = /^([a-z0-9][a-z0-9.-]*)(?::([0-9]{1,5}))?$/;

async function handler(event) {
  if (event.context.eventType === 'viewer-response') {
    const response = await answered(event);
    return response;
  }
  const request = await routed(event);
  return request;
}

async function routed(event) {
  const request = event.request;
  const headers = request.headers;
  // What a client claims about itself must reach neither the cache key nor the application.
  delete headers['x-kanvaro-colour'];
  delete headers['x-kanvaro-request'];
  delete headers['x-forwarded-host'];
  if (headers.host) {
    headers['x-forwarded-host'] = { value: headers.host.value };
  }
  try {
    const route = await readRoute();
    const colour = cohort(viewerOf(event), route.epoch) < route.share ? route.next : route.live;
    cf.updateRequestOrigin(originOf(route, colour));
    headers['x-kanvaro-colour'] = { value: colour };
    // Proves to the viewer-response event that the colour was written here.
    headers['x-kanvaro-request'] = { value: event.context.requestId };
  } catch (error) {
    console.log('route: the default origin answers: ' + error);
  }
  return request;
}

async function answered(event) {
  const response = event.response;
  try {
    const headers = event.request.headers;
    const proof = headers['x-kanvaro-request'];
    if (proof && proof.value === event.context.requestId) {
      response.headers['x-kanvaro-colour'] = { value: headers['x-kanvaro-colour'].value };
    }
    if (!viewerInCookie(event.request)) {
      const route = await readRoute();
      if (route.share > 0 && route.share < 100 && route.live !== route.next) {
        response.cookies[COOKIE] = { value: viewerOf(event), attributes: COOKIE_ATTRIBUTES };
      }
    }
  } catch (error) {
    console.log('route: no cookie was set: ' + error);
  }
  return response;
}

async function readRoute() {
  const route = await cf.kvs().get('route', { format: 'json' });
  if (
    !route ||
    typeof route.live !== 'string' ||
    typeof route.next !== 'string' ||
    typeof route.share !== 'number' ||
    !(route.share >= 0 && route.share <= 100) ||
    typeof route.epoch !== 'number' ||
    !route.hosts
  ) {
    throw new Error('the route document is malformed');
  }
  return route;
}

function originOf(route, colour) {
  const known = Object.prototype.hasOwnProperty.call(route.hosts, colour);
  const parts = known && typeof route.hosts[colour] === 'string' && HOST.exec(route.hosts[colour]);
  if (!parts) {
    throw new Error('no host is known for the colour ' + colour);
  }
  const own = parts[2]
    ? { port: Number(parts[2]), protocol: 'http', sslProtocols: ['TLSv1.2'] }
    : { port: 443, protocol: 'https', sslProtocols: ['TLSv1.2'] };
  return { domainName: parts[1], customOriginConfig: own };
}

function viewerInCookie(request) {
  const cookie = request.cookies[COOKIE];
  return cookie && VIEWER.test(cookie.value) ? cookie.value : '';
}

// Without a cookie, always the same for one browser at one address.
function viewerOf(event) {
  const agent = event.request.headers['user-agent'];
  const seen = event.viewer.ip + '|' + (agent ? agent.value : '');
  return viewerInCookie(event.request) || hex(hash('a' + seen)) + hex(hash('b' + seen));
}

// 0 to 99.
function cohort(viewer, epoch) {
  return hash(viewer + ':' + epoch) % 100;
}

// FNV-1a, then the final mix of MurmurHash3: without it similar texts have similar remainders.
function hash(text) {
  let bits = 0x811c9dc5;
  for (let place = 0; place < text.length; place++) {
    bits = Math.imul(bits ^ text.charCodeAt(place), 0x01000193);
  }
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}

function hex(bits) {
  return ('0000000' + bits.toString(16)).slice(-8);
}
