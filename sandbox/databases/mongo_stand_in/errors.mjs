/** The part of MongoDB's error_codes.yml that this stand-in answers with. */
const CODES = {
  BadValue: 2,
  FailedToParse: 9,
  UserNotFound: 11,
  UnsupportedFormat: 12,
  Unauthorized: 13,
  TypeMismatch: 14,
  ProtocolError: 17,
  AuthenticationFailed: 18,
  IllegalOperation: 20,
  NamespaceNotFound: 26,
  IndexNotFound: 27,
  RoleNotFound: 31,
  CursorNotFound: 43,
  NamespaceExists: 48,
  InvalidIdField: 53,
  CommandNotFound: 59,
  ImmutableField: 66,
  CannotCreateIndex: 67,
  InvalidOptions: 72,
  InvalidNamespace: 73,
  IndexOptionsConflict: 85,
  IndexKeySpecsConflict: 86,
  CommandNotSupported: 115,
  MechanismUnavailable: 334,
  UnsupportedOpQueryCommand: 352,
  BSONObjectTooLarge: 10334,
  DuplicateKey: 11000,
  UnrecognizedStage: 40324,
  ChangeStreamNeedsReplicaSet: 40573,
  UserExists: 51003,
  Location40415: 40415,
};

/** A refusal a client can act on: `codeName` is MongoDB's own name for it. */
export class Refusal extends Error {
  constructor(codeName, message, extra = {}) {
    super(message);
    this.codeName = codeName;
    this.code = CODES[codeName];
    this.extra = extra;
    if (this.code === undefined) throw new TypeError(`no such error code: ${codeName}`);
  }

  asReply() {
    return { ok: 0, errmsg: this.message, code: this.code, codeName: this.codeName, ...this.extra };
  }

  asWriteError(index) {
    return { index, code: this.code, errmsg: this.message, ...this.extra };
  }
}

/** The error for a feature of MongoDB that this stand-in lacks, rather than pretended success. */
export function notServed(what) {
  return new Refusal("CommandNotSupported", `${what} is not served by Kanvaro's MongoDB stand-in`);
}

/** Converts plain errors that mingo and bson throw about a request to BadValue. */
export function asRefusal(error) {
  if (error instanceof Refusal) return error;
  const isAboutTheRequest = ["MingoError", "BSONError", "Error"].includes(error?.constructor?.name);
  if (!isAboutTheRequest) process.stderr.write(`stand-in: ${error?.stack ?? error}\n`);
  return new Refusal("BadValue", String(error?.message ?? error));
}
