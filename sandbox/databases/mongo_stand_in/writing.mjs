/** insert, update, delete and findAndModify. */
import { BSON } from "bson";
import { updateOne } from "mingo";

import { QUERY_OPTIONS, immutableId, keyOf } from "./collections.mjs";
import { Refusal, asRefusal } from "./errors.mjs";
import { matching, projected, sorted } from "./reading.mjs";
import { copyOf, encode } from "./wire.mjs";

/** Runs each statement; an ordered batch stops at the first error, as MongoDB's does. */
function inBatch(statements, ordered, run) {
  const writeErrors = [];
  for (const [index, statement] of statements.entries()) {
    try {
      run(statement, index);
    } catch (error) {
      writeErrors.push(asRefusal(error).asWriteError(index));
      if (ordered !== false) break;
    }
  }
  return writeErrors.length > 0 ? { writeErrors } : {};
}

export function insert(command, { server, db }) {
  const collection = server.databases.open(db, command.insert);
  let n = 0;
  const errors = inBatch(command.documents, command.ordered, (document) => {
    collection.insert(document);
    n += 1;
  });
  return { n, ...errors };
}

export function update(command, { server, db }) {
  const [upserted, count] = [[], { n: 0, nModified: 0 }];
  const errors = inBatch(command.updates, command.ordered, (statement, index) => {
    const { q: filter, u: change, multi = false, upsert = false } = statement;
    if (multi && !isByOperators(change)) {
      throw new Refusal("FailedToParse", "multi update is not supported for replacement-style update");
    }
    const collection = server.databases.find(db, command.update);
    const found = matching(statement, collection, filter, server, db);
    const chosen = multi ? found : sorted(found, statement.sort).slice(0, 1);
    if (chosen.length === 0 && upsert) {
      const { _id } = upsertInto(server.databases.open(db, command.update), filter, change, statement);
      upserted.push({ index, _id });
      count.n += 1;
    }
    for (const document of chosen) {
      count.n += 1;
      if (changeOne(collection, document, filter, change, statement).isModified) count.nModified += 1;
    }
  });
  return { ...count, ...(upserted.length > 0 ? { upserted } : {}), ...errors };
}

export function remove(command, { server, db }) {
  let n = 0;
  const errors = inBatch(command.deletes, command.ordered, (statement) => {
    const collection = server.databases.find(db, command.delete);
    const found = matching(statement, collection, statement.q, server, db);
    for (const document of statement.limit === 1 ? found.slice(0, 1) : found) {
      collection.remove(document);
      n += 1;
    }
  });
  return { n, ...errors };
}

export function findAndModify(command, { server, db }) {
  const name = command.findAndModify ?? command.findandmodify;
  const { query = {}, sort, fields, update: change, remove: removes, upsert, new: wantsNew } = command;
  if (!removes && change === undefined) {
    throw new Refusal("FailedToParse", "Either an update or remove=true must be specified");
  }
  const collection = server.databases.find(db, name);
  const [chosen] = sorted(matching(command, collection, query, server, db), sort);
  const shown = (document) => (document ? projected([document], fields)[0] : null);
  if (removes) {
    if (chosen) collection.remove(chosen);
    return { lastErrorObject: { n: chosen ? 1 : 0 }, value: shown(chosen) };
  }
  if (!chosen && upsert) {
    const added = upsertInto(server.databases.open(db, name), query, change, command);
    const lastErrorObject = { n: 1, updatedExisting: false, upserted: added._id };
    return { lastErrorObject, value: wantsNew ? shown(added) : null };
  }
  if (!chosen) return { lastErrorObject: { n: 0, updatedExisting: false }, value: null };
  const { next } = changeOne(collection, chosen, query, change, command);
  return { lastErrorObject: { n: 1, updatedExisting: true }, value: shown(wantsNew ? next : chosen) };
}

function isByOperators(change) {
  if (Array.isArray(change)) return true;
  const operators = Object.keys(change).filter((key) => key.startsWith("$")).length;
  if (operators > 0 && operators < Object.keys(change).length) {
    throw new Refusal("FailedToParse", "an update names operators only, or fields only");
  }
  return operators > 0;
}

function changeOne(collection, document, filter, change, options) {
  const next = applied(document, filter, change, options);
  const isModified = !encode(document).equals(encode(next));
  if (isModified) collection.replace(document, next);
  return { next, isModified };
}

/** `document` after `change`; neither it nor `change` shares anything with the outcome. */
function applied(document, filter, change, { arrayFilters, collation, let: variables }) {
  if (!isByOperators(change)) return { _id: document._id, ...copyOf(change) };
  const operators = withoutId(withoutSetOnInsert(change), document._id);
  if (Object.keys(operators).length === 0) return document;
  const documents = [copyOf(document)];
  const settings = { arrayFilters, collation, cloneMode: "deep", let: variables };
  updateOne(documents, positionalPart(filter, operators), copied(operators), settings, QUERY_OPTIONS);
  return documents[0];
}

// Only the positional operator needs the filter; without it every other filter would be run twice.
function positionalPart(filter, change) {
  const usesPosition = JSON.stringify(Object.values(change).map((part) => Object.keys(part))).includes(".$");
  return usesPosition ? filter : {};
}

function copied(change) {
  return copyOf({ change }).change;
}

function withoutSetOnInsert(change) {
  if (Array.isArray(change)) return change;
  const { $setOnInsert: _only, ...rest } = change;
  return rest;
}

// Mingo refuses every `$set` of `_id`; MongoDB takes one that changes nothing.
function withoutId(change, id) {
  if (change.$set?._id === undefined) return change;
  const { $set, ...others } = change;
  const { _id, ...fields } = $set;
  if (keyOf(_id) !== keyOf(id)) throw immutableId();
  return Object.keys(fields).length > 0 ? { ...others, $set: fields } : others;
}

function upsertInto(collection, filter, change, options) {
  const { _id: fixedId, ...base } = equalities(filter);
  if (!isByOperators(change)) {
    const _id = change._id ?? fixedId ?? new BSON.ObjectId();
    return collection.insert({ _id, ...copyOf(change) });
  }
  const effective = Array.isArray(change) ? change : onInsert(change);
  const _id = fixedId ?? effective.$set?._id ?? new BSON.ObjectId();
  const seeded = setPaths({ _id }, base, options);
  const next = applied(seeded, {}, effective, options);
  if (keyOf(next._id) !== keyOf(_id)) throw immutableId();
  return collection.insert(next);
}

function onInsert({ $setOnInsert, ...change }) {
  return $setOnInsert ? { ...change, $set: { ...change.$set, ...$setOnInsert } } : change;
}

function setPaths(document, paths, options) {
  if (Object.keys(paths).length === 0) return document;
  return applied(document, {}, { $set: paths }, { ...options, arrayFilters: undefined });
}

/** The fields that a filter fixes: what an upserted document starts from. */
function equalities(filter) {
  const fixed = {};
  for (const [field, condition] of Object.entries(filter)) {
    if (field === "$and") Object.assign(fixed, ...condition.map(equalities));
    else if (field.startsWith("$")) continue;
    else if (!isOperatorObject(condition)) fixed[field] = condition;
    else if (Object.hasOwn(condition, "$eq")) fixed[field] = condition.$eq;
    else if (condition.$in?.length === 1) fixed[field] = condition.$in[0];
  }
  return fixed;
}

function isOperatorObject(value) {
  if (value instanceof RegExp) return true;
  const isPlain = value !== null && typeof value === "object" && !value._bsontype && !(value instanceof Date);
  return isPlain && Object.keys(value).some((key) => key.startsWith("$"));
}
