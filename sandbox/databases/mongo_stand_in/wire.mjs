/**
 * MongoDB's wire protocol: OP_MSG, and OP_QUERY only for a legacy hello.
 * Source: https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
 */
import { BSON } from "bson";

export const MAX_DOCUMENT_BYTES = 16 * 1024 * 1024;
export const MAX_MESSAGE_BYTES = 48_000_000;

const HEADER_BYTES = 16;
const OP_REPLY = 1;
const OP_QUERY = 2004;
const OP_MSG = 2013;
const CHECKSUM_PRESENT = 1 << 0;
const MORE_TO_COME = 1 << 1;
const KNOWN_REQUIRED_FLAGS = CHECKSUM_PRESENT | MORE_TO_COME;
const REQUIRED_FLAGS = 0xffff;

const INT32_MAX = 2 ** 31 - 1;
const DECODING = { promoteLongs: true, promoteBuffers: false, bsonRegExp: false };

/** The peer does not speak the protocol: the only answer is to hang up. */
export class Garbled extends Error {}

// A document that an update makes too long must still be encoded to be measured and refused.
BSON.setInternalBufferSize(3 * MAX_DOCUMENT_BYTES);

// By default two binaries with other invalid UTF-8 bytes read the same, and mingo compares by text.
BSON.Binary.prototype.toString = function () {
  return `${this.sub_type}:${Buffer.from(this.value()).toString("base64")}`;
};

/** Cuts a byte stream into whole messages, however it was fragmented or pipelined. */
export class MessageCutter {
  #chunks = [];
  #held = 0;

  /** Returns the messages completed by `chunk`; throws `Garbled` on an impossible length. */
  push(chunk) {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
    const messages = [];
    for (let length; (length = this.#nextLength()) !== null && this.#held >= length; ) {
      const all = this.#joined();
      messages.push(all.subarray(0, length));
      this.#chunks = [all.subarray(length)];
      this.#held -= length;
    }
    return messages;
  }

  #nextLength() {
    if (this.#held < HEADER_BYTES) return null;
    if (this.#chunks[0].length < HEADER_BYTES) this.#joined();
    const length = this.#chunks[0].readInt32LE(0);
    if (length < HEADER_BYTES || length > MAX_MESSAGE_BYTES) {
      throw new Garbled(`message of ${length} bytes; at most ${MAX_MESSAGE_BYTES} are taken`);
    }
    return length;
  }

  #joined() {
    if (this.#chunks.length > 1) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0];
  }
}

/** Reads one message: `{ requestId, legacy, wantsReply, command, database }`. */
export function readMessage(message) {
  const requestId = message.readInt32LE(4);
  const opcode = message.readInt32LE(12);
  try {
    if (opcode === OP_MSG) return { requestId, legacy: false, ...readOpMsg(message) };
    if (opcode === OP_QUERY) return { requestId, legacy: true, ...readOpQuery(message) };
  } catch (error) {
    throw new Garbled(`unreadable message: ${error.message}`);
  }
  throw new Garbled(`opcode ${opcode} is not spoken here (no compression was negotiated)`);
}

function readOpMsg(message) {
  const flags = message.readUInt32LE(HEADER_BYTES);
  if (flags & REQUIRED_FLAGS & ~KNOWN_REQUIRED_FLAGS) throw new Error(`unknown flags ${flags}`);
  const end = message.length - (flags & CHECKSUM_PRESENT ? 4 : 0);
  let command = null;
  const sequences = {};
  for (let at = HEADER_BYTES + 4; at < end; ) {
    const kind = message[at++];
    const size = message.readInt32LE(at);
    if (size < 5 || at + size > end) throw new Error(`section of ${size} bytes`);
    if (kind === 0 && command === null) command = decode(message.subarray(at, at + size));
    else if (kind === 1) Object.assign(sequences, readSequence(message.subarray(at, at + size)));
    else throw new Error(`section kind ${kind}`);
    at += size;
  }
  if (command === null) throw new Error("no body section");
  const database = typeof command.$db === "string" ? command.$db : null;
  return { command: { ...command, ...sequences }, database, wantsReply: !(flags & MORE_TO_COME) };
}

function readSequence(section) {
  const nameEnd = section.indexOf(0, 4);
  const documents = [];
  for (let at = nameEnd + 1; at < section.length; ) {
    const size = section.readInt32LE(at);
    if (size < 5 || at + size > section.length) throw new Error(`document of ${size} bytes`);
    documents.push(decode(section.subarray(at, at + size)));
    at += size;
  }
  return { [section.toString("utf8", 4, nameEnd)]: documents };
}

function readOpQuery(message) {
  const nameStart = HEADER_BYTES + 4;
  const nameEnd = message.indexOf(0, nameStart);
  const database = message.toString("utf8", nameStart, nameEnd).split(".")[0];
  const body = decode(message.subarray(nameEnd + 1 + 8));
  return { command: body.$query ?? body, database, wantsReply: true };
}

/** Encodes `reply` as the answer to `request`, in the protocol the request came in. */
export function writeReply(request, reply, replyId) {
  const body = encode(reply);
  const head = Buffer.alloc(HEADER_BYTES + (request.legacy ? 20 : 5));
  head.writeInt32LE(head.length + body.length, 0);
  head.writeInt32LE(replyId, 4);
  head.writeInt32LE(request.requestId, 8);
  head.writeInt32LE(request.legacy ? OP_REPLY : OP_MSG, 12);
  if (request.legacy) head.writeInt32LE(1, HEADER_BYTES + 16);
  return Buffer.concat([head, body]);
}

export function decode(bytes) {
  return BSON.deserialize(bytes, DECODING);
}

export function encode(document) {
  return BSON.serialize(withWideIntegers(document), { ignoreUndefined: true });
}

export function copyOf(document) {
  return decode(encode(document));
}

/** bson writes an integer beyond 32 bits as a double; a real server gives back an integer. */
function withWideIntegers(value) {
  if (typeof value === "number") {
    const isWide = Number.isSafeInteger(value) && Math.abs(value) > INT32_MAX;
    return isWide ? BSON.Long.fromNumber(value) : value;
  }
  if (Array.isArray(value)) return value.map(withWideIntegers);
  if (value === null || typeof value !== "object" || value._bsontype) return value;
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, v]) => [key, withWideIntegers(v)]));
}
