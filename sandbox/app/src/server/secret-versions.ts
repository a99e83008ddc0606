import { environment } from '@/server/environment';

/** The id of the version of each secret this instance was started with, where it was told. */
export interface SecretVersions {
  database?: string | undefined;
  jwt?: string | undefined;
  email?: string | undefined;
}

/** What this instance runs with; JSON leaves out what it was not told. */
export function secretVersions(): SecretVersions {
  const { SECRET_VERSION_DATABASE, SECRET_VERSION_JWT, SECRET_VERSION_EMAIL } = environment();
  return {
    database: SECRET_VERSION_DATABASE,
    jwt: SECRET_VERSION_JWT,
    email: SECRET_VERSION_EMAIL,
  };
}
