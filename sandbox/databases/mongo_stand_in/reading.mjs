/** find, count, distinct, aggregate and their cursors. */
import { BSON } from "bson";
import { Query, aggregate } from "mingo";

import { Collection, QUERY_OPTIONS, keyOf, valueAt } from "./collections.mjs";
import { Refusal, notServed } from "./errors.mjs";

const NO_DOCUMENTS = { documents: () => [], candidates: () => [], size: 0 };

const STAGES = new Set(
  [
    ...["addFields", "bucket", "bucketAuto", "count", "densify", "documents", "facet", "fill"],
    ...["graphLookup", "group", "limit", "lookup", "match", "project", "redact", "replaceRoot"],
    ...["replaceWith", "sample", "set", "setWindowFields", "skip", "sort", "sortByCount"],
    ...["unionWith", "unset", "unwind"],
  ].map((name) => `$${name}`),
);
const SERVED_ELSEWHERE = new Set(["$out", "$currentOp"]);
const REAL_BUT_NOT_SERVED = new Set(
  ["merge", "collStats", "indexStats", "geoNear", "search", "listSessions", "planCacheStats"].map(
    (name) => `$${name}`,
  ),
);

export function nonNegative(value, name) {
  const number = Number(value ?? 0);
  if (!(number >= 0)) throw new Refusal("BadValue", `${name} value must be non-negative`);
  return number;
}

function optionsFor(command, server, db) {
  return {
    ...QUERY_OPTIONS,
    collation: command.collation,
    variables: command.let,
    collectionResolver: (name) => server.databases.find(db, name)?.documents() ?? [],
  };
}

/** The stored documents of a collection that a find-like command means, before projection. */
export function matching(command, collection, filter, server, db) {
  const query = new Query(filter ?? {}, optionsFor(command, server, db));
  return (collection ?? NO_DOCUMENTS).candidates(filter).filter((document) => query.test(document));
}

export function projected(documents, projection) {
  if (!projection || Object.keys(projection).length === 0) return documents;
  return new Query({}, QUERY_OPTIONS).find(documents, projection).all();
}

export function sorted(documents, sort, options = QUERY_OPTIONS) {
  if (!sort || Object.keys(sort).length === 0 || sort.$natural === 1) return documents;
  if (sort.$natural === -1) return [...documents].reverse();
  return new Query({}, options).find(documents).sort(sort).all();
}

export function find(command, { server, db, connection }) {
  if (command.tailable) throw notServed("a tailable cursor");
  const name = command.find;
  const collection = server.databases.find(db, name);
  const options = optionsFor(command, server, db);
  const skip = nonNegative(command.skip, "skip");
  const limit = Math.abs(Number(command.limit ?? 0)) || Infinity;
  const found = sorted(matching(command, collection, command.filter, server, db), command.sort, options);
  const page = projected(found.slice(skip, skip + limit), command.projection);
  const { batchSize, singleBatch } = command;
  return { cursor: server.cursors.begin(`${db}.${name}`, page, { batchSize, singleBatch, owner: connection.owner() }) };
}

export function count(command, { server, db }) {
  const collection = server.databases.find(db, command.count);
  const found = matching(command, collection, command.query, server, db).length;
  const afterSkip = Math.max(0, found - nonNegative(command.skip, "skip"));
  const limit = Math.abs(Number(command.limit ?? 0)) || Infinity;
  return { n: Math.min(afterSkip, limit) };
}

export function distinct(command, { server, db }) {
  const collection = server.databases.find(db, command.distinct);
  const seen = new Map();
  for (const document of matching(command, collection, command.query, server, db)) {
    for (const value of [valueAt(document, command.key)].flat()) {
      if (value !== undefined) seen.set(keyOf(value), value);
    }
  }
  return { values: [...seen.values()] };
}

export function runAggregate(command, context) {
  const { server, db, connection } = context;
  const pipeline = command.pipeline ?? [];
  if (command.explain) throw notServed("explain");
  if (!Array.isArray(pipeline)) throw new Refusal("TypeMismatch", "'pipeline' must be an array");
  pipeline.forEach(checkStage);
  const stages = [...pipeline];
  const out = stages.at(-1)?.$out === undefined ? null : stages.pop().$out;
  const documents = aggregate(firstInput(command, stages, context), stages, optionsFor(command, server, db));
  const namespace = `${db}.${typeof command.aggregate === "string" ? command.aggregate : "$cmd.aggregate"}`;
  if (out !== null) replaceCollection(out, documents, context);
  const { batchSize } = command.cursor ?? {};
  const rows = out === null ? documents : [];
  return { cursor: server.cursors.begin(namespace, rows, { batchSize, owner: connection.owner() }) };
}

function checkStage(stage, at) {
  const [name, ...others] = Object.keys(stage ?? {});
  if (name === undefined || others.length > 0) {
    throw new Refusal("FailedToParse", "A pipeline stage specification object must contain exactly one field.");
  }
  if (name === "$changeStream") {
    throw new Refusal("ChangeStreamNeedsReplicaSet", "The $changeStream stage is only supported on replica sets");
  }
  if (REAL_BUT_NOT_SERVED.has(name)) throw notServed(`the stage ${name}`);
  if (!STAGES.has(name) && !SERVED_ELSEWHERE.has(name)) {
    throw new Refusal("UnrecognizedStage", `Unrecognized pipeline stage name: '${name}'`);
  }
  if (name === "$currentOp" && at !== 0) {
    throw new Refusal("FailedToParse", "$currentOp is only valid as the first stage in a pipeline");
  }
}

function firstInput(command, stages, { server, db, connection }) {
  if (stages[0]?.$currentOp !== undefined) {
    const { allUsers = false, idleConnections = false } = stages.shift().$currentOp;
    return server.operations({ connection, allUsers, idleConnections });
  }
  if (typeof command.aggregate !== "string") return [];
  return server.databases.find(db, command.aggregate)?.documents() ?? [];
}

function replaceCollection(out, documents, { server, db }) {
  const target = typeof out === "string" ? { db, coll: out } : out;
  const fresh = new Collection(`${target.db}.${target.coll}`);
  const known = server.databases.find(target.db, target.coll);
  for (const index of known?.indexes ?? []) if (index.name !== "_id_") fresh.createIndex(index);
  for (const document of documents) fresh.insert(document);
  server.databases.put(target.db, fresh);
}

export function getMore(command, { server, db, connection }) {
  const { getMore: id, collection, batchSize } = command;
  return { cursor: server.cursors.more(asLong(id), `${db}.${collection}`, batchSize, connection.owner()) };
}

export function killCursors(command, { server }) {
  return server.cursors.kill(command.cursors.map(asLong));
}

function asLong(id) {
  return typeof id === "number" ? BSON.Long.fromNumber(id) : id;
}
