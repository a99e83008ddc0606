/** The users of this server: their roles and the credentials derived from their passwords. */
import { BSON } from "bson";

import { Refusal } from "./errors.mjs";
import { isRole, privilegesOf } from "./roles.mjs";
import { MECHANISM, credentialOf } from "./scram.mjs";

const nameOf = (user, db) => `${user}@${db}`;

export class Users {
  #users = new Map();

  find(user, db) {
    return this.#users.get(nameOf(user, db)) ?? null;
  }

  /** Returns the user of `session` with current roles; null if it was dropped since. */
  current(session) {
    const found = session && this.find(session.user, session.db);
    return found && found.userId.equals(session.userId) ? found : null;
  }

  all() {
    return [...this.#users.values()];
  }

  create(user, db, password, roles) {
    if (this.find(user, db)) throw new Refusal("UserExists", `User "${user}@${db}" already exists`);
    const credential = credentialOf(acceptedPassword(password));
    const account = { user, db, userId: new BSON.UUID(), roles: acceptedRoles(roles, db), credential };
    this.#users.set(nameOf(user, db), account);
  }

  update(user, db, { password, roles }) {
    const account = this.#existing(user, db);
    const changed = { ...account };
    if (roles !== undefined) changed.roles = acceptedRoles(roles, db);
    if (password !== undefined) changed.credential = credentialOf(acceptedPassword(password));
    this.#users.set(nameOf(user, db), changed);
  }

  drop(user, db) {
    this.#existing(user, db);
    this.#users.delete(nameOf(user, db));
  }

  dropAll(db) {
    const own = this.all().filter((account) => account.db === db);
    own.forEach((account) => this.#users.delete(nameOf(account.user, account.db)));
    return own.length;
  }

  #existing(user, db) {
    const account = this.find(user, db);
    if (!account) throw new Refusal("UserNotFound", `User '${user}@${db}' not found`);
    return account;
  }
}

function acceptedPassword(password) {
  if (typeof password !== "string" || password === "") {
    throw new Refusal("BadValue", "Password cannot be empty");
  }
  return password;
}

export function acceptedRoles(roles, db) {
  if (!Array.isArray(roles)) throw new Refusal("TypeMismatch", 'field "roles" must be an array');
  const named = roles.map((role) => (typeof role === "string" ? { role, db } : role));
  const unknown = named.find((role) => !isRole(role));
  if (unknown) throw new Refusal("RoleNotFound", `Could not find role: ${unknown.role}@${unknown.db}`);
  return named.map(({ role, db: on }) => ({ role, db: on }));
}

/** Returns an account as `usersInfo` shows it. */
export function shown(account, { showPrivileges = false, showCredentials = false } = {}) {
  const { user, db, userId, roles, credential } = account;
  const view = { _id: `${db}.${user}`, userId, user, db, roles, mechanisms: [MECHANISM] };
  if (showCredentials) view.credentials = { [MECHANISM]: credentialView(credential) };
  if (!showPrivileges) return view;
  return { ...view, inheritedRoles: roles, inheritedPrivileges: privilegesOf(roles) };
}

function credentialView({ iterationCount, salt, storedKey, serverKey }) {
  const text = (bytes) => bytes.toString("base64");
  const [saltText, stored, server] = [salt, storedKey, serverKey].map(text);
  return { iterationCount, salt: saltText, storedKey: stored, serverKey: server };
}
