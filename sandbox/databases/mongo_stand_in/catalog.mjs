/** Commands that list, create and drop collections, indexes and databases. */
import { BSON } from "bson";
import { Query } from "mingo";

import { QUERY_OPTIONS } from "./collections.mjs";
import { Refusal, notServed } from "./errors.mjs";

const PLAIN_CREATE = new Set(["create", "lsid", "$db", "writeConcern", "comment", "$readPreference", "apiVersion", "apiStrict"]);

function existing(server, db, name) {
  const collection = server.databases.find(db, name);
  if (!collection) throw new Refusal("NamespaceNotFound", `ns not found ${db}.${name}`);
  return collection;
}

export function create(command, { server, db }) {
  const special = Object.keys(command).find((option) => !PLAIN_CREATE.has(option));
  if (special) throw notServed(`a collection with the option "${special}"`);
  if (server.databases.find(db, command.create)) {
    throw new Refusal("NamespaceExists", `Collection ${db}.${command.create} already exists.`);
  }
  server.databases.open(db, command.create);
  return {};
}

export function drop(command, { server, db }) {
  const dropped = server.databases.drop(db, command.drop);
  // Since 7.0 dropping what is not there is no error.
  return dropped ? { ns: dropped.namespace, nIndexesWas: dropped.indexes.length } : {};
}

export function dropDatabase(command, { server, db }) {
  return server.databases.dropDatabase(db) ? { dropped: db } : {};
}

export function createIndexes(command, { server, db }) {
  const isNew = !server.databases.find(db, command.createIndexes);
  const collection = server.databases.open(db, command.createIndexes);
  const before = collection.indexes.length;
  for (const spec of command.indexes ?? []) {
    if (!spec.name || !spec.key || Object.keys(spec.key).length === 0) {
      throw new Refusal("CannotCreateIndex", "an index needs a name and a key");
    }
    collection.createIndex(spec);
  }
  const after = collection.indexes.length;
  const createdCollectionAutomatically = isNew;
  return { numIndexesBefore: before, numIndexesAfter: after, createdCollectionAutomatically };
}

export function listIndexes(command, { server, db, connection }) {
  const { indexes } = existing(server, db, command.listIndexes);
  const { batchSize } = command.cursor ?? {};
  const namespace = `${db}.${command.listIndexes}`;
  return { cursor: server.cursors.begin(namespace, indexes, { batchSize, owner: connection.owner() }) };
}

export function dropIndexes(command, { server, db }) {
  const collection = existing(server, db, command.dropIndexes);
  const nIndexesWas = collection.indexes.length;
  for (const name of namesMeant(command.index, collection.indexes)) collection.dropIndex(name);
  return { nIndexesWas };
}

function namesMeant(wanted, indexes) {
  if (wanted === "*") return indexes.map(({ name }) => name).filter((name) => name !== "_id_");
  if (typeof wanted === "string") return [wanted];
  if (Array.isArray(wanted)) return wanted;
  const key = BSON.EJSON.stringify(wanted);
  const found = indexes.find((index) => BSON.EJSON.stringify(index.key) === key);
  if (!found) throw new Refusal("IndexNotFound", `can't find index with key: ${key}`);
  return [found.name];
}

export function listCollections(command, { server, db, connection }) {
  const rows = [...server.databases.collectionsOf(db)].map(([name, { uuid }]) =>
    command.nameOnly
      ? { name, type: "collection" }
      : {
          ...{ name, type: "collection", options: {} },
          info: { readOnly: false, uuid },
          idIndex: { v: 2, key: { _id: 1 }, name: "_id_" },
        },
  );
  const query = new Query(command.filter ?? {}, QUERY_OPTIONS);
  const kept = rows.filter((row) => query.test(row));
  const { batchSize } = command.cursor ?? {};
  const namespace = `${db}.$cmd.listCollections`;
  return { cursor: server.cursors.begin(namespace, kept, { batchSize, owner: connection.owner() }) };
}

export function listDatabases(command, { server, connection }) {
  const visible = ["admin", ...server.databases.names().filter((name) => name !== "admin")].filter(
    (name) => connection.may("listDatabases", null) || connection.may("find", name),
  );
  const rows = visible.map((name) => ({ name, ...sizeOf(server, name) }));
  const query = new Query(command.filter ?? {}, QUERY_OPTIONS);
  const kept = rows.filter((row) => query.test(row));
  if (command.nameOnly) return { databases: kept.map(({ name }) => ({ name })) };
  return { databases: kept, totalSize: kept.reduce((sum, row) => sum + row.sizeOnDisk, 0) };
}

function sizeOf(server, db) {
  const documents = [...server.databases.collectionsOf(db).values()].flatMap((one) => one.documents());
  const bytes = documents.reduce((sum, one) => sum + BSON.calculateObjectSize(one), 0);
  return { sizeOnDisk: bytes, empty: documents.length === 0 };
}
