import { type Connection, type Model, Schema } from 'mongoose';
import { z } from 'zod';
import { logFailure } from '@/server/log';
import { mongodb } from '@/server/mongodb';
import { redis } from '@/server/redis';

const LIST_LIMIT = 100;
const CACHE_SECONDS = 30;
const GENERATION_KEY = 'projects:generation';
const DUPLICATE_KEY = 11_000;
const SINGLE_LINE = /^[^\p{Cc}\p{Zl}\p{Zp}]*$/u;

const line = (maximum: number) =>
  z
    .string('must be text')
    .trim()
    .normalize()
    .max(maximum, `must have at most ${maximum} characters`)
    .regex(SINGLE_LINE, 'must not contain control characters or line breaks');

/** What a client may send to add a project. Unknown fields are refused, not ignored. */
export const newProject = z.strictObject(
  {
    name: line(80).min(1, 'must not be empty'),
    description: line(500).default(''),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'must be an object' : undefined) },
);

export type NewProject = z.output<typeof newProject>;

export interface Project extends NewProject {
  id: string;
  createdAt: string;
}

/** A project of this name, whatever its letter case, is there already. */
export class DuplicateProject extends Error {
  override readonly name = 'DuplicateProject';
}

interface ProjectRecord extends NewProject {
  nameKey: string;
  createdAt: Date;
}

const schema = new Schema<ProjectRecord>(
  {
    name: { type: String, required: true },
    nameKey: { type: String, required: true, unique: true },
    description: { type: String, default: '' },
    createdAt: { type: Date, required: true, index: true },
  },
  { versionKey: false },
);

async function projects(): Promise<Model<ProjectRecord>> {
  const connection: Connection = await mongodb();
  const model =
    (connection.models.Project as Model<ProjectRecord> | undefined) ??
    connection.model<ProjectRecord>('Project', schema);
  // Until the unique index is there two equal names could slip in.
  await model.init();
  return model;
}

function present(record: ProjectRecord & { _id: unknown }): Project {
  const { _id, name, description, createdAt } = record;
  return { id: String(_id), name, description, createdAt: createdAt.toISOString() };
}

async function readProjects(): Promise<Project[]> {
  const model = await projects();
  const records = await model.find().sort({ createdAt: -1, _id: -1 }).limit(LIST_LIMIT).lean();
  return records.map(present);
}

// The key holds a generation that every write advances: a reader that was slower than a writer
// stores its old list under the old generation, where nobody looks.
async function cacheKey(): Promise<string> {
  return `projects:list:${(await (await redis()).get(GENERATION_KEY)) ?? '0'}`;
}

async function cached(key: string): Promise<Project[] | undefined> {
  const stored = await (await redis()).get(key);
  return stored === null ? undefined : (JSON.parse(stored) as Project[]);
}

/** Runs a cache access whose failure may slow the application but not break it. */
async function leniently<T>(access: () => Promise<T>): Promise<T | undefined> {
  try {
    return await access();
  } catch (error) {
    logFailure('project cache not usable', error);
    return undefined;
  }
}

export interface ProjectList {
  projects: Project[];
  cache: 'hit' | 'miss';
}

/** The newest hundred projects, from Redis when it holds the current list, else from MongoDB. */
export async function listProjects(): Promise<ProjectList> {
  const key = await leniently(cacheKey);
  const stored = key ? await leniently(() => cached(key)) : undefined;
  if (stored) return { projects: stored, cache: 'hit' };
  const fresh = await readProjects();
  if (key) {
    const value = JSON.stringify(fresh);
    await leniently(async () => (await redis()).set(key, value, 'EX', CACHE_SECONDS));
  }
  return { projects: fresh, cache: 'miss' };
}

/**
 * Stores a project and makes the cached list void.
 *
 * @throws DuplicateProject when the name is taken
 */
export async function addProject(project: NewProject): Promise<Project> {
  const model = await projects();
  const record = {
    ...project,
    nameKey: project.name.toLowerCase(),
    createdAt: new Date(),
  };
  try {
    const created = await model.create(record);
    return present(created.toObject());
  } catch (error) {
    if ((error as { code?: unknown }).code === DUPLICATE_KEY) throw new DuplicateProject();
    throw error;
  } finally {
    await leniently(async () => (await redis()).incr(GENERATION_KEY));
  }
}
