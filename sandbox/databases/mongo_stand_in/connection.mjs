/** One client's connection: its messages, its login and its privileges. */
import { reply } from "./commands.mjs";
import { asRefusal } from "./errors.mjs";
import { allows, privilegesOf } from "./roles.mjs";
import { Garbled, MessageCutter, readMessage, writeReply } from "./wire.mjs";

export class Connection {
  #cutter = new MessageCutter();
  #replies = 0;

  constructor(server, socket, id) {
    Object.assign(this, { server, socket, id, session: null, login: null, client: null });
    this.lastCommand = null;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("error", () => socket.destroy());
  }

  /** The current account of this connection; null before login and after the user was dropped. */
  account() {
    return this.server.users.current(this.session);
  }

  owner() {
    return this.account()?.userId.toString() ?? null;
  }

  may(action, database) {
    if (!this.server.requiresLogin) return true;
    return allows(privilegesOf(this.account()?.roles ?? []), action, database);
  }

  #receive(chunk) {
    try {
      for (const message of this.#cutter.push(chunk)) this.#answer(readMessage(message));
    } catch (error) {
      if (!(error instanceof Garbled)) throw error;
      process.stderr.write(`stand-in: connection ${this.id} closed: ${error.message}\n`);
      this.socket.destroy();
    }
  }

  #answer(request) {
    const answer = reply(request, { server: this.server, connection: this });
    if (request.wantsReply) this.socket.write(this.#encoded(request, answer));
  }

  /** Encodes an answer; one that cannot be encoded (too long) becomes an error. */
  #encoded(request, answer) {
    const id = ++this.#replies;
    try {
      return writeReply(request, answer, id);
    } catch (error) {
      return writeReply(request, asRefusal(error).asReply(), id);
    }
  }
}
