/** Databases, collections and indexes, all in memory. */
import { BSON } from "bson";
import { Query } from "mingo";

import { Refusal, notServed } from "./errors.mjs";
import { MAX_DOCUMENT_BYTES } from "./wire.mjs";

const ID_INDEX = { v: 2, key: { _id: 1 }, name: "_id_" };
// Scripts in queries would run inside this process.
export const QUERY_OPTIONS = { scriptEnabled: false };

/** Equal values, and only those, have equal keys. */
export function keyOf(value) {
  return BSON.EJSON.stringify({ v: value ?? null }, { relaxed: false });
}

export function valueAt(document, path) {
  return path.split(".").reduce((at, part) => {
    if (Array.isArray(at) && !/^\d+$/.test(part)) {
      return at.map((element) => element?.[part]).filter((found) => found !== undefined);
    }
    return at?.[part];
  }, document);
}

export class UniqueIndex {
  #owners = new Map();

  constructor(spec) {
    this.spec = spec;
    this.fields = Object.keys(spec.key);
    const partial = spec.partialFilterExpression;
    this.covers = partial ? new Query(partial, QUERY_OPTIONS) : null;
  }

  #keysOf(document) {
    if (this.covers && !this.covers.test(document)) return [];
    const values = this.fields.map((field) => valueAt(document, field));
    if (this.spec.sparse && values.every((value) => value === undefined)) return [];
    const combined = values.reduce(
      (keys, value) => keys.flatMap((key) => each(value).map((one) => `${key}|${keyOf(one)}`)),
      [""],
    );
    return [...new Set(combined)];
  }

  /** Throws DuplicateKey when another document than `ownId` holds one of this one's keys. */
  check(document, ownId, namespace) {
    for (const key of this.#keysOf(document)) {
      const owner = this.#owners.get(key);
      if (owner !== undefined && owner !== ownId) throw duplicate(namespace, this.spec, document);
    }
  }

  add(document, ownId) {
    for (const key of this.#keysOf(document)) this.#owners.set(key, ownId);
  }

  remove(document) {
    for (const key of this.#keysOf(document)) this.#owners.delete(key);
  }
}

function each(value) {
  return Array.isArray(value) && value.length > 0 ? value : [value];
}

function duplicate(namespace, spec, document) {
  const keyValue = Object.fromEntries(
    Object.keys(spec.key).map((field) => [field, valueAt(document, field) ?? null]),
  );
  const shown = Object.entries(keyValue)
    .map(([field, value]) => `${field}: ${BSON.EJSON.stringify(value)}`)
    .join(", ");
  return new Refusal(
    "DuplicateKey",
    `E11000 duplicate key error collection: ${namespace} index: ${spec.name} dup key: { ${shown} }`,
    { keyPattern: spec.key, keyValue },
  );
}

export function immutableId() {
  const message = "Performing an update on the path '_id' would modify the immutable field '_id'";
  return new Refusal("ImmutableField", message);
}

export class Collection {
  #documents = new Map();
  #unique = new Map();

  constructor(namespace) {
    this.namespace = namespace;
    this.uuid = new BSON.UUID();
    this.indexes = [ID_INDEX];
  }

  get size() {
    return this.#documents.size;
  }

  documents() {
    return [...this.#documents.values()];
  }

  /** The documents that `filter` can match: one at most when it names a literal `_id`. */
  candidates(filter) {
    const id = filter?._id;
    const isLiteral =
      ["string", "number"].includes(typeof id) || id?._bsontype === "ObjectId";
    if (!isLiteral) return this.documents();
    const found = this.#documents.get(keyOf(id));
    return found ? [found] : [];
  }

  insert(document) {
    const { _id = new BSON.ObjectId(), ...rest } = document;
    if (Array.isArray(_id) || _id instanceof RegExp) {
      throw new Refusal("InvalidIdField", "The '_id' value cannot be an array or a regex");
    }
    const whole = { _id, ...rest };
    const key = keyOf(_id);
    if (this.#documents.has(key)) throw duplicate(this.namespace, ID_INDEX, whole);
    this.#store(key, whole);
    return whole;
  }

  /** Puts `next` in the place of `previous`, which must be a stored document. */
  replace(previous, next) {
    const key = keyOf(previous._id);
    if (keyOf(next._id) !== key) throw immutableId();
    this.#store(key, next, previous);
  }

  #store(key, document, previous = null) {
    const size = BSON.calculateObjectSize(document, { ignoreUndefined: true });
    if (size > MAX_DOCUMENT_BYTES) {
      throw new Refusal("BSONObjectTooLarge", `BSONObj size: ${size} is invalid, at most 16 MiB`);
    }
    for (const index of this.#unique.values()) index.check(document, key, this.namespace);
    for (const index of this.#unique.values()) {
      if (previous) index.remove(previous);
      index.add(document, key);
    }
    this.#documents.set(key, document);
  }

  remove(document) {
    for (const index of this.#unique.values()) index.remove(document);
    this.#documents.delete(keyOf(document._id));
  }

  /** Adds one index; returns whether it was new. A unique one must hold for what is stored. */
  createIndex(spec) {
    const same = this.indexes.find((index) => index.name === spec.name);
    const sameKey = this.indexes.find((index) => keyOf(index.key) === keyOf(spec.key));
    const known = same ?? sameKey;
    if (known) return this.#confirm(known, spec);
    const special = Object.values(spec.key).find((kind) => /^(text|2d|2dsphere)$/.test(kind));
    if (special) throw notServed(`an index of type ${special}`);
    if (spec.unique) this.#unique.set(spec.name, this.#filled(new UniqueIndex(spec)));
    this.indexes = [...this.indexes, { v: 2, ...spec }];
    return true;
  }

  #confirm(known, spec) {
    if (keyOf(known.key) !== keyOf(spec.key)) {
      throw new Refusal("IndexKeySpecsConflict", `another index is called ${spec.name} already`);
    }
    const { v: _known, ...knownRest } = known;
    const { v: _spec, background: _ignored, ...rest } = spec;
    if (spec.name !== "_id_" && known !== ID_INDEX && keyOf(sorted(knownRest)) !== keyOf(sorted(rest))) {
      throw new Refusal(
        "IndexOptionsConflict",
        `Index already exists with a different name or options: ${known.name}`,
      );
    }
    return false;
  }

  #filled(index) {
    for (const [key, document] of this.#documents) {
      index.check(document, key, this.namespace);
      index.add(document, key);
    }
    return index;
  }

  dropIndex(name) {
    if (name === "_id_") throw new Refusal("InvalidOptions", "cannot drop _id index");
    if (!this.indexes.some((index) => index.name === name)) {
      throw new Refusal("IndexNotFound", `index not found with name [${name}]`);
    }
    this.indexes = this.indexes.filter((index) => index.name !== name);
    this.#unique.delete(name);
  }

  removeExpired(now) {
    for (const { key, expireAfterSeconds } of this.indexes) {
      if (expireAfterSeconds === undefined) continue;
      const [field] = Object.keys(key);
      for (const document of this.documents()) {
        const dates = each(valueAt(document, field)).filter((value) => value instanceof Date);
        if (dates.some((date) => +date + expireAfterSeconds * 1000 <= now)) this.remove(document);
      }
    }
  }
}

function sorted(spec) {
  const { key, ...rest } = spec;
  return { key, ...Object.fromEntries(Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1))) };
}

