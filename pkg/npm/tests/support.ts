import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished } from "vitest";
import { ConvokeError } from "../src/shared/errors.js";

/** Returns the `ConvokeError` that a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<ConvokeError> {
  const error = await promise.then(
    () => expect.fail("it should have failed"),
    (error: unknown) => error,
  );
  if (!(error instanceof ConvokeError)) throw error;
  return error;
}

/** Starts a server with the test's answer on a free port of 127.0.0.1. */
export async function serve(answer: RequestListener): Promise<URL> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/model.safetensors`);
}

/** The part of Cache Storage that the package uses. Node has no Cache Storage. */
export class FakeCaches {
  readonly stores = new Map<string, Map<string, Response>>();

  async open(name: string) {
    const store = this.stores.get(name) ?? new Map<string, Response>();
    this.stores.set(name, store);
    return {
      match: async (url: URL) => store.get(url.href)?.clone(),
      put: async (url: URL, response: Response) => void store.set(url.href, response),
      delete: async (url: URL) => store.delete(url.href),
    };
  }
}
