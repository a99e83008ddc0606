import { type Connection, type Model, Schema } from 'mongoose';
import { mongodb } from '@/server/mongodb';
import { redis } from '@/server/redis';

const ONLINE_KEY = 'presence';
const ONLINE_MILLISECONDS = 5 * 60_000;

interface PersonRecord {
  _id: string;
  times: number;
  seenAt: Date;
}

const schema = new Schema<PersonRecord>(
  { _id: { type: String, required: true }, times: Number, seenAt: Date },
  { versionKey: false },
);

async function people(): Promise<Model<PersonRecord>> {
  const connection: Connection = await mongodb();
  return (
    (connection.models.Person as Model<PersonRecord> | undefined) ??
    connection.model<PersonRecord>('Person', schema)
  );
}

async function countOnline(name: string, now: number): Promise<number> {
  const client = await redis();
  const answers = await client
    .multi()
    .zadd(ONLINE_KEY, now, name)
    .zremrangebyscore(ONLINE_KEY, 0, now - ONLINE_MILLISECONDS)
    .pexpire(ONLINE_KEY, ONLINE_MILLISECONDS)
    .zcard(ONLINE_KEY)
    .exec();
  return Number(answers?.at(-1)?.[1]);
}

export interface Presence {
  name: string;
  /** How often this person was seen, ever. */
  times: number;
  /** How many different people were seen within five minutes. */
  online: number;
}

/**
 * Notes in MongoDB and in Redis that a person is there.
 *
 * @throws the driver's error when either of them does not take it
 */
export async function notePresence(name: string): Promise<Presence> {
  const now = new Date();
  const model = await people();
  const person = await model
    .findByIdAndUpdate(
      name,
      { $inc: { times: 1 }, $set: { seenAt: now } },
      { upsert: true, returnDocument: 'after', lean: true },
    )
    .orFail();
  return { name, times: person.times, online: await countOnline(name, now.getTime()) };
}
