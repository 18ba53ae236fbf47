/** The value below which a fraction of the values lies, interpolated. */
export function quantile(values, fraction) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (sorted.length - 1) * fraction;
  const below = sorted[Math.floor(at)];
  return below + (sorted[Math.ceil(at)] - below) * (at - Math.floor(at));
}

export const median = (values) => quantile(values, 0.5);

/** `1.03 (0.98–1.07)`: the median and the middle half. */
export function spread(values, digits = 2) {
  const [low, middle, high] = [0.25, 0.5, 0.75].map((fraction) => format(quantile(values, fraction), digits));
  return `${middle} (${low}–${high})`;
}

/** `12,345.6` */
export function format(value, digits = 0) {
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}
