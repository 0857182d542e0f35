// Placeholder: shows what the package's worker answers.
import { pickTier, probe } from "convoke";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const out = document.getElementById("out") as HTMLPreElement;
try {
  const tier = new URLSearchParams(location.search).get("tier") as Awaited<ReturnType<typeof pickTier>> | null;
  const answer = await probe(tier ?? (await pickTier()));
  out.textContent = JSON.stringify({ ...answer, isolated: crossOriginIsolated, plot: typeof uPlot });
} catch (error) {
  out.textContent = `failed: ${error}`;
}
