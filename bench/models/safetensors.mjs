// Plain safetensors: an 8-byte header length, a JSON header, the tensors' bytes.
export function safetensors(graph) {
  const header = { __metadata__: { format: "pt" } };
  let end = 0;
  for (const [name, { shape, data }] of graph.params) {
    header[name] = { dtype: "F32", shape, data_offsets: [end, end + data.byteLength] };
    end += data.byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const head = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, 0x20)]); // aligned, as the format asks
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  return [length, head, ...[...graph.params.values()].map((p) => bytes(p.data))];
}

export const bytes = (a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
