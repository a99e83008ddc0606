/** Lists every supported command with the privileges it needs, and runs them. */
import * as catalog from "./catalog.mjs";
import { Refusal, asRefusal } from "./errors.mjs";
import * as reading from "./reading.mjs";
import * as session from "./session.mjs";
import * as writing from "./writing.mjs";
import { acceptedRoles } from "./users.mjs";

const ANYONE = Symbol("before login");
const LOGGED_IN = () => [];

const onDb = (...actions) => (_, db) => actions.map((action) => [action, db]);
const onCluster = (action) => () => [[action, null]];

const COMMANDS = {
  hello: { needs: ANYONE, run: (command, context) => session.hello(command, context, false) },
  ismaster: { needs: ANYONE, run: (command, context) => session.hello(command, context, true) },
  ping: { needs: ANYONE, run: () => ({}) },
  buildinfo: { needs: ANYONE, run: session.buildInfo },
  saslstart: { needs: ANYONE, run: session.saslStart },
  saslcontinue: { needs: ANYONE, run: session.saslContinue },
  logout: { needs: ANYONE, run: session.logout },
  connectionstatus: { needs: ANYONE, run: session.connectionStatus },
  endsessions: { needs: ANYONE, run: () => ({}) },

  find: { needs: onDb("find"), run: reading.find },
  count: { needs: onDb("find"), run: reading.count },
  distinct: { needs: onDb("find"), run: reading.distinct },
  aggregate: { needs: neededByPipeline, run: reading.runAggregate },
  getmore: { needs: LOGGED_IN, run: reading.getMore },
  killcursors: { needs: LOGGED_IN, run: reading.killCursors },

  insert: { needs: onDb("insert"), run: writing.insert },
  update: { needs: neededByUpdate, run: writing.update },
  delete: { needs: onDb("remove"), run: writing.remove },
  findandmodify: { needs: neededByFindAndModify, run: writing.findAndModify },

  create: { needs: onDb("createCollection"), run: catalog.create },
  drop: { needs: onDb("dropCollection"), run: catalog.drop },
  dropdatabase: { needs: onDb("dropDatabase"), run: catalog.dropDatabase },
  createindexes: { needs: onDb("createIndex"), run: catalog.createIndexes },
  listindexes: { needs: onDb("listIndexes"), run: catalog.listIndexes },
  dropindexes: { needs: onDb("dropIndex"), run: catalog.dropIndexes },
  listcollections: { needs: onDb("listCollections"), run: catalog.listCollections },
  listdatabases: { needs: LOGGED_IN, run: catalog.listDatabases },

  createuser: { needs: neededToCreateUser, run: session.createUser },
  updateuser: { needs: neededToUpdateUser, run: session.updateUser },
  dropuser: { needs: onDb("dropUser"), run: session.dropUser },
  dropallusersfromdatabase: { needs: onDb("dropUser"), run: session.dropAllUsersFromDatabase },
  usersinfo: { needs: neededToSeeUsers, run: session.usersInfo },

  serverstatus: { needs: onCluster("serverStatus"), run: session.serverStatus },
  getparameter: { needs: onCluster("getParameter"), run: session.getParameter },
  setparameter: { needs: onCluster("setParameter"), run: session.setParameter },
};
const NAMES_A_COLLECTION = new Set(
  ["find", "count", "distinct", "insert", "update", "delete", "findandmodify", "create", "drop"].concat(
    ["createindexes", "listindexes", "dropindexes"],
  ),
);
// Older spellings that drivers still send; every other name must be spelt as MongoDB spells it.
const SPELLINGS = new Set(
  ["hello", "isMaster", "ismaster", "ping", "buildInfo", "buildinfo", "saslStart", "saslContinue"].concat(
    ["logout", "connectionStatus", "endSessions", "find", "count", "distinct", "aggregate", "getMore"],
    ["killCursors", "insert", "update", "delete", "findAndModify", "findandmodify", "create", "drop"],
    ["dropDatabase", "createIndexes", "listIndexes", "dropIndexes", "listCollections", "listDatabases"],
    ["createUser", "updateUser", "dropUser", "dropAllUsersFromDatabase", "usersInfo", "serverStatus"],
    ["getParameter", "setParameter"],
  ),
);

