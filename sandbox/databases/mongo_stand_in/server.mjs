#!/usr/bin/env node
/**
 * Kanvaro's stand-in for MongoDB: real logins, roles, queries and indexes over collections in
 * memory, spoken over MongoDB's wire protocol. It is not MongoDB, and its answers say so.
 *
 *   node server.mjs [--bind ADDRESS] [--port PORT] [--user ROOT_NAME]
 *
 * As in the official image MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD make a root
 * user and switch access control on; without them anyone may do anything.
 */
import { createServer } from "node:net";
import { parseArgs } from "node:util";

import { Databases } from "./collections.mjs";
import { Connection } from "./connection.mjs";
import { Cursors } from "./cursors.mjs";
import { STAND_IN } from "./session.mjs";
import { Users } from "./users.mjs";

const HOUSEKEEPING_MS = 60_000;

class Server {
  databases = new Databases();
  cursors = new Cursors();
  users = new Users();
  connections = new Set();
  connectionsMade = 0;
  address = "";

  /** `root` is `{ user, password }`, or null for a server without access control. */
  constructor(root) {
    this.requiresLogin = root !== null;
    if (root) this.users.create(root.user, "admin", root.password, ["root"]);
  }

  accept(socket) {
    const connection = new Connection(this, socket, ++this.connectionsMade);
    this.connections.add(connection);
    socket.on("close", () => this.connections.delete(connection));
  }

  /** Returns what `$currentOp` shows: this call, and idle connections on request. */
  operations({ connection, allUsers, idleConnections }) {
    const own = connection.owner();
    return [...this.connections]
      .filter((one) => allUsers || one.owner() === own)
      .filter((one) => one === connection || idleConnections)
      .map((one) => this.#operation(one, one === connection));
  }

  #operation(connection, isActive) {
    const { id, lastCommand, socket, client } = connection;
    const account = connection.account();
    return {
      ...{ type: isActive ? "op" : "idleSession", host: this.address, desc: `conn${id}` },
      ...{ connectionId: id, client: `${socket.remoteAddress}:${socket.remotePort}` },
      ...{ appName: client?.application?.name, clientMetadata: client ?? undefined },
      active: isActive,
      currentOpTime: new Date().toISOString(),
      effectiveUsers: account ? [{ user: account.user, db: account.db }] : [],
      ...(isActive ? { op: "command", ns: `${lastCommand.database}.$cmd.aggregate`, command: {} } : {}),
    };
  }
}

function rootFrom(environment, name) {
  const user = name ?? environment.MONGO_INITDB_ROOT_USERNAME;
  const password = environment.MONGO_INITDB_ROOT_PASSWORD;
  if (!user && !password) return null;
  if (user && password) return { user, password };
  throw new Error("a root user needs both MONGO_INITDB_ROOT_USERNAME and MONGO_INITDB_ROOT_PASSWORD");
}

function main() {
  const { values } = parseArgs({
    options: {
      bind: { type: "string", default: "127.0.0.1" },
      port: { type: "string", default: "27017" },
      user: { type: "string" },
    },
  });
  const port = Number(values.port);
  if (!/^\d{1,5}$/.test(values.port) || port > 65535) throw new Error(`--port ${values.port} is no port`);
  const server = new Server(rootFrom(process.env, values.user));
  const listener = createServer((socket) => server.accept(socket));
  listener.on("error", (error) => stop(`cannot listen on ${values.bind}:${port}: ${error.message}`));
  listener.listen(port, values.bind, () => {
    server.address = `${values.bind}:${listener.address().port}`;
    const access = server.requiresLogin ? "login required" : "no login required";
    process.stdout.write(`listening on ${server.address} (MongoDB stand-in, ${STAND_IN}, ${access})\n`);
  });
  const housekeeping = () => (server.databases.removeExpired(), server.cursors.closeIdle());
  setInterval(housekeeping, HOUSEKEEPING_MS).unref();
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
}

function stop(reason) {
  process.stderr.write(`stand-in: ${reason}\n`);
  process.exit(1);
}

try {
  main();
} catch (error) {
  stop(error.message);
}