export class Databases {
  #databases = new Map();

  names() {
    return [...this.#databases.keys()];
  }

  collectionsOf(database) {
    return this.#databases.get(database) ?? new Map();
  }

  find(database, name) {
    return this.#databases.get(database)?.get(name) ?? null;
  }

  /** The collection, made on the spot when it does not exist, as MongoDB does on first write. */
  open(database, name) {
    checkName(database, name);
    if (!this.#databases.has(database)) this.#databases.set(database, new Map());
    const collections = this.#databases.get(database);
    if (!collections.has(name)) collections.set(name, new Collection(`${database}.${name}`));
    return collections.get(name);
  }

  put(database, collection) {
    const name = collection.namespace.slice(database.length + 1);
    this.open(database, name);
    this.#databases.get(database).set(name, collection);
  }

  drop(database, name) {
    const collections = this.#databases.get(database);
    const dropped = collections?.get(name) ?? null;
    collections?.delete(name);
    if (collections?.size === 0) this.#databases.delete(database);
    return dropped;
  }

  dropDatabase(database) {
    return this.#databases.delete(database);
  }

  removeExpired(now = Date.now()) {
    for (const collections of this.#databases.values()) {
      for (const collection of collections.values()) collection.removeExpired(now);
    }
  }
}

function checkName(database, name) {
  const isFit =
    /^[^/\\. "$*<>:|?\0]{1,63}$/.test(database) &&
    typeof name === "string" &&
    name !== "" &&
    !/[$\0]|^\.|\.$/.test(name);
  if (!isFit) throw new Refusal("InvalidNamespace", `Invalid namespace specified '${database}.${name}'`);
}