/** Runs one command and always returns a reply; a refusal is a reply with `ok: 0`. */
export function reply(request, context) {
  try {
    return { ...execute(request, context), ok: 1 };
  } catch (error) {
    return asRefusal(error).asReply();
  }
}

function execute({ command, database, legacy }, { server, connection }) {
  const [name] = Object.keys(command);
  const served = SPELLINGS.has(name) ? COMMANDS[name.toLowerCase()] : undefined;
  if (legacy && !["hello", "ismaster"].includes(name.toLowerCase())) {
    throw new Refusal("UnsupportedOpQueryCommand", `Unsupported OP_QUERY command: ${name}`);
  }
  refuseTransaction(command);
  if (!served) throw new Refusal("CommandNotFound", `no such command: '${name}'`);
  if (database === null) throw new Refusal("FailedToParse", "OP_MSG requests require a $db argument");
  if (NAMES_A_COLLECTION.has(name.toLowerCase()) && typeof command[name] !== "string") {
    throw new Refusal("InvalidNamespace", `collection name has invalid type ${typeof command[name]}`);
  }
  authorize(name, served.needs, command, database, connection);
  connection.lastCommand = { name, database, at: new Date() };
  return served.run(command, { server, connection, db: database });
}

// What a standalone mongod answers, too: it is not a replica set.
function refuseTransaction(command) {
  if (command.txnNumber !== undefined || command.startTransaction || command.autocommit === false) {
    const message = "Transaction numbers are only allowed on a replica set member or mongos";
    throw new Refusal("IllegalOperation", message);
  }
}

function authorize(name, needs, command, db, connection) {
  if (needs === ANYONE || !connection.server.requiresLogin) return;
  if (!connection.account()) throw new Refusal("Unauthorized", `Command ${name} requires authentication`);
  for (const [action, on] of needs(command, db, connection)) {
    if (!connection.may(action, on)) {
      throw new Refusal("Unauthorized", `not authorized on ${on ?? "admin"} to execute command { ${name} }`);
    }
  }
}

function neededByPipeline({ pipeline = [] }, db) {
  const stages = Array.isArray(pipeline) ? pipeline : [];
  const [first, last] = [stages[0], stages.at(-1)];
  // Everyone may see their own operations; those of others are the monitor's.
  if (first?.$currentOp) return first.$currentOp.allUsers ? [["inprog", null]] : [];
  const out = last?.$out;
  const target = typeof out === "string" ? db : out?.db;
  const writes = target ? [["insert", target], ["remove", target]] : [];
  return [["find", db], ...writes];
}

function neededByUpdate({ updates = [] }, db) {
  const upserts = updates.some(({ upsert }) => upsert);
  return [["update", db], ...(upserts ? [["insert", db]] : [])];
}

function neededByFindAndModify({ remove, upsert }, db) {
  const change = remove ? "remove" : "update";
  return [["find", db], [change, db], ...(upsert ? [["insert", db]] : [])];
}

function neededToCreateUser({ roles = [] }, db) {
  return [["createUser", db], ...acceptedRoles(roles, db).map((role) => ["grantRole", role.db])];
}

function neededToUpdateUser({ pwd, roles }, db) {
  const granted = roles ? acceptedRoles(roles, db).flatMap((role) => [["grantRole", role.db], ["revokeRole", role.db]]) : [];
  return [...(pwd === undefined ? [] : [["changePassword", db]]), ...granted];
}

function neededToSeeUsers({ usersInfo: wanted }, db, connection) {
  const own = connection.account();
  const target = typeof wanted === "string" ? { user: wanted, db } : wanted;
  if (target?.user === own.user && target?.db === own.db) return [];
  return [["viewUser", target?.forAllDBs ? "" : (target?.db ?? db)]];
}
