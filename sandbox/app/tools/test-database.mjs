/**
 * A MongoDB connection string that names another database. Who logs in stays the same: without an
 * authSource the driver would look for the user in the new database.
 *
 * @param {string} uri
 * @param {string} database
 */
export function withDatabase(uri, database) {
  const parts = /^(mongodb(?:\+srv)?:\/\/)([^/?]+)(?:\/([^?]*))?(?:\?(.*))?$/.exec(uri);
  if (!parts) throw new Error('MONGODB_URI is not a MongoDB connection string');
  const [, scheme, authority = '', original, query] = parts;
  const options = new URLSearchParams(query);
  if (authority.includes('@') && !options.has('authSource')) {
    options.set('authSource', original || 'admin');
  }
  const suffix = options.size > 0 ? `?${options.toString()}` : '';
  return `${scheme}${authority}/${database}${suffix}`;
}
