import { AddProject } from '@/app/add-project';
import { listProjects } from '@/server/projects';
import { REVISION } from '@/server/revision';
import { countVisit } from '@/server/visits';

export const dynamic = 'force-dynamic';

export default async function Page() {
  const [{ projects }, visits] = await Promise.all([listProjects(), countVisit()]);
  return (
    <main>
      <h1>Kanvaro</h1>
      <AddProject />
      <h2 id="projects">Projects</h2>
      {projects.length === 0 && <p>No projects yet.</p>}
      <ul aria-labelledby="projects">
        {projects.map(({ id, name, description, createdAt }) => (
          <li key={id}>
            <strong>{name}</strong> {description && <span>{description}</span>}{' '}
            <time dateTime={createdAt}>{createdAt.slice(0, 10)}</time>
          </li>
        ))}
      </ul>
      <footer>
        <span data-testid="visits">
          {visits === undefined ? 'Visits unknown' : `Visit ${visits}`}
        </span>
        <span>Revision {REVISION.slice(0, 12)}</span>
      </footer>
    </main>
  );
}
