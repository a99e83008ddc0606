import mongoose, { type Connection } from 'mongoose';
import { environment } from '@/server/environment';

const DEFAULT_DATABASE = 'kanvaro';
const { MongoClient } = mongoose.mongo;

interface Held {
  opening: Promise<Connection> | undefined;
  /** The driver's latest description of the servers, which holds the error of each. */
  topology: unknown;
}

// On globalThis because Next may load this module once per bundle and anew on every hot reload.
const held = ((globalThis as { kanvaroMongodb?: Held }).kanvaroMongodb ??= {
  opening: undefined,
  topology: undefined,
});

async function open(): Promise<Connection> {
  const client = new MongoClient(environment().MONGODB_URI, {
    appName: 'kanvaro',
    serverSelectionTimeoutMS: 5000,
    connectTimeoutMS: 3000,
    socketTimeoutMS: 20_000,
    maxPoolSize: 10,
  });
  client.on('topologyDescriptionChanged', (event) => {
    held.topology = event.newDescription;
  });
  try {
    await client.connect();
  } catch (error) {
    await client.close();
    throw error;
  }
  const connection = mongoose.createConnection();
  connection.setClient(client);
  // The driver's own default would be the database "test".
  const named = /^[^/]+\/\/[^/]+\/[^?]/.test(environment().MONGODB_URI);
  return named ? connection : connection.useDb(DEFAULT_DATABASE);
}

/**
 * The shared connection, opened at first use; a failed opening is tried anew by the next caller.
 *
 * @throws the driver's error when no server answers within five seconds
 */
export function mongodb(): Promise<Connection> {
  held.opening ??= open().catch((error: unknown) => {
    held.opening = undefined;
    throw error;
  });
  return held.opening;
}

/** Closes the connection; only tests end before their process does. */
export async function closeMongodb(): Promise<void> {
  const connection = await held.opening?.catch(() => undefined);
  held.opening = undefined;
  await connection?.getClient().close();
}

export const mongodbDependency = {
  // MongoDB answers `ping` to anyone, even to a user whose password was revoked meanwhile. A read
  // of what the application reads does not.
  ping: async () => {
    const connection = await mongodb();
    const database = connection.getClient().db(connection.name);
    return database.collection('projects').findOne({}, { projection: { _id: 1 } });
  },
  lastFailure: () => held.topology,
};
