import type { LayerTime, Network } from "convoke";
import { make } from "./dom.js";
import { count, shape } from "./text.js";

const orDash = (n: number) => (n === 0 ? "–" : count(n));

/** Each layer's name is a button, by whose `data-layer` a listener of the table knows it. */
export function showLayers(body: HTMLElement, foot: HTMLElement, network: Network): void {
  const number = (n: number) => make("td", { className: "number", textContent: orDash(n) });
  const time = () => make("td", { className: "number time", textContent: "–" });
  const name = (layer: string) => {
    const button = make("button", { type: "button", className: "layer", textContent: layer });
    button.dataset.layer = layer;
    return make("th", { scope: "row" }, button);
  };
  body.replaceChildren(
    ...network.layers.map((layer) =>
      make(
        "tr",
        {},
        name(layer.name),
        make("td", { textContent: layer.kind }),
        make("td", { textContent: shape(layer.shape) }),
        number(layer.parameters),
        number(layer.macs),
        time(),
      ),
    ),
  );
  const title = make("th", { scope: "row", colSpan: 3, textContent: "Together" });
  foot.replaceChildren(make("tr", {}, title, number(network.parameters), number(network.macs), time()));
}

/** Layers that are fused into another have no time of their own. */
export function showTimes(body: HTMLElement, foot: HTMLElement, times: LayerTime[]): void {
  const digits = (ms: number) => ms.toFixed(3);
  const of = new Map(times.map(({ name, milliseconds }) => [name, milliseconds]));
  for (const row of body.querySelectorAll("tr")) {
    const ms = of.get(row.querySelector("button")?.dataset.layer ?? "");
    row.querySelector(".time")!.textContent = ms === undefined ? "–" : digits(ms);
  }
  const all = times.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  foot.querySelector(".time")!.textContent = digits(all);
}
