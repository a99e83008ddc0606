#!/usr/bin/env node
/** Health check: sends hello over the wire and expects a writable server. Exits with 0 or 1. */
import { connect } from "node:net";
import { parseArgs } from "node:util";

import { BSON } from "bson";

const { values } = parseArgs({
  options: { host: { type: "string", default: "127.0.0.1" }, port: { type: "string", default: "27017" } },
});
const body = BSON.serialize({ hello: 1, $db: "admin" });
const head = Buffer.alloc(21);
head.writeInt32LE(head.length + body.length, 0);
head.writeInt32LE(1, 4);
head.writeInt32LE(2013, 12);

const fail = (reason) => {
  process.stderr.write(`${reason}\n`);
  process.exit(1);
};

let received = Buffer.alloc(0);
const socket = connect(Number(values.port), values.host, () => socket.write(Buffer.concat([head, body])));
socket.setTimeout(2000, () => fail("no answer within 2 s"));
socket.on("error", (error) => fail(error.message));
socket.on("close", () => fail("connection closed without an answer"));
socket.on("data", (chunk) => {
  received = Buffer.concat([received, chunk]);
  if (received.length < 21 || received.length < received.readInt32LE(0)) return;
  const reply = BSON.deserialize(received.subarray(21));
  if (reply.ok !== 1 || !reply.isWritablePrimary) fail(`hello answered ${JSON.stringify(reply)}`);
  process.stdout.write("ok\n");
  process.exit(0);
});
