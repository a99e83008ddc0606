/** Commands about the client and the server: hello, logins, users, status. */
import { BSON } from "bson";

import { Refusal, asRefusal, notServed } from "./errors.mjs";
import { privilegesOf } from "./roles.mjs";
import { Conversation, MECHANISM, authenticationFailed } from "./scram.mjs";
import { shown } from "./users.mjs";
import { MAX_DOCUMENT_BYTES, MAX_MESSAGE_BYTES } from "./wire.mjs";

export const STAND_IN = "kanvaro sandbox";
export const VERSION = "7.0.0";
const WIRE_VERSION_OF_7_0 = 21;
const MAX_WRITE_BATCH = 100_000;
const PARAMETERS = { authenticationMechanisms: [MECHANISM], featureCompatibilityVersion: { version: "7.0" } };

export function hello(command, { server, db, connection }, legacy) {
  connection.client ??= command.client ?? null;
  const reply = {
    helloOk: command.helloOk === true ? true : undefined,
    ...(legacy ? { ismaster: true } : { isWritablePrimary: true }),
    maxBsonObjectSize: MAX_DOCUMENT_BYTES,
    maxMessageSizeBytes: MAX_MESSAGE_BYTES,
    maxWriteBatchSize: MAX_WRITE_BATCH,
    localTime: new Date(),
    logicalSessionTimeoutMinutes: 30,
    connectionId: connection.id,
    minWireVersion: 0,
    maxWireVersion: WIRE_VERSION_OF_7_0,
    readOnly: false,
    standIn: STAND_IN,
  };
  if (typeof command.saslSupportedMechs === "string") {
    const [authDb, ...name] = command.saslSupportedMechs.split(".");
    const isKnown = server.users.find(name.join("."), authDb);
    reply.saslSupportedMechs = isKnown ? [MECHANISM] : undefined;
  }
  if (command.speculativeAuthenticate) {
    reply.speculativeAuthenticate = speculative(command.speculativeAuthenticate, { server, db, connection });
  }
  return reply;
}

// A failed speculative login gets no answer: the client then logs in step by step.
function speculative(start, context) {
  try {
    return saslStart(start, { ...context, db: start.db ?? "admin" });
  } catch (error) {
    asRefusal(error);
    return undefined;
  }
}

export function saslStart(command, { server, db, connection }) {
  // Every server supports this older mechanism, but no user here has a credential for it.
  if (command.mechanism === "SCRAM-SHA-1") throw authenticationFailed();
  if (command.mechanism !== MECHANISM) {
    const message = `Received authentication for mechanism ${command.mechanism} which is not enabled`;
    throw new Refusal("MechanismUnavailable", message);
  }
  const credentialOf = (name) => server.users.find(name, db)?.credential ?? null;
  const skips = command.options?.skipEmptyExchange === true;
  const conversation = new Conversation(textOf(command.payload), credentialOf, skips);
  connection.login = { conversation, db };
  return { conversationId: 1, done: false, payload: payloadOf(conversation.serverFirst) };
}

export function saslContinue(command, { server, connection }) {
  const { login } = connection;
  if (!login || command.conversationId !== 1) {
    throw new Refusal("ProtocolError", "No SASL session state found");
  }
  try {
    const { payload, done } = login.conversation.next(textOf(command.payload));
    if (done) finishLogin(server, connection);
    return { conversationId: 1, done, payload: payloadOf(payload) };
  } catch (error) {
    connection.login = null;
    throw error;
  }
}

function finishLogin(server, connection) {
  const { conversation, db } = connection.login;
  const account = server.users.find(conversation.user, db);
  if (!account) throw authenticationFailed();
  connection.session = { user: account.user, db, userId: account.userId };
  connection.login = null;
}

const textOf = (payload) => Buffer.from(payload.value()).toString("utf8");
const payloadOf = (text) => new BSON.Binary(Buffer.from(text, "utf8"));

export function logout(command, { connection }) {
  connection.session = null;
  return {};
}

export function connectionStatus(command, { connection }) {
  const account = connection.account();
  const roles = account?.roles ?? [];
  const authInfo = {
    authenticatedUsers: account ? [{ user: account.user, db: account.db }] : [],
    authenticatedUserRoles: roles,
  };
  if (command.showPrivileges) authInfo.authenticatedUserPrivileges = privilegesOf(roles);
  return { authInfo };
}

export function createUser(command, { server, db }) {
  refuseUnserved(command);
  if (command.roles === undefined) throw new Refusal("Location40415", '"createUser" needs a "roles" array');
  server.users.create(command.createUser, db, command.pwd, command.roles);
  return {};
}

export function updateUser(command, { server, db }) {
  refuseUnserved(command);
  const { pwd: password, roles } = command;
  if (password === undefined && roles === undefined) {
    throw new Refusal("BadValue", "Must specify at least one field to update in updateUser");
  }
  server.users.update(command.updateUser, db, { password, roles });
  return {};
}

function refuseUnserved({ mechanisms, digestPassword, authenticationRestrictions, customData }) {
  if (mechanisms && String(mechanisms) !== MECHANISM) throw notServed(`mechanisms ${mechanisms}`);
  if (digestPassword === false) throw notServed("digestPassword: false");
  if (authenticationRestrictions?.length > 0) throw notServed("authenticationRestrictions");
  if (customData !== undefined) throw notServed("customData");
}

export function dropUser(command, { server, db }) {
  server.users.drop(command.dropUser, db);
  return {};
}

export function dropAllUsersFromDatabase(command, { server, db }) {
  return { n: server.users.dropAll(db) };
}

export function usersInfo(command, { server, db }) {
  if (command.filter) throw notServed("usersInfo with a filter");
  const wanted = command.usersInfo;
  const accounts = server.users.all().filter((account) => [wanted].flat().some(isMeant(account, db)));
  return { users: accounts.map((account) => shown(account, command)) };
}

function isMeant(account, db) {
  return (wanted) => {
    if (wanted === 1) return account.db === db;
    if (wanted?.forAllDBs) return true;
    const { user, db: on } = typeof wanted === "string" ? { user: wanted, db } : (wanted ?? {});
    return account.user === user && account.db === on;
  };
}

export function buildInfo() {
  const versionArray = [...VERSION.split(".").map(Number), 0];
  return {
    ...{ version: VERSION, gitVersion: "stand-in", modules: [], allocator: "system" },
    ...{ javascriptEngine: "none", sysInfo: "deprecated", versionArray, bits: 64, debug: false },
    ...{ maxBsonObjectSize: MAX_DOCUMENT_BYTES, storageEngines: ["inMemory"], standIn: STAND_IN },
  };
}

export function serverStatus(command, { server }) {
  return {
    ...{ host: server.address, version: VERSION, process: "mongod", pid: process.pid },
    ...{ uptime: process.uptime(), localTime: new Date(), standIn: STAND_IN },
    connections: { current: server.connections.size, totalCreated: server.connectionsMade },
    metrics: { cursor: { open: { total: server.cursors.count } } },
    mem: { bits: 64, resident: Math.round(process.memoryUsage().rss / 2 ** 20) },
    storageEngine: { name: "inMemory", persistent: false },
  };
}

export function getParameter(command) {
  const wanted = Object.keys(PARAMETERS).filter((name) => command[name] || command.getParameter === "*");
  if (wanted.length === 0) throw new Refusal("InvalidOptions", "no option found to get");
  return Object.fromEntries(wanted.map((name) => [name, PARAMETERS[name]]));
}

export function setParameter() {
  throw notServed("setting a server parameter");
}
