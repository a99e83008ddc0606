// Builds the event objects of CloudFront Functions, and reads those that a function returns.
import { randomBytes } from 'node:crypto';

const HOP_BY_HOP = [
  'connection', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'proxy-connection',
  'te', 'trailer', 'transfer-encoding', 'upgrade',
]; // prettier-ignore
// If a function changes one of these, the viewer gets a 502, on AWS and here.
const READ_ONLY = ['host', 'content-length'];

export class NotAllowed extends Error {}

export function requestEvent(incoming, distribution) {
  const [path, query] = divided(incoming.url, '?');
  const headers = endToEnd(incoming, ['cookie', 'expect']);
  return {
    version: '1.0',
    context: {
      distributionDomainName: distribution.domain,
      distributionId: distribution.id,
      endpoint: distribution.domain,
      requestId: randomBytes(24).toString('base64url'),
      eventType: 'viewer-request',
    },
    viewer: { ip: incoming.socket.remoteAddress },
    request: {
      method: incoming.method,
      uri: path,
      querystring: pairs(query, '&'),
      headers,
      cookies: pairs(incoming.headers.cookie, '; '),
    },
  };
}

export function responseEvent(viewerEvent, request, answer) {
  const cookies = {};
  for (const line of answer.headers['set-cookie'] ?? []) {
    const [pair, attributes] = divided(line, ';');
    const [name, value = ''] = divided(pair, '=');
    add(cookies, name, attributes ? { value, attributes: attributes.trim() } : { value });
  }
  return {
    version: viewerEvent.version,
    context: { ...viewerEvent.context, eventType: 'viewer-response' },
    viewer: viewerEvent.viewer,
    request,
    response: {
      statusCode: answer.statusCode,
      statusDescription: answer.statusMessage,
      headers: endToEnd(answer, ['set-cookie']),
      cookies,
    },
  };
}

/** Returns what a function may not change, as text to compare before and after. Never throws. */
export function fixedPartOf(request) {
  const fixed = READ_ONLY.map((name) => request.headers?.[name]?.value ?? null);
  // AWS lets a function rewrite these; the sandbox does not support that, so it refuses.
  return JSON.stringify([fixed, request.method, request.uri, request.querystring, request.cookies]);
}

/** Converts an event's headers to Node's; throws NotAllowed when they are malformed. */
export function headersOf(part) {
  const headers = {};
  for (const [name, entry] of Object.entries(part.headers ?? {})) {
    if (name !== name.toLowerCase() || typeof entry?.value !== 'string') {
      throw new NotAllowed(`the function returned a malformed header ${name}`);
    }
    headers[name] = entry.multiValue ? entry.multiValue.map((each) => each.value) : entry.value;
  }
  return headers;
}

export function setCookiesOf(response) {
  return Object.entries(response.cookies ?? {}).flatMap(([name, entry]) =>
    (entry.multiValue ?? [entry]).map(({ value, attributes }) =>
      attributes ? `${name}=${value}; ${attributes}` : `${name}=${value}`,
    ),
  );
}

function endToEnd(message, besides) {
  const named = message.headers.connection?.toLowerCase().split(/\s*,\s*/) ?? [];
  const headers = {};
  for (const [name, values] of Object.entries(message.headersDistinct)) {
    if (HOP_BY_HOP.includes(name) || named.includes(name) || besides.includes(name)) continue;
    for (const value of values) add(headers, name, { value });
  }
  return headers;
}

function pairs(text, separator) {
  const found = {};
  for (const part of text ? text.split(separator) : []) {
    const [name, value] = divided(part, '=');
    if (name) add(found, name, { value: value ?? '' });
  }
  return found;
}

function add(entries, name, entry) {
  const first = Object.hasOwn(entries, name) ? entries[name] : undefined;
  if (!first) entries[name] = entry;
  else (first.multiValue ??= [{ ...first }]).push(entry);
}

function divided(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + separator.length)];
}
