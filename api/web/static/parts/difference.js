// Where JSON values differ, by pointer (RFC 6901).

/** `[{pointer, values}]` of the leaves that are not the same in all of `trees`; absent is `undefined`. */
export function differences(trees, ignored = []) {
  const leaves = trees.map((tree) => new Map(leavesOf(tree, "")));
  const pointers = [...new Set(leaves.flatMap((map) => [...map.keys()]))].sort();
  return pointers
    .filter((pointer) => !ignored.some((begin) => pointer === begin || pointer.startsWith(`${begin}/`)))
    .map((pointer) => ({ pointer, values: leaves.map((map) => map.get(pointer)) }))
    .filter(({ values }) => values.some((value) => value !== values[0]));
}

/** Leaves as JSON text; lists of plain values are leaves. */
function* leavesOf(value, pointer) {
  const plain = Array.isArray(value) && value.every((member) => typeof member !== "object" || member === null);
  if (value === null || typeof value !== "object" || plain || Object.keys(value).length === 0) {
    yield [pointer, JSON.stringify(value)];
    return;
  }
  for (const [key, member] of Object.entries(value)) {
    yield* leavesOf(member, `${pointer}/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`);
  }
}
