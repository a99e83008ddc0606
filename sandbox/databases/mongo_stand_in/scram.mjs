/** The server's side of SCRAM-SHA-256 (RFC 5802, RFC 7677), as MongoDB speaks it. */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from "node:crypto";

import { saslprep } from "@mongodb-js/saslprep";

import { Refusal } from "./errors.mjs";

export const MECHANISM = "SCRAM-SHA-256";
const ITERATIONS = 15_000;
const GS2_HEADER = "n,,";

const hmac = (key, text) => createHmac("sha256", key).update(text).digest();
const hash = (bytes) => createHash("sha256").update(bytes).digest();

/** Derives what is stored of a password; the password cannot be recovered from it. */
export function credentialOf(password) {
  const salt = randomBytes(28);
  const salted = pbkdf2Sync(saslprep(password), salt, ITERATIONS, 32, "sha256");
  return {
    iterationCount: ITERATIONS,
    salt,
    storedKey: hash(hmac(salted, "Client Key")),
    serverKey: hmac(salted, "Server Key"),
  };
}

export function authenticationFailed() {
  return new Refusal("AuthenticationFailed", "Authentication failed.");
}

/** One login: client-first, client-final, and an empty last word when the client wants it. */
export class Conversation {
  #step = "client-final";

  /** `findCredential(name)` returns what `credentialOf` made, or null for an unknown user. */
  constructor(clientFirst, findCredential, skipEmptyExchange) {
    if (!clientFirst.startsWith(GS2_HEADER)) throw authenticationFailed();
    this.bare = clientFirst.slice(GS2_HEADER.length);
    const { n, r } = attributesOf(this.bare);
    if (!n || !r) throw authenticationFailed();
    this.user = n.replaceAll("=2C", ",").replaceAll("=3D", "=");
    this.credential = findCredential(this.user);
    if (!this.credential) throw authenticationFailed();
    this.skipEmptyExchange = skipEmptyExchange;
    this.nonce = r + randomBytes(24).toString("base64");
    const { salt, iterationCount } = this.credential;
    this.serverFirst = `r=${this.nonce},s=${salt.toString("base64")},i=${iterationCount}`;
  }

  /** Returns `{ payload, done }`; throws AuthenticationFailed for a wrong password. */
  next(payload) {
    if (this.#step === "last word") return { payload: "", done: true };
    this.#step = "last word";
    return { payload: this.#final(payload), done: this.skipEmptyExchange };
  }

  #final(clientFinal) {
    const { c, r, p } = attributesOf(clientFinal);
    const bindsNoChannel = c === Buffer.from(GS2_HEADER).toString("base64");
    if (!bindsNoChannel || r !== this.nonce || !p) throw authenticationFailed();
    const withoutProof = clientFinal.slice(0, clientFinal.lastIndexOf(",p="));
    const exchange = [this.bare, this.serverFirst, withoutProof].join(",");
    const { storedKey, serverKey } = this.credential;
    const signature = hmac(storedKey, exchange);
    const proof = Buffer.from(p, "base64");
    if (proof.length !== signature.length) throw authenticationFailed();
    const clientKey = Buffer.from(proof.map((byte, at) => byte ^ signature[at]));
    if (!timingSafeEqual(hash(clientKey), storedKey)) throw authenticationFailed();
    return `v=${hmac(serverKey, exchange).toString("base64")}`;
  }
}

function attributesOf(message) {
  return Object.fromEntries(
    message.split(",").map((part) => [part.slice(0, 1), part.slice(2)]),
  );
}
