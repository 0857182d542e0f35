import type { Network } from "convoke";
import { make } from "./dom.js";
import { count, shape } from "./text.js";

const orDash = (n: number) => (n === 0 ? "–" : count(n));

export function showLayers(body: HTMLElement, foot: HTMLElement, network: Network): void {
  const number = (n: number) => make("td", { className: "number", textContent: orDash(n) });
  body.replaceChildren(
    ...network.layers.map((layer) =>
      make(
        "tr",
        {},
        make("th", { scope: "row", textContent: layer.name }),
        make("td", { textContent: layer.kind }),
        make("td", { textContent: shape(layer.shape) }),
        number(layer.parameters),
        number(layer.macs),
      ),
    ),
  );
  const title = make("th", { scope: "row", colSpan: 3, textContent: "Together" });
  foot.replaceChildren(make("tr", {}, title, number(network.parameters), number(network.macs)));
}
