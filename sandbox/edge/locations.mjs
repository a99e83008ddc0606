// Emulates points of presence: each has its own copy of the KeyValueStore's item, and gets a change
// after a delay of its own.
import http from 'node:http';

const EVERY_STORE_MS = 100;
const EVERY_DISTRIBUTION_MS = 1000;
const PATIENCE_MS = 5000;

/** One point of presence. It keeps the last text: only `store.fails` makes reading throw. */
export class Location {
  #store;
  #newest = 0;

  constructor(name, store) {
    this.name = name;
    this.#store = store;
    this.text = undefined;
    this.delayMs = 0;
  }

  /** Applies a document after `delayMs`, unless a later one has been applied by then. */
  receive(order, text, delayMs) {
    const apply = () => this.#apply(order, text, delayMs);
    if (delayMs > 0) setTimeout(apply, delayMs).unref();
    else apply();
  }

  #apply(order, text, delayMs) {
    if (order < this.#newest) return;
    this.#newest = order;
    this.text = text;
    this.delayMs = delayMs;
  }

  read = (key) => {
    if (this.#store.fails) throw new Error('the key value store cannot be read');
    return key === 'route' ? this.text : undefined;
  };

  state() {
    return { name: this.name, route: this.text ?? null, delay_s: this.delayMs / 1000 };
  }
}

/** Follows the store's item and the distribution's default origin in the emulated account. */
export class Store {
  #agent = new http.Agent({ keepAlive: true, maxSockets: 2 });
  #paths;
  #endpoint;
  #random;
  #order = 0;
  #text = undefined;

  constructor({ endpoint, store, distribution, locations, seed }) {
    this.#endpoint = endpoint;
    this.#random = seeded(seed);
    this.#paths = {
      item: `/key-value-stores/${encodeURIComponent(store)}/keys/route`,
      distribution: `/2020-05-31/distribution/${distribution}/config`,
    };
    this.fails = false;
    this.propagationMs = 0;
    this.defaultOrigin = null;
    this.reads = { good: 0, bad: 0 };
    this.locations = Array.from(
      { length: locations },
      (_, index) => new Location(`SBX${index + 1}`, this),
    );
  }

  /** Reads both once, then periodically. */
  async follow() {
    await Promise.all([
      repeat(() => this.#readItem(), EVERY_STORE_MS),
      repeat(() => this.#readDistribution(), EVERY_DISTRIBUTION_MS),
    ]);
  }

  async #readItem() {
    const { status, body } = await this.#get(this.#paths.item);
    const gone = status === 404 && JSON.parse(body).Message?.startsWith('Key ');
    if (status !== 200 && !gone) throw new Error(`the store answered ${status}`);
    const text = gone ? undefined : JSON.parse(body).Value;
    this.reads.good += 1;
    if (text === this.#text) return;
    this.#text = text;
    this.#order += 1;
    for (const location of this.locations) {
      location.receive(this.#order, text, this.#random() * this.propagationMs);
    }
  }

  async #readDistribution() {
    const { status, body } = await this.#get(this.#paths.distribution);
    if (status !== 200) throw new Error(`the distribution answered ${status}`);
    this.defaultOrigin = defaultOriginOf(body);
  }

  #get(path) {
    return new Promise((resolve, reject) => {
      const request = http.get(
        this.#endpoint + path,
        { agent: this.#agent, timeout: PATIENCE_MS },
        (answer) => {
          const pieces = [];
          answer.on('data', (piece) => pieces.push(piece));
          answer.on('error', reject);
          answer.on('end', () =>
            resolve({ status: answer.statusCode, body: Buffer.concat(pieces).toString() }),
          );
        },
      );
      request.on('timeout', () => request.destroy(new Error('no answer')));
      request.on('error', (error) => {
        this.reads.bad += 1;
        reject(error);
      });
    });
  }
}

async function repeat(read, everyMs) {
  // If the account cannot be read, the last values stay.
  await read().catch(() => {});
  setTimeout(() => repeat(read, everyMs), everyMs).unref();
}

/** Returns {host, port, protocol} of the default behaviour's origin in a distribution's XML. */
export function defaultOriginOf(xml) {
  const behaviour = within(xml, 'DefaultCacheBehavior');
  const wanted = behaviour && within(behaviour, 'TargetOriginId');
  for (const origin of within(xml, 'Origins')?.split('</Origin>') ?? []) {
    if (!wanted || within(origin, 'Id') !== wanted) continue;
    const plain = within(origin, 'OriginProtocolPolicy') !== 'https-only';
    return {
      host: within(origin, 'DomainName'),
      port: Number(within(origin, plain ? 'HTTPPort' : 'HTTPSPort') ?? (plain ? 80 : 443)),
      protocol: plain ? 'http' : 'https',
    };
  }
  return null;
}

function within(xml, tag) {
  return new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(xml)?.[1];
}

// mulberry32: Math.random cannot be seeded.
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
