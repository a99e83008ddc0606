import { environment } from '@/server/environment';

/** The version id of each secret that this instance was started with, if it is known. */
export interface SecretVersions {
  database?: string | undefined;
  jwt?: string | undefined;
  email?: string | undefined;
}

/** Returns the versions this instance runs with; JSON leaves out unknown ones. */
export function secretVersions(): SecretVersions {
  const { SECRET_VERSION_DATABASE, SECRET_VERSION_JWT, SECRET_VERSION_EMAIL } = environment();
  return {
    database: SECRET_VERSION_DATABASE,
    jwt: SECRET_VERSION_JWT,
    email: SECRET_VERSION_EMAIL,
  };
}
