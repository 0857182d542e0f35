// Comlink, with errors that keep their type between worker and page. Both sides must import it from here.
import * as Comlink from "comlink";
import { fromPlain, type PlainError, toPlain } from "./errors.js";

const original = Comlink.transferHandlers.get("throw")!;

Comlink.transferHandlers.set("throw", {
  canHandle: original.canHandle,
  serialize: (thrown) => [toPlain((thrown as { value: unknown }).value), []],
  deserialize: (plain) => {
    throw fromPlain(plain as PlainError);
  },
} as Comlink.TransferHandler<unknown, PlainError>);

export { expose, proxy, type Remote, transfer, wrap } from "comlink";
