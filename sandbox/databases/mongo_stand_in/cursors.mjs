/** Open cursors: unread results, kept until they are read, killed or idle for ten minutes. */
import { BSON } from "bson";

import { Refusal } from "./errors.mjs";
import { MAX_DOCUMENT_BYTES } from "./wire.mjs";

const DEFAULT_FIRST_BATCH = 101;
const IDLE_LIMIT_MS = 10 * 60 * 1000;

export class Cursors {
  #open = new Map();
  #last = 0;

  /** The `cursor` of a first answer. `batchSize` 0 is allowed; `singleBatch` keeps nothing open. */
  begin(namespace, documents, { batchSize = DEFAULT_FIRST_BATCH, singleBatch = false, owner = null }) {
    if (!(batchSize >= 0)) throw new Refusal("BadValue", "batchSize must be zero or more");
    const { batch, rest } = cut(documents, batchSize);
    const cursor = { firstBatch: batch, id: BSON.Long.ZERO, ns: namespace };
    if (rest.length === 0 || singleBatch) return cursor;
    const key = String(++this.#last);
    this.#open.set(key, { rest, namespace, owner, usedAt: Date.now() });
    return { ...cursor, id: BSON.Long.fromString(key) };
  }

  more(id, namespace, batchSize, owner) {
    const open = this.#open.get(String(id));
    if (!open || open.namespace !== namespace) {
      throw new Refusal("CursorNotFound", `cursor id ${id} not found`);
    }
    if (open.owner !== owner) {
      throw new Refusal("Unauthorized", `cursor id ${id} was not created by the authenticated user`);
    }
    const { batch, rest } = cut(open.rest, batchSize || Infinity);
    Object.assign(open, { rest, usedAt: Date.now() });
    if (rest.length > 0) return { nextBatch: batch, id, ns: namespace };
    this.#open.delete(String(id));
    return { nextBatch: batch, id: BSON.Long.ZERO, ns: namespace };
  }

  kill(ids) {
    const [killed, unknown] = [[], []];
    for (const id of ids) (this.#open.delete(String(id)) ? killed : unknown).push(id);
    return { cursorsKilled: killed, cursorsNotFound: unknown, cursorsAlive: [], cursorsUnknown: [] };
  }

  closeIdle(now = Date.now()) {
    for (const [key, { usedAt }] of this.#open) {
      if (now - usedAt > IDLE_LIMIT_MS) this.#open.delete(key);
    }
  }

  get count() {
    return this.#open.size;
  }
}

/** Returns up to `batchSize` documents, with no more bytes than one answer may have. */
function cut(documents, batchSize) {
  let bytes = 0;
  let count = 0;
  while (count < documents.length && count < batchSize) {
    bytes += BSON.calculateObjectSize(documents[count], { ignoreUndefined: true });
    if (count > 0 && bytes > MAX_DOCUMENT_BYTES) break;
    count += 1;
  }
  return { batch: documents.slice(0, count), rest: documents.slice(count) };
}
