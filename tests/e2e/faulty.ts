// A server between the browser and the page that can answer wrongly.
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** Returns whether it has answered. */
export type Fault = (asked: IncomingMessage, answer: ServerResponse) => boolean | Promise<boolean>;

export interface Faulty {
  url: string;
  fault: Fault;
  close(): Promise<void>;
}

export async function faulty(page: string): Promise<Faulty> {
  const self: Faulty = { url: "", fault: () => false, close: async () => {} };
  const server = createServer(async (asked, answer) => {
    if (await self.fault(asked, answer)) return;
    const { host: _, ...headers } = asked.headers;
    const forwarded = request(new URL(asked.url ?? "/", page), { headers }, (response) => {
      answer.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(answer);
    });
    forwarded.on("error", () => answer.destroy());
    forwarded.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  self.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  self.close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return self;
}
