/**
 * MongoDB's built-in roles as privileges.
 * Source: https://www.mongodb.com/docs/v7.0/reference/built-in-roles/
 */
const READ = ["collStats", "dbHash", "dbStats", "find", "killCursors", "listCollections", "listIndexes"];
const WRITE = [
  ...["convertToCapped", "createCollection", "createIndex", "dropCollection", "dropIndex"],
  ...["insert", "remove", "renameCollectionSameDB", "update"],
];
const DB_ADMIN = [
  ...["bypassDocumentValidation", "collMod", "collStats", "compact", "createCollection"],
  ...["createIndex", "dbStats", "dropCollection", "dropDatabase", "dropIndex", "listCollections"],
  ...["listIndexes", "reIndex", "storageDetails", "validate"],
];
const USER_ADMIN = [
  ...["changeCustomData", "changePassword", "createRole", "createUser", "dropRole", "dropUser"],
  ...["grantRole", "revokeRole", "setAuthenticationRestriction", "viewRole", "viewUser"],
];
const CLUSTER_MONITOR = [
  ...["connPoolStats", "getCmdLineOpts", "getLog", "getParameter", "hostInfo", "inprog"],
  ...["listDatabases", "listSessions", "serverStatus", "top"],
];
const CLUSTER_ADMIN = [...CLUSTER_MONITOR, "killop", "killAnyCursor", "killAnySession", "setParameter"];

const CLUSTER = { cluster: true };
const ANY = { db: "", collection: "" };
const of = (db) => ({ db, collection: "" });

const PER_DATABASE = {
  read: (db) => [[of(db), READ]],
  readWrite: (db) => [[of(db), [...READ, ...WRITE]]],
  dbAdmin: (db) => [[of(db), DB_ADMIN]],
  userAdmin: (db) => [[of(db), USER_ADMIN]],
  dbOwner: (db) => [[of(db), [...READ, ...WRITE, ...DB_ADMIN, ...USER_ADMIN]]],
};
const ON_ADMIN = {
  readAnyDatabase: () => [[ANY, READ], [CLUSTER, ["listDatabases"]]],
  readWriteAnyDatabase: () => [[ANY, [...READ, ...WRITE]], [CLUSTER, ["listDatabases"]]],
  dbAdminAnyDatabase: () => [[ANY, DB_ADMIN], [CLUSTER, ["listDatabases"]]],
  userAdminAnyDatabase: () => [[ANY, USER_ADMIN], [CLUSTER, ["listDatabases"]]],
  clusterMonitor: () => [[CLUSTER, CLUSTER_MONITOR]],
  clusterAdmin: () => [[ANY, ["dropDatabase"]], [CLUSTER, CLUSTER_ADMIN]],
  root: () => [[ANY, [...READ, ...WRITE, ...DB_ADMIN, ...USER_ADMIN]], [CLUSTER, CLUSTER_ADMIN]],
};

export function isRole({ role, db }) {
  return Object.hasOwn(PER_DATABASE, role) || (db === "admin" && Object.hasOwn(ON_ADMIN, role));
}

/** The privileges of `roles`: `[{ resource, actions }]`, one a resource, as MongoDB lists them. */
export function privilegesOf(roles) {
  const byResource = new Map();
  for (const { role, db } of roles) {
    const granted = (PER_DATABASE[role] ?? ON_ADMIN[role])?.(db) ?? [];
    for (const [resource, actions] of granted) {
      const key = JSON.stringify(resource);
      const known = byResource.get(key) ?? { resource, actions: [] };
      known.actions = [...new Set([...known.actions, ...actions])].sort();
      byResource.set(key, known);
    }
  }
  return [...byResource.values()];
}

/** Whether `privileges` allow `action` on `database`, or on the cluster when it is null. */
export function allows(privileges, action, database) {
  return privileges.some(({ resource, actions }) => {
    const covers =
      database === null ? resource.cluster : resource.db === "" || resource.db === database;
    return covers && actions.includes(action);
  });
}
