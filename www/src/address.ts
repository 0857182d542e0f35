// Settings in the page's address, for tests and the curious: ?tier=simd128&backend=webgpu&threads=1
import type { Backend, Tier } from "convoke";

export interface Forced {
  backend?: Backend;
  tier?: Tier;
  threads?: number;
}

const tiers: readonly string[] = ["simd128", "relaxed", "threads"] satisfies Tier[];
const backends: readonly string[] = ["cpu", "webgpu"] satisfies Backend[];

export function forcedBy(search: string): Forced {
  const query = new URLSearchParams(search);
  const forced: Forced = {};
  const tier = query.get("tier");
  const backend = query.get("backend");
  const threads = Number(query.get("threads"));
  if (tier && tiers.includes(tier)) forced.tier = tier as Tier;
  if (backend && backends.includes(backend)) forced.backend = backend as Backend;
  if (Number.isInteger(threads) && threads > 0) forced.threads = threads;
  return forced;
}

/** As shown on the page; empty when nothing is forced. */
export function describe(forced: Forced): string {
  return Object.entries(forced)
    .map(([name, value]) => `${name}=${value}`)
    .join(", ");
}
