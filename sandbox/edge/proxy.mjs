// Forwards one request to an origin, streaming in both directions.
import http from 'node:http';
import https from 'node:https';

const IDEMPOTENT = ['GET', 'HEAD', 'OPTIONS', 'TRACE', 'PUT', 'DELETE'];
const CLOSED_ON_US = ['ECONNRESET', 'EPIPE'];
const KEPT = { keepAlive: true, keepAliveMsecs: 5000, maxSockets: Infinity, scheduling: 'lifo' };
const AGENTS = { http: new http.Agent(KEPT), https: new https.Agent(KEPT) };
const FRESH = { http: new http.Agent(), https: new https.Agent() };
const CLIENTS = { http, https };

class TimedOut extends Error {}

/**
 * Sends `incoming` to `origin` with `headers` and calls `onAnswer` with the answer. Without an answer
 * it calls `onFailure` with a status: 502, or 504 after `patienceMs` of silence. An idempotent request
 * without a body is sent once more on a new connection if its reused connection was closed.
 */
export function forward(incoming, outgoing, { origin, headers, patienceMs, counts, onAnswer, onFailure }) {
  const bodyless = !('transfer-encoding' in incoming.headers) && !Number(headers['content-length']);
  let answered = false;
  attempt(AGENTS[origin.protocol], bodyless && IDEMPOTENT.includes(incoming.method));

  function attempt(agent, mayRetry) {
    let readBefore = 0;
    const sent = CLIENTS[origin.protocol].request({
      host: origin.host,
      port: origin.port,
      method: incoming.method,
      path: incoming.url,
      headers,
      agent,
      setHost: false,
    });
    const leave = () => sent.destroy();
    outgoing.once('close', leave);
    sent.on('socket', (socket) => {
      readBefore = socket.bytesRead;
    });
    sent.setTimeout(patienceMs, () => {
      // If the client reads slowly, the origin is not silent.
      if (outgoing.writableNeedDrain) sent.setTimeout(patienceMs);
      else sent.destroy(new TimedOut());
    });
    sent.on('response', (answer) => {
      answered = true;
      onAnswer(answer);
    });
    sent.on('error', (error) => {
      outgoing.off('close', leave);
      if (outgoing.destroyed) return;
      if (answered) {
        // Perhaps the origin only refused the rest of the body; `passOn` handles its answer.
        incoming.unpipe(sent);
        incoming.resume();
        return;
      }
      const silentlyClosed = sent.reusedSocket && CLOSED_ON_US.includes(error.code);
      if (mayRetry && silentlyClosed && (sent.socket?.bytesRead ?? 0) === readBefore) {
        counts.retried += 1;
        attempt(FRESH[origin.protocol], false);
        return;
      }
      incoming.unpipe(sent);
      incoming.resume();
      onFailure(error instanceof TimedOut ? 504 : 502, error);
    });
    if (bodyless) sent.end();
    else incoming.pipe(sent);
  }
}

/** Passes the body on; if the origin breaks off, so do we: only that tells the client. */
export function passOn(answer, outgoing, counts) {
  const breakOff = () => {
    if (answer.complete || outgoing.destroyed) return;
    counts.broken += 1;
    outgoing.destroy();
  };
  answer.on('error', () => {});
  answer.on('close', breakOff);
  if (answer.destroyed) breakOff();
  else answer.pipe(outgoing);
}
