import { Refusal, answer, json, readBody } from '@/server/http';
import { DuplicateProject, addProject, listProjects, newProject } from '@/server/projects';
import { exceedsRateLimit } from '@/server/rate-limit';

export const dynamic = 'force-dynamic';

export function GET(): Promise<Response> {
  return answer(async () => {
    const { projects, cache } = await listProjects();
    return json({ projects }, 200, { 'X-Cache': cache });
  });
}

export function POST(request: Request): Promise<Response> {
  return answer(async () => {
    if (await exceedsRateLimit(request)) throw new Refusal(429, 'too many requests; try later');
    const wanted = await readBody(request, newProject);
    try {
      return json({ project: await addProject(wanted) }, 201);
    } catch (error) {
      if (!(error instanceof DuplicateProject)) throw error;
      throw new Refusal(409, 'a project of this name is there already', [
        { field: 'name', message: 'is taken' },
      ]);
    }
  });
}
