// Numbers as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const count = (n: number): string => whole.format(n);

export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** A probability: rounding never makes it certain. */
export function chance(probability: number): string {
  return probability > 0.999 ? "> 99.9 %" : percent(Math.min(probability, 0.999));
}

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(n < 1e4 ? 1 : 0)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

export function milliseconds(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  return ms < 1000 ? `${ms.toFixed(0)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function loss(value: number): string {
  return value < 0.01 ? value.toExponential(1) : value.toFixed(3);
}

/** Three digits, as a learning rate needs them. */
export const rate = (value: number): string => `${Number(value.toPrecision(3))}`;

export const shape = (sizes: number[]): string => sizes.join(" × ");
