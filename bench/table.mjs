/** Prints rows below each other: the first column to the left, the others to the right. */
export function printTable(title, columns, rows) {
  const lines = [columns, ...rows].map((cells) => cells.map(String));
  const widths = columns.map((_, index) => Math.max(...lines.map((cells) => cells[index].length)));
  console.log(`\n${title}`);
  for (const cells of lines) {
    console.log(`  ${cells.map((cell, index) => (index === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[index]))).join("   ")}`);
  }
}
